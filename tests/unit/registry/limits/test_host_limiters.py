"""Concurrency, fairness, circuit breaker, cooldown and pacing of one host."""

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
from tests.manual_clock import ManualClock, settle
from tests.unit.registry.limits.limited_requests import (
    EOF,
    OTHER_SOURCE,
    SOURCE,
    HeldRequests,
    fail_request,
    send_request,
)
from worker.registry.limits.host_limiters import HostLimiters
from worker.registry.registry_types import SourceRepository
from worker.registry.request_context import RequestContext

TIMEOUT = TransientRegistryError("no answer in time", code="net.timeout")


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def hosts(clock):
    return HostLimiters(clock=clock)


@pytest.fixture
def host(hosts):
    return hosts.host(SOURCE)


@pytest.fixture
def held_requests(host):
    return HeldRequests(host)


def test_docker_hub_names_use_one_host_limiter(hosts):
    assert hosts.host(SourceRepository("docker.io", "a/b")) is hosts.host(
        SourceRepository("docker.io", "c/d")
    )
    assert hosts.host(SourceRepository("docker.io", "a/b")).name == "registry-1.docker.io"


async def test_host_admits_eight_concurrent_requests(held_requests):
    for number in range(9):
        await held_requests.send(number)
    assert held_requests.in_flight() == list(range(8))
    await held_requests.finish(3)
    assert 8 in held_requests.in_flight()
    await held_requests.finish_all()


async def test_fifty_successes_raise_concurrency_up_to_maximum(host):
    for _ in range(49):
        await send_request(host, 404)
    assert host.limit == 8
    await send_request(host)
    assert host.limit == 9
    for _ in range(1000):
        await send_request(host)
    assert host.limit == 16


@pytest.mark.parametrize("status", [429, 503, 504])
async def test_overload_status_halves_concurrency_down_to_one(host, status):
    seen = []
    for _ in range(5):
        await send_request(host, status)
        seen.append(host.limit)
    assert seen == [4, 2, 1, 1, 1]


async def test_timeout_halves_concurrency_but_reset_does_not(host):
    await fail_request(host, EOF)
    assert host.limit == 8
    await fail_request(host, TIMEOUT)
    assert host.limit == 4


async def test_burst_of_429_halves_concurrency_once(host, held_requests):
    for number in range(8):
        await held_requests.send(number)
    for _ in range(8):
        await held_requests.finish(status=429)
    assert host.limit == 4


async def test_queue_orders_interactive_before_scheduled_before_bulk(held_requests):
    for number in range(8):
        await held_requests.send(number)
    for priority in ("bulk", "scheduled", "interactive"):
        await held_requests.send(priority, priority=priority)
    await held_requests.finish_all()
    assert held_requests.order[8:] == ["interactive", "scheduled", "bulk"]


async def test_bulk_priority_is_not_starved(held_requests):
    for number in range(8):
        await held_requests.send(number)
    await held_requests.send("bulk", priority="bulk")
    for number in range(100):
        await held_requests.send(f"interactive {number}")
    await held_requests.finish_all()
    assert held_requests.order.index("bulk") < 8 + 10


@pytest.mark.case("registry 168")
async def test_small_tenant_overtakes_large_tenant_in_queue(host):
    order = []

    async def one(tenant):
        async with host.permit(RequestContext(tenant=tenant, priority="bulk")):
            await asyncio.sleep(0)
            order.append(tenant)

    many = [asyncio.create_task(one("a")) for _ in range(10_000)]
    await settle()
    started = len(order)
    few = asyncio.create_task(one("b"))
    await asyncio.gather(few, *many)
    assert order.index("b") - started <= 16


async def test_queue_alternates_between_tenants(held_requests):
    for number in range(8):
        await held_requests.send(number, tenant="first")
    for number in range(3):
        await held_requests.send(f"a{number}", tenant="a")
    for tenant in ("b", "c"):
        await held_requests.send(f"{tenant}0", tenant=tenant)
    await held_requests.finish_all()
    assert held_requests.order[8:11] == ["a0", "b0", "c0"]


async def test_tenant_above_quarter_of_limit_yields_to_others(held_requests):
    for number in range(8):
        await held_requests.send(number, tenant="a")
    await held_requests.send("a, in person", tenant="a")
    await held_requests.send("b, in the background", tenant="b", priority="bulk")
    await held_requests.finish()
    assert held_requests.order[-1] == "b, in the background"
    await held_requests.finish_all()


async def test_unused_concurrency_goes_to_waiting_tenants(held_requests):
    for number in range(20):
        await held_requests.send(number, tenant="ab"[number % 2])
    for _ in range(12):
        assert len(held_requests.in_flight()) == 8
        await held_requests.finish()
    await held_requests.finish_all()


