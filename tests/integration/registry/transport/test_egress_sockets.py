"""The egress policy of a server: which sockets open, to which addresses and names."""

import asyncio
import inspect
import ipaddress
import time

import aiohttp
import pytest

from models.errors import (
    EgressRefusedError,
    RegistryError,
    TlsError,
    TransientRegistryError,
)
from tests import fixtures as fx
from tests.fakeregistry import certificates
from tests.integration.registry.client_helpers import (
    make_client,
    request_context,
    resolve_to_loopback,
    server_policy,
)
from worker.registry.registry_types import SourceRepository
from worker.registry.request_context import RequestContext
from worker.registry.transport.egress_policy import (
    DENIED_NETWORKS,
    UNREACHABLE_TEXT,
    Allowance,
    EgressPolicy,
)

SERVER = EgressPolicy()


@pytest.mark.case("registry 170")
@pytest.mark.parametrize("network", DENIED_NETWORKS, ids=str)
def test_denied_network_is_refused_at_first_and_last_address(network):
    for address in (network[0], network[-1]):
        with pytest.raises(EgressRefusedError):
            SERVER.check_addresses("x.io", 443, [address])
        if address.version == 4:
            number = int(address)
            for embedding in (
                ipaddress.IPv6Address((0xFFFF << 32) | number),
                ipaddress.IPv6Address((0x64FF9B << 96) | number),
                ipaddress.IPv6Address((0x2002 << 112) | (number << 80)),
            ):
                with pytest.raises(EgressRefusedError):
                    SERVER.check_addresses("x.io", 443, [embedding])


@pytest.mark.case("registry 170")
def test_embedded_policy_admits_local_networks_but_not_metadata():
    embedded = EgressPolicy(embedded=True)
    for text in ("127.0.0.1", "10.1.2.3", "192.168.1.1", "::1", "fd00::1", "8.8.8.8"):
        embedded.check_addresses("x", 5000, [ipaddress.ip_address(text)])
    for text in ("169.254.169.254", "168.63.129.16", "100.100.100.200", "fd00:ec2::254", "fe80::1"):
        with pytest.raises(EgressRefusedError):
            embedded.check_addresses("x", 80, [ipaddress.ip_address(text)])


@pytest.mark.parametrize(
    ("host", "port"),
    [
        *(("localhost", 443), ("a.local", 443), ("x.svc", 443), ("kubernetes.default", 443)),
        *(("metadata", 443), ("single", 443), ("x.io", 22), ("x.io", 6379), ("x.io", 80)),
    ],
)
def test_private_names_and_ports_are_refused_before_lookup(host, port):
    with pytest.raises(EgressRefusedError):
        SERVER.check_name(host, port)


async def refused_by_lookup(answers):
    """Return the error of a fetch from reg.test, which resolves to `answers`, one list a lookup."""
    lookups = iter(answers)

    async def lookup(_name, _port):
        return next(lookups)

    client = make_client(EgressPolicy(), lookup=lookup)
    try:
        with pytest.raises(RegistryError) as caught:
            await client.fetch_manifest(SourceRepository("reg.test", "a/b"), "t", request_context())
        return caught.value
    finally:
        await client.close()


@pytest.mark.case("registry 171", "registry 172")
@pytest.mark.parametrize(
    "answers", [["127.0.0.1"], ["93.184.216.34", "10.0.0.1"], ["2606:4700::1", "fc00::1"]]
)
async def test_one_denied_dns_address_refuses_name(answers):
    error = await refused_by_lookup([answers])
    assert error.code == "policy.address"


@pytest.mark.case("registry 171")
async def test_name_is_resolved_once_per_connection(tls_fake, authority_file):
    lookups = []

    async def lookup(name, _port):
        lookups.append(name)
        return ["127.0.0.1"] if len(lookups) == 1 else ["127.0.0.2"]

    tls_fake.push("a/b", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE)
    client = make_client(
        server_policy(f"reg.test:{tls_fake.port}"), lookup=lookup, ca_file=authority_file
    )
    source = SourceRepository(f"reg.test:{tls_fake.port}", "a/b")
    for _ in range(3):
        await client.fetch_manifest(source, "t", request_context())
    await client.close()
    assert lookups == ["reg.test"]
    assert {request.sni for request in tls_fake.log} == {"reg.test"}


@pytest.mark.case("registry 173")
async def test_connection_is_not_reused_for_denied_tenant(fake):
    fake.push("a/b", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE)
    name, _, port = fake.host.rpartition(":")
    client = make_client(EgressPolicy(allowances=(Allowance.parse(name, int(port), "allowed"),)))
    source = SourceRepository(fake.host, "a/b", insecure=True)
    await client.fetch_manifest(source, "t", RequestContext(tenant="allowed"))
    with pytest.raises(EgressRefusedError):
        await client.fetch_manifest(source, "t", RequestContext(tenant="denied"))
    await client.close()


@pytest.mark.case("registry 174")
async def test_environment_proxies_are_not_used(fake, open_fake, monkeypatch, tmp_path):
    proxy = open_fake()
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, proxy.url)
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login u password p")
    monkeypatch.setenv("HOME", str(tmp_path))
    fake.push("a/b", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE)
    client = make_client()
    await client.fetch_manifest(SourceRepository(fake.host, "a/b"), "t", request_context())
    await client.close()
    assert proxy.requests == []
    assert all("authorization" not in request.headers for request in fake.log)


