"""The guard with the real policy: which sockets open, to which addresses, under which names."""

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
from tests.integration.registry.rights import (
    access,
    everything_is_here,
    open_client,
    server_policy,
)
from worker.registry.registry_types import Place
from worker.registry.request_context import Access
from worker.registry.transport.egress_policy import DENIED, REFUSED, Allowance, EgressPolicy

SERVER = EgressPolicy()


@pytest.mark.case("registry 170")
@pytest.mark.parametrize("network", DENIED, ids=str)
def test_every_denied_network_is_denied_from_its_first_to_its_last_address(network):
    for address in (network[0], network[-1]):
        with pytest.raises(EgressRefusedError):
            SERVER.check_addresses("x.io", 443, [address])
        if address.version == 4:
            number = int(address)
            for disguise in (
                ipaddress.IPv6Address((0xFFFF << 32) | number),
                ipaddress.IPv6Address((0x64FF9B << 96) | number),
                ipaddress.IPv6Address((0x2002 << 112) | (number << 80)),
            ):
                with pytest.raises(EgressRefusedError):
                    SERVER.check_addresses("x.io", 443, [disguise])


@pytest.mark.case("registry 170")
def test_one_persons_machine_reaches_its_own_networks_but_no_metadata():
    own = EgressPolicy(embedded=True)
    for text in ("127.0.0.1", "10.1.2.3", "192.168.1.1", "::1", "fd00::1", "8.8.8.8"):
        own.check_addresses("x", 5000, [ipaddress.ip_address(text)])
    for text in ("169.254.169.254", "168.63.129.16", "100.100.100.200", "fd00:ec2::254", "fe80::1"):
        with pytest.raises(EgressRefusedError):
            own.check_addresses("x", 80, [ipaddress.ip_address(text)])


@pytest.mark.parametrize(
    ("host", "port"),
    [
        *(("localhost", 443), ("a.local", 443), ("x.svc", 443), ("kubernetes.default", 443)),
        *(("metadata", 443), ("single", 443), ("x.io", 22), ("x.io", 6379), ("x.io", 80)),
    ],
)
def test_private_names_and_odd_ports_are_refused_before_any_look_up(host, port):
    with pytest.raises(EgressRefusedError):
        SERVER.check_name(host, port)


async def refused_by_lookup(answers):
    """The error of a fetch from reg.test when its name means `answers`, one list a look-up."""
    asked = iter(answers)

    async def lookup(_name, _port):
        return next(asked)

    client = open_client(EgressPolicy(), lookup=lookup)
    try:
        with pytest.raises(RegistryError) as refused:
            await client.fetch_manifest(Place("reg.test", "a/b"), "t", access())
        return refused.value
    finally:
        await client.close()


@pytest.mark.case("registry 171", "registry 172")
@pytest.mark.parametrize(
    "answers", [["127.0.0.1"], ["93.184.216.34", "10.0.0.1"], ["2606:4700::1", "fc00::1"]]
)
async def test_one_denied_answer_refuses_the_whole_name(answers):
    error = await refused_by_lookup([answers])
    assert error.code == "policy.address"


@pytest.mark.case("registry 171")
async def test_a_name_is_looked_up_once_a_connection_and_goes_where_it_was_vetted(
    tls_fake, authority_file
):
    asked = []

    async def lookup(name, _port):
        asked.append(name)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.2"]

    tls_fake.push("a/b", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE)
    client = open_client(
        server_policy(f"reg.test:{tls_fake.port}"), lookup=lookup, ca_file=authority_file
    )
    place = Place(f"reg.test:{tls_fake.port}", "a/b")
    for _ in range(3):
        await client.fetch_manifest(place, "t", access())
    await client.close()
    assert asked == ["reg.test"]
    assert {request.sni for request in tls_fake.log} == {"reg.test"}


@pytest.mark.case("registry 173")
async def test_a_connection_of_one_tenant_serves_no_other_that_may_not_have_it(fake):
    fake.push("a/b", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE)
    name, _, port = fake.host.rpartition(":")
    client = open_client(EgressPolicy(allowances=(Allowance.parse(name, int(port), "rich"),)))
    place = Place(fake.host, "a/b", insecure=True)
    await client.fetch_manifest(place, "t", Access(tenant="rich"))
    with pytest.raises(EgressRefusedError):
        await client.fetch_manifest(place, "t", Access(tenant="poor"))
    await client.close()


@pytest.mark.case("registry 174")
async def test_proxies_of_the_environment_are_not_used(fake, open_fake, monkeypatch, tmp_path):
    proxy = open_fake()
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, proxy.url)
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login u password p")
    monkeypatch.setenv("HOME", str(tmp_path))
    fake.push("a/b", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE)
    client = open_client()
    await client.fetch_manifest(Place(fake.host, "a/b"), "t", access())
    await client.close()
    assert proxy.requests == []
    assert all("authorization" not in request.headers for request in fake.log)


