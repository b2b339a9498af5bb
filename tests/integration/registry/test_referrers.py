"""Signatures and whatever else refers to an image, wherever a registry keeps it."""

import json
import uuid

import pytest

from tests import fixtures as fx
from tests.fakeregistry.wire import Reply
from tests.integration.registry.rights import access
from tests.manual_clock import HandClock
from worker.registry.registry_types import Place

ANYBODY = access()
SUBJECT = fx.digest_of(fx.OCI)
TAG = SUBJECT.replace(":", "-")
API = f"/v2/a/b/referrers/{SUBJECT}"
EMPTY = "application/vnd.oci.empty.v1+json"
SIGNATURE = "application/vnd.dev.cosign.simplesigning.v1+json"
PAYLOAD = b'{"critical":{}}'


def descriptor(content, kind=fx.OCI_TYPE, **more):
    return {"mediaType": kind, "digest": fx.digest_of(content), "size": len(content), **more}


def artifact(kind, subject=SUBJECT, **more):
    """A manifest that refers to `subject`."""
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
    """A manifest as cosign pushes it under `.sig`."""
    noted = {"dev.cosignproject.cosign/signature": "MEUC"}
    return artifact("", subject="", layers=[descriptor(PAYLOAD, SIGNATURE, annotations=noted)])


def kinds(found):
    return sorted(each.artifact_type for each in found.descriptors)


@pytest.fixture
def place(fake):
    fake.push("a/b", tag="t", manifest=fx.OCI, media_type=fx.OCI_TYPE)
    return Place(fake.host, "a/b")


def api_page(*entries, link=None):
    links = [] if link is None else [("Link", f'<{link}>; rel="next"')]
    return Reply(200, index(*entries), [("Content-Type", fx.INDEX_TYPE), *links])


@pytest.mark.case("registry 149")
async def test_a_real_registry_without_the_api_is_asked_for_the_fallback_tag(registry, client):
    repository = f"ref/{uuid.uuid4().hex}"
    registry.push(repository, manifest=index(), media_type=fx.INDEX_TYPE)
    digest = fx.digest_of(index())
    found = await client.fetch_referrers(Place(registry.host, repository), digest, ANYBODY)
    assert found.descriptors == ()
    assert found.complete
    asked = [line.split("/")[-1] for line in registry.requests(repository) if "GET" in line]
    base = digest.replace(":", "-")
    assert asked == [digest, base, f"{base}.sig", f"{base}.att", f"{base}.sbom"]


@pytest.mark.case("registry 150")
async def test_what_the_fallback_tag_lists_is_found(registry, client):
    repository = f"ref/{uuid.uuid4().hex}"
    for blob in (b"{}", fx.CFG_A):
        registry.push_blob(repository, blob)
    image = index()
    registry.push(repository, manifest=image, media_type=fx.INDEX_TYPE)
    child = artifact("application/x.sbom", fx.digest_of(image))
    registry.push(repository, manifest=child, media_type=fx.OCI_TYPE)
    tag = fx.digest_of(image).replace(":", "-")
    registry.push(repository, tag=tag, manifest=index(descriptor(child)), media_type=fx.INDEX_TYPE)
    place = Place(registry.host, repository)
    found = await client.fetch_referrers(place, fx.digest_of(image), ANYBODY)
    assert kinds(found) == ["application/x.sbom"]
    assert found.descriptors[0].digest == fx.digest_of(child)


@pytest.mark.case("registry 151")
async def test_a_child_that_refers_to_another_image_is_dropped(fake, client, place):
    right, wrong = artifact("right"), artifact("wrong", fx.L1)
    none = artifact("none", subject="")
    for each in (right, wrong, none):
        fake.push("a/b", manifest=each, media_type=fx.OCI_TYPE)
    listed = index(*(descriptor(each) for each in (wrong, right, none)))
    fake.push("a/b", tag=TAG, manifest=listed, media_type=fx.INDEX_TYPE)
    fake.content.has_referrers = False
    assert kinds(await client.fetch_referrers(place, SUBJECT, ANYBODY)) == ["right"]


@pytest.mark.case("registry 152")
async def test_a_fallback_tag_that_means_the_image_itself_lists_nothing(fake, client):
    child = fx.OCI_BARE
    image = index(descriptor(child))
    digest = fx.digest_of(image)
    fake.push("a/b", manifest=child, media_type=fx.OCI_TYPE)
    fake.push("a/b", tag=digest.replace(":", "-"), manifest=image, media_type=fx.INDEX_TYPE)
    fake.content.has_referrers = False
    found = await client.fetch_referrers(Place(fake.host, "a/b"), digest, ANYBODY)
    assert found.descriptors == ()
    assert found.complete


@pytest.mark.case("registry 153")
async def test_pages_of_the_api_are_joined_and_doubles_left_out(fake, client, place):
    one, two = descriptor(b"1", artifactType="one"), descriptor(b"2", artifactType="two")
    fake.on(f"{API}?page=2", lambda _: api_page(one, two))
    fake.on(API, lambda r: None if "page" in r.target else api_page(one, link="?page=2"))
    assert kinds(await client.fetch_referrers(place, SUBJECT, ANYBODY)) == ["one", "two"]


