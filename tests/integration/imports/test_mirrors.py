"""Mirrors, and registries that are marked insecure or blocked (`import.md` 2.5, B22)."""

import pytest
from cryptography.fernet import Fernet

from tests import fixtures as fx
from tests.fakeregistry.certificates import self_signed
from tests.integration.imports import wares
from tests.integration.imports.conftest import img, isi

D1 = fx.digest_of(fx.S2)
CFG = fx.digest_of(fx.CFG_A)
SOURCE = "src.invalid/org"


def mirror(*mirrors, kind="digest", source=SOURCE, **more):
    return {"kind": kind, "source": source, "mirrors": list(mirrors), **more}


def result(house, name, **how):
    (found,) = house.answer(isi(img(name, **how), do=False))["images"]
    return found


@pytest.mark.case("import 2-33")
def test_mirrors_are_tried_in_order_and_the_source_keeps_its_name(open_house, reg):
    house = open_house(mirrors=[mirror(f"{reg.host}/none", f"{reg.host}/a")])
    found = result(house, f"{SOURCE}/b@{D1}")
    assert found["status"]["status"] == "Success"
    assert found["image"]["dockerImageReference"] == f"{SOURCE}/b@{D1}"
    assert reg.requests == [
        f"GET /v2/none/b/manifests/{D1}",
        f"GET /v2/a/b/manifests/{D1}",
        f"GET /v2/a/b/blobs/{CFG}",
    ]


@pytest.mark.case("import 2-34")
def test_mirrors_for_digests_do_not_serve_tags(open_house, reg):
    house = open_house(mirrors=[mirror(f"{reg.host}/a")])
    status = result(house, f"{SOURCE}/b:t")["status"]
    assert status["reason"] == "InternalError"
    assert status["message"].startswith(
        f'Internal error occurred: {SOURCE}/b:t: Get "https://src.invalid/v2/'
    )
    assert reg.requests == []


@pytest.mark.case("import 2-35")
def test_where_no_source_has_it_all_of_them_are_told(open_house, reg):
    house = open_house(mirrors=[mirror(f"{reg.host}/none", f"{reg.host}/a")])
    status = result(house, f"{SOURCE}/zzz@{D1}")["status"]
    assert status["reason"] == "InternalError"
    missing = 'dockerimage.image.openshift.io "{}/{}/zzz@{}" not found'
    first, second = (missing.format(reg.host, path, D1) for path in ("none", "a"))
    last = f'{SOURCE}/zzz@{D1}: Get "https://src.invalid/v2/'
    assert status["message"].startswith(f"Internal error occurred: [{first}, {second}, {last}")
    assert status["message"].endswith("]")


@pytest.mark.case("import 2-36")
def test_what_a_mirror_for_tags_served_is_stored_under_the_source(open_house, reg):
    house = open_house(mirrors=[mirror(f"{reg.host}/a", kind="tag")])
    (found,) = house.answer(isi(img(f"{SOURCE}/b:t")))["images"]
    assert found["status"]["status"] == "Success"
    stream = house.stream()
    assert stream.spec.tags[0].from_.name == f"{SOURCE}/b:t"
    assert stream.status.tags[0].items[0].docker_image_reference == f"{SOURCE}/b@{D1}"


@pytest.mark.case("import 2-37")
def test_a_source_that_is_never_to_be_contacted_is_not(open_house, reg, open_fake):
    source = open_fake()
    source.push("org/b", tag="missing", manifest=fx.S2, config=fx.CFG_A)
    scope = f"{source.host}/org"
    house = open_house(
        mirrors=[mirror(f"{reg.host}/a", kind="tag", source=scope, never_contact_source=True)]
    )
    status = result(house, f"{scope}/b:missing")["status"]
    assert (status["reason"], status["code"]) == ("NotFound", 404)
    assert source.requests == []


@pytest.mark.case("import 2-38")
def test_tags_are_listed_from_the_mirror(open_house, reg):
    house = open_house(mirrors=[mirror(f"{reg.host}/a", kind="tag")])
    found = house.answer(isi(repository=f"{SOURCE}/b", do=False))["repository"]
    assert found["status"]["status"] == "Success"
    assert [each["tag"] for each in found["images"]] == ["t", "u"]
    assert found["images"][0]["image"]["dockerImageReference"] == f"{SOURCE}/b@{D1}"


