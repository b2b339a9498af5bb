"""Images for several platforms: one child in Legacy mode, all of them in PreserveOriginal."""

import pytest

from models.resources.stream import ImageStream
from tests import fixtures as fx
from tests.integration.imports import image_content
from tests.integration.imports.import_requests import img, isi

LIST, INDEX = fx.digest_of(fx.LIST), fx.digest_of(fx.INDEX)
ARM, AMD, ATT = (fx.digest_of(each) for each in (fx.OCI_ARM, fx.OCI_BARE, fx.OCI_ATT))
CFG_ARM, CFG_A = fx.digest_of(fx.CFG_ARM), fx.digest_of(fx.CFG_A)
PRESERVE_ORIGINAL = "PreserveOriginal"


def import_one(harness, name, *, do=False, **options):
    """Return the result of the only element."""
    (found,) = harness.import_status(isi(img(name, **options), do=do))["images"]
    return found


def import_success(harness, name, **options):
    found = import_one(harness, name, **options)
    assert found["status"]["status"] == "Success", found["status"]
    return found


def names(found):
    return [each["metadata"]["name"] for each in found.get("manifests", [])]


def platforms(image):
    return [
        (each["architecture"], each["os"], each.get("variant", ""), each["manifestSize"])
        for each in image["dockerImageManifests"]
    ]


@pytest.mark.case("import 3-9", "import 3-13")
@pytest.mark.parametrize("mode", ["", "Legacy"])
@pytest.mark.parametrize("by", ["list", f"@{INDEX}"])
def test_legacy_mode_fetches_only_server_platform_child(harness, fake, mode, by):
    image_content.push_index(fake, content=fx.INDEX, media_type=fx.INDEX_TYPE)
    name = f"{fake.host}/a/b{by if '@' in by else ':' + by}"
    found = import_success(harness, name, importMode=mode)
    assert image_content.requested_manifests(fake) == [by.removeprefix("@"), AMD]
    assert image_content.requested_blobs(fake) == [CFG_A]
    assert found["image"]["metadata"]["name"] == AMD
    assert found["image"]["dockerImageReference"] == f"{fake.host}/a/b@{AMD}"
    assert "manifests" not in found


@pytest.mark.case("import 3-14")
def test_list_by_digest_resolves_to_child_digest(harness, fake):
    image_content.push_index(fake)
    found = import_success(harness, f"{fake.host}/a/b@{LIST}")
    assert found["image"]["dockerImageReference"] == f"{fake.host}/a/b@{AMD}"
    assert not found.get("tag")


@pytest.mark.case("import 3-10", "import 3-15", "import 3-50")
@pytest.mark.parametrize("by", [":list", f"@{LIST}"])
def test_preserve_original_imports_list_and_every_child(harness, fake, by):
    image_content.push_index(fake)
    found = import_success(harness, f"{fake.host}/a/b{by}", importMode=PRESERVE_ORIGINAL)
    image = found["image"]
    assert image["metadata"]["name"] == LIST
    assert "annotations" not in image["metadata"]
    assert "dockerImageLayers" not in image
    assert image["dockerImageManifestMediaType"] == fx.LIST_TYPE
    metadata = image["dockerImageMetadata"]
    assert set(metadata) == {"kind", "apiVersion", "Id", "Created", "ContainerConfig"}
    assert metadata["Id"] == LIST
    assert metadata["Created"]
    assert platforms(image) == [
        ("arm64", "linux", "v8", 10),
        ("amd64", "linux", "", 11),
        ("unknown", "unknown", "", 12),
    ]
    assert names(found) == [ARM, AMD, ATT]
    assert [each["dockerImageMetadata"]["Size"] for each in found["manifests"]] == [170, 614, 107]
    assert sorted(image_content.requested_manifests(fake)) == sorted([by[1:], ARM, AMD, ATT])
    assert sorted(image_content.requested_blobs(fake)) == sorted([CFG_ARM, CFG_A])


@pytest.mark.case("import 3-10")
def test_repository_import_preserves_original_lists(harness, fake):
    image_content.push_index(fake)
    repository = {
        "from": {"kind": "DockerImage", "name": f"{fake.host}/a/b"},
        "importPolicy": {"importMode": PRESERVE_ORIGINAL},
    }
    status = harness.import_status(isi(repository=repository, do=False))["repository"]
    (found,) = status["images"]
    assert names(found) == [ARM, AMD, ATT]


