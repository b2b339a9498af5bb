"""Redirects: which targets are followed, and what is sent to them."""

import pytest

from models.errors import EgressRefusedError, ProtocolError, RegistryError, TransientRegistryError
from tests import fixtures as fx
from tests.fakeregistry.wire import Reply
from tests.integration.registry.client_helpers import (
    CANARY,
    login_context,
    request_context,
    resolve_to_loopback,
    secrets_in,
    server_policy,
)
from worker.registry.registry_types import SourceRepository

CONFIG = fx.digest_of(fx.CFG_A)
BLOB = f"/v2/a/b/blobs/{CONFIG}"
ANONYMOUS = request_context()


def push(fake):
    fake.push("a/b", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)
    return SourceRepository(fake.host, "a/b")


async def require_password(fake, client, source):
    """Require a password, which the client sends with every request from now on."""
    fake.require_basic("u", CANARY)
    await client.fetch_manifest(source, "t", login_context(fake.host))


def storage(fake):
    """Serve the config at /cdn, as a server that is no registry, and return its URL."""
    fake.on("/cdn", lambda _: Reply(200, fx.CFG_A))
    return f"{fake.url}/cdn"


def credentials_seen(fake):
    return [
        (request.headers.get("authorization"), request.headers.get("cookie"))
        for request in fake.log
    ]


@pytest.mark.case("registry 98", "registry 99")
async def test_credentials_do_not_follow_redirect_to_other_port(fake, open_fake, client):
    other = open_fake()
    source = push(fake)
    await require_password(fake, client, source)
    fake.redirect(BLOB, storage(other))
    fetched = await client.fetch_blob(source, CONFIG, login_context(fake.host))
    assert fetched.content == fx.CFG_A
    assert credentials_seen(other) == [(None, None)]
    assert fake.log[-1].basic == ("u", CANARY)


@pytest.mark.case("registry 98")
async def test_blob_from_redirect_target_is_verified(fake, open_fake, client):
    other = open_fake()
    other.on("/cdn", lambda _: Reply(200, b"something else"))
    source = push(fake)
    fake.redirect(BLOB, f"{other.url}/cdn")
    with pytest.raises(RegistryError, match="content integrity error: the blob") as caught:
        await client.fetch_blob(source, CONFIG, ANONYMOUS)
    assert caught.value.code == "protocol.digest_mismatch"


@pytest.mark.case("registry 100")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_credentials_stay_within_one_origin(fake, client, status):
    source = push(fake)
    await require_password(fake, client, source)
    fake.redirect(BLOB, "/v2/a/b/elsewhere", status)
    fake.on("/v2/a/b/elsewhere", lambda _: Reply(200, fx.CFG_A))
    await client.fetch_blob(source, CONFIG, login_context(fake.host))
    assert fake.log[-1].path == "/v2/a/b/elsewhere"
    assert fake.log[-1].basic == ("u", CANARY)
    assert fake.log[-1].method == "GET"


@pytest.mark.case("registry 101")
async def test_challenge_of_redirect_target_is_not_answered(fake, open_fake, client):
    other, foreign_server = open_fake(), open_fake()
    source = push(fake)
    await require_password(fake, client, source)
    fake.redirect(BLOB, f"{other.url}/cdn")
    challenge = f'Bearer realm="{foreign_server.url}/token",service="x"'
    other.on("/cdn", Reply(401, b"", [("WWW-Authenticate", challenge)]))
    with pytest.raises(RegistryError) as caught:
        await client.fetch_blob(source, CONFIG, login_context(fake.host))
    assert {authorization for authorization, _ in credentials_seen(other)} == {None}
    assert foreign_server.log == []
    assert not secrets_in(caught.value)


@pytest.mark.case("registry 102")
async def test_manifest_redirect_to_second_registry_is_followed(fake, open_fake, client):
    other = open_fake()
    push(other)
    fake.redirect("/v2/a/b/manifests/t", f"{other.url}/v2/a/b/manifests/t", 302)
    fetched = await client.fetch_manifest(SourceRepository(fake.host, "a/b"), "t", ANONYMOUS)
    assert fetched.digest == fx.digest_of(fx.S2)
    assert len(other.log) == 1