@pytest.mark.case("import 2-39")
def test_a_blocked_registry_with_a_mirror_is_the_mirror(open_house, reg):
    scope = mirror(reg.host, source="quay.io")
    house = open_house(mirrors=[scope], blocked_registries=["quay.io"])
    reg.push("openshift/test", manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)
    found = result(house, f"quay.io/openshift/test@{D1}")
    assert found["status"]["status"] == "Success"
    assert found["image"]["dockerImageReference"] == f"quay.io/openshift/test@{D1}"
    assert wares.manifests(reg, "openshift/test") == [D1]


def test_children_of_an_index_come_from_the_mirror_for_digests(open_house, fake):
    wares.push_index(fake, "tags/b", content=fx.INDEX_BARE, media_type=fx.INDEX_TYPE)
    wares.push_index(fake, "digests/b", content=fx.INDEX_BARE, media_type=fx.INDEX_TYPE)
    tags, digests = (mirror(f"{fake.host}/{kind}s", kind=kind) for kind in ("tag", "digest"))
    house = open_house(mirrors=[tags, digests])
    found = result(house, f"{SOURCE}/b:list", importMode="PreserveOriginal")
    assert found["status"]["status"] == "Success", found["status"]
    assert len(found["manifests"]) == 2
    assert wares.manifests(fake, "tags/b") == ["list"]
    children = {fx.digest_of(fx.OCI_ARM), fx.digest_of(fx.OCI_BARE)}
    assert set(wares.manifests(fake, "digests/b")) == children


@pytest.mark.case("import 2-29")
@pytest.mark.parametrize("what", ["images", "repository"])
def test_a_blocked_registry_is_not_asked(open_house, reg, what):
    house = open_house(blocked_registries=[reg.host])
    asked = (img(f"{reg.host}/a/b:t"),) if what == "images" else ()
    repository = None if asked else f"{reg.host}/a/b"
    found = house.answer(isi(*asked, repository=repository, do=False))[what]
    found = found[0] if asked else found
    assert found["status"] == {
        "metadata": {},
        "status": "Failure",
        "message": f"forbidden: registry {reg.host} blocked",
        "reason": "Forbidden",
        "details": {},
        "code": 403,
    }
    assert not found.get("tag")
    assert reg.requests == []


@pytest.mark.case("import 2-31")
def test_a_blocked_tag_says_so_in_the_stream(open_house, reg):
    house = open_house(blocked_registries=[reg.host])
    house.run(isi(img(f"{reg.host}/a/b:t")))
    stream = house.stream()
    assert stream.metadata.generation == 1
    assert [tag.name for tag in stream.spec.tags] == ["t"]
    (condition,) = stream.status.tags[0].conditions
    assert (condition.reason, condition.generation) == ("Forbidden", 1)
    assert condition.message == f"forbidden: registry {reg.host} blocked"


@pytest.mark.case("import 2-32")
@pytest.mark.parametrize("path", ["", "/a"])
def test_an_insecure_scope_needs_no_certificate_that_is_trusted(open_house, open_fake, path):
    own = open_fake(tls=self_signed())
    own.push("a/b", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)
    server = {
        "broker_url": "memory://",
        "key": Fernet.generate_key().decode(),
        "egress_allow": [{"host": "127.0.0.1", "port": 0}],
    }
    house = open_house(insecure_registries=[f"{own.host}{path}"], **server)
    assert result(house, f"{own.host}/a/b:t")["status"]["status"] == "Success"
    other = result(house, f"{own.host}/other/b:t")["status"]
    assert ("x509" in other["message"]) == bool(path)


@pytest.mark.parametrize("heads", [True, False])
def test_what_a_mirror_told_the_schedule_is_fetched_from_that_mirror(open_house, reg, heads):
    """Those before it failed a moment ago, and are not asked once more."""
    house = open_house(mirrors=[mirror(f"{reg.host}/none", f"{reg.host}/a", kind="tag")])
    house.run(isi(img(f"{SOURCE}/b:t", to="t", scheduled=True)))
    reg.content.head_digest = heads
    house.look()
    digest = fx.digest_of(fx.OCI)
    reg.tag("a/b", "t", digest)
    reg.forget_requests()
    house.look()
    [history] = house.stream().status.tags
    assert history.items[0].docker_image_reference == f"{SOURCE}/b@{digest}"
    wanted = f"/v2/a/b/manifests/{digest}"
    if heads:
        seen = ["HEAD /v2/none/b/manifests/t", "GET /v2/none/b/manifests/t"]
        seen += ["HEAD /v2/a/b/manifests/t", f"GET {wanted}"]
    else:
        seen = ["GET /v2/none/b/manifests/t", "GET /v2/a/b/manifests/t"]
    assert [line for line in reg.requests if "manifests" in line] == seen