async def test_cancelled_waiters_leak_no_permit(host, held_requests):
    for number in range(8):
        await held_requests.send(number)
    waiting = [await held_requests.send(f"gone {number}") for number in range(5)]
    last = await held_requests.send("last")
    for task in waiting[:4]:
        task.cancel()
    await settle()
    assert host.waiting == 2
    held_requests.held.pop(0)[1].set_result(200)
    await asyncio.sleep(0)
    waiting[4].cancel()  # it was admitted a moment ago
    await settle()
    await held_requests.finish_all()
    assert last.done()
    assert "last" in held_requests.order
    assert (host.in_flight, host.waiting) == (0, 0)


async def test_process_concurrency_is_divided_between_registries(clock):
    hosts = HostLimiters(
        initial_concurrency=32, max_concurrency=32, max_process_concurrency=10, clock=clock
    )
    first, second = HeldRequests(hosts.host(SOURCE)), HeldRequests(hosts.host(OTHER_SOURCE))
    for number in range(20):
        await first.send(number)
    await second.send("other")
    assert len(first.in_flight()) == 10
    for _ in range(2):
        await first.finish()
    assert second.in_flight() == ["other"]
    assert len(first.in_flight()) + 1 == 10
    await second.finish_all()
    await first.finish_all()
    assert len(first.order) == 20


@pytest.mark.case("registry 163", "import 9-4")
async def test_eight_transient_failures_open_breaker_of_one_registry(hosts, host):
    for _ in range(8):
        await fail_request(host)
    with pytest.raises(TransientRegistryError) as caught:
        await send_request(host)
    assert caught.value.code == "circuit.open"
    assert caught.value.text == EOF.text
    await send_request(hosts.host(OTHER_SOURCE))


async def test_open_breaker_hides_requests_of_other_tenants(host):
    for _ in range(8):
        await fail_request(host, tenant="a")
    with pytest.raises(TransientRegistryError) as caught:
        await send_request(host, tenant="b")
    assert caught.value.text == 'Get "https://r.example/v2/": the registry does not answer'


async def test_open_breaker_reports_failing_status_to_all_tenants(host):
    for _ in range(8):
        await send_request(host, 502, tenant="a")
    with pytest.raises(TransientRegistryError) as caught:
        await send_request(host, tenant="b")
    assert caught.value.text == "received unexpected HTTP status: 502 Bad Gateway"


async def test_response_resets_breaker_failure_count(host):
    for _ in range(7):
        await fail_request(host)
    await send_request(host, 404)
    for _ in range(7):
        await fail_request(host)
    await send_request(host)


async def test_breaker_opens_when_half_of_twenty_fail(host, clock):
    for _ in range(9):
        await send_request(host)
        await fail_request(host)
    clock.time += 70  # past the window of the breaker
    for _ in range(9):
        await send_request(host)
        await fail_request(host)
    await send_request(host)
    assert not host.is_breaker_open
    await fail_request(host)
    assert host.is_breaker_open


@pytest.mark.case("registry 163")
async def test_failed_breaker_probe_doubles_open_period_to_maximum(host, clock):
    for _ in range(8):
        await fail_request(host)
    for open_seconds in (30, 60, 120, 240, 480, 900, 900):
        clock.time += open_seconds - 0.1
        assert host.is_breaker_open
        clock.time += 0.1
        await fail_request(host)
    clock.time += 900
    await send_request(host)
    await send_request(host)
    for _ in range(8):
        await fail_request(host)
    clock.time += 30
    assert not host.is_breaker_open


async def test_half_open_breaker_fails_requests_beside_probe(host, clock, held_requests):
    for _ in range(8):
        await fail_request(host)
    clock.time += 30
    await held_requests.send("probe")
    with pytest.raises(TransientRegistryError):
        await send_request(host)
    await held_requests.finish()
    await send_request(host)


async def test_cancelled_breaker_probe_is_replaced_by_next_request(host, clock, held_requests):
    for _ in range(8):
        await fail_request(host)
    clock.time += 30
    probe = await held_requests.send("probe")
    probe.cancel()
    await settle()
    await send_request(host)


async def test_opening_breaker_fails_queued_requests(host, held_requests):
    for number in range(8):
        await held_requests.send(number)
    waiting = [await held_requests.send(f"waiting {number}") for number in range(3)]
    for _ in range(8):
        host.record_failure(EOF)
    await settle()
    assert [task.exception().code for task in waiting] == ["circuit.open"] * 3
    await held_requests.finish_all()
    assert (host.in_flight, host.waiting) == (0, 0)


@pytest.mark.case("registry 164")
@pytest.mark.parametrize("status", [200, 304, 400, 401, 403, 404, 429, 451])
async def test_definite_responses_of_any_status_never_open_breaker(host, status):
    for _ in range(50):
        await send_request(host, status)
    assert not host.is_breaker_open


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
async def test_permanent_errors_never_open_breaker(host, error):
    for _ in range(50):
        await fail_request(host, error)
    assert not host.is_breaker_open


SHORT_COOLDOWN = {"Retry-After": "20"}
LONG_COOLDOWN = {"Retry-After": "3600"}


