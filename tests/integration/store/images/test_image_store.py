"""Images are stored once and completely, and are found by their layers and manifests."""

import pytest

from models.errors import StreamConflictError
from models.images.compressed_image import PackedImage, pack_image
from models.resources.image import ImageSignature
from models.store.changes.change_log import load_changes
from models.store.database.session import transaction
from models.store.images.image_store import (
    count_images,
    delete_image,
    list_images,
    list_images_with_layer,
    list_images_with_manifest,
    load_image,
    load_images,
    load_served_images,
    save_images,
    save_served_images,
    update_image,
)
from tests.integration.store.sample_objects import NOW, after, digest, image, index, packed_image

ORDER = {"image.openshift.io/dockerLayersOrder": "ascending"}


def save(engine, *images, now=NOW):
    with transaction(engine) as session:
        return save_images(session, images, now=now)


def load(engine, text):
    with transaction(engine, write=False) as session:
        return load_image(session, digest(text))


def test_packed_image_is_loaded_unchanged(engine):
    original = image("a", layers=("one", "two", "one"))
    assert save(engine, pack_image(original)) == 1
    found = load(engine, "a")
    assert found.replace(metadata=original.metadata) == original
    assert found.metadata.creation_timestamp == NOW
    assert found.metadata.uid
    assert found.metadata.annotations == original.metadata.annotations


def test_index_is_loaded_with_entries_in_order(engine):
    original = index("list", "v8", "v6", "v7")
    save(engine, original)
    assert load(engine, "list").docker_image_manifests == original.docker_image_manifests


@pytest.mark.case("import 3-47")
def test_save_images_keeps_image_of_first_import(engine):
    save(engine, packed_image("a", repository="first.example/x"))
    before = load(engine, "a")
    assert save(engine, packed_image("a", repository="second.example/y"), now=after(60)) == 0
    assert load(engine, "a") == before


def test_save_images_omits_manifest_config_and_signatures_of_packed_image(engine):
    original = image(
        "a",
        docker_image_manifest="{}",
        docker_image_config="{}",
        signatures=[ImageSignature(type="AtomicImageV1", content="AA==")],
    )
    save(engine, pack_image(original))
    found = load(engine, "a")
    assert found.docker_image_manifest == found.docker_image_config == ""
    assert found.signatures == []


def test_save_images_stores_every_field_of_unpacked_image(engine):
    original = image(
        "a",
        docker_image_manifest="{}",
        docker_image_config='{"x":1}',
        docker_image_signatures=["AA=="],
        signatures=[ImageSignature(type="AtomicImageV1", content="AA==")],
    )
    labelled = original.replace(metadata=original.metadata.replace(labels={"l": "v"}))
    save(engine, labelled)
    found = load(engine, "a")
    assert found.metadata.labels == {"l": "v"}
    assert found.replace(metadata=labelled.metadata) == labelled


def test_save_images_ignores_packed_image_without_content(engine):
    assert save(engine, PackedImage(digest("a"), "quay.io/x")) == 0
    assert load(engine, "a") is None


def test_save_images_stores_each_image_once_with_its_own_version(engine):
    many = [packed_image(f"image {number}") for number in range(250)]
    assert save(engine, packed_image("image 7")) == 1
    assert save(engine, *many, many[3]) == 249
    with transaction(engine, write=False) as session:
        found = load_images(session, [each.name for each in many])
        changes = load_changes(session, after=0, limit=1000, kind="Image")
    versions = {int(each.metadata.resource_version): name for name, each in found.items()}
    assert len(versions) == 250
    assert {each.version: each.change.name for each in changes} == versions


def test_list_images_with_layer_and_with_manifest_find_images(engine):
    save(
        engine,
        packed_image("a", layers=("base", "x")),
        packed_image("b", layers=("base", "base")),
        packed_image("c", layers=("y",)),
        index("list", "v7"),
    )
    with transaction(engine, write=False) as session:
        assert list_images_with_layer(session, digest("base")) == sorted([digest("a"), digest("b")])
        assert list_images_with_layer(session, digest("nothing")) == []
        assert list_images_with_manifest(session, digest("v7")) == [digest("list")]


