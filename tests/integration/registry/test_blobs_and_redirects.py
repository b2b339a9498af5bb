"""Blobs: verified, bounded, and followed only where the policy admits."""

import pytest

from models.errors import ContentError, EgressRefusedError, ProtocolError, RegistryError
from tests import fixtures as fx
from tests.fakeregistry.wire import Reply
from tests.integration.registry.rights import (
    CANARY,
    access,
    everything_is_here,
    login,
    open_client,
    server_policy,
)
from worker.registry.registry_types import Place

CONFIG = fx.digest_of(fx.CFG_A)
BLOB = f"/v2/a/b/blobs/{CONFIG}"


@pytest.fixture
async def client():
    found = open_client()
    yield found
    await found.close()


@pytest.fixture
def place(fake):
    fake.push_blob("a/b", fx.CFG_A)
    return Place(fake.host, "a/b")


@pytest.fixture
def storage(open_fake):
    """A second server, as cloud storage is one."""
    found = open_fake()
    found.on("/cdn/.*", Reply(200, fx.CFG_A))
    return found


async def log_in(fake, client):
    """From here on the client shows its password with the first request."""
    fake.require_basic("u", CANARY)
    fake.push_blob("a/b", fx.CFG_A)
    await client.fetch_blob(Place(fake.host, "a/b"), CONFIG, login(fake.host))


@pytest.mark.case("registry 98", "registry 99", "registry 101")
async def test_rights_go_no_further_than_the_origin_they_are_for(fake, client, storage):
    await log_in(fake, client)
    fake.redirect(BLOB, f"{storage.url}/cdn/x")
    found = await client.fetch_blob(Place(fake.host, "a/b"), CONFIG, login(fake.host))
    assert found.content == fx.CFG_A
    assert all("authorization" not in request.headers for request in storage.log)
    assert any("authorization" in request.headers for request in fake.log)


@pytest.mark.case("registry 101")
async def test_a_storage_that_asks_for_a_login_gets_none(fake, client, storage):
    storage.clear()
    storage.on("/cdn/.*", Reply(401, b"", [("WWW-Authenticate", f'Basic realm="{storage.host}"')]))
    fake.require_basic("u", CANARY)
    fake.push_blob("a/b", fx.CFG_A)
    fake.redirect(BLOB, f"{storage.url}/cdn/x")
    with pytest.raises(RegistryError):
        await client.fetch_blob(Place(fake.host, "a/b"), CONFIG, login(fake.host))
    assert all("authorization" not in request.headers for request in storage.log)


@pytest.mark.case("registry 100")
async def test_rights_stay_on_a_hop_within_the_origin(fake, client):
    await log_in(fake, client)
    fake.redirect(BLOB, "/v2/c/d/elsewhere")
    fake.on("/v2/c/d/elsewhere", Reply(200, fx.CFG_A))
    await client.fetch_blob(Place(fake.host, "a/b"), CONFIG, login(fake.host))
    hop = next(request for request in fake.log if request.path.endswith("elsewhere"))
    assert "authorization" in hop.headers


@pytest.mark.case("registry 102")
async def test_a_manifest_may_come_from_another_registry(fake, client, storage):
    storage.on("/there", Reply(200, fx.S2, [("Content-Type", fx.S2_TYPE)]))
    fake.redirect("/v2/a/b/manifests/t", f"{storage.url}/there", 302)
    found = await client.fetch_manifest(Place(fake.host, "a/b"), "t", access())
    assert found.digest == fx.digest_of(fx.S2)