@pytest.mark.case("registry 159")
async def test_429_cooldown_applies_to_its_credential_only(host, clock):
    await send_request(host, 429, headers=LONG_COOLDOWN, scope="a")
    with pytest.raises(RateLimitedError) as caught:
        await send_request(host, scope="a")
    assert caught.value.retry_after == 3600
    await send_request(host, scope="b")
    await send_request(host, scope="")
    clock.time += 3600
    await send_request(host, scope="a")


@pytest.mark.case("registry 159")
async def test_short_cooldown_is_waited_out(host, clock):
    await send_request(host, 429, headers=SHORT_COOLDOWN, scope="a")
    task = asyncio.create_task(send_request(host, scope="a"))
    await clock.advance(19)
    assert not task.done()
    await clock.advance(1)
    await task
    assert max(clock.slept) <= 30


async def test_cooldown_started_meanwhile_holds_queued_requests(host, clock, held_requests):
    for number in range(8):
        await held_requests.send(number)
    task = await held_requests.send("late", scope="a")
    host.start_cooldown(10.0, "a")
    await held_requests.finish()
    assert not task.done()
    assert "late" not in held_requests.order
    await clock.advance(10)
    assert "late" in held_requests.order
    await held_requests.finish_all()


async def test_429_without_retry_after_starts_no_cooldown(host):
    await send_request(host, 429, scope="a")
    await send_request(host, scope="a")


LOW_QUOTA = {"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "3;w=21600"}
AMPLE_QUOTA = {"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "60;w=21600"}


@pytest.mark.case("registry 161")
async def test_low_quota_stops_manifests_but_not_checks(host, clock):
    await send_request(host, headers=LOW_QUOTA, scope="a", kind="get")
    with pytest.raises(RateLimitedError) as caught:
        await send_request(host, scope="a", kind="get", priority="bulk")
    assert caught.value.code == "ratelimit.quota"
    assert caught.value.retry_after == pytest.approx(21600, rel=0.01)
    for _ in range(20):
        clock.time += 1
        await send_request(host, headers=LOW_QUOTA, scope="a", kind="head", priority="scheduled")
    await send_request(host, scope="b", kind="get", priority="bulk")
    clock.time += 21700
    await send_request(host, scope="a", kind="get", priority="bulk")


@pytest.mark.case("registry 161")
async def test_recovered_quota_allows_manifests_again(host):
    await send_request(host, headers=LOW_QUOTA, scope="a", kind="get")
    await send_request(host, headers=AMPLE_QUOTA, scope="a", kind="head")
    await send_request(host, scope="a", kind="get", priority="bulk")


@pytest.mark.case("registry 161")
async def test_malformed_quota_header_is_ignored(host):
    await send_request(host, headers={"ratelimit-remaining": "few;w=21600"}, scope="a", kind="get")
    await send_request(host, scope="a", kind="get", priority="bulk")


async def count_admitted_per_second(host, clock, scope=None, kind="other", **options):
    """Return how many of 1000 requests are admitted per second, over ten seconds."""
    done = []

    async def one():
        async with host.permit(RequestContext(**options), scope=scope, kind=kind):
            done.append(clock.now())

    tasks = [asyncio.create_task(one()) for _ in range(1000)]
    await clock.advance(10)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return len(done) / 10


async def test_bulk_requests_are_paced_after_limit_header(host, clock):
    assert await count_admitted_per_second(host, clock, priority="bulk") == 100
    await send_request(host, headers={"ratelimit-remaining": "60;w=21600"})
    assert await count_admitted_per_second(host, clock, priority="bulk") == pytest.approx(50, abs=1)
    assert await count_admitted_per_second(host, clock, priority="interactive") == 100


async def test_low_quota_halves_check_rate(host, clock):
    await send_request(host, headers=LOW_QUOTA, scope="a", kind="get")
    for _ in range(4):
        await send_request(host, headers=LOW_QUOTA, scope="a", kind="head", priority="scheduled")
    rate = await count_admitted_per_second(host, clock, priority="bulk", scope="a", kind="head")
    assert rate == pytest.approx(25, abs=1)


def test_host_limiters_evict_least_recently_used_hosts(hosts):
    for number in range(10_000):
        hosts.host(SourceRepository(f"r{number}.example", "a/b"))
    assert len(hosts._hosts) <= 4096


async def test_permit_overhead_stays_small(hosts):
    """The goal is 20 µs; the machine that runs the tests may be slower."""
    access, headers = (
        RequestContext(),
        httpx.Headers([(f"X-Header-{n}", "value") for n in range(10)]),
    )
    best = 1.0
    for _ in range(5):
        started = time.process_time()
        for _ in range(1000):
            host = hosts.host(SOURCE)
            async with host.permit(access, scope=""):
                host.record_response(200, headers, scope="")
        best = min(best, (time.process_time() - started) / 1000)
    assert best < 60e-6
