"""Images for several platforms: one child in Legacy mode, all of them in PreserveOriginal."""

import pytest

from models.resources.stream import ImageStream
from tests import fixtures as fx
from tests.integration.imports import wares
from tests.integration.imports.conftest import img, isi

LIST, INDEX = fx.digest_of(fx.LIST), fx.digest_of(fx.INDEX)
ARM, AMD, ATT = (fx.digest_of(each) for each in (fx.OCI_ARM, fx.OCI_BARE, fx.OCI_ATT))
CFG_ARM, CFG_A = fx.digest_of(fx.CFG_ARM), fx.digest_of(fx.CFG_A)
ALL = "PreserveOriginal"


def one(house, name, *, do=False, **how):
    """The result of the only element."""
    (found,) = house.answer(isi(img(name, **how), do=do))["images"]
    return found


def succeed(house, name, **how):
    found = one(house, name, **how)
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
def test_legacy_takes_the_child_for_the_servers_platform_and_asks_for_nothing_else(
    house, fake, mode, by
):
    wares.push_index(fake, content=fx.INDEX, media_type=fx.INDEX_TYPE)
    name = f"{fake.host}/a/b{by if '@' in by else ':' + by}"
    found = succeed(house, name, importMode=mode)
    assert wares.manifests(fake) == [by.removeprefix("@"), AMD]
    assert wares.blobs(fake) == [CFG_A]
    assert found["image"]["metadata"]["name"] == AMD
    assert found["image"]["dockerImageReference"] == f"{fake.host}/a/b@{AMD}"
    assert "manifests" not in found


@pytest.mark.case("import 3-14")
def test_a_list_by_digest_is_answered_by_the_digest_of_its_child(house, fake):
    wares.push_index(fake)
    found = succeed(house, f"{fake.host}/a/b@{LIST}")
    assert found["image"]["dockerImageReference"] == f"{fake.host}/a/b@{AMD}"
    assert not found.get("tag")


@pytest.mark.case("import 3-10", "import 3-15", "import 3-50")
@pytest.mark.parametrize("by", [":list", f"@{LIST}"])
def test_preserve_original_keeps_the_list_and_brings_every_child(house, fake, by):
    wares.push_index(fake)
    found = succeed(house, f"{fake.host}/a/b{by}", importMode=ALL)
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
    assert sorted(wares.manifests(fake)) == sorted([by[1:], ARM, AMD, ATT])
    assert sorted(wares.blobs(fake)) == sorted([CFG_ARM, CFG_A])


@pytest.mark.case("import 3-10")
def test_a_repository_keeps_its_lists_whole_if_told_to(house, fake):
    wares.push_index(fake)
    repository = {
        "from": {"kind": "DockerImage", "name": f"{fake.host}/a/b"},
        "importPolicy": {"importMode": ALL},
    }
    status = house.answer(isi(repository=repository, do=False))["repository"]
    (found,) = status["images"]
    assert names(found) == [ARM, AMD, ATT]


@pytest.mark.case("import 3-11")
def test_a_list_in_both_modes_is_asked_for_once(house, fake):
    wares.push_index(fake, content=fx.INDEX_BARE, media_type=fx.INDEX_TYPE)
    name = f"{fake.host}/a/b:list"
    request = isi(img(name, importMode=ALL), img(name, importMode="Legacy"), do=False)
    whole, legacy = house.answer(request)["images"]
    assert names(whole) == [ARM, AMD]
    assert legacy["image"]["metadata"]["name"] == AMD
    assert sorted(wares.manifests(fake)) == sorted(["list", ARM, AMD])
    assert sorted(wares.blobs(fake)) == sorted([CFG_ARM, CFG_A])


@pytest.mark.case("import 3-12")
@pytest.mark.parametrize("gone", [ARM, CFG_ARM], ids=["manifest", "config"])
def test_a_list_with_a_child_that_is_gone_fails_whole(house, fake, gone):
    wares.push_index(fake)
    fake.delete("a/b", gone)
    found = one(house, f"{fake.host}/a/b@{LIST}", importMode=ALL)
    assert found["status"]["status"] == "Failure"
    assert "image" not in found


