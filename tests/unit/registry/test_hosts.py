"""Politeness to one registry, told by a clock that is wound by hand."""

import asyncio
import time

import httpx
import pytest

from models.errors import (
    ContentError,
    ManifestUnknownError,
    RateLimitedError,
    RegistryDeniedError,
    TransientRegistryError,
)
from tests.manual_clock import HandClock, settle
from worker.registry.limits.host_limiters import Hosts
from worker.registry.registry_types import Place
from worker.registry.request_context import Access

PLACE = Place("r.example", "team/app")
OTHER = Place("other.example", "team/app")
EOF = TransientRegistryError(
    'Get "https://r.example/v2/team/app/manifests/1": EOF', code="net.reset"
)
SLOW = TransientRegistryError("no answer in time", code="net.timeout")


class Crowd:
    """Requests that hold their turn until they are let go."""

    def __init__(self, host):
        self.host = host
        self.holding = []
        self.order = []
        self.tasks = []

    async def send(self, name, tenant="", lane="interactive", **how):
        async def hold():
            async with self.host.slot(Access(tenant=tenant, lane=lane), **how):
                self.order.append(name)
                end = asyncio.get_running_loop().create_future()
                self.holding.append((name, end))
                status = await end
                if status:
                    self.host.answered(status)

        self.tasks.append(asyncio.create_task(hold()))
        await settle()
        return self.tasks[-1]

    async def let_go(self, name=None, status=200):
        """End the request called `name`, or the one that came in first."""
        found = next(held for held in self.holding if name in {None, held[0]})
        self.holding.remove(found)
        found[1].set_result(status)
        await settle()

    def in_flight(self):
        return [name for name, _ in self.holding]

    async def let_all_go(self):
        while self.holding:
            await self.let_go()
        return await asyncio.gather(*self.tasks, return_exceptions=True)


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
def hosts(clock):
    return Hosts(clock=clock)


@pytest.fixture
def host(hosts):
    return hosts.host(PLACE)


@pytest.fixture
def crowd(host):
    return Crowd(host)


async def ask(host, status=200, *, headers=None, scope=None, tenant="", lane="interactive", **how):
    async with host.slot(Access(tenant=tenant, lane=lane), scope=scope, **how) as slot:
        host.answered(status, headers and httpx.Headers(headers), slot=slot)
    await settle()


async def fail(host, error=EOF, tenant=""):
    async def send():
        async with host.slot(Access(tenant=tenant)):
            host.failed(error)
            raise error

    with pytest.raises(type(error)):
        await send()


def test_docker_hub_is_one_registry_under_all_its_names(hosts):
    assert hosts.host(Place("docker.io", "a/b")) is hosts.host(Place("docker.io", "c/d"))
    assert hosts.host(Place("docker.io", "a/b")).name == "registry-1.docker.io"


async def test_eight_requests_go_out_at_once_and_the_ninth_waits(crowd):
    for number in range(9):
        await crowd.send(number)
    assert crowd.in_flight() == list(range(8))
    await crowd.let_go(3)
    assert 8 in crowd.in_flight()
    await crowd.let_all_go()


async def test_fifty_clean_answers_add_one_and_growth_ends_at_the_ceiling(host):
    for _ in range(49):
        await ask(host, 404)
    assert host.limit == 8
    await ask(host)
    assert host.limit == 9
    for _ in range(1000):
        await ask(host)
    assert host.limit == 16


@pytest.mark.parametrize("status", [429, 503, 504])
async def test_a_registry_in_pain_is_asked_half_as_much_but_never_nothing(host, status):
    seen = []
    for _ in range(5):
        await ask(host, status)
        seen.append(host.limit)
    assert seen == [4, 2, 1, 1, 1]


async def test_a_timeout_halves_and_a_refused_connection_does_not(host):
    await fail(host, EOF)
    assert host.limit == 8
    await fail(host, SLOW)
    assert host.limit == 4


async def test_a_burst_of_complaints_is_one_complaint(host, crowd):
    for number in range(8):
        await crowd.send(number)
    for _ in range(8):
        await crowd.let_go(status=429)
    assert host.limit == 4


