"""The egress policy is enforced where sockets open: names, addresses, pools, proxies."""

import asyncio
import inspect
import socket
import ssl

import aiohttp
import pytest

from models.errors import EgressRefusedError, RegistryError, TransientRegistryError, status_of
from tests import fixtures as fx
from tests.integration.registry.client_helpers import (
    request_context,
    resolve_to_loopback,
    server_policy,
)
from worker.registry.registry_types import SourceRepository
from worker.registry.transport import connector
from worker.registry.transport.egress_policy import UNREACHABLE_TEXT, Allowance, EgressPolicy

ANONYMOUS = request_context()
S2_DIGEST = fx.digest_of(fx.S2)


def push(fake):
    fake.push("a/b", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)


def dns(**answers):
    """Return a resolver of `<label>.test`: each label has its answers in order.

    An answer is a list of addresses, a delay in seconds, or an error.
    """
    remaining = {name: iter(answer) for name, answer in answers.items()}

    async def lookup(host, _port):
        answer = next(remaining[host.removesuffix(".test")])
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, float):
            await asyncio.sleep(answer)
            return ["127.0.0.1"]
        return answer

    return {"lookup": lookup}


@pytest.fixture
def opened_addresses(monkeypatch):
    """The addresses that sockets were opened for."""
    seen = []
    original = connector.GuardedTransport._open_socket

    def spy(self, info):
        made = original(self, info)
        seen.append(info[4][0])
        return made

    monkeypatch.setattr(connector.GuardedTransport, "_open_socket", spy)
    return seen


async def fetch_error(client, source, kind=EgressRefusedError):
    with pytest.raises(kind) as caught:
        await client.fetch_manifest(source, "t", ANONYMOUS)
    return caught.value


@pytest.mark.parametrize(
    "registry",
    [
        "169.254.169.254",
        "10.0.0.1:2375",
        "127.0.0.1:6379",
        "192.168.1.1:5000",
        "[::ffff:169.254.169.254]",
        "[::1]:5000",
        "localhost:5000",
        "redis:6379",
        "private.test",
        "mixed.test",
        "mapped.test",
    ],
)
@pytest.mark.case("registry 172")
async def test_no_socket_is_opened_to_denied_host(open_client, opened_addresses, registry):
    dependencies = dns(
        private=[["10.0.0.5"]], mixed=[["93.184.216.34", "10.0.0.1"]], mapped=[["::ffff:10.0.0.1"]]
    )
    error = await fetch_error(
        open_client(EgressPolicy(), dependencies=dependencies), SourceRepository(registry, "a/b")
    )
    assert error.code.startswith("policy.")
    assert opened_addresses == []


@pytest.mark.case("registry 171")
async def test_dialled_address_is_the_checked_address(fake, open_client, opened_addresses):
    """The name resolves to another address later; every connection resolves it again."""
    fake.header("/v2/.*", "Connection", "close")
    push(fake)
    host = f"rebind.test:{fake.port}"
    policy = EgressPolicy(allowances=(Allowance.parse("127.0.0.1", fake.port),))
    client = open_client(policy, dependencies=dns(rebind=[["127.0.0.1"]] * 2 + [["10.0.0.1"]]))
    source = SourceRepository(host, "a/b", insecure=True)
    assert (await client.fetch_manifest(source, "t", ANONYMOUS)).digest == S2_DIGEST
    fake.abort_connections()
    await fetch_error(client, source)
    assert set(opened_addresses) == {"127.0.0.1"}


@pytest.mark.case("registry 171")
async def test_name_resolving_to_loopback_is_refused(fake, open_client, opened_addresses):
    dependencies = dns(evil=[["127.0.0.1"]])
    client = open_client(EgressPolicy(), dependencies=dependencies)
    await fetch_error(client, SourceRepository("evil.test", "a/b"))
    assert opened_addresses == []
    assert fake.log == []


@pytest.mark.case("registry 173")
async def test_open_connection_is_not_shared_with_denied_tenant(fake, open_client):
    push(fake)
    host = f"reg.test:{fake.port}"
    policy = EgressPolicy(allowances=(Allowance.parse("reg.test", fake.port, "a"),))
    client = open_client(policy, dependencies={"lookup": resolve_to_loopback})
    source = SourceRepository(host, "a/b", insecure=True)
    await client.fetch_manifest(source, "t", request_context(tenant="a"))
    with pytest.raises(EgressRefusedError):
        await client.fetch_manifest(source, "t", request_context(tenant="b"))
    await client.fetch_manifest(source, "t", request_context(tenant="a"))
    assert len([line for line in fake.requests if "manifests" in line]) == 2


@pytest.mark.case("registry 174")
async def test_environment_proxies_and_netrc_are_ignored(
    fake, open_fake, open_client, monkeypatch, tmp_path
):
    proxy = open_fake()
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login u password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url)
        monkeypatch.setenv(name.lower(), proxy.url)
    push(fake)
    await open_client().fetch_manifest(SourceRepository(fake.host, "a/b"), "t", ANONYMOUS)
    assert proxy.log == []
    assert proxy.connections == 0
    assert fake.log[-1].authorization == ""