@pytest.mark.case("registry 175")
@pytest.mark.parametrize("fault", ["self_signed", "expired", "misnamed"])
async def test_invalid_certificate_is_refused(open_fake, authority, authority_file, fault):
    faulty = {
        "self_signed": certificates.self_signed,
        "expired": lambda: authority.issue(expired=True),
        "misnamed": lambda: authority.issue("elsewhere.test"),
    }
    server = open_fake(tls=faulty[fault]())
    client = make_client(
        server_policy(server.host), lookup=resolve_to_loopback, ca_file=authority_file
    )
    with pytest.raises(TlsError, match="x509") as caught:
        await client.fetch_manifest(SourceRepository(server.host, "a/b"), "t", request_context())
    await client.close()
    assert (caught.value.code, server.requests) == ("tls.untrusted", [])


@pytest.mark.case("registry 175")
async def test_plain_http_server_is_reported_and_not_used(fake):
    client = make_client(server_policy(fake.host))
    with pytest.raises(TlsError, match="server gave HTTP response to HTTPS client") as caught:
        await client.fetch_manifest(SourceRepository(fake.host, "a/b"), "t", request_context())
    await client.close()
    assert (caught.value.code, fake.requests) == ("tls.not_tls", [])


@pytest.mark.case("registry 176")
async def test_operator_ca_is_trusted_for_its_servers_only(tls_fake, open_fake, authority_file):
    tls_fake.push("a/b", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE)
    untrusted = open_fake(tls=certificates.self_signed())
    client = make_client(server_policy(tls_fake.host, untrusted.host), ca_file=authority_file)
    await client.fetch_manifest(SourceRepository(tls_fake.host, "a/b"), "t", request_context())
    with pytest.raises(TlsError):
        await client.fetch_manifest(SourceRepository(untrusted.host, "a/b"), "t", request_context())
    await client.close()


@pytest.mark.case("registry 178")
async def test_unreachable_addresses_report_one_text_to_tenant():
    texts = set()
    for address in ("127.0.0.1", "10.0.0.1", "192.168.0.1"):
        client = make_client(EgressPolicy(ports=frozenset({443, 1})))
        with pytest.raises(RegistryError) as caught:
            await client.fetch_manifest(
                SourceRepository(f"{address}:1", "a/b"), "t", request_context()
            )
        await client.close()
        texts.add(caught.value.text)
    assert texts == {UNREACHABLE_TEXT}


@pytest.mark.case("registry 180")
@pytest.mark.parametrize("kind", ["head", "body", "silence"])
async def test_slow_responses_end_at_deadline(fake, kind):
    fake.push("a/b", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE)
    path = "/v2/a/b/manifests/t"
    if kind == "head":
        fake.raw(path, [bytes([byte]) for byte in b"HTTP/1.1 200 OK\r\n" * 20], [0.05] * 400)
    elif kind == "body":
        fake.drip(path, pause=0.05)
    else:
        fake.stall(path)
    client = make_client(manifest_seconds=0.4)
    began = time.monotonic()
    with pytest.raises(TransientRegistryError) as caught:
        await client.fetch_manifest(SourceRepository(fake.host, "a/b"), "t", request_context())
    await client.close()
    assert caught.value.code == "net.timeout"
    assert time.monotonic() - began < 3 * 0.4 + 3


@pytest.mark.case("registry 181")
async def test_silent_registry_does_not_delay_healthy_registry(fake, open_fake):
    silent = open_fake()
    silent.stall()
    fake.push("a/b", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE)
    client = make_client(manifest_seconds=2.0)
    waiting = [
        asyncio.ensure_future(
            client.fetch_manifest(
                SourceRepository(silent.host, f"a/b{number}"), "t", request_context()
            )
        )
        for number in range(50)
    ]
    fetched = await client.fetch_manifest(
        SourceRepository(fake.host, "a/b"), "t", request_context()
    )
    assert fetched.digest == fx.digest_of(fx.S2)
    assert not any(each.done() for each in waiting)
    for each in waiting:
        each.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await client.close()


@pytest.mark.case("registry 183")
@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 40_000 + b"\r\n",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 2000,
    ],
)
async def test_malformed_and_oversized_response_heads_are_typed_errors(fake, head):
    fake.raw("/v2/a/b/manifests/t", [head], end="close")
    client = make_client(manifest_seconds=5.0)
    with pytest.raises(RegistryError):
        await client.fetch_manifest(SourceRepository(fake.host, "a/b"), "t", request_context())
    await client.close()


@pytest.mark.case("registry 184")
async def test_hanging_lookup_does_not_delay_other_registry(fake):
    fake.push("a/b", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE)

    async def lookup(_name, _port):
        await asyncio.sleep(60)

    client = make_client(lookup=lookup, dns_seconds=0.3)
    hanging = asyncio.ensure_future(
        client.fetch_manifest(SourceRepository("tarpit.test", "a/b"), "t", request_context())
    )
    fetched = await client.fetch_manifest(
        SourceRepository(fake.host, "a/b"), "t", request_context()
    )
    assert fetched.digest == fx.digest_of(fx.S2)
    with pytest.raises(RegistryError):
        await hanging
    await client.close()


@pytest.mark.case("registry 190")
def test_aiohttp_connector_accepts_socket_factory_and_resolver():
    parameters = inspect.signature(aiohttp.TCPConnector.__init__).parameters
    assert {"socket_factory", "resolver", "use_dns_cache"} <= set(parameters)


@pytest.mark.case("registry 190")
async def test_literal_address_is_checked_when_socket_opens():
    """aiohttp does not resolve literals, so the check must be made at the socket."""
    client = make_client(EgressPolicy(ports=frozenset({1})))
    transport = client.exchange._transport(client.exchange.policy(request_context()), verify=True)
    with pytest.raises(EgressRefusedError):
        transport._open_socket((2, 1, 6, "", ("127.0.0.1", 1)))
    await client.close()