async def test_who_waits_in_person_comes_before_the_calendar_before_the_background(crowd):
    for number in range(8):
        await crowd.send(number)
    for lane in ("bulk", "scheduled", "interactive"):
        await crowd.send(lane, lane=lane)
    await crowd.let_all_go()
    assert crowd.order[8:] == ["interactive", "scheduled", "bulk"]


async def test_no_lane_starves(crowd):
    for number in range(8):
        await crowd.send(number)
    await crowd.send("bulk", lane="bulk")
    for number in range(100):
        await crowd.send(f"interactive {number}")
    await crowd.let_all_go()
    assert crowd.order.index("bulk") < 8 + 10


@pytest.mark.case("registry 168")
async def test_a_tenant_with_one_tag_overtakes_a_tenant_with_thousands(host):
    order = []

    async def one(tenant):
        async with host.slot(Access(tenant=tenant, lane="bulk")):
            await asyncio.sleep(0)
            order.append(tenant)

    many = [asyncio.create_task(one("a")) for _ in range(10_000)]
    await settle()
    began = len(order)
    few = asyncio.create_task(one("b"))
    await asyncio.gather(few, *many)
    assert order.index("b") - began <= 16


async def test_tenants_take_turns(crowd):
    for number in range(8):
        await crowd.send(number, tenant="first")
    for number in range(3):
        await crowd.send(f"a{number}", tenant="a")
    for tenant in ("b", "c"):
        await crowd.send(f"{tenant}0", tenant=tenant)
    await crowd.let_all_go()
    assert crowd.order[8:11] == ["a0", "b0", "c0"]


async def test_a_tenant_with_a_quarter_of_the_budget_lets_others_go_first(crowd):
    for number in range(8):
        await crowd.send(number, tenant="a")
    await crowd.send("a, in person", tenant="a")
    await crowd.send("b, in the background", tenant="b", lane="bulk")
    await crowd.let_go()
    assert crowd.order[-1] == "b, in the background"
    await crowd.let_all_go()


async def test_what_nobody_else_wants_is_not_kept_idle(crowd):
    for number in range(20):
        await crowd.send(number, tenant="ab"[number % 2])
    for _ in range(12):
        assert len(crowd.in_flight()) == 8
        await crowd.let_go()
    await crowd.let_all_go()


async def test_whoever_gives_up_waiting_leaves_no_turn_behind(host, crowd):
    for number in range(8):
        await crowd.send(number)
    waiting = [await crowd.send(f"gone {number}") for number in range(5)]
    last = await crowd.send("last")
    for task in waiting[:4]:
        task.cancel()
    await settle()
    assert host.waiting == 2
    crowd.holding.pop(0)[1].set_result(200)
    await asyncio.sleep(0)
    waiting[4].cancel()  # it was just let in
    await settle()
    await crowd.let_all_go()
    assert last.done()
    assert "last" in crowd.order
    assert (host.in_flight, host.waiting) == (0, 0)


async def test_a_process_opens_no_more_than_its_sockets_and_no_registry_takes_them_all(clock):
    hosts = Hosts(start=32, most=32, sockets=10, clock=clock)
    first, second = Crowd(hosts.host(PLACE)), Crowd(hosts.host(OTHER))
    for number in range(20):
        await first.send(number)
    await second.send("other")
    assert len(first.in_flight()) == 10
    for _ in range(2):
        await first.let_go()
    assert second.in_flight() == ["other"]
    assert len(first.in_flight()) + 1 == 10
    await second.let_all_go()
    await first.let_all_go()
    assert len(first.order) == 20


@pytest.mark.case("registry 163", "import 9-4")
async def test_eight_transient_failures_open_the_breaker_for_this_registry_alone(hosts, host):
    for _ in range(8):
        await fail(host)
    with pytest.raises(TransientRegistryError) as caught:
        await ask(host)
    assert caught.value.code == "circuit.open"
    assert caught.value.text == EOF.text
    await ask(hosts.host(OTHER))


