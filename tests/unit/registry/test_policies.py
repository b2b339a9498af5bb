"""What an operator says of a registry holds at once; what a process tells of it is true."""

import asyncio

import pytest

from models.errors import RateLimitedError, TransientRegistryError
from tests.manual_clock import HandClock, settle
from tests.unit.registry.test_hosts import EOF, OTHER, PLACE, Crowd, ask, fail
from worker.registry.limits.host_limiters import HostPolicy, Hosts
from worker.registry.request_context import Access


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
def hosts(clock):
    return Hosts(clock=clock)


@pytest.fixture
def host(hosts):
    return hosts.host(PLACE)


async def check_many(host, clock, number, *, seconds=10, tenant="", lane="scheduled"):
    """When each got its turn, of a crowd that comes at once, and the errors of the others."""
    done = []

    async def one():
        async with host.slot(Access(tenant=tenant, lane=lane)):
            done.append(clock.now())

    tasks = [asyncio.create_task(one()) for _ in range(number)]
    await clock.advance(seconds)
    told = await asyncio.gather(*tasks, return_exceptions=True)
    return done, [error for error in told if error is not None]


async def test_checks_are_paced_from_the_first_and_people_never(host, clock):
    done, errors = await check_many(host, clock, 200, seconds=5)
    assert len(done) == pytest.approx(200, abs=2)
    assert done[-1] - done[0] == pytest.approx(4, abs=0.2)
    assert not errors
    done, _ = await check_many(host, clock, 200, seconds=0, lane="interactive")
    assert len(done) == 200


async def test_the_token_of_a_check_does_not_stand_in_line_again(hosts, host, clock):
    hosts.policies = lambda _name: HostPolicy(rate=0.5)
    access = Access(lane="scheduled")
    async with host.slot(access):
        pass
    waiting = asyncio.create_task(check_many(host, clock, 2, seconds=0))
    await settle()
    async with asyncio.timeout(5), host.slot(access, scope="", kind="token"):
        pass
    await clock.advance(10)
    await waiting


async def test_checks_that_would_stand_in_line_for_long_are_put_off_at_once(host, clock):
    done, errors = await check_many(host, clock, 400, seconds=5.1)
    assert len(done) == pytest.approx(255, abs=10)
    assert {type(error) for error in errors} == {RateLimitedError}
    assert {error.code for error in errors} == {"ratelimit.budget"}
    told = sorted(error.retry_after for error in errors)
    assert told[0] >= 5
    assert len(set(told)) == len(told)


async def test_a_tenant_with_one_tag_does_not_stand_behind_one_with_thousands(host, clock):
    many = asyncio.create_task(check_many(host, clock, 1000, tenant="a", seconds=0))
    await settle()
    few = asyncio.create_task(check_many(host, clock, 1, tenant="b", seconds=1))
    done, errors = await few
    await clock.advance(10)
    await many
    assert (len(done), errors) == (1, [])


async def test_a_check_that_stood_in_line_for_five_seconds_is_put_off(host, clock):
    crowd = Crowd(host)
    for number in range(8):
        await crowd.send(number)
    task = await crowd.send("check", lane="scheduled")
    person = await crowd.send("person")
    await clock.advance(5)
    assert task.exception().code == "ratelimit.budget"
    assert not person.done()
    await crowd.let_all_go()
    assert (host.in_flight, host.waiting) == (0, 0)


@pytest.mark.parametrize("lane", ["scheduled", "bulk"])
async def test_a_person_never_stands_behind_a_full_line_of_others(hosts, host, lane):
    hosts.policies = lambda _name: HostPolicy(rate=0)
    crowd = Crowd(host)
    for number in range(20):
        await crowd.send(number, lane=lane, tenant=str(number))
    assert len(crowd.in_flight()) == 7
    await crowd.send("person")
    assert "person" in crowd.in_flight()
    await crowd.let_all_go()
    assert len(crowd.order) == 21