@pytest.mark.case("registry 154")
async def test_one_kind_is_picked_out_here_for_servers_do_not_always(fake, client, place):
    one, two = descriptor(b"1", artifactType="one"), descriptor(b"2", artifactType="two")
    fake.on(API, lambda _: api_page(one, two))
    found = await client.fetch_referrers(place, SUBJECT, ANYBODY, artifact_type="two")
    assert kinds(found) == ["two"]


@pytest.mark.case("registry 155")
async def test_a_redirect_off_the_registry_means_that_there_is_no_api(
    fake, open_fake, client, place
):
    other = open_fake()
    right = artifact("right")
    fake.push("a/b", manifest=right, media_type=fx.OCI_TYPE)
    fake.push("a/b", tag=TAG, manifest=index(descriptor(right)), media_type=fx.INDEX_TYPE)
    fake.redirect(API, f"{other.url}/internal", 303)
    found = await client.fetch_referrers(place, SUBJECT, ANYBODY)
    assert kinds(found) == ["right"]
    assert found.complete
    assert other.log == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 406, 415])
async def test_a_refusal_of_the_api_means_that_there_is_none(fake, client, place, status):
    fake.on(API, Reply(status, b"no"))
    found = await client.fetch_referrers(place, SUBJECT, ANYBODY)
    assert found.complete
    assert f"GET /v2/a/b/manifests/{TAG}" in fake.requests


async def test_an_answer_of_another_kind_means_that_there_is_no_api(fake, client, place):
    fake.on(API, Reply(200, b"{}", [("Content-Type", "application/json")]))
    assert (await client.fetch_referrers(place, SUBJECT, ANYBODY)).complete


async def test_that_there_is_no_api_is_remembered_for_six_hours(fake, open_client, place):
    clock = HandClock()
    client = open_client(world={"clock": clock})
    fake.content.has_referrers = False
    for _ in range(2):
        await client.fetch_referrers(place, SUBJECT, ANYBODY)
    assert fake.requests.count(f"GET {API}") == 1
    clock.time += 6 * 3600 + 1
    await client.fetch_referrers(place, SUBJECT, ANYBODY)
    assert fake.requests.count(f"GET {API}") == 2


@pytest.mark.case("registry 156")
async def test_a_cosign_signature_is_fetched_with_its_payload(registry, client):
    repository = f"ref/{uuid.uuid4().hex}"
    registry.push_blob(repository, b"{}")
    registry.push_blob(repository, PAYLOAD)
    registry.push(repository, tag=f"{TAG}.sig", manifest=signed(), media_type=fx.OCI_TYPE)
    found = await client.fetch_referrers(Place(registry.host, repository), SUBJECT, ANYBODY)
    (companion,) = found.companions
    assert companion.tag == f"{TAG}.sig"
    (payload,) = companion.payloads
    assert payload.content == PAYLOAD
    assert payload.descriptor.annotations == {"dev.cosignproject.cosign/signature": "MEUC"}


async def test_a_payload_that_is_declared_too_large_is_left_alone(fake, client, place):
    huge = {**descriptor(PAYLOAD, SIGNATURE), "size": 5 * 1024 * 1024}
    manifest = artifact("", subject="", layers=[huge])
    fake.push("a/b", tag=f"{TAG}.sig", manifest=manifest, media_type=fx.OCI_TYPE)
    (companion,) = (await client.fetch_referrers(place, SUBJECT, ANYBODY)).companions
    assert companion.payloads == ()


@pytest.mark.case("registry 157")
async def test_a_403_on_a_derived_tag_means_none(fake, client, place):
    for suffix in ("", ".sig", ".att", ".sbom"):
        body = json.dumps({"errors": [{"status": 403, "message": "Forbidden"}]}).encode()
        fake.on(f"/v2/a/b/manifests/{TAG}{suffix}", lambda _, body=body: Reply(403, body))
    found = await client.fetch_referrers(place, SUBJECT, ANYBODY)
    assert found.complete
    assert found.companions == ()


@pytest.mark.case("registry 158")
async def test_a_server_in_trouble_leaves_it_unknown(fake, client, place):
    fake.on(API, Reply(500, b""))
    found = await client.fetch_referrers(place, SUBJECT, ANYBODY)
    assert not found.complete
    assert "500 Internal Server Error" in found.reason


async def test_companions_of_a_listing_save_the_probes(fake, client, place):
    fake.push_blob("a/b", PAYLOAD)
    fake.push("a/b", tag=f"{TAG}.sig", manifest=signed(), media_type=fx.OCI_TYPE)
    found = await client.fetch_referrers(
        place, SUBJECT, ANYBODY, companions=(f"{TAG}.sig", "sha256-other")
    )
    assert [each.tag for each in found.companions] == [f"{TAG}.sig"]
    probed = [line.rpartition("/")[2] for line in fake.requests if "/manifests/" in line]
    assert probed == [f"{TAG}.sig"]
