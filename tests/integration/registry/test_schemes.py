"""https first, and plain http only where somebody said so (`import.md` 3.2, `registry.md` C4)."""

import asyncio
import ssl

import pytest

from models.errors import EgressRefusedError, RegistryError, TlsError
from tests import fixtures as fx
from tests.fakeregistry.certificates import self_signed
from tests.integration.registry.rights import (
    CANARY,
    access,
    everything_is_here,
    login,
    server_policy,
)
from worker.registry.client_config import ClientConfig
from worker.registry.registry_types import Place
from worker.registry.transport.egress_policy import EgressPolicy
from worker.registry.transport.http_exchange import _context

ANYBODY = access()
D1 = fx.digest_of(fx.S2)


def push(fake):
    fake.push("a/b", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)


@pytest.fixture
def on_server(open_client):
    """A client of a server role that may reach one fake."""
    return lambda fake, **config: open_client(server_policy(fake.host), **config)


async def digest(client, place, rights=ANYBODY):
    return (await client.fetch_manifest(place, "t", rights)).digest


@pytest.mark.case("import 4-9", "registry 175")
async def test_plain_http_is_spoken_only_if_the_import_says_so(fake, on_server):
    push(fake)
    client = on_server(fake)
    with pytest.raises(TlsError, match="server gave HTTP response to HTTPS client") as caught:
        await digest(client, Place(fake.host, "a/b"))
    assert caught.value.code == "tls.not_tls"
    assert fake.log == []
    assert await digest(client, Place(fake.host, "a/b", insecure=True)) == D1


@pytest.mark.case("import 4-10", "registry 175")
async def test_an_unknown_certificate_is_taken_only_if_the_import_says_so(open_fake, on_server):
    fake = open_fake(tls=self_signed())
    push(fake)
    client = on_server(fake)
    with pytest.raises(TlsError, match="x509: certificate signed by unknown authority") as caught:
        await digest(client, Place(fake.host, "a/b"))
    assert caught.value.code == "tls.untrusted"
    assert "TAGSTREAM_ADDITIONAL_TRUSTED_CA" in caught.value.text
    assert fake.log == []
    assert await digest(client, Place(fake.host, "a/b", insecure=True)) == D1


@pytest.mark.case("import 4-11")
async def test_an_insecure_import_does_not_make_a_secure_one_succeed(fake, on_server):
    push(fake)
    client = on_server(fake)
    for _ in range(2):
        assert await digest(client, Place(fake.host, "a/b", insecure=True)) == D1
        with pytest.raises(TlsError):
            await digest(client, Place(fake.host, "a/b"))


async def test_the_scheme_that_works_is_remembered(fake, on_server):
    push(fake)
    client = on_server(fake)
    place = Place(fake.host, "a/b", insecure=True)
    assert client.exchange.base_url(place) == f"https://{fake.host}"
    await digest(client, place)
    connections = fake.connections
    assert client.exchange.base_url(place) == f"http://{fake.host}"
    for _ in range(3):
        await digest(client, place)
    assert fake.connections == connections


async def test_a_registry_that_gets_tls_is_found_again(fake, on_server, authority):
    """The port stays, the scheme changes: the first request after may fail, the second not."""
    push(fake)
    client = on_server(fake)
    place = Place(fake.host, "a/b", insecure=True)
    await digest(client, place)
    fake.fail_next(
        "/v2/a/b/manifests/t", status=400, body=b"Client sent an HTTP request to an HTTPS server."
    )
    with pytest.raises(RegistryError):
        await digest(client, place)
    assert client.exchange.base_url(place) == f"https://{fake.host}"
    assert await digest(client, place) == D1


async def test_https_that_worked_is_not_left_for_plain_http(tls_fake, on_server):
    push(tls_fake)
    client = on_server(tls_fake)
    place = Place(tls_fake.host, "a/b", insecure=True)
    await digest(client, place)
    tls_fake.on("/v2/a/b/manifests/t", b"")
    with pytest.raises(
        RegistryError, match=f'Get "https://{tls_fake.host}/v2/a/b/manifests/t": EOF'
    ):
        await digest(client, place)


async def test_ones_own_machine_is_spoken_to_as_docker_does(fake, open_fake, client):
    """On loopback https goes first, unverified, and plain http after it."""
    push(fake)
    assert await digest(client, Place(fake.host, "a/b")) == D1
    secured = open_fake(tls=self_signed())
    push(secured)
    assert await digest(client, Place(secured.host, "a/b")) == D1


async def test_elsewhere_one_persons_machine_speaks_https_alone(fake, open_client):
    push(fake)
    client = open_client(world={"lookup": everything_is_here})
    with pytest.raises(TlsError):
        await digest(client, Place(f"reg.test:{fake.port}", "a/b"))
    assert fake.log == []


async def test_credentials_do_not_travel_over_plain_http_unless_the_operator_says_so(
    fake, on_server
):
    push(fake)
    fake.require_basic("u", CANARY)
    place = Place(fake.host, "a/b", insecure=True)
    with pytest.raises(EgressRefusedError, match="TAGSTREAM_CREDENTIALS_OVER_HTTP"):
        await digest(on_server(fake), place, login(fake.host))
    assert {request.authorization for request in fake.log} == {""}
    allowed = on_server(fake, credentials_over_http=True)
    assert await digest(allowed, place, login(fake.host)) == D1


async def test_anonymous_tokens_may_travel_over_plain_http(fake, on_server):
    push(fake)
    fake.require_token()
    client = on_server(fake)
    place = Place(fake.host, "a/b", insecure=True)
    for _ in range(3):
        assert await digest(client, place) == D1
    assert len(fake.token_requests) == 1


@pytest.mark.case("registry 175", "registry 176")
async def test_names_on_the_wire_stay_the_registrys_own(tls_fake, open_client, authority_file):
    push(tls_fake)
    host = f"reg.test:{tls_fake.port}"
    world = {"lookup": everything_is_here}
    client = open_client(server_policy(host), world=world, ca_file=authority_file)
    assert await digest(client, Place(host, "a/b")) == D1
    assert tls_fake.log[-1].sni == "reg.test"
    assert tls_fake.log[-1].headers["host"] == host


async def test_a_server_that_hangs_up_on_both_schemes_is_told_by_the_last(open_client):
    async def hang_up(_reader, writer):
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        client = open_client(server_policy(host))
        with pytest.raises(
            RegistryError, match=f'Get "http://{host}/v2/a/b/manifests/t": '
        ) as told:
            await digest(client, Place(host, "a/b", insecure=True))
    assert told.value.transient


def test_certificates_of_the_system_are_trusted_beside_the_operators(authority_file):
    plain = _context(ClientConfig(policy=EgressPolicy()), verify=True)
    more = _context(ClientConfig(policy=EgressPolicy(), ca_file=authority_file), verify=True)
    assert more.verify_mode is ssl.CERT_REQUIRED
    assert more.check_hostname
    assert len(more.get_ca_certs()) == len(plain.get_ca_certs()) + 1
