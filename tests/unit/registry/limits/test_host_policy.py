"""Host policies apply at once; health and observers report the state of a host."""

import asyncio

import pytest

from models.errors import RateLimitedError, TransientRegistryError
from tests.manual_clock import ManualClock, settle
from tests.unit.registry.limits.limited_requests import (
    EOF,
    OTHER_SOURCE,
    SOURCE,
    HeldRequests,
    fail_request,
    send_request,
)
from worker.registry.limits.host_limiters import HostLimiters, HostPolicy
from worker.registry.request_context import RequestContext


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def hosts(clock):
    return HostLimiters(clock=clock)


@pytest.fixture
def host(hosts):
    return hosts.host(SOURCE)


async def send_concurrently(host, clock, number, *, seconds=10, tenant="", priority="scheduled"):
    """Return when each of `number` concurrent requests was admitted, and the others' errors."""
    done = []

    async def one():
        async with host.permit(RequestContext(tenant=tenant, priority=priority)):
            done.append(clock.now())

    tasks = [asyncio.create_task(one()) for _ in range(number)]
    await clock.advance(seconds)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    return done, [error for error in results if error is not None]


async def test_checks_are_paced_but_interactive_requests_are_not(host, clock):
    done, errors = await send_concurrently(host, clock, 200, seconds=5)
    assert len(done) == pytest.approx(200, abs=2)
    assert done[-1] - done[0] == pytest.approx(4, abs=0.2)
    assert not errors
    done, _ = await send_concurrently(host, clock, 200, seconds=0, priority="interactive")
    assert len(done) == 200


async def test_token_request_of_check_is_not_paced(hosts, host, clock):
    hosts.policy_of = lambda _name: HostPolicy(rate=0.5)
    access = RequestContext(priority="scheduled")
    async with host.permit(access):
        pass
    waiting = asyncio.create_task(send_concurrently(host, clock, 2, seconds=0))
    await settle()
    async with asyncio.timeout(5), host.permit(access, scope="", kind="token"):
        pass
    await clock.advance(10)
    await waiting


async def test_checks_beyond_maximum_wait_are_postponed_at_once(host, clock):
    done, errors = await send_concurrently(host, clock, 400, seconds=5.1)
    assert len(done) == pytest.approx(255, abs=10)
    assert {type(error) for error in errors} == {RateLimitedError}
    assert {error.code for error in errors} == {"ratelimit.budget"}
    results = sorted(error.retry_after for error in errors)
    assert results[0] >= 5
    assert len(set(results)) == len(results)


async def test_pacing_does_not_block_small_tenant(host, clock):
    many = asyncio.create_task(send_concurrently(host, clock, 1000, tenant="a", seconds=0))
    await settle()
    few = asyncio.create_task(send_concurrently(host, clock, 1, tenant="b", seconds=1))
    done, errors = await few
    await clock.advance(10)
    await many
    assert (len(done), errors) == (1, [])


async def test_check_queued_five_seconds_is_postponed(host, clock):
    held_requests = HeldRequests(host)
    for number in range(8):
        await held_requests.send(number)
    task = await held_requests.send("check", priority="scheduled")
    interactive = await held_requests.send("person")
    await clock.advance(5)
    assert task.exception().code == "ratelimit.budget"
    assert not interactive.done()
    await held_requests.finish_all()
    assert (host.in_flight, host.waiting) == (0, 0)


@pytest.mark.parametrize("priority", ["scheduled", "bulk"])
async def test_interactive_request_never_waits_behind_background_requests(hosts, host, priority):
    hosts.policy_of = lambda _name: HostPolicy(rate=0)
    held_requests = HeldRequests(host)
    for number in range(20):
        await held_requests.send(number, priority=priority, tenant=str(number))
    assert len(held_requests.in_flight()) == 7
    await held_requests.send("person")
    assert "person" in held_requests.in_flight()
    await held_requests.finish_all()
    assert len(held_requests.order) == 21