def test_load_served_images_filters_by_repository_and_credential_scope(engine):
    save(engine, packed_image("a"), packed_image("b"), packed_image("c"))
    with transaction(engine) as session:
        save_served_images(session, "quay.io/app", "", [digest("a"), digest("missing")])
        save_served_images(session, "quay.io/app", "secret-1", [digest("a"), digest("b")])
        save_served_images(session, "quay.io/app", "secret-1", [digest("b")])
        save_served_images(session, "quay.io/other", "", [digest("c")])
    with transaction(engine, write=False) as session:
        assert load_served_images(session, "quay.io/app", [""]) == [(digest("a"), "")]
        assert sorted(load_served_images(session, "quay.io/app", ["", "secret-1"])) == sorted(
            [(digest("a"), ""), (digest("a"), "secret-1"), (digest("b"), "secret-1")]
        )
        assert load_served_images(session, "quay.io/app", ["secret-2"]) == []
        assert load_served_images(session, "quay.io/app", []) == []


def test_image_metadata_with_nul_and_lone_surrogates_is_sanitized(engine):
    metadata = {"Config": {"Labels": {"a\x00": "b\x00\\u0000", "c": "d\ud800"}}, "Id": "x"}
    save(engine, image("a", docker_image_metadata=metadata))
    labels = load(engine, "a").docker_image_metadata["Config"]["Labels"]
    assert labels == {"a\ufffd": "b\ufffd\\u0000", "c": "d\ufffd"}


def test_layer_size_beyond_32_bits_is_stored(engine):
    big = image("a")
    layer = big.docker_image_layers[0].replace(size=2**53 - 1)
    save(engine, pack_image(big.replace(docker_image_layers=[layer])))
    assert load(engine, "a").docker_image_layers == [layer]


def update(engine, old, new, *, now=NOW):
    with transaction(engine) as session:
        return update_image(session, old, new, now=now)


def test_update_image_stores_every_field_with_new_version(engine):
    save(engine, image("a"))
    old = load(engine, "a")
    new = old.replace(
        metadata=old.metadata.replace(labels={"a": "b"}, annotations={"c": "d", **ORDER}),
        docker_image_reference="else.where/x@" + digest("a"),
        docker_image_manifest="{}",
        docker_image_layers=[],
        docker_image_manifests=index("list", "x", "y").docker_image_manifests,
        signatures=[ImageSignature(type="AtomicImageV1", content="AA==")],
    )
    changed = update(engine, old, new, now=after(60))
    assert changed == load(engine, "a")
    assert int(changed.metadata.resource_version) > int(old.metadata.resource_version)
    metadata = changed.metadata.replace(resource_version=old.metadata.resource_version)
    assert changed.replace(metadata=metadata) == new
    with transaction(engine, write=False) as session:
        assert list_images_with_layer(session, digest("base")) == []
        assert list_images_with_manifest(session, digest("x")) == [digest("a")]


def test_update_image_without_difference_writes_nothing_and_stale_one_conflicts(engine):
    save(engine, image("a"))
    old = load(engine, "a")
    assert update(engine, old, old, now=after(60)) == old
    changed = update(engine, old, old.replace(docker_image_manifest="{}"))
    assert load(engine, "a") == changed
    with pytest.raises(StreamConflictError, match="images"):
        update(engine, old, old)
    with pytest.raises(StreamConflictError):
        update(engine, image("b"), image("b"))


@pytest.mark.case("import 3-47")
def test_save_images_keeps_updated_image(engine):
    save(engine, packed_image("a"))
    old = load(engine, "a")
    changed = update(engine, old, old.replace(docker_image_manifest="{}"))
    assert save(engine, packed_image("a")) == 0
    assert load(engine, "a") == changed


def test_delete_image_removes_its_parts_and_allows_new_save(engine):
    save(engine, image("a"), index("list", "x"))
    old = load(engine, "a")
    with transaction(engine) as session:
        save_served_images(session, "quay.io/team/app", "", [digest("a")])
        assert delete_image(session, digest("a"), now=NOW)
        assert delete_image(session, digest("a"), now=NOW) == 0
        assert list_images_with_layer(session, digest("base")) == []
        assert load_served_images(session, "quay.io/team/app", [""]) == []
    assert load(engine, "a") is None
    save(engine, image("a"))
    assert load(engine, "a").metadata.uid != old.metadata.uid


def test_list_images_pages_in_order_of_digests(engine):
    names = sorted(digest(f"{number}") for number in range(7))
    save(engine, *(image(f"{number}") for number in range(7)))
    found, last = [], None
    with transaction(engine, write=False) as session:
        while page := list_images(session, limit=3, after=last):
            found += page
            last = page[-1].name
        assert found == [load_image(session, name) for name in names]
        assert (count_images(session), count_images(session, after=names[4])) == (7, 2)