@pytest.fixture
def closed_port():
    """A local port without a listener."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@pytest.fixture
def silent_port():
    """A local port that accepts connections and never responds."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.case("registry 178")
async def test_blocked_closed_and_silent_hosts_report_one_error(
    open_client, monkeypatch, closed_port, silent_port
):
    """The error for a host that the operator did not allow reveals nothing about it."""
    monkeypatch.setattr(connector, "CONNECT_SECONDS", 0.2)
    monkeypatch.setattr(
        "worker.registry.transport.egress_policy.is_public", str
    )  # loopback counts as public
    ports = frozenset({443, closed_port, silent_port})
    policy = EgressPolicy(ports=ports)
    private, own = [["169.254.1.1"]] * 9, [["127.0.0.1"]] * 9
    dependencies = dns(blocked=private, closed=own, silent=own)
    client = open_client(policy, dependencies=dependencies, manifest_seconds=0.3)
    messages = set()
    for host in ("blocked.test", f"closed.test:{closed_port}", f"silent.test:{silent_port}"):
        error = await fetch_error(client, SourceRepository(host, "a/b"), RegistryError)
        message = status_of(error)["message"].replace(f"{host}/", "HOST/")
        messages.add((message, status_of(error)["reason"], status_of(error)["code"]))
    assert messages == {
        (f"Internal error occurred: HOST/a/b:t: {UNREACHABLE_TEXT}", "InternalError", 500)
    }


async def test_allowed_host_failure_reports_cause(open_client, closed_port):
    host = f"127.0.0.1:{closed_port}"
    client = open_client(server_policy(host))
    error = await fetch_error(client, SourceRepository(host, "a/b"), TransientRegistryError)
    assert error.text == (
        f'Get "https://{host}/v2/a/b/manifests/t": dial tcp {host}: connect: connection refused'
    )
    error = await fetch_error(
        client, SourceRepository(host, "a/b", insecure=True), TransientRegistryError
    )
    assert f'Get "http://{host}/v2/a/b/manifests/t": dial tcp' in error.text


async def test_unknown_host_name_is_reported(open_client):
    missing = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    client = open_client(EgressPolicy(), dependencies=dns(nosuch=[missing] * 3))
    error = await fetch_error(
        client, SourceRepository("nosuch.test", "a/b"), TransientRegistryError
    )
    assert error.code == "net.dns_nxdomain"
    assert error.text.endswith("dial tcp: lookup nosuch.test: no such host")


@pytest.mark.case("registry 184")
async def test_hanging_dns_lookup_does_not_delay_other_hosts(fake, open_client):
    push(fake)
    dependencies = dns(tarpit=[60.0] * 9, good=[["127.0.0.1"]] * 9)
    policy = server_policy(f"good.test:{fake.port}", f"tarpit.test:{fake.port}")
    client = open_client(policy, dependencies=dependencies, dns_seconds=0.3)
    stuck = asyncio.create_task(
        fetch_error(
            client, SourceRepository(f"tarpit.test:{fake.port}", "a/b"), TransientRegistryError
        )
    )
    good = SourceRepository(f"good.test:{fake.port}", "a/b", insecure=True)
    async with asyncio.timeout(2):
        assert (await client.fetch_manifest(good, "t", ANONYMOUS)).digest == S2_DIGEST
        error = await stuck
    assert error.code == "net.timeout"


async def test_system_lookup_uses_its_own_threads(monkeypatch):
    """Thirty hanging lookups occupy no thread of the event loop's executor."""
    released = asyncio.Event()
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda *_, **__: asyncio.run_coroutine_threadsafe(released.wait(), loop).result() and [],
    )
    hanging = [asyncio.create_task(connector.system_lookup(f"h{n}.test", 443)) for n in range(30)]
    assert await asyncio.wait_for(asyncio.to_thread(lambda: "free"), 2) == "free"
    released.set()
    await asyncio.gather(*hanging)


@pytest.mark.case("registry 190")
async def test_aiohttp_connector_calls_resolver_and_socket_factory(opened_addresses):
    """aiohttp calls `resolver` for names and `socket_factory` for every socket, literals too."""
    parameters = inspect.signature(aiohttp.TCPConnector).parameters
    assert {"resolver", "socket_factory", "use_dns_cache"} <= set(parameters)
    context = ssl.create_default_context()
    guarded = connector.GuardedTransport(
        EgressPolicy(), context, lookup=resolve_to_loopback, dns_seconds=1
    )
    for url in ("http://127.0.0.1:80/", "http://[::1]:80/", "http://name.test/"):
        with pytest.raises(EgressRefusedError):
            await guarded.open("GET", url, {}, None)
    assert opened_addresses == []
    await guarded.close()


async def test_cookies_are_never_sent_back(fake, client):
    push(fake)
    fake.header("/v2/.*", "Set-Cookie", "sid=1; Path=/")
    for _ in range(2):
        await client.fetch_manifest(SourceRepository(fake.host, "a/b"), "t", ANONYMOUS)
    assert not any(request.headers.get("cookie") for request in fake.log)