@pytest.mark.case("registry 103", "registry 104")
@pytest.mark.parametrize(
    "location",
    [
        *("file:///etc/passwd", "ftp://x.io/", "gopher://x.io/", "http:///x"),
        *("https://u:p@x.io/", "http://169.254.169.254/latest", "https://x.io:6379/"),
        *("//10.0.0.5/x", "http://x.io/x", "https://x.io%2f@evil/", "https://evil.test/x"),
    ],
)
async def test_a_server_is_sent_nowhere_that_it_would_not_go_by_itself(
    tls_fake, authority_file, location
):
    asked = []

    async def lookup(name, _port):
        asked.append(name)
        return ["10.0.0.5"] if name == "evil.test" else ["127.0.0.1"]

    client = open_client(server_policy(tls_fake.host), ca_file=authority_file, lookup=lookup)
    tls_fake.redirect(BLOB, location)
    with pytest.raises(RegistryError) as refused:
        await client.fetch_blob(Place(tls_fake.host, "a/b"), CONFIG, access())
    await client.close()
    assert refused.value.code.startswith("policy.")
    assert len(tls_fake.requests) == 1
    assert set(asked) <= {"evil.test"}


@pytest.mark.case("registry 105")
async def test_circles_and_long_chains_of_redirects_end(fake, client, place):
    fake.redirect(BLOB, "/one")
    fake.redirect("/one", BLOB)
    with pytest.raises(ProtocolError) as refused:
        await client.fetch_blob(place, CONFIG, access())
    assert refused.value.code == "protocol.redirect"
    fake.forget()
    fake.redirect(BLOB, "/hop1")
    for number in range(1, 7):
        fake.redirect(f"/hop{number}", f"/hop{number + 1}")
    fake.forget_requests()
    with pytest.raises(ProtocolError):
        await client.fetch_blob(place, CONFIG, access())
    assert len(fake.requests) == 6


@pytest.mark.case("registry 106")
async def test_a_presigned_address_is_never_shown(fake, client, place, storage):
    fake.redirect(BLOB, f"{storage.url}/gone?X-Amz-Signature={CANARY}")
    storage.raw("/gone", [], end="close")
    with pytest.raises(RegistryError) as refused:
        await client.fetch_blob(place, CONFIG, access())
    error = refused.value
    while error is not None:
        assert CANARY not in repr(error)
        assert CANARY not in str(error)
        error = error.__cause__


@pytest.mark.case("registry 107")
async def test_where_a_head_is_refused_one_byte_tells_the_size(fake, client, place, storage):
    fake.redirect(BLOB, f"{storage.url}/big")
    storage.on("/big", Reply(403), method="HEAD")
    ranged = Reply(206, b"x", [("Content-Range", "bytes 0-0/12345")])
    storage.on("/big", ranged, method="GET")
    assert await client.blob_size(place, CONFIG, access()) == 12345


@pytest.mark.case("registry 108")
async def test_head_and_one_byte_agree_on_a_real_registry(registry, client):
    digest = registry.push_blob("case108/app", b"z" * 777)
    place = Place(registry.host, "case108/app")
    assert await client.blob_size(place, digest, access()) == 777
    assert (
        await client._probe_size(place, f"/v2/case108/app/blobs/{digest}", access(), reference="r")
        == 777
    )


@pytest.mark.case("registry 112")
async def test_a_config_that_is_too_large_is_not_fetched_or_is_cut(fake, client, place):
    with pytest.raises(ContentError) as refused:
        await client.fetch_blob(place, CONFIG, access(), declared=5 * 1024 * 1024)
    assert (refused.value.code, fake.requests) == ("content.too_large", [])
    fake.endless(BLOB)
    with pytest.raises(ContentError) as refused:
        await client.fetch_blob(place, CONFIG, access(), declared=100)
    assert refused.value.code == "content.too_large"


@pytest.mark.case("registry 123")
async def test_a_config_of_another_size_but_the_right_digest_is_taken_with_a_warning(client, place):
    found = await client.fetch_blob(place, CONFIG, access(), declared=7)
    assert found.content == fx.CFG_A
    assert any("size" in warning for warning in found.warnings)


@pytest.mark.case("registry 177")
async def test_a_registry_on_plain_http_may_not_send_us_to_another_on_plain_http(fake, open_fake):
    other = open_fake()
    client = open_client(server_policy(fake.host), lookup=everything_is_here)
    fake.redirect(BLOB, f"{other.url}/x")
    with pytest.raises(EgressRefusedError):
        await client.fetch_blob(Place(fake.host, "a/b", insecure=True), CONFIG, access())
    await client.close()
    assert other.requests == []
