"""Where answers may send us, and what goes along."""

import pytest

from models.errors import EgressRefusedError, ProtocolError, RegistryError, TransientRegistryError
from tests import fixtures as fx
from tests.fakeregistry.wire import Reply
from tests.integration.registry.rights import (
    CANARY,
    access,
    everything_is_here,
    login,
    secrets_in,
    server_policy,
)
from worker.registry.registry_types import Place

CONFIG = fx.digest_of(fx.CFG_A)
BLOB = f"/v2/a/b/blobs/{CONFIG}"
ANYBODY = access()


def push(fake):
    fake.push("a/b", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)
    return Place(fake.host, "a/b")


async def log_in(fake, client, place):
    """From here on the client shows its password with every request."""
    fake.require_basic("u", CANARY)
    await client.fetch_manifest(place, "t", login(fake.host))


def storage(fake):
    """A server that is no registry, with the config at /cdn."""
    fake.on("/cdn", lambda _: Reply(200, fx.CFG_A))
    return f"{fake.url}/cdn"


def rights_seen(fake):
    return [
        (request.headers.get("authorization"), request.headers.get("cookie"))
        for request in fake.log
    ]


@pytest.mark.case("registry 98", "registry 99")
async def test_rights_do_not_follow_a_redirect_to_another_port(fake, open_fake, client):
    other = open_fake()
    place = push(fake)
    await log_in(fake, client, place)
    fake.redirect(BLOB, storage(other))
    fetched = await client.fetch_blob(place, CONFIG, login(fake.host))
    assert fetched.content == fx.CFG_A
    assert rights_seen(other) == [(None, None)]
    assert fake.log[-1].basic == ("u", CANARY)


@pytest.mark.case("registry 98")
async def test_what_another_server_sends_is_verified_all_the_same(fake, open_fake, client):
    other = open_fake()
    other.on("/cdn", lambda _: Reply(200, b"something else"))
    place = push(fake)
    fake.redirect(BLOB, f"{other.url}/cdn")
    with pytest.raises(RegistryError, match="content integrity error: the blob") as caught:
        await client.fetch_blob(place, CONFIG, ANYBODY)
    assert caught.value.code == "protocol.digest_mismatch"


@pytest.mark.case("registry 100")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_rights_stay_within_one_origin(fake, client, status):
    place = push(fake)
    await log_in(fake, client, place)
    fake.redirect(BLOB, "/v2/a/b/elsewhere", status)
    fake.on("/v2/a/b/elsewhere", lambda _: Reply(200, fx.CFG_A))
    await client.fetch_blob(place, CONFIG, login(fake.host))
    assert fake.log[-1].path == "/v2/a/b/elsewhere"
    assert fake.log[-1].basic == ("u", CANARY)
    assert fake.log[-1].method == "GET"


@pytest.mark.case("registry 101")
async def test_a_challenge_at_the_end_of_a_redirect_is_not_answered(fake, open_fake, client):
    other, thief = open_fake(), open_fake()
    place = push(fake)
    await log_in(fake, client, place)
    fake.redirect(BLOB, f"{other.url}/cdn")
    challenge = f'Bearer realm="{thief.url}/token",service="x"'
    other.on("/cdn", Reply(401, b"", [("WWW-Authenticate", challenge)]))
    with pytest.raises(RegistryError) as caught:
        await client.fetch_blob(place, CONFIG, login(fake.host))
    assert {authorization for authorization, _ in rights_seen(other)} == {None}
    assert thief.log == []
    assert not secrets_in(caught.value)