@pytest.mark.case("import 3-11")
def test_list_in_both_modes_is_fetched_once(harness, fake):
    image_content.push_index(fake, content=fx.INDEX_BARE, media_type=fx.INDEX_TYPE)
    name = f"{fake.host}/a/b:list"
    request = isi(img(name, importMode=PRESERVE_ORIGINAL), img(name, importMode="Legacy"), do=False)
    whole, legacy = harness.import_status(request)["images"]
    assert names(whole) == [ARM, AMD]
    assert legacy["image"]["metadata"]["name"] == AMD
    assert sorted(image_content.requested_manifests(fake)) == sorted(["list", ARM, AMD])
    assert sorted(image_content.requested_blobs(fake)) == sorted([CFG_ARM, CFG_A])


@pytest.mark.case("import 3-12")
@pytest.mark.parametrize("missing", [ARM, CFG_ARM], ids=["manifest", "config"])
def test_list_with_missing_child_fails(harness, fake, missing):
    image_content.push_index(fake)
    fake.delete("a/b", missing)
    found = import_one(harness, f"{fake.host}/a/b@{LIST}", importMode=PRESERVE_ORIGINAL)
    assert found["status"]["status"] == "Failure"
    assert "image" not in found


@pytest.mark.case("import 3-16")
def test_index_without_media_type_is_recognized(harness, fake):
    digest = image_content.push_index(fake, content=fx.INDEX_BARE, media_type=fx.INDEX_TYPE)
    image = import_success(harness, f"{fake.host}/a/b:list", importMode=PRESERVE_ORIGINAL)["image"]
    assert image["metadata"]["name"] == digest == fx.digest_of(fx.INDEX_BARE)
    assert digest.startswith("sha256:cfe6476d")
    assert image["dockerImageManifestMediaType"] == fx.INDEX_TYPE


def save_preferences(harness, **preferences):
    """Save a stream whose tags prefer a platform: tag → (attribute, value)."""
    tags = [
        {
            "name": tag,
            "annotations": {f"importer.image.openshift.io/prefer-{attribute}": value},
            "from": {"kind": "DockerImage", "name": "quay.io/any/thing"},
        }
        for tag, (attribute, value) in preferences.items()
    ]
    meta = {"name": "is", "namespace": "ns"}
    harness.save_stream(
        None, ImageStream.model_validate({"metadata": meta, "spec": {"tags": tags}})
    )


@pytest.mark.case("import 3-17")
def test_existing_tag_annotation_selects_platform(harness, fake):
    image_content.push_index(fake)
    save_preferences(harness, x=("arch", "arm64"), y=("arch", "s390x"), z=("os", "windows"))
    name = f"{fake.host}/a/b:list"
    found = harness.import_status(isi(*(img(name, to=tag) for tag in "xyz")))["images"]
    assert [each["image"]["metadata"]["name"] for each in found] == [ARM, AMD, AMD]
    assert image_content.requested_manifests(fake).count("list") == 1


@pytest.mark.case("import 3-18")
def test_import_by_digest_ignores_platform_preference(harness, fake):
    image_content.push_index(fake)
    save_preferences(harness, x=("arch", "arm64"))
    found = import_success(harness, f"{fake.host}/a/b@{LIST}", to="x", do=True)
    assert found["image"]["metadata"]["name"] == AMD


@pytest.mark.case("import 3-19", "import 3-20")
@pytest.mark.parametrize("with_attestation", [True, False])
def test_legacy_mode_falls_back_to_first_image_child(harness, fake, with_attestation):
    entries = [image_content.entry(fx.OCI_ARM, image_content.ARM)]
    if with_attestation:
        entries.insert(0, image_content.entry(fx.OCI_ATT, image_content.UNKNOWN))
    image_content.push_index(fake, content=image_content.index(*entries), media_type=fx.INDEX_TYPE)
    assert import_success(harness, f"{fake.host}/a/b:list")["image"]["metadata"]["name"] == ARM


@pytest.mark.case("registry 131")
@pytest.mark.case("import 3-21")
@pytest.mark.parametrize("mode", ["Legacy", PRESERVE_ORIGINAL])
def test_nested_index_leaf_has_its_own_digest(harness, fake, mode):
    inner = image_content.index(image_content.entry(fx.OCI_BARE, image_content.AMD))
    outer = image_content.index(
        image_content.entry(inner, image_content.AMD, media_type=fx.INDEX_TYPE)
    )
    fake.push("a/b", manifest=inner, media_type=fx.INDEX_TYPE)
    digest = image_content.push_index(fake, content=outer, media_type=fx.INDEX_TYPE)
    found = import_success(harness, f"{fake.host}/a/b:list", importMode=mode)
    leaf = found["image"]
    if mode == PRESERVE_ORIGINAL:
        assert leaf["metadata"]["name"] == digest
        (leaf,) = found["manifests"]
    assert leaf["metadata"]["name"] == AMD
    assert leaf["dockerImageReference"] == f"{fake.host}/a/b@{AMD}"