async def test_other_tenants_do_not_hear_what_another_asked_for(host):
    for _ in range(8):
        await fail(host, tenant="a")
    with pytest.raises(TransientRegistryError) as caught:
        await ask(host, tenant="b")
    assert caught.value.text == 'Get "https://r.example/v2/": the registry does not answer'


async def test_a_failing_status_is_told_to_everybody_in_its_own_words(host):
    for _ in range(8):
        await ask(host, 502, tenant="a")
    with pytest.raises(TransientRegistryError) as caught:
        await ask(host, tenant="b")
    assert caught.value.text == "received unexpected HTTP status: 502 Bad Gateway"


async def test_an_answer_in_between_starts_the_count_anew(host):
    for _ in range(7):
        await fail(host)
    await ask(host, 404)
    for _ in range(7):
        await fail(host)
    await ask(host)


async def test_half_of_twenty_failing_within_a_minute_opens_the_breaker(host, clock):
    for _ in range(9):
        await ask(host)
        await fail(host)
    clock.time += 70  # forgotten
    for _ in range(9):
        await ask(host)
        await fail(host)
    await ask(host)
    assert not host.is_open
    await fail(host)
    assert host.is_open


@pytest.mark.case("registry 163")
async def test_one_probe_decides_and_the_rest_doubles_up_to_a_quarter_of_an_hour(host, clock):
    for _ in range(8):
        await fail(host)
    for rest in (30, 60, 120, 240, 480, 900, 900):
        clock.time += rest - 0.1
        assert host.is_open
        clock.time += 0.1
        await fail(host)
    clock.time += 900
    await ask(host)
    await ask(host)
    for _ in range(8):
        await fail(host)
    clock.time += 30
    assert not host.is_open


async def test_while_the_probe_is_out_everybody_else_fails_at_once(host, clock, crowd):
    for _ in range(8):
        await fail(host)
    clock.time += 30
    await crowd.send("probe")
    with pytest.raises(TransientRegistryError):
        await ask(host)
    await crowd.let_go()
    await ask(host)


async def test_a_probe_that_is_cancelled_leaves_the_next_one_to_probe(host, clock, crowd):
    for _ in range(8):
        await fail(host)
    clock.time += 30
    probe = await crowd.send("probe")
    probe.cancel()
    await settle()
    await ask(host)


async def test_when_the_breaker_opens_nobody_waits_any_longer(host, crowd):
    for number in range(8):
        await crowd.send(number)
    waiting = [await crowd.send(f"waiting {number}") for number in range(3)]
    for _ in range(8):
        host.failed(EOF)
    await settle()
    assert [task.exception().code for task in waiting] == ["circuit.open"] * 3
    await crowd.let_all_go()
    assert (host.in_flight, host.waiting) == (0, 0)


@pytest.mark.case("registry 164")
@pytest.mark.parametrize("status", [200, 304, 400, 401, 403, 404, 429, 451])
async def test_an_answer_of_any_kind_shows_that_the_registry_is_there(host, status):
    for _ in range(50):
        await ask(host, status)
    assert not host.is_open


@pytest.mark.case("registry 164")
@pytest.mark.parametrize(
    "error",
    [
        ManifestUnknownError(),
        RegistryDeniedError(),
        ContentError("too large", code="content.too_large"),
        RateLimitedError("slow down"),
    ],
)
async def test_what_is_not_transient_never_opens_the_breaker(host, error):
    for _ in range(50):
        await fail(host, error)
    assert not host.is_open


LIMITED = {"Retry-After": "20"}
LONG = {"Retry-After": "3600"}


@pytest.mark.case("registry 159")
async def test_a_429_keeps_those_rights_away_and_no_others(host, clock):
    await ask(host, 429, headers=LONG, scope="a")
    with pytest.raises(RateLimitedError) as caught:
        await ask(host, scope="a")
    assert caught.value.retry_after == 3600
    await ask(host, scope="b")
    await ask(host, scope="")
    clock.time += 3600
    await ask(host, scope="a")