async def test_a_changed_rate_holds_at_once(hosts, host, clock):
    hosts.policies = lambda _name: HostPolicy(rate=10)
    done, errors = await check_many(host, clock, 100, seconds=5)
    assert len(done) == pytest.approx(51, abs=2)
    assert len(errors) == 100 - len(done)
    hosts.policies = lambda _name: HostPolicy(rate=0)
    done, errors = await check_many(host, clock, 1000, seconds=0)
    assert (len(done), errors) == (1000, [])


async def test_a_changed_concurrency_holds_at_once(hosts, host):
    policies = {PLACE.api_host: HostPolicy(concurrency=2)}
    hosts.policies = lambda name: policies.get(name, HostPolicy())
    crowd = Crowd(host)
    for number in range(12):
        await crowd.send(number)
    assert len(crowd.in_flight()) == 2
    policies[PLACE.api_host] = HostPolicy(concurrency=32, start=12)
    await crowd.send("one more")
    assert len(crowd.in_flight()) == 12
    await crowd.let_all_go()
    for _ in range(2000):
        await ask(host)
    assert host.limit == 32


async def test_health_tells_what_there_is(hosts, host, clock):
    assert [health.host for health in hosts.health()] == ["r.example"]
    said = {"ratelimit-limit": "100;w=60", "ratelimit-remaining": "40;w=60"}
    await ask(host, headers=said, scope="a", kind="get")
    await ask(host, 429, headers={"Retry-After": "20"}, scope="b")
    clock.time += 5
    health = host.health()
    assert health.gates == (("b", 15.0),)
    assert [(scope, limit, left) for scope, limit, left, _ in health.quotas] == [("a", 100, 40)]
    assert health.quotas[0][3] == pytest.approx(55)
    assert (health.breaker, health.rest, health.last_error) == ("closed", 0.0, "")
    assert (health.in_flight, health.waiting, health.limit) == (0, 0, 4)


async def test_health_tells_how_long_a_registry_is_left_alone(host, clock):
    for _ in range(8):
        await fail(host)
    clock.time += 10
    assert (host.health().breaker, host.health().rest) == ("open", 20)
    assert "r.example" in host.health().last_error
    clock.time += 20
    assert (host.health().breaker, host.health().rest) == ("half-open", 0)
    await ask(host)
    assert host.health().breaker == "closed"


class Listener:
    def __init__(self):
        self.heard = []

    def waited(self, host, lane, seconds):
        self.heard.append(("waited", host, lane, seconds))

    def breaker(self, host, state):
        self.heard.append(("breaker", host, state))

    def quota(self, host, scope, limit, remaining):
        self.heard.append(("quota", host, scope, limit, remaining))


async def test_whoever_listens_hears_of_waits_breakers_and_quotas(hosts, host, clock):
    hosts.observer = listener = Listener()
    said = {"ratelimit-limit": "100;w=60", "ratelimit-remaining": "40;w=60"}
    await ask(host, headers=said, scope="a", kind="get")
    for _ in range(8):
        await fail(host)
    clock.time += 30
    await ask(hosts.host(PLACE))
    told = [heard for heard in listener.heard if heard[0] != "waited"]
    assert told == [
        ("quota", "r.example", "a", 100, 40),
        *(("breaker", "r.example", state) for state in ("open", "half-open", "closed")),
    ]
    assert ("waited", "r.example", "interactive", 0.0) in listener.heard


async def test_a_registry_that_is_down_costs_no_other_a_turn(hosts, host, clock):
    for _ in range(8):
        await fail(host, EOF)
    with pytest.raises(TransientRegistryError):
        await ask(host, lane="scheduled")
    done, errors = await check_many(hosts.host(OTHER), clock, 50, seconds=1)
    assert (len(done), errors) == (50, [])


@pytest.mark.parametrize(
    ("access", "tries_again"),
    [
        (Access(), True),
        (Access(lane="bulk"), True),
        (Access(lane="scheduled"), False),
        (Access(lane="scheduled", retries=True), True),
        (Access(retries=False), False),
    ],
)
def test_what_the_calendar_asks_for_is_not_tried_again_within_the_request(access, tries_again):
    assert access.tries_again == tries_again