@pytest.mark.case("import 3-16")
def test_an_index_without_a_media_type_is_an_index(house, fake):
    digest = wares.push_index(fake, content=fx.INDEX_BARE, media_type=fx.INDEX_TYPE)
    image = succeed(house, f"{fake.host}/a/b:list", importMode=ALL)["image"]
    assert image["metadata"]["name"] == digest == fx.digest_of(fx.INDEX_BARE)
    assert digest.startswith("sha256:cfe6476d")
    assert image["dockerImageManifestMediaType"] == fx.INDEX_TYPE


def prefer(house, **wishes):
    """A stream whose tags wish for a platform: tag → (word, value)."""
    tags = [
        {
            "name": tag,
            "annotations": {f"importer.image.openshift.io/prefer-{word}": value},
            "from": {"kind": "DockerImage", "name": "quay.io/any/thing"},
        }
        for tag, (word, value) in wishes.items()
    ]
    meta = {"name": "is", "namespace": "ns"}
    house.save_stream(None, ImageStream.model_validate({"metadata": meta, "spec": {"tags": tags}}))


@pytest.mark.case("import 3-17")
def test_the_tag_that_is_there_says_which_platform_it_prefers(house, fake):
    wares.push_index(fake)
    prefer(house, x=("arch", "arm64"), y=("arch", "s390x"), z=("os", "windows"))
    name = f"{fake.host}/a/b:list"
    found = house.answer(isi(*(img(name, to=tag) for tag in "xyz")))["images"]
    assert [each["image"]["metadata"]["name"] for each in found] == [ARM, AMD, AMD]
    assert wares.manifests(fake).count("list") == 1


@pytest.mark.case("import 3-18")
def test_an_import_by_digest_does_not_ask_what_the_tag_prefers(house, fake):
    wares.push_index(fake)
    prefer(house, x=("arch", "arm64"))
    found = succeed(house, f"{fake.host}/a/b@{LIST}", to="x", do=True)
    assert found["image"]["metadata"]["name"] == AMD


@pytest.mark.case("import 3-19", "import 3-20")
@pytest.mark.parametrize("with_attestation", [True, False])
def test_the_last_resort_is_the_first_child_that_is_an_image(house, fake, with_attestation):
    entries = [wares.entry(fx.OCI_ARM, wares.ARM)]
    if with_attestation:
        entries.insert(0, wares.entry(fx.OCI_ATT, wares.UNKNOWN))
    wares.push_index(fake, content=wares.index(*entries), media_type=fx.INDEX_TYPE)
    assert succeed(house, f"{fake.host}/a/b:list")["image"]["metadata"]["name"] == ARM


@pytest.mark.case("registry 131")
@pytest.mark.case("import 3-21")
@pytest.mark.parametrize("mode", ["Legacy", ALL])
def test_what_a_nested_index_leads_to_goes_by_its_own_digest(house, fake, mode):
    inner = wares.index(wares.entry(fx.OCI_BARE, wares.AMD))
    outer = wares.index(wares.entry(inner, wares.AMD, media_type=fx.INDEX_TYPE))
    fake.push("a/b", manifest=inner, media_type=fx.INDEX_TYPE)
    digest = wares.push_index(fake, content=outer, media_type=fx.INDEX_TYPE)
    found = succeed(house, f"{fake.host}/a/b:list", importMode=mode)
    leaf = found["image"]
    if mode == ALL:
        assert leaf["metadata"]["name"] == digest
        (leaf,) = found["manifests"]
    assert leaf["metadata"]["name"] == AMD
    assert leaf["dockerImageReference"] == f"{fake.host}/a/b@{AMD}"