@pytest.mark.case("registry 175")
@pytest.mark.parametrize("fault", ["self_signed", "expired", "misnamed"])
async def test_a_certificate_that_proves_nothing_is_refused(
    open_fake, authority, authority_file, fault
):
    faulty = {
        "self_signed": certificates.self_signed,
        "expired": lambda: authority.issue(expired=True),
        "misnamed": lambda: authority.issue("elsewhere.test"),
    }
    server = open_fake(tls=faulty[fault]())
    client = open_client(
        server_policy(server.host), lookup=everything_is_here, ca_file=authority_file
    )
    with pytest.raises(TlsError, match="x509") as refused:
        await client.fetch_manifest(Place(server.host, "a/b"), "t", access())
    await client.close()
    assert (refused.value.code, server.requests) == ("tls.untrusted", [])


@pytest.mark.case("registry 175")
async def test_plain_http_on_a_tls_port_is_told_and_never_spoken(fake):
    client = open_client(server_policy(fake.host))
    with pytest.raises(TlsError, match="server gave HTTP response to HTTPS client") as refused:
        await client.fetch_manifest(Place(fake.host, "a/b"), "t", access())
    await client.close()
    assert (refused.value.code, fake.requests) == ("tls.not_tls", [])


@pytest.mark.case("registry 176")
async def test_a_ca_of_the_operator_vouches_for_its_own_servers_only(
    tls_fake, open_fake, authority_file
):
    tls_fake.push("a/b", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE)
    stranger = open_fake(tls=certificates.self_signed())
    client = open_client(server_policy(tls_fake.host, stranger.host), ca_file=authority_file)
    await client.fetch_manifest(Place(tls_fake.host, "a/b"), "t", access())
    with pytest.raises(TlsError):
        await client.fetch_manifest(Place(stranger.host, "a/b"), "t", access())
    await client.close()


@pytest.mark.case("registry 178")
async def test_blocked_closed_and_silent_look_the_same_to_a_tenant():
    told = set()
    for address in ("127.0.0.1", "10.0.0.1", "192.168.0.1"):
        client = open_client(EgressPolicy(ports=frozenset({443, 1})))
        with pytest.raises(RegistryError) as refused:
            await client.fetch_manifest(Place(f"{address}:1", "a/b"), "t", access())
        await client.close()
        told.add(refused.value.text)
    assert told == {REFUSED}


@pytest.mark.case("registry 180")
@pytest.mark.parametrize("kind", ["head", "body", "silence"])
async def test_slow_answers_end_by_the_deadline(fake, kind):
    fake.push("a/b", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE)
    path = "/v2/a/b/manifests/t"
    if kind == "head":
        fake.raw(path, [bytes([byte]) for byte in b"HTTP/1.1 200 OK\r\n" * 20], [0.05] * 400)
    elif kind == "body":
        fake.drip(path, pause=0.05)
    else:
        fake.stall(path)
    client = open_client(manifest_seconds=0.4)
    began = time.monotonic()
    with pytest.raises(TransientRegistryError) as refused:
        await client.fetch_manifest(Place(fake.host, "a/b"), "t", access())
    await client.close()
    assert refused.value.code == "net.timeout"
    assert time.monotonic() - began < 3 * 0.4 + 3


@pytest.mark.case("registry 181")
async def test_fifty_silent_registries_do_not_hold_up_a_healthy_one(fake, open_fake):
    silent = open_fake()
    silent.stall()
    fake.push("a/b", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE)
    client = open_client(manifest_seconds=2.0)
    waiting = [
        asyncio.ensure_future(
            client.fetch_manifest(Place(silent.host, f"a/b{number}"), "t", access())
        )
        for number in range(50)
    ]
    found = await client.fetch_manifest(Place(fake.host, "a/b"), "t", access())
    assert found.digest == fx.digest_of(fx.S2)
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
async def test_malformed_and_flooding_heads_are_typed_errors(fake, head):
    fake.raw("/v2/a/b/manifests/t", [head], end="close")
    client = open_client(manifest_seconds=5.0)
    with pytest.raises(RegistryError):
        await client.fetch_manifest(Place(fake.host, "a/b"), "t", access())
    await client.close()


@pytest.mark.case("registry 184")
async def test_a_name_that_is_never_resolved_harms_nobody_else(fake):
    fake.push("a/b", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE)

    async def lookup(_name, _port):
        await asyncio.sleep(60)

    client = open_client(lookup=lookup, dns_seconds=0.3)
    lost = asyncio.ensure_future(client.fetch_manifest(Place("tarpit.test", "a/b"), "t", access()))
    found = await client.fetch_manifest(Place(fake.host, "a/b"), "t", access())
    assert found.digest == fx.digest_of(fx.S2)
    with pytest.raises(RegistryError):
        await lost
    await client.close()


@pytest.mark.case("registry 190")
def test_the_library_still_opens_its_sockets_through_our_guard():
    parameters = inspect.signature(aiohttp.TCPConnector.__init__).parameters
    assert {"socket_factory", "resolver", "use_dns_cache"} <= set(parameters)


@pytest.mark.case("registry 190")
async def test_a_literal_address_passes_the_guard_where_the_socket_opens():
    """aiohttp asks no resolver about literals, so the check must stand behind it."""
    client = open_client(EgressPolicy(ports=frozenset({1})))
    transport = client.exchange._transport(client.exchange.policy(access()), verify=True)
    with pytest.raises(EgressRefusedError):
        transport._open_socket((2, 1, 6, "", ("127.0.0.1", 1)))
    await client.close()
