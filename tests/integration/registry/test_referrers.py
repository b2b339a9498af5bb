"""Referrers of an image: from the API, the fallback tag and the tags of cosign."""

import json
import uuid

import pytest

from tests import fixtures as fx
from tests.fakeregistry.wire import Reply
from tests.integration.registry.client_helpers import request_context
from tests.manual_clock import ManualClock
from worker.registry.registry_types import SourceRepository

ANONYMOUS = request_context()
SUBJECT = fx.digest_of(fx.OCI)
TAG = SUBJECT.replace(":", "-")
API = f"/v2/a/b/referrers/{SUBJECT}"
EMPTY = "application/vnd.oci.empty.v1+json"
SIGNATURE = "application/vnd.dev.cosign.simplesigning.v1+json"
PAYLOAD = b'{"critical":{}}'


def descriptor(content, kind=fx.OCI_TYPE, **more):
    return {"mediaType": kind, "digest": fx.digest_of(content), "size": len(content), **more}


def artifact(kind, subject=SUBJECT, **more):
    """Return a manifest that refers to `subject`."""
    document = {
        "schemaVersion": 2,
        "mediaType": fx.OCI_TYPE,
        "artifactType": kind,
        "config": descriptor(b"{}", EMPTY),
        "layers": [],
        **more,
    }
    if subject:
        document["subject"] = {"mediaType": fx.OCI_TYPE, "digest": subject, "size": 5}
    return fx.compact(document)


def index(*entries):
    return fx.compact({"schemaVersion": 2, "mediaType": fx.INDEX_TYPE, "manifests": list(entries)})


def signed():
    """Return a manifest as cosign pushes it under `.sig`."""
    annotations = {"dev.cosignproject.cosign/signature": "MEUC"}
    return artifact(
        "", subject="", layers=[descriptor(PAYLOAD, SIGNATURE, annotations=annotations)]
    )


def artifact_types(found):
    return sorted(each.artifact_type for each in found.descriptors)


@pytest.fixture
def source(fake):
    fake.push("a/b", tag="t", manifest=fx.OCI, media_type=fx.OCI_TYPE)
    return SourceRepository(fake.host, "a/b")


def api_page(*entries, link=None):
    links = [] if link is None else [("Link", f'<{link}>; rel="next"')]
    return Reply(200, index(*entries), [("Content-Type", fx.INDEX_TYPE), *links])


@pytest.mark.case("registry 149")
async def test_registry_without_referrers_api_uses_fallback_tag(registry, client):
    repository = f"ref/{uuid.uuid4().hex}"
    registry.push(repository, manifest=index(), media_type=fx.INDEX_TYPE)
    digest = fx.digest_of(index())
    found = await client.fetch_referrers(
        SourceRepository(registry.host, repository), digest, ANONYMOUS
    )
    assert found.descriptors == ()
    assert found.complete
    requested = [line.split("/")[-1] for line in registry.requests(repository) if "GET" in line]
    base = digest.replace(":", "-")
    assert requested == [digest, base, f"{base}.sig", f"{base}.att", f"{base}.sbom"]


@pytest.mark.case("registry 150")
async def test_referrers_of_fallback_tag_are_found(registry, client):
    repository = f"ref/{uuid.uuid4().hex}"
    for blob in (b"{}", fx.CFG_A):
        registry.push_blob(repository, blob)
    image = index()
    registry.push(repository, manifest=image, media_type=fx.INDEX_TYPE)
    child = artifact("application/x.sbom", fx.digest_of(image))
    registry.push(repository, manifest=child, media_type=fx.OCI_TYPE)
    tag = fx.digest_of(image).replace(":", "-")
    registry.push(repository, tag=tag, manifest=index(descriptor(child)), media_type=fx.INDEX_TYPE)
    source = SourceRepository(registry.host, repository)
    found = await client.fetch_referrers(source, fx.digest_of(image), ANONYMOUS)
    assert artifact_types(found) == ["application/x.sbom"]
    assert found.descriptors[0].digest == fx.digest_of(child)


@pytest.mark.case("registry 151")
async def test_referrer_of_another_image_is_dropped(fake, client, source):
    right, wrong = artifact("right"), artifact("wrong", fx.L1)
    none = artifact("none", subject="")
    for each in (right, wrong, none):
        fake.push("a/b", manifest=each, media_type=fx.OCI_TYPE)
    listed = index(*(descriptor(each) for each in (wrong, right, none)))
    fake.push("a/b", tag=TAG, manifest=listed, media_type=fx.INDEX_TYPE)
    fake.content.has_referrers = False
    assert artifact_types(await client.fetch_referrers(source, SUBJECT, ANONYMOUS)) == ["right"]


@pytest.mark.case("registry 152")
async def test_fallback_tag_of_image_itself_lists_nothing(fake, client):
    child = fx.OCI_BARE
    image = index(descriptor(child))
    digest = fx.digest_of(image)
    fake.push("a/b", manifest=child, media_type=fx.OCI_TYPE)
    fake.push("a/b", tag=digest.replace(":", "-"), manifest=image, media_type=fx.INDEX_TYPE)
    fake.content.has_referrers = False
    found = await client.fetch_referrers(SourceRepository(fake.host, "a/b"), digest, ANONYMOUS)
    assert found.descriptors == ()
    assert found.complete