@pytest.mark.case("registry 103")
@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "gopher://127.0.0.1/x",
        "unix:/run/docker.sock",
        "//evil",
        "http:///x",
        "https://u:p@pub.example/x",
        "https://good.example\\@evil.example/x",
        "https://evil%2f.example/x",
        "http://169.254.169.254/latest/meta-data",
        "https://169.254.169.254/latest",
        "https://[::ffff:169.254.169.254]/x",
        "https://10.0.0.5/x",
        "https://127.1/x",
        "https://0x7f.1/x",
        "https://2130706433/x",
        "https://private.example/x",
        "https://metadata.google.internal/x",
        "https://redis:6379/x",
        "https://pub.example:6379/x",
        "https://pub.example:22/x",
    ],
)
async def test_redirect_to_denied_target_is_refused(
    tls_fake, open_client, authority_file, location
):
    """The test resolves the names; no socket is opened to anything but the registry."""
    resolved_names = []

    async def lookup(name, _port):
        resolved_names.append(name)
        return {"reg.test": ["127.0.0.1"], "private.example": ["10.0.0.5"]}.get(name, ["127.0.0.1"])

    host = f"reg.test:{tls_fake.port}"
    client = open_client(
        server_policy(host), dependencies={"lookup": lookup}, ca_file=authority_file
    )
    tls_fake.redirect(BLOB, location, 302)
    with pytest.raises(EgressRefusedError) as caught:
        await client.fetch_blob(SourceRepository(host, "a/b"), CONFIG, ANONYMOUS)
    assert caught.value.code.startswith("policy.")
    assert len(tls_fake.log) == 1
    assert len(client.exchange._transports) == 1
    assert set(resolved_names) <= {"reg.test", "private.example"}


@pytest.mark.case("registry 104")
async def test_redirect_from_https_to_http_is_refused(tls_fake, fake, client):
    source = push(tls_fake)
    tls_fake.redirect(BLOB, storage(fake))
    with pytest.raises(EgressRefusedError, match="plain http"):
        await client.fetch_blob(source, CONFIG, ANONYMOUS)
    assert fake.log == []


@pytest.mark.case("registry 177")
async def test_insecure_registry_does_not_allow_http_to_another(open_fake, open_client):
    first, second = open_fake(), open_fake()
    first_host, second_host = f"a.test:{first.port}", f"b.test:{second.port}"
    client = open_client(
        server_policy(first_host, second_host), dependencies={"lookup": resolve_to_loopback}
    )
    source = SourceRepository(first_host, "a/b", insecure=True)
    push(first)
    assert (await client.fetch_blob(source, CONFIG, ANONYMOUS)).content == fx.CFG_A
    first.redirect(BLOB, f"http://{second_host}/cdn")
    with pytest.raises(EgressRefusedError):
        await client.fetch_blob(source, CONFIG, ANONYMOUS)
    first.require_token(realm=f"http://{second_host}/token")
    with pytest.raises(RegistryError):
        await client.fetch_manifest(source, "t", ANONYMOUS)
    assert second.log == []


@pytest.mark.case("registry 105")
async def test_redirect_chain_length_is_limited(fake, client):
    source = push(fake)
    fake.on("/hop/(.*)", lambda request: hop(int(request.path.rpartition("/")[2])))
    fake.redirect(BLOB, "/hop/6")
    with pytest.raises(ProtocolError) as caught:
        await client.fetch_blob(source, CONFIG, ANONYMOUS)
    assert caught.value.code == "protocol.redirect"
    assert len(fake.log) == 6
    fake.redirect(BLOB, "/hop/5")
    assert (await client.fetch_blob(source, CONFIG, ANONYMOUS)).content == fx.CFG_A
    fake.redirect("/circle", BLOB)
    fake.redirect(BLOB, "/circle")
    fake.forget_requests()
    with pytest.raises(ProtocolError):
        await client.fetch_blob(source, CONFIG, ANONYMOUS)
    assert len(fake.log) == 2


def hop(left):
    """Return a redirect to the next hop, or at the last one the config."""
    if left == 1:
        return Reply(200, fx.CFG_A)
    return Reply(302, b"", [("Location", f"/hop/{left - 1}")])


@pytest.mark.case("registry 106")
@pytest.mark.parametrize("failure", ["refused", "reset", "status", "garbage", "redirect"])
async def test_signed_redirect_url_is_never_reported(fake, open_fake, client, caplog, failure):
    caplog.set_level("DEBUG")
    source, other = push(fake), open_fake()
    signed = f"/cdn?X-Amz-Signature={CANARY}"
    target = f"{other.url}{signed}" if failure != "refused" else f"http://127.0.0.1:1{signed}"
    answers = {
        "reset": b"",
        "status": Reply(403, b"<Error>SignatureDoesNotMatch</Error>"),
        "garbage": b"this is no HTTP\r\n\r\n",
        "redirect": Reply(302, b"", [("Location", f"ftp://x/?{CANARY}")]),
    }
    other.on("/cdn", answers.get(failure, b""))
    fake.redirect(BLOB, target)
    with pytest.raises(RegistryError) as caught:
        await client.fetch_blob(source, CONFIG, ANONYMOUS)
    assert not secrets_in(caught.value)
    assert CANARY not in caplog.text


async def test_failed_redirect_target_causes_no_http_fallback(fake, client):
    source = push(fake)
    fake.redirect(BLOB, "http://127.0.0.1:1/cdn")
    with pytest.raises(TransientRegistryError, match="connection refused"):
        await client.fetch_blob(source, CONFIG, ANONYMOUS)
    assert {request.path for request in fake.log} == {BLOB}
    assert len(fake.log) == 3