@pytest.mark.case("registry 137")
@pytest.mark.case("import 3-22")
def test_an_empty_index_is_an_image_only_as_a_whole(house, fake):
    fake.push("a/b", tag="idxempty", manifest=wares.index(), media_type=fx.INDEX_TYPE)
    name = f"{fake.host}/a/b:idxempty"
    status = one(house, name)["status"]
    assert status["message"] == f"Internal error occurred: {name}: no manifests in manifest list"
    assert status["reason"] == "InternalError"
    assert "dockerImageManifests" not in succeed(house, name, importMode=ALL)["image"]


@pytest.mark.case("registry 134")
@pytest.mark.case("import 3-23")
def test_a_child_that_is_gone_is_told_of_the_index_or_of_the_child(house, fake):
    content = wares.index(wares.entry(fx.OCI_BARE, wares.AMD))
    fake.push("a/b", tag="idxmissing", manifest=content, media_type=fx.INDEX_TYPE)
    name = f"{fake.host}/a/b:idxmissing"
    for mode, told in (("Legacy", name), (ALL, f"{fake.host}/a/b@{AMD}")):
        status = one(house, name, importMode=mode)["status"]
        assert (status["reason"], status["code"]) == ("NotFound", 404)
        assert status["message"] == f'dockerimage.image.openshift.io "{told}" not found'


@pytest.mark.case("registry 132")
@pytest.mark.case("import 3-24")
@pytest.mark.parametrize("do", [True, False])
def test_a_platform_that_the_index_leaves_out_is_taken_from_the_childs_config(house, fake, do):
    content = wares.index(wares.entry(fx.OCI_ARM), wares.entry(fx.OCI_BARE, wares.AMD))
    wares.push_index(fake, content=content, media_type=fx.INDEX_TYPE)
    found = succeed(house, f"{fake.host}/a/b:list", to="x", importMode=ALL, do=do)
    shown = [each[:2] for each in platforms(found["image"])]
    assert shown == [("arm64", "linux"), ("amd64", "linux")]


@pytest.mark.case("registry 136")
@pytest.mark.case("import 3-25", "import 3-45", "import 3-46")
def test_a_child_that_is_listed_twice_is_stored_once(house, fake):
    double = wares.entry(fx.OCI_BARE, wares.AMD)
    digest = wares.push_index(fake, content=wares.index(double, double), media_type=fx.INDEX_TYPE)
    name = f"{fake.host}/a/b:list"
    request = isi(img(name, to="x", importMode=ALL), img(name, to="y", importMode=ALL))
    for _ in range(2):  # the second time all of it is there already
        for found in house.answer(request)["images"]:
            assert found["status"]["status"] == "Success"
            assert len(platforms(found["image"])) == 2
            assert names(found) in ([AMD, AMD], [])
    assert house.image(digest) is not None
    assert house.image(AMD) is not None
    assert wares.manifests(fake).count(AMD) == 1


@pytest.mark.case("registry 138")
@pytest.mark.case("import 9-5")
def test_provenance_that_is_gone_fails_nothing(house, fake):
    wares.push_index(fake)
    fake.delete("a/b", ATT)
    found = succeed(house, f"{fake.host}/a/b:list", to="x", importMode=ALL, do=True)
    assert platforms(found["image"])[2][:2] == ("unknown", "unknown")
    assert names(found) == [ARM, AMD]
    assert house.image(ATT) is None


@pytest.mark.case("registry 130")
@pytest.mark.case("import 9-11")
@pytest.mark.parametrize("mode", ["Legacy", ALL])
def test_indexes_within_indexes_come_to_an_end(house, fake, mode):
    content, kind = fx.OCI_BARE, fx.OCI_TYPE
    for _ in range(6):
        entry = wares.entry(content, wares.AMD, media_type=kind)
        content, kind = wares.index(entry), fx.INDEX_TYPE
        fake.push("a/b", tag="deep", manifest=content, media_type=kind)
    wares.push_index(fake)
    status = one(house, f"{fake.host}/a/b:deep", importMode=mode)["status"]
    assert status["reason"] == "InternalError"
    assert len(fake.requests) < 8
