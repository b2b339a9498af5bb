"""https first, and plain http only where it is allowed.

Rules: imports-3.6, imports-3.7, registry-20.7, registry-20.8.
"""

import asyncio
import ssl

import pytest

from models.errors import EgressRefusedError, RegistryError, TlsError
from tests import fixtures as fx
from tests.fakeregistry.certificates import self_signed
from tests.integration.registry.client_helpers import (
    CANARY,
    login_context,
    request_context,
    resolve_to_loopback,
    server_policy,
)
from worker.registry.client_config import ClientConfig
from worker.registry.registry_types import SourceRepository
from worker.registry.transport.egress_policy import EgressPolicy
from worker.registry.transport.http_exchange import _build_ssl_context

ANONYMOUS = request_context()
S2_DIGEST = fx.digest_of(fx.S2)


def push(fake):
    fake.push("a/b", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)


@pytest.fixture
def open_server_client(open_client):
    """Open clients with a server's policy that admits one fake registry."""
    return lambda fake, **config: open_client(server_policy(fake.host), **config)


async def fetch_digest(client, source, context=ANONYMOUS):
    return (await client.fetch_manifest(source, "t", context)).digest


@pytest.mark.case("import 4-9", "registry 175")
async def test_plain_http_requires_insecure_import(fake, open_server_client):
    push(fake)
    client = open_server_client(fake)
    with pytest.raises(TlsError, match="server gave HTTP response to HTTPS client") as caught:
        await fetch_digest(client, SourceRepository(fake.host, "a/b"))
    assert caught.value.code == "tls.not_tls"
    assert fake.log == []
    assert (
        await fetch_digest(client, SourceRepository(fake.host, "a/b", insecure=True)) == S2_DIGEST
    )


@pytest.mark.case("import 4-10", "registry 175")
async def test_unknown_certificate_requires_insecure_import(open_fake, open_server_client):
    fake = open_fake(tls=self_signed())
    push(fake)
    client = open_server_client(fake)
    with pytest.raises(TlsError, match="x509: certificate signed by unknown authority") as caught:
        await fetch_digest(client, SourceRepository(fake.host, "a/b"))
    assert caught.value.code == "tls.untrusted"
    assert "TAGSTREAM_ADDITIONAL_TRUSTED_CA" in caught.value.text
    assert fake.log == []
    assert (
        await fetch_digest(client, SourceRepository(fake.host, "a/b", insecure=True)) == S2_DIGEST
    )


@pytest.mark.case("import 4-11")
async def test_insecure_import_does_not_affect_secure_import(fake, open_server_client):
    push(fake)
    client = open_server_client(fake)
    for _ in range(2):
        assert (
            await fetch_digest(client, SourceRepository(fake.host, "a/b", insecure=True))
            == S2_DIGEST
        )
        with pytest.raises(TlsError):
            await fetch_digest(client, SourceRepository(fake.host, "a/b"))


async def test_working_scheme_is_cached(fake, open_server_client):
    push(fake)
    client = open_server_client(fake)
    source = SourceRepository(fake.host, "a/b", insecure=True)
    assert client.exchange.base_url(source) == f"https://{fake.host}"
    await fetch_digest(client, source)
    connections = fake.connections
    assert client.exchange.base_url(source) == f"http://{fake.host}"
    for _ in range(3):
        await fetch_digest(client, source)
    assert fake.connections == connections


async def test_cached_http_scheme_is_dropped_after_tls_error(fake, open_server_client, authority):
    """The port stays and the scheme changes: the next request may fail, the second succeeds."""
    push(fake)
    client = open_server_client(fake)
    source = SourceRepository(fake.host, "a/b", insecure=True)
    await fetch_digest(client, source)
    fake.fail_next(
        "/v2/a/b/manifests/t", status=400, body=b"Client sent an HTTP request to an HTTPS server."
    )
    with pytest.raises(RegistryError):
        await fetch_digest(client, source)
    assert client.exchange.base_url(source) == f"https://{fake.host}"
    assert await fetch_digest(client, source) == S2_DIGEST


