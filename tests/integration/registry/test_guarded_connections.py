"""The guard sits where the socket opens: names, addresses, pools, proxies, silence."""

import asyncio
import inspect
import socket
import ssl

import aiohttp
import pytest

from models.errors import EgressRefusedError, RegistryError, TransientRegistryError, status_of
from tests import fixtures as fx
from tests.integration.registry.rights import access, everything_is_here, server_policy
from worker.registry.registry_types import Place
from worker.registry.transport import connector
from worker.registry.transport.egress_policy import REFUSED, Allowance, EgressPolicy

ANYBODY = access()
D1 = fx.digest_of(fx.S2)


def push(fake):
    fake.push("a/b", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)


def names(**meanings):
    """A resolver: label of `<label>.test` → addresses, a list of them by turns, or an error."""
    turns = {name: iter(said) for name, said in meanings.items()}

    async def lookup(host, _port):
        said = next(turns[host.removesuffix(".test")])
        if isinstance(said, Exception):
            raise said
        if isinstance(said, float):
            await asyncio.sleep(said)
            return ["127.0.0.1"]
        return said

    return {"lookup": lookup}


@pytest.fixture
def opened(monkeypatch):
    """The addresses that sockets were opened for."""
    seen = []
    original = connector.GuardedTransport._open_socket

    def spy(self, info):
        made = original(self, info)
        seen.append(info[4][0])
        return made

    monkeypatch.setattr(connector.GuardedTransport, "_open_socket", spy)
    return seen


async def refusal(client, place, kind=EgressRefusedError):
    with pytest.raises(kind) as caught:
        await client.fetch_manifest(place, "t", ANYBODY)
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
async def test_no_socket_is_opened_to_what_is_denied(open_client, opened, registry):
    world = names(
        private=[["10.0.0.5"]], mixed=[["93.184.216.34", "10.0.0.1"]], mapped=[["::ffff:10.0.0.1"]]
    )
    error = await refusal(open_client(EgressPolicy(), world=world), Place(registry, "a/b"))
    assert error.code.startswith("policy.")
    assert opened == []


@pytest.mark.case("registry 171")
async def test_the_address_that_was_vetted_is_the_one_that_is_dialled(fake, open_client, opened):
    """The name turns to another address after each look-up; every connection looks up anew."""
    fake.header("/v2/.*", "Connection", "close")
    push(fake)
    host = f"turn.test:{fake.port}"
    policy = EgressPolicy(allowances=(Allowance.parse("127.0.0.1", fake.port),))
    client = open_client(policy, world=names(turn=[["127.0.0.1"]] * 2 + [["10.0.0.1"]]))
    place = Place(host, "a/b", insecure=True)
    assert (await client.fetch_manifest(place, "t", ANYBODY)).digest == D1
    fake.hang_up()
    await refusal(client, place)
    assert set(opened) == {"127.0.0.1"}


@pytest.mark.case("registry 171")
async def test_a_name_that_turns_to_this_machine_is_refused(fake, open_client, opened):
    world = names(evil=[["127.0.0.1"]])
    client = open_client(EgressPolicy(), world=world)
    await refusal(client, Place("evil.test", "a/b"))
    assert opened == []
    assert fake.log == []


@pytest.mark.case("registry 173")
async def test_an_open_connection_serves_nobody_who_may_not_open_it(fake, open_client):
    push(fake)
    host = f"reg.test:{fake.port}"
    policy = EgressPolicy(allowances=(Allowance.parse("reg.test", fake.port, "a"),))
    client = open_client(policy, world={"lookup": everything_is_here})
    place = Place(host, "a/b", insecure=True)
    await client.fetch_manifest(place, "t", access(tenant="a"))
    with pytest.raises(EgressRefusedError):
        await client.fetch_manifest(place, "t", access(tenant="b"))
    await client.fetch_manifest(place, "t", access(tenant="a"))
    assert len([line for line in fake.requests if "manifests" in line]) == 2