@pytest.mark.case("registry 137")
@pytest.mark.case("import 3-22")
def test_empty_index_is_imported_only_with_preserve_original(harness, fake):
    fake.push("a/b", tag="idxempty", manifest=image_content.index(), media_type=fx.INDEX_TYPE)
    name = f"{fake.host}/a/b:idxempty"
    status = import_one(harness, name)["status"]
    assert status["message"] == f"Internal error occurred: {name}: no manifests in manifest list"
    assert status["reason"] == "InternalError"
    assert (
        "dockerImageManifests"
        not in import_success(harness, name, importMode=PRESERVE_ORIGINAL)["image"]
    )


@pytest.mark.case("registry 134")
@pytest.mark.case("import 3-23")
def test_missing_child_error_names_index_or_child(harness, fake):
    content = image_content.index(image_content.entry(fx.OCI_BARE, image_content.AMD))
    fake.push("a/b", tag="idxmissing", manifest=content, media_type=fx.INDEX_TYPE)
    name = f"{fake.host}/a/b:idxmissing"
    for mode, reference in (("Legacy", name), (PRESERVE_ORIGINAL, f"{fake.host}/a/b@{AMD}")):
        status = import_one(harness, name, importMode=mode)["status"]
        assert (status["reason"], status["code"]) == ("NotFound", 404)
        assert status["message"] == f'dockerimage.image.openshift.io "{reference}" not found'


@pytest.mark.case("registry 132")
@pytest.mark.case("import 3-24")
@pytest.mark.parametrize("do", [True, False])
def test_missing_platform_is_read_from_child_config(harness, fake, do):
    content = image_content.index(
        image_content.entry(fx.OCI_ARM), image_content.entry(fx.OCI_BARE, image_content.AMD)
    )
    image_content.push_index(fake, content=content, media_type=fx.INDEX_TYPE)
    found = import_success(
        harness, f"{fake.host}/a/b:list", to="x", importMode=PRESERVE_ORIGINAL, do=do
    )
    shown = [each[:2] for each in platforms(found["image"])]
    assert shown == [("arm64", "linux"), ("amd64", "linux")]


@pytest.mark.case("registry 136")
@pytest.mark.case("import 3-25", "import 3-45", "import 3-46")
def test_duplicate_child_is_stored_once(harness, fake):
    double = image_content.entry(fx.OCI_BARE, image_content.AMD)
    digest = image_content.push_index(
        fake, content=image_content.index(double, double), media_type=fx.INDEX_TYPE
    )
    name = f"{fake.host}/a/b:list"
    request = isi(
        img(name, to="x", importMode=PRESERVE_ORIGINAL),
        img(name, to="y", importMode=PRESERVE_ORIGINAL),
    )
    for _ in range(2):  # at the second import everything is stored already
        for found in harness.import_status(request)["images"]:
            assert found["status"]["status"] == "Success"
            assert len(platforms(found["image"])) == 2
            assert names(found) in ([AMD, AMD], [])
    assert harness.image(digest) is not None
    assert harness.image(AMD) is not None
    assert image_content.requested_manifests(fake).count(AMD) == 1


@pytest.mark.case("registry 138")
@pytest.mark.case("import 9-5")
def test_missing_attestation_does_not_fail_import(harness, fake):
    image_content.push_index(fake)
    fake.delete("a/b", ATT)
    found = import_success(
        harness, f"{fake.host}/a/b:list", to="x", importMode=PRESERVE_ORIGINAL, do=True
    )
    assert platforms(found["image"])[2][:2] == ("unknown", "unknown")
    assert names(found) == [ARM, AMD]
    assert harness.image(ATT) is None


@pytest.mark.case("registry 130")
@pytest.mark.case("import 9-11")
@pytest.mark.parametrize("mode", ["Legacy", PRESERVE_ORIGINAL])
def test_index_nesting_depth_is_limited(harness, fake, mode):
    content, kind = fx.OCI_BARE, fx.OCI_TYPE
    for _ in range(6):
        entry = image_content.entry(content, image_content.AMD, media_type=kind)
        content, kind = image_content.index(entry), fx.INDEX_TYPE
        fake.push("a/b", tag="deep", manifest=content, media_type=kind)
    image_content.push_index(fake)
    status = import_one(harness, f"{fake.host}/a/b:deep", importMode=mode)["status"]
    assert status["reason"] == "InternalError"
    assert len(fake.requests) < 8
