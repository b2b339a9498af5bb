"""Blobs: verified and bounded; redirects are followed only where the policy admits them."""

import pytest

from models.errors import ContentError, EgressRefusedError, ProtocolError, RegistryError
from tests import fixtures as fx
from tests.fakeregistry.wire import Reply
from tests.integration.registry.client_helpers import (
    CANARY,
    login_context,
    make_client,
    request_context,
    resolve_to_loopback,
    server_policy,
)
from worker.registry.registry_types import SourceRepository

CONFIG = fx.digest_of(fx.CFG_A)
BLOB = f"/v2/a/b/blobs/{CONFIG}"


@pytest.fixture
async def client():
    fetched = make_client()
    yield fetched
    await fetched.close()


@pytest.fixture
def source(fake):
    fake.push_blob("a/b", fx.CFG_A)
    return SourceRepository(fake.host, "a/b")


@pytest.fixture
def storage(open_fake):
    """A second server, like a cloud storage."""
    fetched = open_fake()
    fetched.on("/cdn/.*", Reply(200, fx.CFG_A))
    return fetched


async def require_password(fake, client):
    """Require a password, which the client sends with its first request from now on."""
    fake.require_basic("u", CANARY)
    fake.push_blob("a/b", fx.CFG_A)
    await client.fetch_blob(SourceRepository(fake.host, "a/b"), CONFIG, login_context(fake.host))


@pytest.mark.case("registry 98", "registry 99", "registry 101")
async def test_credentials_are_not_sent_to_redirect_target(fake, client, storage):
    await require_password(fake, client)
    fake.redirect(BLOB, f"{storage.url}/cdn/x")
    fetched = await client.fetch_blob(
        SourceRepository(fake.host, "a/b"), CONFIG, login_context(fake.host)
    )
    assert fetched.content == fx.CFG_A
    assert all("authorization" not in request.headers for request in storage.log)
    assert any("authorization" in request.headers for request in fake.log)


@pytest.mark.case("registry 101")
async def test_storage_challenge_receives_no_credentials(fake, client, storage):
    storage.clear()
    storage.on("/cdn/.*", Reply(401, b"", [("WWW-Authenticate", f'Basic realm="{storage.host}"')]))
    fake.require_basic("u", CANARY)
    fake.push_blob("a/b", fx.CFG_A)
    fake.redirect(BLOB, f"{storage.url}/cdn/x")
    with pytest.raises(RegistryError):
        await client.fetch_blob(
            SourceRepository(fake.host, "a/b"), CONFIG, login_context(fake.host)
        )
    assert all("authorization" not in request.headers for request in storage.log)


@pytest.mark.case("registry 100")
async def test_credentials_are_sent_on_redirect_within_origin(fake, client):
    await require_password(fake, client)
    fake.redirect(BLOB, "/v2/c/d/elsewhere")
    fake.on("/v2/c/d/elsewhere", Reply(200, fx.CFG_A))
    await client.fetch_blob(SourceRepository(fake.host, "a/b"), CONFIG, login_context(fake.host))
    hop = next(request for request in fake.log if request.path.endswith("elsewhere"))
    assert "authorization" in hop.headers


@pytest.mark.case("registry 102")
async def test_manifest_may_be_redirected_to_another_registry(fake, client, storage):
    storage.on("/there", Reply(200, fx.S2, [("Content-Type", fx.S2_TYPE)]))
    fake.redirect("/v2/a/b/manifests/t", f"{storage.url}/there", 302)
    fetched = await client.fetch_manifest(
        SourceRepository(fake.host, "a/b"), "t", request_context()
    )
    assert fetched.digest == fx.digest_of(fx.S2)