@pytest.mark.case("registry 102")
async def test_a_manifest_may_come_from_a_second_registry(fake, open_fake, client):
    other = open_fake()
    push(other)
    fake.redirect("/v2/a/b/manifests/t", f"{other.url}/v2/a/b/manifests/t", 302)
    fetched = await client.fetch_manifest(Place(fake.host, "a/b"), "t", ANYBODY)
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
async def test_a_redirect_leads_nowhere_that_is_denied(
    tls_fake, open_client, authority_file, location
):
    """Names mean what the test says; no socket is opened to anything but the registry."""
    asked = []

    async def lookup(name, _port):
        asked.append(name)
        return {"reg.test": ["127.0.0.1"], "private.example": ["10.0.0.5"]}.get(name, ["127.0.0.1"])

    host = f"reg.test:{tls_fake.port}"
    client = open_client(server_policy(host), world={"lookup": lookup}, ca_file=authority_file)
    tls_fake.redirect(BLOB, location, 302)
    with pytest.raises(EgressRefusedError) as caught:
        await client.fetch_blob(Place(host, "a/b"), CONFIG, ANYBODY)
    assert caught.value.code.startswith("policy.")
    assert len(tls_fake.log) == 1
    assert len(client.exchange._transports) == 1
    assert set(asked) <= {"reg.test", "private.example"}


@pytest.mark.case("registry 104")
async def test_https_never_turns_into_http(tls_fake, fake, client):
    place = push(tls_fake)
    tls_fake.redirect(BLOB, storage(fake))
    with pytest.raises(EgressRefusedError, match="plain http"):
        await client.fetch_blob(place, CONFIG, ANYBODY)
    assert fake.log == []


@pytest.mark.case("registry 177")
async def test_plain_http_for_one_registry_is_not_plain_http_for_another(open_fake, open_client):
    first, second = open_fake(), open_fake()
    here, there = f"a.test:{first.port}", f"b.test:{second.port}"
    client = open_client(server_policy(here, there), world={"lookup": everything_is_here})
    place = Place(here, "a/b", insecure=True)
    push(first)
    assert (await client.fetch_blob(place, CONFIG, ANYBODY)).content == fx.CFG_A
    first.redirect(BLOB, f"http://{there}/cdn")
    with pytest.raises(EgressRefusedError):
        await client.fetch_blob(place, CONFIG, ANYBODY)
    first.require_token(realm=f"http://{there}/token")
    with pytest.raises(RegistryError):
        await client.fetch_manifest(place, "t", ANYBODY)
    assert second.log == []


@pytest.mark.case("registry 105")
async def test_redirects_have_an_end(fake, client):
    place = push(fake)
    fake.on("/hop/(.*)", lambda request: hop(int(request.path.rpartition("/")[2])))
    fake.redirect(BLOB, "/hop/6")
    with pytest.raises(ProtocolError) as caught:
        await client.fetch_blob(place, CONFIG, ANYBODY)
    assert caught.value.code == "protocol.redirect"
    assert len(fake.log) == 6
    fake.redirect(BLOB, "/hop/5")
    assert (await client.fetch_blob(place, CONFIG, ANYBODY)).content == fx.CFG_A
    fake.redirect("/circle", BLOB)
    fake.redirect(BLOB, "/circle")
    fake.forget_requests()
    with pytest.raises(ProtocolError):
        await client.fetch_blob(place, CONFIG, ANYBODY)
    assert len(fake.log) == 2


def hop(left):
    """A redirect to the next hop; the last one has the config."""
    if left == 1:
        return Reply(200, fx.CFG_A)
    return Reply(302, b"", [("Location", f"/hop/{left - 1}")])


@pytest.mark.case("registry 106")
@pytest.mark.parametrize("failure", ["refused", "reset", "status", "garbage", "redirect"])
async def test_a_signed_address_is_never_told(fake, open_fake, client, caplog, failure):
    caplog.set_level("DEBUG")
    place, other = push(fake), open_fake()
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
        await client.fetch_blob(place, CONFIG, ANYBODY)
    assert not secrets_in(caught.value)
    assert CANARY not in caplog.text


async def test_a_storage_that_is_down_does_not_make_us_try_plain_http(fake, client):
    place = push(fake)
    fake.redirect(BLOB, "http://127.0.0.1:1/cdn")
    with pytest.raises(TransientRegistryError, match="connection refused"):
        await client.fetch_blob(place, CONFIG, ANYBODY)
    assert {request.path for request in fake.log} == {BLOB}
    assert len(fake.log) == 3