@pytest.mark.case("registry 153")
async def test_referrers_pages_are_joined_without_duplicates(fake, client, source):
    one, two = descriptor(b"1", artifactType="one"), descriptor(b"2", artifactType="two")
    fake.on(f"{API}?page=2", lambda _: api_page(one, two))
    fake.on(API, lambda r: None if "page" in r.target else api_page(one, link="?page=2"))
    assert artifact_types(await client.fetch_referrers(source, SUBJECT, ANONYMOUS)) == [
        "one",
        "two",
    ]


@pytest.mark.case("registry 154")
async def test_referrers_are_filtered_by_artifact_type(fake, client, source):
    one, two = descriptor(b"1", artifactType="one"), descriptor(b"2", artifactType="two")
    fake.on(API, lambda _: api_page(one, two))
    found = await client.fetch_referrers(source, SUBJECT, ANONYMOUS, artifact_type="two")
    assert artifact_types(found) == ["two"]


@pytest.mark.case("registry 155")
async def test_referrers_redirect_to_other_host_uses_fallback_tag(fake, open_fake, client, source):
    other = open_fake()
    right = artifact("right")
    fake.push("a/b", manifest=right, media_type=fx.OCI_TYPE)
    fake.push("a/b", tag=TAG, manifest=index(descriptor(right)), media_type=fx.INDEX_TYPE)
    fake.redirect(API, f"{other.url}/internal", 303)
    found = await client.fetch_referrers(source, SUBJECT, ANONYMOUS)
    assert artifact_types(found) == ["right"]
    assert found.complete
    assert other.log == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 406, 415])
async def test_refused_referrers_api_uses_fallback_tag(fake, client, source, status):
    fake.on(API, Reply(status, b"no"))
    found = await client.fetch_referrers(source, SUBJECT, ANONYMOUS)
    assert found.complete
    assert f"GET /v2/a/b/manifests/{TAG}" in fake.requests


async def test_referrers_api_with_wrong_type_is_treated_as_absent(fake, client, source):
    fake.on(API, Reply(200, b"{}", [("Content-Type", "application/json")]))
    assert (await client.fetch_referrers(source, SUBJECT, ANONYMOUS)).complete


async def test_missing_referrers_api_is_cached_for_six_hours(fake, open_client, source):
    clock = ManualClock()
    client = open_client(dependencies={"clock": clock})
    fake.content.has_referrers = False
    for _ in range(2):
        await client.fetch_referrers(source, SUBJECT, ANONYMOUS)
    assert fake.requests.count(f"GET {API}") == 1
    clock.time += 6 * 3600 + 1
    await client.fetch_referrers(source, SUBJECT, ANONYMOUS)
    assert fake.requests.count(f"GET {API}") == 2


@pytest.mark.case("registry 156")
async def test_cosign_signature_is_fetched_with_payload(registry, client):
    repository = f"ref/{uuid.uuid4().hex}"
    registry.push_blob(repository, b"{}")
    registry.push_blob(repository, PAYLOAD)
    registry.push(repository, tag=f"{TAG}.sig", manifest=signed(), media_type=fx.OCI_TYPE)
    found = await client.fetch_referrers(
        SourceRepository(registry.host, repository), SUBJECT, ANONYMOUS
    )
    (cosign_artifact,) = found.cosign_artifacts
    assert cosign_artifact.tag == f"{TAG}.sig"
    (payload,) = cosign_artifact.payloads
    assert payload.content == PAYLOAD
    assert payload.descriptor.annotations == {"dev.cosignproject.cosign/signature": "MEUC"}


async def test_oversized_cosign_payload_is_not_fetched(fake, client, source):
    huge = {**descriptor(PAYLOAD, SIGNATURE), "size": 5 * 1024 * 1024}
    manifest = artifact("", subject="", layers=[huge])
    fake.push("a/b", tag=f"{TAG}.sig", manifest=manifest, media_type=fx.OCI_TYPE)
    (cosign_artifact,) = (await client.fetch_referrers(source, SUBJECT, ANONYMOUS)).cosign_artifacts
    assert cosign_artifact.payloads == ()


@pytest.mark.case("registry 157")
async def test_403_on_derived_referrers_tag_is_treated_as_absent(fake, client, source):
    for suffix in ("", ".sig", ".att", ".sbom"):
        body = json.dumps({"errors": [{"status": 403, "message": "Forbidden"}]}).encode()
        fake.on(f"/v2/a/b/manifests/{TAG}{suffix}", lambda _, body=body: Reply(403, body))
    found = await client.fetch_referrers(source, SUBJECT, ANONYMOUS)
    assert found.complete
    assert found.cosign_artifacts == ()


@pytest.mark.case("registry 158")
async def test_referrers_after_server_error_are_incomplete(fake, client, source):
    fake.on(API, Reply(500, b""))
    found = await client.fetch_referrers(source, SUBJECT, ANONYMOUS)
    assert not found.complete
    assert "500 Internal Server Error" in found.reason


async def test_listed_artifact_tags_replace_referrers_probes(fake, client, source):
    fake.push_blob("a/b", PAYLOAD)
    fake.push("a/b", tag=f"{TAG}.sig", manifest=signed(), media_type=fx.OCI_TYPE)
    found = await client.fetch_referrers(
        source, SUBJECT, ANONYMOUS, artifact_tags=(f"{TAG}.sig", "sha256-other")
    )
    assert [each.tag for each in found.cosign_artifacts] == [f"{TAG}.sig"]
    probed = [line.rpartition("/")[2] for line in fake.requests if "/manifests/" in line]
    assert probed == [f"{TAG}.sig"]