@pytest.mark.case("registry 174")
async def test_the_environments_proxies_and_netrc_are_not_used(
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
    await open_client().fetch_manifest(Place(fake.host, "a/b"), "t", ANYBODY)
    assert proxy.log == []
    assert proxy.connections == 0
    assert fake.log[-1].authorization == ""


@pytest.fixture
def closed_port():
    """A port of this machine where nobody listens."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@pytest.fixture
def silent_port():
    """A port of this machine that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.case("registry 178")
async def test_blocked_closed_and_silent_hosts_sound_the_same(
    open_client, monkeypatch, closed_port, silent_port
):
    """What a tenant hears of a host that the operator did not allow tells nothing about it."""
    monkeypatch.setattr(connector, "CONNECT_SECONDS", 0.2)
    monkeypatch.setattr(
        "worker.registry.transport.egress_policy.is_public", str
    )  # this machine plays the internet
    ports = frozenset({443, closed_port, silent_port})
    policy = EgressPolicy(ports=ports)
    world = names(blocked=[["169.254.1.1"]], closed=[["127.0.0.1"]] * 9, silent=[["127.0.0.1"]] * 9)
    client = open_client(policy, world=world, manifest_seconds=0.3)
    messages = set()
    for host in ("blocked.test", f"closed.test:{closed_port}", f"silent.test:{silent_port}"):
        error = await refusal(client, Place(host, "a/b"), RegistryError)
        message = status_of(error)["message"].replace(f"{host}/", "HOST/")
        messages.add((message, status_of(error)["reason"], status_of(error)["code"]))
    assert messages == {(f"Internal error occurred: HOST/a/b:t: {REFUSED}", "InternalError", 500)}


async def test_of_an_allowed_host_the_cause_is_told(open_client, closed_port):
    host = f"127.0.0.1:{closed_port}"
    client = open_client(server_policy(host))
    error = await refusal(client, Place(host, "a/b"), TransientRegistryError)
    assert error.text == (
        f'Get "https://{host}/v2/a/b/manifests/t": dial tcp {host}: connect: connection refused'
    )
    error = await refusal(client, Place(host, "a/b", insecure=True), TransientRegistryError)
    assert f'Get "http://{host}/v2/a/b/manifests/t": dial tcp' in error.text


async def test_a_name_that_nobody_knows_is_told(open_client):
    missing = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    client = open_client(EgressPolicy(), world=names(nosuch=[missing] * 3))
    error = await refusal(client, Place("nosuch.test", "a/b"), TransientRegistryError)
    assert error.code == "net.dns_nxdomain"
    assert error.text.endswith("dial tcp: lookup nosuch.test: no such host")


@pytest.mark.case("registry 184")
async def test_a_name_server_that_hangs_harms_nobody_else(fake, open_client):
    push(fake)
    world = names(tarpit=[60.0] * 9, good=[["127.0.0.1"]] * 9)
    policy = server_policy(f"good.test:{fake.port}", f"tarpit.test:{fake.port}")
    client = open_client(policy, world=world, dns_seconds=0.3)
    stuck = asyncio.create_task(
        refusal(client, Place(f"tarpit.test:{fake.port}", "a/b"), TransientRegistryError)
    )
    good = Place(f"good.test:{fake.port}", "a/b", insecure=True)
    async with asyncio.timeout(2):
        assert (await client.fetch_manifest(good, "t", ANYBODY)).digest == D1
        error = await stuck
    assert error.code == "net.timeout"


async def test_the_systems_look_up_has_threads_of_its_own(monkeypatch):
    """Thirty names that hang leave the loop's own threads alone."""
    hold = asyncio.Event()
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda *_, **__: asyncio.run_coroutine_threadsafe(hold.wait(), loop).result() and [],
    )
    hanging = [asyncio.create_task(connector.look_up(f"h{n}.test", 443)) for n in range(30)]
    assert await asyncio.wait_for(asyncio.to_thread(lambda: "free"), 2) == "free"
    hold.set()
    await asyncio.gather(*hanging)


@pytest.mark.case("registry 190")
async def test_what_the_guard_leans_on_in_the_transport_is_still_there(opened):
    """aiohttp asks `resolver` for names and `socket_factory` for every socket, literals too."""
    parameters = inspect.signature(aiohttp.TCPConnector).parameters
    assert {"resolver", "socket_factory", "use_dns_cache"} <= set(parameters)
    context = ssl.create_default_context()
    guarded = connector.GuardedTransport(
        EgressPolicy(), context, lookup=everything_is_here, dns_seconds=1
    )
    for url in ("http://127.0.0.1:80/", "http://[::1]:80/", "http://name.test/"):
        with pytest.raises(EgressRefusedError):
            await guarded.open("GET", url, {}, None)
    assert opened == []
    await guarded.close()


async def test_cookies_are_never_sent_back(fake, client):
    push(fake)
    fake.header("/v2/.*", "Set-Cookie", "sid=1; Path=/")
    for _ in range(2):
        await client.fetch_manifest(Place(fake.host, "a/b"), "t", ANYBODY)
    assert not any(request.headers.get("cookie") for request in fake.log)
