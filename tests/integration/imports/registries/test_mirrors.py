"""Mirrors, and insecure or blocked registries (imports-2.18, imports-2.20, imports-4.7)."""

import pytest
from cryptography.fernet import Fernet

from tests import fixtures as fx
from tests.fakeregistry.certificates import self_signed
from tests.integration.imports import image_content
from tests.integration.imports.import_requests import img, isi

S2_DIGEST = fx.digest_of(fx.S2)
CFG = fx.digest_of(fx.CFG_A)
SOURCE = "src.invalid/org"


def mirror(*mirrors, kind="digest", source=SOURCE, **more):
    return {"kind": kind, "source": source, "mirrors": list(mirrors), **more}


def result(harness, name, **options):
    (found,) = harness.import_status(isi(img(name, **options), do=False))["images"]
    return found


@pytest.mark.case("import 2-33")
def test_mirrors_are_tried_in_order_under_source_name(open_harness, reg):
    harness = open_harness(mirrors=[mirror(f"{reg.host}/none", f"{reg.host}/a")])
    found = result(harness, f"{SOURCE}/b@{S2_DIGEST}")
    assert found["status"]["status"] == "Success"
    assert found["image"]["dockerImageReference"] == f"{SOURCE}/b@{S2_DIGEST}"
    assert reg.requests == [
        f"GET /v2/none/b/manifests/{S2_DIGEST}",
        f"GET /v2/a/b/manifests/{S2_DIGEST}",
        f"GET /v2/a/b/blobs/{CFG}",
    ]


@pytest.mark.case("import 2-34")
def test_digest_mirrors_do_not_serve_tags(open_harness, reg):
    harness = open_harness(mirrors=[mirror(f"{reg.host}/a")])
    status = result(harness, f"{SOURCE}/b:t")["status"]
    assert status["reason"] == "InternalError"
    assert status["message"].startswith(
        f'Internal error occurred: {SOURCE}/b:t: Get "https://src.invalid/v2/'
    )
    assert reg.requests == []


@pytest.mark.case("import 2-35")
def test_failure_of_all_sources_reports_each_error(open_harness, reg):
    harness = open_harness(mirrors=[mirror(f"{reg.host}/none", f"{reg.host}/a")])
    status = result(harness, f"{SOURCE}/zzz@{S2_DIGEST}")["status"]
    assert status["reason"] == "InternalError"
    missing = 'dockerimage.image.openshift.io "{}/{}/zzz@{}" not found'
    first, second = (missing.format(reg.host, path, S2_DIGEST) for path in ("none", "a"))
    last = f'{SOURCE}/zzz@{S2_DIGEST}: Get "https://src.invalid/v2/'
    assert status["message"].startswith(f"Internal error occurred: [{first}, {second}, {last}")
    assert status["message"].endswith("]")


@pytest.mark.case("import 2-36")
def test_image_from_tag_mirror_is_stored_under_source(open_harness, reg):
    harness = open_harness(mirrors=[mirror(f"{reg.host}/a", kind="tag")])
    (found,) = harness.import_status(isi(img(f"{SOURCE}/b:t")))["images"]
    assert found["status"]["status"] == "Success"
    stream = harness.stream()
    assert stream.spec.tags[0].from_.name == f"{SOURCE}/b:t"
    assert stream.status.tags[0].items[0].docker_image_reference == f"{SOURCE}/b@{S2_DIGEST}"


@pytest.mark.case("import 2-37")
def test_never_contact_source_policy_skips_source(open_harness, reg, open_fake):
    source = open_fake()
    source.push("org/b", tag="missing", manifest=fx.S2, config=fx.CFG_A)
    scope = f"{source.host}/org"
    harness = open_harness(
        mirrors=[
            mirror(
                f"{reg.host}/a", kind="tag", source=scope, mirror_source_policy="NeverContactSource"
            )
        ]
    )
    status = result(harness, f"{scope}/b:missing")["status"]
    assert (status["reason"], status["code"]) == ("NotFound", 404)
    assert source.requests == []


@pytest.mark.case("import 2-38")
def test_tags_are_listed_from_tag_mirror(open_harness, reg):
    harness = open_harness(mirrors=[mirror(f"{reg.host}/a", kind="tag")])
    found = harness.import_status(isi(repository=f"{SOURCE}/b", do=False))["repository"]
    assert found["status"]["status"] == "Success"
    assert [each["tag"] for each in found["images"]] == ["t", "u"]
    assert found["images"][0]["image"]["dockerImageReference"] == f"{SOURCE}/b@{S2_DIGEST}"