async def test_changed_rate_applies_at_once(hosts, host, clock):
    hosts.policy_of = lambda _name: HostPolicy(rate=10)
    done, errors = await send_concurrently(host, clock, 100, seconds=5)
    assert len(done) == pytest.approx(51, abs=2)
    assert len(errors) == 100 - len(done)
    hosts.policy_of = lambda _name: HostPolicy(rate=0)
    done, errors = await send_concurrently(host, clock, 1000, seconds=0)
    assert (len(done), errors) == (1000, [])


async def test_changed_concurrency_applies_at_once(hosts, host):
    policies = {SOURCE.api_host: HostPolicy(concurrency=2)}
    hosts.policy_of = lambda name: policies.get(name, HostPolicy())
    held_requests = HeldRequests(host)
    for number in range(12):
        await held_requests.send(number)
    assert len(held_requests.in_flight()) == 2
    policies[SOURCE.api_host] = HostPolicy(concurrency=32, initial_concurrency=12)
    await held_requests.send("one more")
    assert len(held_requests.in_flight()) == 12
    await held_requests.finish_all()
    for _ in range(2000):
        await send_request(host)
    assert host.limit == 32


async def test_host_health_reports_cooldowns_quotas_and_breaker(hosts, host, clock):
    assert [health.host for health in hosts.health()] == ["r.example"]
    quota_headers = {"ratelimit-limit": "100;w=60", "ratelimit-remaining": "40;w=60"}
    await send_request(host, headers=quota_headers, scope="a", kind="get")
    await send_request(host, 429, headers={"Retry-After": "20"}, scope="b")
    clock.time += 5
    health = host.health()
    assert health.cooldowns == (("b", 15.0),)
    assert [(scope, limit, left) for scope, limit, left, _ in health.quotas] == [("a", 100, 40)]
    assert health.quotas[0][3] == pytest.approx(55)
    assert (health.breaker, health.seconds_until_probe, health.last_error) == ("closed", 0.0, "")
    assert (health.in_flight, health.waiting, health.limit) == (0, 0, 4)


async def test_host_health_reports_seconds_until_probe(host, clock):
    for _ in range(8):
        await fail_request(host)
    clock.time += 10
    assert (host.health().breaker, host.health().seconds_until_probe) == ("open", 20)
    assert "r.example" in host.health().last_error
    clock.time += 20
    assert (host.health().breaker, host.health().seconds_until_probe) == ("half-open", 0)
    await send_request(host)
    assert host.health().breaker == "closed"


class RecordingObserver:
    def __init__(self):
        self.events = []

    def waited(self, host, priority, seconds):
        self.events.append(("waited", host, priority, seconds))

    def breaker(self, host, state):
        self.events.append(("breaker", host, state))

    def quota(self, host, scope, limit, remaining):
        self.events.append(("quota", host, scope, limit, remaining))


async def test_observer_receives_waits_breaker_states_and_quotas(hosts, host, clock):
    hosts.observer = observer = RecordingObserver()
    quota_headers = {"ratelimit-limit": "100;w=60", "ratelimit-remaining": "40;w=60"}
    await send_request(host, headers=quota_headers, scope="a", kind="get")
    for _ in range(8):
        await fail_request(host)
    clock.time += 30
    await send_request(hosts.host(SOURCE))
    results = [event for event in observer.events if event[0] != "waited"]
    assert results == [
        ("quota", "r.example", "a", 100, 40),
        *(("breaker", "r.example", state) for state in ("open", "half-open", "closed")),
    ]
    assert ("waited", "r.example", "interactive", 0.0) in observer.events


async def test_failing_registry_does_not_delay_other_registries(hosts, host, clock):
    for _ in range(8):
        await fail_request(host, EOF)
    with pytest.raises(TransientRegistryError):
        await send_request(host, priority="scheduled")
    done, errors = await send_concurrently(hosts.host(OTHER_SOURCE), clock, 50, seconds=1)
    assert (len(done), errors) == (50, [])


@pytest.mark.parametrize(
    ("access", "is_retried"),
    [
        (RequestContext(), True),
        (RequestContext(priority="bulk"), True),
        (RequestContext(priority="scheduled"), False),
        (RequestContext(priority="scheduled", retries=True), True),
        (RequestContext(retries=False), False),
    ],
)
def test_scheduled_requests_are_not_retried_by_default(access, is_retried):
    assert access.retries_enabled == is_retried
