"""Images are stored once, whole, and can be found by what they are made of."""

import pytest

from models.errors import StreamConflictError
from models.images.compressed_image import PackedImage, pack_image
from models.resources.image import ImageSignature
from models.store.changes.change_log import load_changes
from models.store.database.session import transaction
from models.store.images.image_store import (
    count_images,
    delete_image,
    images_with_layer,
    images_with_manifest,
    list_images,
    load_held,
    load_image,
    load_images,
    save_held,
    save_images,
    update_image,
)
from tests.integration.store.things import NOW, after, digest, image, index, packed

ORDER = {"image.openshift.io/dockerLayersOrder": "ascending"}


def save(engine, *images, now=NOW):
    with transaction(engine) as session:
        return save_images(session, images, now=now)


def load(engine, word):
    with transaction(engine, write=False) as session:
        return load_image(session, digest(word))


def test_an_image_comes_back_as_it_was_packed(engine):
    original = image("a", layers=("one", "two", "one"))
    assert save(engine, pack_image(original)) == 1
    found = load(engine, "a")
    assert found.replace(metadata=original.metadata) == original
    assert found.metadata.creation_timestamp == NOW
    assert found.metadata.uid
    assert found.metadata.annotations == original.metadata.annotations


def test_an_index_comes_back_with_its_entries_in_order(engine):
    original = index("list", "v8", "v6", "v7")
    save(engine, original)
    assert load(engine, "list").docker_image_manifests == original.docker_image_manifests


@pytest.mark.case("import 3-47")
def test_the_first_importer_of_an_image_stays_its_author(engine):
    save(engine, packed("a", repository="first.example/x"))
    before = load(engine, "a")
    assert save(engine, packed("a", repository="second.example/y"), now=after(60)) == 0
    assert load(engine, "a") == before


def test_an_import_leaves_manifest_config_and_signatures_out(engine):
    whole = image(
        "a",
        docker_image_manifest="{}",
        docker_image_config="{}",
        signatures=[ImageSignature(type="AtomicImageV1", content="AA==")],
    )
    save(engine, pack_image(whole))
    found = load(engine, "a")
    assert found.docker_image_manifest == found.docker_image_config == ""
    assert found.signatures == []


def test_an_image_that_no_import_brought_is_stored_whole(engine):
    whole = image(
        "a",
        docker_image_manifest="{}",
        docker_image_config='{"x":1}',
        docker_image_signatures=["AA=="],
        signatures=[ImageSignature(type="AtomicImageV1", content="AA==")],
    )
    labelled = whole.replace(metadata=whole.metadata.replace(labels={"l": "v"}))
    save(engine, labelled)
    found = load(engine, "a")
    assert found.metadata.labels == {"l": "v"}
    assert found.replace(metadata=labelled.metadata) == labelled


def test_a_packed_image_without_content_is_not_looked_at(engine):
    assert save(engine, PackedImage(digest("a"), "quay.io/x")) == 0
    assert load(engine, "a") is None


def test_many_images_are_stored_once_each_with_versions_of_their_own(engine):
    many = [packed(f"image {number}") for number in range(250)]
    assert save(engine, packed("image 7")) == 1
    assert save(engine, *many, many[3]) == 249
    with transaction(engine, write=False) as session:
        found = load_images(session, [each.name for each in many])
        changes = load_changes(session, after=0, limit=1000, kind="Image")
    versions = {int(each.metadata.resource_version): name for name, each in found.items()}
    assert len(versions) == 250
    assert {each.version: each.change.name for each in changes} == versions


def test_a_layer_finds_its_images_and_a_manifest_its_indexes(engine):
    save(
        engine,
        packed("a", layers=("base", "x")),
        packed("b", layers=("base", "base")),
        packed("c", layers=("y",)),
        index("list", "v7"),
    )
    with transaction(engine, write=False) as session:
        assert images_with_layer(session, digest("base")) == sorted([digest("a"), digest("b")])
        assert images_with_layer(session, digest("nothing")) == []
        assert images_with_manifest(session, digest("v7")) == [digest("list")]