async def test_working_https_does_not_fall_back_to_http(tls_fake, open_server_client):
    push(tls_fake)
    client = open_server_client(tls_fake)
    source = SourceRepository(tls_fake.host, "a/b", insecure=True)
    await fetch_digest(client, source)
    tls_fake.on("/v2/a/b/manifests/t", b"")
    with pytest.raises(
        RegistryError, match=f'Get "https://{tls_fake.host}/v2/a/b/manifests/t": EOF'
    ):
        await fetch_digest(client, source)


async def test_loopback_registry_is_tried_by_https_then_http(fake, open_fake, client):
    """On loopback the client tries https first, unverified, and then plain http."""
    push(fake)
    assert await fetch_digest(client, SourceRepository(fake.host, "a/b")) == S2_DIGEST
    secured = open_fake(tls=self_signed())
    push(secured)
    assert await fetch_digest(client, SourceRepository(secured.host, "a/b")) == S2_DIGEST


async def test_embedded_client_requires_https_beyond_loopback(fake, open_client):
    push(fake)
    client = open_client(dependencies={"lookup": resolve_to_loopback})
    with pytest.raises(TlsError):
        await fetch_digest(client, SourceRepository(f"reg.test:{fake.port}", "a/b"))
    assert fake.log == []


async def test_credentials_over_http_require_operator_setting(fake, open_server_client):
    push(fake)
    fake.require_basic("u", CANARY)
    source = SourceRepository(fake.host, "a/b", insecure=True)
    with pytest.raises(EgressRefusedError, match="TAGSTREAM_CREDENTIALS_OVER_HTTP"):
        await fetch_digest(open_server_client(fake), source, login_context(fake.host))
    assert {request.authorization for request in fake.log} == {""}
    allowed = open_server_client(fake, credentials_over_http=True)
    assert await fetch_digest(allowed, source, login_context(fake.host)) == S2_DIGEST


async def test_anonymous_tokens_are_allowed_over_plain_http(fake, open_server_client):
    push(fake)
    fake.require_token()
    client = open_server_client(fake)
    source = SourceRepository(fake.host, "a/b", insecure=True)
    for _ in range(3):
        assert await fetch_digest(client, source) == S2_DIGEST
    assert len(fake.token_requests) == 1


@pytest.mark.case("registry 175", "registry 176")
async def test_sni_and_host_header_name_registry(tls_fake, open_client, authority_file):
    push(tls_fake)
    host = f"reg.test:{tls_fake.port}"
    dependencies = {"lookup": resolve_to_loopback}
    client = open_client(server_policy(host), dependencies=dependencies, ca_file=authority_file)
    assert await fetch_digest(client, SourceRepository(host, "a/b")) == S2_DIGEST
    assert tls_fake.log[-1].sni == "reg.test"
    assert tls_fake.log[-1].headers["host"] == host


async def test_connection_closed_on_both_schemes_reports_http_url(open_client):
    async def hang_up(_reader, writer):
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        client = open_client(server_policy(host))
        with pytest.raises(
            RegistryError, match=f'Get "http://{host}/v2/a/b/manifests/t": '
        ) as caught:
            await fetch_digest(client, SourceRepository(host, "a/b", insecure=True))
    assert caught.value.transient


def test_system_certificates_are_trusted_beside_operator_ca(authority_file):
    plain = _build_ssl_context(ClientConfig(policy=EgressPolicy()), verify=True)
    more = _build_ssl_context(
        ClientConfig(policy=EgressPolicy(), ca_file=authority_file), verify=True
    )
    assert more.verify_mode is ssl.CERT_REQUIRED
    assert more.check_hostname
    assert len(more.get_ca_certs()) == len(plain.get_ca_certs()) + 1