@pytest.mark.case("registry 103", "registry 104")
@pytest.mark.parametrize(
    "location",
    [
        *("file:///etc/passwd", "ftp://x.io/", "gopher://x.io/", "http:///x"),
        *("https://u:p@x.io/", "http://169.254.169.254/latest", "https://x.io:6379/"),
        *("//10.0.0.5/x", "http://x.io/x", "https://x.io%2f@evil/", "https://evil.test/x"),
    ],
)
async def test_redirect_to_denied_location_is_refused(tls_fake, authority_file, location):
    resolved_names = []

    async def lookup(name, _port):
        resolved_names.append(name)
        return ["10.0.0.5"] if name == "evil.test" else ["127.0.0.1"]

    client = make_client(server_policy(tls_fake.host), ca_file=authority_file, lookup=lookup)
    tls_fake.redirect(BLOB, location)
    with pytest.raises(RegistryError) as caught:
        await client.fetch_blob(SourceRepository(tls_fake.host, "a/b"), CONFIG, request_context())
    await client.close()
    assert caught.value.code.startswith("policy.")
    assert len(tls_fake.requests) == 1
    assert set(resolved_names) <= {"evil.test"}


@pytest.mark.case("registry 105")
async def test_redirect_loops_and_long_chains_are_refused(fake, client, source):
    fake.redirect(BLOB, "/one")
    fake.redirect("/one", BLOB)
    with pytest.raises(ProtocolError) as caught:
        await client.fetch_blob(source, CONFIG, request_context())
    assert caught.value.code == "protocol.redirect"
    fake.forget()
    fake.redirect(BLOB, "/hop1")
    for number in range(1, 7):
        fake.redirect(f"/hop{number}", f"/hop{number + 1}")
    fake.forget_requests()
    with pytest.raises(ProtocolError):
        await client.fetch_blob(source, CONFIG, request_context())
    assert len(fake.requests) == 6


@pytest.mark.case("registry 106")
async def test_presigned_url_is_not_shown_in_errors(fake, client, source, storage):
    fake.redirect(BLOB, f"{storage.url}/gone?X-Amz-Signature={CANARY}")
    storage.raw("/gone", [], end="close")
    with pytest.raises(RegistryError) as caught:
        await client.fetch_blob(source, CONFIG, request_context())
    error = caught.value
    while error is not None:
        assert CANARY not in repr(error)
        assert CANARY not in str(error)
        error = error.__cause__


@pytest.mark.case("registry 107")
async def test_refused_head_gets_size_from_range_request(fake, client, source, storage):
    fake.redirect(BLOB, f"{storage.url}/big")
    storage.on("/big", Reply(403), method="HEAD")
    ranged = Reply(206, b"x", [("Content-Range", "bytes 0-0/12345")])
    storage.on("/big", ranged, method="GET")
    assert await client.fetch_blob_size(source, CONFIG, request_context()) == 12345


@pytest.mark.case("registry 108")
async def test_head_and_range_sizes_agree_on_docker_registry(registry, client):
    digest = registry.push_blob("case108/app", b"z" * 777)
    source = SourceRepository(registry.host, "case108/app")
    assert await client.fetch_blob_size(source, digest, request_context()) == 777
    assert (
        await client._fetch_size_by_range(
            source, f"/v2/case108/app/blobs/{digest}", request_context(), reference="r"
        )
        == 777
    )


@pytest.mark.case("registry 112")
async def test_oversized_config_is_refused_or_cut(fake, client, source):
    with pytest.raises(ContentError) as caught:
        await client.fetch_blob(source, CONFIG, request_context(), declared_size=5 * 1024 * 1024)
    assert (caught.value.code, fake.requests) == ("content.too_large", [])
    fake.endless(BLOB)
    with pytest.raises(ContentError) as caught:
        await client.fetch_blob(source, CONFIG, request_context(), declared_size=100)
    assert caught.value.code == "content.too_large"


@pytest.mark.case("registry 123")
async def test_config_with_wrong_size_is_accepted_with_warning(client, source):
    fetched = await client.fetch_blob(source, CONFIG, request_context(), declared_size=7)
    assert fetched.content == fx.CFG_A
    assert any("size" in warning for warning in fetched.warnings)


@pytest.mark.case("registry 177")
async def test_plain_http_redirect_to_other_registry_is_refused(fake, open_fake):
    other = open_fake()
    client = make_client(server_policy(fake.host), lookup=resolve_to_loopback)
    fake.redirect(BLOB, f"{other.url}/x")
    with pytest.raises(EgressRefusedError):
        await client.fetch_blob(
            SourceRepository(fake.host, "a/b", insecure=True), CONFIG, request_context()
        )
    await client.close()
    assert other.requests == []