@pytest.mark.case("import 2-39")
def test_blocked_registry_is_served_by_its_mirror(open_harness, reg):
    scope = mirror(reg.host, source="quay.io")
    harness = open_harness(mirrors=[scope], blocked_registries=["quay.io"])
    reg.push("openshift/test", manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)
    found = result(harness, f"quay.io/openshift/test@{S2_DIGEST}")
    assert found["status"]["status"] == "Success"
    assert found["image"]["dockerImageReference"] == f"quay.io/openshift/test@{S2_DIGEST}"
    assert image_content.requested_manifests(reg, "openshift/test") == [S2_DIGEST]


def test_index_children_are_fetched_from_digest_mirror(open_harness, fake):
    image_content.push_index(fake, "tags/b", content=fx.INDEX_BARE, media_type=fx.INDEX_TYPE)
    image_content.push_index(fake, "digests/b", content=fx.INDEX_BARE, media_type=fx.INDEX_TYPE)
    tags, digests = (mirror(f"{fake.host}/{kind}s", kind=kind) for kind in ("tag", "digest"))
    harness = open_harness(mirrors=[tags, digests])
    found = result(harness, f"{SOURCE}/b:list", importMode="PreserveOriginal")
    assert found["status"]["status"] == "Success", found["status"]
    assert len(found["manifests"]) == 2
    assert image_content.requested_manifests(fake, "tags/b") == ["list"]
    children = {fx.digest_of(fx.OCI_ARM), fx.digest_of(fx.OCI_BARE)}
    assert set(image_content.requested_manifests(fake, "digests/b")) == children


@pytest.mark.case("import 2-29")
@pytest.mark.parametrize("element", ["images", "repository"])
def test_blocked_registry_receives_no_requests(open_harness, reg, element):
    harness = open_harness(blocked_registries=[reg.host])
    images = (img(f"{reg.host}/a/b:t"),) if element == "images" else ()
    repository = None if images else f"{reg.host}/a/b"
    found = harness.import_status(isi(*images, repository=repository, do=False))[element]
    found = found[0] if images else found
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
def test_blocked_registry_becomes_stream_condition(open_harness, reg):
    harness = open_harness(blocked_registries=[reg.host])
    harness.run(isi(img(f"{reg.host}/a/b:t")))
    stream = harness.stream()
    assert stream.metadata.generation == 1
    assert [tag.name for tag in stream.spec.tags] == ["t"]
    (condition,) = stream.status.tags[0].conditions
    assert (condition.reason, condition.generation) == ("Forbidden", 1)
    assert condition.message == f"forbidden: registry {reg.host} blocked"


@pytest.mark.case("import 2-32")
@pytest.mark.parametrize("path", ["", "/a"])
def test_insecure_scope_accepts_untrusted_certificate(open_harness, open_fake, path):
    own = open_fake(tls=self_signed())
    own.push("a/b", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)
    server = {
        "broker_url": "memory://",
        "key": Fernet.generate_key().decode(),
        "egress_allow": [{"host": "127.0.0.1", "port": 0}],
    }
    harness = open_harness(insecure_registries=[f"{own.host}{path}"], **server)
    assert result(harness, f"{own.host}/a/b:t")["status"]["status"] == "Success"
    other = result(harness, f"{own.host}/other/b:t")["status"]
    assert ("x509" in other["message"]) == bool(path)


@pytest.mark.parametrize("has_head_digest", [True, False])
def test_scheduled_import_fetches_from_mirror_that_answered(open_harness, reg, has_head_digest):
    """The mirrors before it have just failed and are not requested again."""
    harness = open_harness(mirrors=[mirror(f"{reg.host}/none", f"{reg.host}/a", kind="tag")])
    harness.run(isi(img(f"{SOURCE}/b:t", to="t", scheduled=True)))
    reg.content.head_digest = has_head_digest
    harness.check_now()
    digest = fx.digest_of(fx.OCI)
    reg.tag("a/b", "t", digest)
    reg.forget_requests()
    harness.check_now()
    [history] = harness.stream().status.tags
    assert history.items[0].docker_image_reference == f"{SOURCE}/b@{digest}"
    manifest_path = f"/v2/a/b/manifests/{digest}"
    if has_head_digest:
        seen = ["HEAD /v2/none/b/manifests/t", "GET /v2/none/b/manifests/t"]
        seen += ["HEAD /v2/a/b/manifests/t", f"GET {manifest_path}"]
    else:
        seen = ["GET /v2/none/b/manifests/t", "GET /v2/a/b/manifests/t"]
    assert [line for line in reg.requests if "manifests" in line] == seen