def test_only_stored_images_of_the_repository_and_the_rights_at_hand_are_held(engine):
    save(engine, packed("a"), packed("b"), packed("c"))
    with transaction(engine) as session:
        save_held(session, "quay.io/app", "", [digest("a"), digest("missing")])
        save_held(session, "quay.io/app", "secret-1", [digest("a"), digest("b")])
        save_held(session, "quay.io/app", "secret-1", [digest("b")])
        save_held(session, "quay.io/other", "", [digest("c")])
    with transaction(engine, write=False) as session:
        assert load_held(session, "quay.io/app", [""]) == [(digest("a"), "")]
        assert sorted(load_held(session, "quay.io/app", ["", "secret-1"])) == sorted(
            [(digest("a"), ""), (digest("a"), "secret-1"), (digest("b"), "secret-1")]
        )
        assert load_held(session, "quay.io/app", ["secret-2"]) == []
        assert load_held(session, "quay.io/app", []) == []


def test_metadata_of_strangers_survives_nul_and_lone_surrogates(engine):
    metadata = {"Config": {"Labels": {"a\x00": "b\x00\\u0000", "c": "d\ud800"}}, "Id": "x"}
    save(engine, image("a", docker_image_metadata=metadata))
    labels = load(engine, "a").docker_image_metadata["Config"]["Labels"]
    assert labels == {"a\ufffd": "b\ufffd\\u0000", "c": "d\ufffd"}


def test_a_size_beyond_32_bits_is_kept(engine):
    big = image("a")
    layer = big.docker_image_layers[0].replace(size=2**53 - 1)
    save(engine, pack_image(big.replace(docker_image_layers=[layer])))
    assert load(engine, "a").docker_image_layers == [layer]


def update(engine, old, new, *, now=NOW):
    with transaction(engine) as session:
        return update_image(session, old, new, now=now)


def test_an_updated_image_is_stored_whole_under_a_new_version(engine):
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
    same = changed.metadata.replace(resource_version=old.metadata.resource_version)
    assert changed.replace(metadata=same) == new
    with transaction(engine, write=False) as session:
        assert images_with_layer(session, digest("base")) == []
        assert images_with_manifest(session, digest("x")) == [digest("a")]


def test_an_update_without_a_difference_writes_nothing_and_a_lost_race_is_a_conflict(engine):
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
def test_an_import_leaves_an_updated_image_as_it_is(engine):
    save(engine, packed("a"))
    old = load(engine, "a")
    changed = update(engine, old, old.replace(docker_image_manifest="{}"))
    assert save(engine, packed("a")) == 0
    assert load(engine, "a") == changed


def test_a_deleted_image_is_gone_with_its_parts_and_may_come_again(engine):
    save(engine, image("a"), index("list", "x"))
    old = load(engine, "a")
    with transaction(engine) as session:
        save_held(session, "quay.io/team/app", "", [digest("a")])
        assert delete_image(session, digest("a"), now=NOW)
        assert delete_image(session, digest("a"), now=NOW) == 0
        assert images_with_layer(session, digest("base")) == []
        assert load_held(session, "quay.io/team/app", [""]) == []
    assert load(engine, "a") is None
    save(engine, image("a"))
    assert load(engine, "a").metadata.uid != old.metadata.uid


def test_images_are_paged_in_the_order_of_digests_and_counted(engine):
    names = sorted(digest(f"{number}") for number in range(7))
    save(engine, *(image(f"{number}") for number in range(7)))
    found, last = [], None
    with transaction(engine, write=False) as session:
        while page := list_images(session, limit=3, after=last):
            found += page
            last = page[-1].name
        assert found == [load_image(session, name) for name in names]
        assert (count_images(session), count_images(session, after=names[4])) == (7, 2)