@pytest.mark.case("registry 159")
async def test_a_short_wish_is_waited_out_at_the_gate(host, clock):
    await ask(host, 429, headers=LIMITED, scope="a")
    task = asyncio.create_task(ask(host, scope="a"))
    await clock.advance(19)
    assert not task.done()
    await clock.advance(1)
    await task
    assert max(clock.slept) <= 30


async def test_a_gate_that_closes_meanwhile_also_holds_those_in_line(host, clock, crowd):
    for number in range(8):
        await crowd.send(number)
    task = await crowd.send("late", scope="a")
    host.limited(10.0, "a")
    await crowd.let_go()
    assert not task.done()
    assert "late" not in crowd.order
    await clock.advance(10)
    assert "late" in crowd.order
    await crowd.let_all_go()


async def test_a_429_without_a_wish_closes_no_gate(host):
    await ask(host, 429, scope="a")
    await ask(host, scope="a")


QUOTA = {"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "3;w=21600"}
PLENTY = {"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "60;w=21600"}


@pytest.mark.case("registry 161")
async def test_a_quota_nearly_used_up_stops_manifests_and_lets_checks_go_on(host, clock):
    await ask(host, headers=QUOTA, scope="a", kind="get")
    with pytest.raises(RateLimitedError) as caught:
        await ask(host, scope="a", kind="get", lane="bulk")
    assert caught.value.code == "ratelimit.quota"
    assert caught.value.retry_after == pytest.approx(21600, rel=0.01)
    for _ in range(20):
        clock.time += 1
        await ask(host, headers=QUOTA, scope="a", kind="head", lane="scheduled")
    await ask(host, scope="b", kind="get", lane="bulk")
    clock.time += 21700
    await ask(host, scope="a", kind="get", lane="bulk")


@pytest.mark.case("registry 161")
async def test_a_quota_that_has_recovered_lets_manifests_go_on(host):
    await ask(host, headers=QUOTA, scope="a", kind="get")
    await ask(host, headers=PLENTY, scope="a", kind="head")
    await ask(host, scope="a", kind="get", lane="bulk")


@pytest.mark.case("registry 161")
async def test_a_malformed_quota_is_ignored(host):
    await ask(host, headers={"ratelimit-remaining": "few;w=21600"}, scope="a", kind="get")
    await ask(host, scope="a", kind="get", lane="bulk")


async def count_a_second(host, clock, scope=None, kind="other", **how):
    """How many of a crowd get their turn within ten seconds, a second."""
    done = []

    async def one():
        async with host.slot(Access(**how), scope=scope, kind=kind):
            done.append(clock.now())

    tasks = [asyncio.create_task(one()) for _ in range(1000)]
    await clock.advance(10)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return len(done) / 10


async def test_nothing_is_paced_until_the_registry_shows_a_limit(host, clock):
    assert await count_a_second(host, clock, lane="bulk") == 100
    await ask(host, headers={"ratelimit-remaining": "60;w=21600"})
    assert await count_a_second(host, clock, lane="bulk") == pytest.approx(50, abs=1)
    assert await count_a_second(host, clock, lane="interactive") == 100


async def test_checks_go_on_at_half_rate_while_the_quota_is_low(host, clock):
    await ask(host, headers=QUOTA, scope="a", kind="get")
    for _ in range(4):
        await ask(host, headers=QUOTA, scope="a", kind="head", lane="scheduled")
    rate = await count_a_second(host, clock, lane="bulk", scope="a", kind="head")
    assert rate == pytest.approx(25, abs=1)


def test_registries_asked_long_ago_are_forgotten(hosts):
    for number in range(10_000):
        hosts.host(Place(f"r{number}.example", "a/b"))
    assert len(hosts._hosts) <= 4096


async def test_a_turn_costs_next_to_nothing(hosts):
    """Twenty microseconds are promised; the machine that tests may be slow."""
    access, headers = Access(), httpx.Headers([(f"X-Header-{n}", "value") for n in range(10)])
    best = 1.0
    for _ in range(5):
        began = time.process_time()
        for _ in range(1000):
            host = hosts.host(PLACE)
            async with host.slot(access, scope=""):
                host.answered(200, headers, scope="")
        best = min(best, (time.process_time() - began) / 1000)
    assert best < 60e-6
