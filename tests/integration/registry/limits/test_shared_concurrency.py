"""Processes that share the concurrency limit of a registry, with and without Redis."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from models.errors import TransientRegistryError
from worker.registry.limits.host_limiters import HostLimiters
from worker.registry.limits.shared_concurrency import RedisLimitBackend
from worker.registry.registry_types import SourceRepository
from worker.registry.request_context import RequestContext

SOURCE = SourceRepository("r.example", "team/app")
KEY = "tagstream:reg:r.example"
PROCESS_SCRIPT = Path(__file__).with_name("requesting_process.py")
ROOT = Path(__file__).parents[4]


class LimiterGroup:
    """Host limiters of several processes in one event loop; counts their requests in flight."""

    def __init__(self, restartable_redis):
        self.server = restartable_redis
        self.members = []
        self.in_flight = 0
        self.peak = 0

    def join(self, *, initial=8, maximum=8, lease=5.0, processes=4):
        backend = RedisLimitBackend(self.server.url, lease_seconds=lease, process_count=processes)
        hosts = HostLimiters(
            initial_concurrency=initial, max_concurrency=maximum, limit_backend=backend
        )
        self.members.append(hosts)
        return hosts.host(SOURCE)

    async def send(self, host, *, seconds=0.01, status=200, priority="interactive"):
        async with host.permit(RequestContext(priority=priority)):
            self.in_flight += 1
            self.peak = max(self.peak, self.in_flight)
            try:
                await asyncio.sleep(seconds)
            finally:
                self.in_flight -= 1
            host.record_response(status)

    def send_many(self, host, times, **options):
        return asyncio.gather(*[self.send(host, **options) for _ in range(times)])

    async def close(self):
        for hosts in self.members:
            await hosts.close()


@pytest.fixture
async def group(restartable_redis):
    group = LimiterGroup(restartable_redis)
    yield group
    await group.close()


async def until(condition, seconds=10.0):
    """Wait until `condition` holds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def granted(restartable_redis):
    """Return the limit in Redis and the grant of each process."""
    with redis.Redis.from_url(restartable_redis.url) as client:
        fields = client.hgetall(KEY)
    return int(fields.get(b"limit", 0)), [
        int(line.split()[0]) for name, line in fields.items() if name.startswith(b"m:")
    ]


def start_process(restartable_redis, address, tags, budget, *more):
    return subprocess.Popen(
        [
            sys.executable,
            str(PROCESS_SCRIPT),
            restartable_redis.url,
            address,
            str(tags),
            str(budget),
            *more,
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.case("registry 166")
def test_four_processes_stay_within_concurrency_limit(restartable_redis, fake):
    fake.delay(0.02)
    processes = [start_process(restartable_redis, fake.host, 50, 8) for _ in range(4)]
    answers = [int(process.communicate(timeout=60)[0]) for process in processes]
    assert answers == [50] * 4
    assert len(fake.requests) == 200
    assert 1 < fake.in_flight_peak <= 8


@pytest.mark.case("registry 166")
async def test_grants_never_exceed_limit_while_processes_change(restartable_redis, group):
    async def join_and_send(delay):
        await asyncio.sleep(delay)
        await group.send_many(group.join(), 60)

    async def watch():
        while True:
            limit, grants = granted(restartable_redis)
            assert sum(grants) <= limit == 8 or not grants
            assert group.in_flight <= 8
            await asyncio.sleep(0.005)

    watching = asyncio.create_task(watch())
    await asyncio.gather(*[join_and_send(delay) for delay in (0, 0.05, 0.1, 0.3, 0.4)])
    assert not watching.done()
    watching.cancel()
    assert group.peak == 8


async def test_new_process_receives_grant_after_others_shrink(group):
    first = group.join()
    old = group.send_many(first, 150, seconds=0.05)
    await until(lambda: first.in_flight == 8)
    second = group.join()
    new = group.send_many(second, 60, seconds=0.05)
    await until(lambda: (first.limit, second.limit) == (4, 4))
    await until(lambda: second.in_flight == 4)
    await asyncio.gather(old, new)
    assert group.peak == 8


async def test_single_process_uses_whole_limit_without_round_trips(restartable_redis, group):
    host = group.join()
    await group.send_many(host, 8)
    with redis.Redis.from_url(restartable_redis.url) as client:
        before = client.info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0)
        for _ in range(20):
            await group.send_many(host, 8, seconds=0.001)
        after = client.info("commandstats")["cmdstat_evalsha"]["calls"]
    assert group.peak == 8
    assert after - before <= 5


async def test_grant_of_killed_process_returns_after_lease(restartable_redis, group):
    process = start_process(restartable_redis, SOURCE.api_host, "forever", 8, "0.5")
    held = await asyncio.to_thread(lambda: [process.stdout.readline() for _ in range(8)])
    assert held == ["holding\n"] * 8
    process.send_signal(signal.SIGKILL)
    process.communicate()
    host = group.join(lease=0.5)
    await asyncio.wait_for(group.send_many(host, 20), 5)
    assert host.limit == 4


async def test_closing_process_releases_grant_at_once(group):
    first, second = group.join(), group.join()
    await asyncio.gather(group.send_many(first, 40), group.send_many(second, 40))
    await group.members[0].close()
    sending = group.send_many(second, 40, seconds=0.05)
    await until(lambda: second.in_flight == 8, seconds=1)
    await sending


async def test_more_processes_than_permits_all_make_progress(group):
    hosts = [group.join(initial=2, maximum=2) for _ in range(5)]
    async with asyncio.timeout(20):
        await asyncio.gather(*[group.send_many(host, 20) for host in hosts])
    assert group.peak == 2


async def test_limit_reduced_by_one_process_applies_to_all(restartable_redis, group):
    first, second = group.join(), group.join()
    sending = [group.send_many(host, 60, seconds=0.05) for host in (first, second)]
    await until(lambda: (first.limit, second.limit) == (4, 4))
    first.record_response(429)
    await until(lambda: (first.limit, second.limit) == (2, 2))
    await until(lambda: sum(granted(restartable_redis)[1]) <= 4)
    await asyncio.gather(*sending)


async def test_successes_of_all_processes_raise_shared_limit(restartable_redis, group):
    hosts = [group.join(initial=4, maximum=16) for _ in range(3)]
    await asyncio.gather(*[group.send_many(host, 60, seconds=0.002) for host in hosts])
    await until(lambda: granted(restartable_redis)[0] == 7)


@pytest.mark.case("import 9-4")
async def test_breaker_opened_by_one_process_applies_to_all(group):
    first, second = group.join(), group.join()
    await group.send(second)
    for _ in range(8):
        await group.send(first, status=502, seconds=0)
    await until(lambda: second.is_breaker_open)
    with pytest.raises(TransientRegistryError) as caught:
        await group.send(second)
    assert caught.value.code == "circuit.open"
    assert caught.value.text == "received unexpected HTTP status: 502 Bad Gateway"
    new_process = group.join()
    with pytest.raises(TransientRegistryError, match="502 Bad Gateway"):
        await group.send(new_process)


async def test_interactive_request_finds_reserved_permit_in_any_process(group):
    hosts = [group.join() for _ in range(3)]
    for host in hosts[:2]:
        await group.send(host, priority="bulk")
    others = [group.send_many(host, 10, seconds=30, priority="bulk") for host in hosts[:2]]
    await until(lambda: group.in_flight == 7)
    async with asyncio.timeout(10):
        for host in hosts:
            await group.send(host, seconds=0)
            assert group.in_flight == 7
    assert group.peak == 8
    for each in others:
        each.cancel()
    assert len(await asyncio.gather(*others, return_exceptions=True)) == 2


@pytest.mark.case("registry 167")
async def test_processes_without_redis_use_their_fraction_of_limit(restartable_redis, group):
    restartable_redis.stop()
    hosts = [group.join(processes=4) for _ in range(4)]
    await asyncio.gather(*[group.send_many(host, 20) for host in hosts])
    assert [host.limit for host in hosts] == [2] * 4
    assert group.peak <= 8


@pytest.mark.case("registry 167")
async def test_redis_restart_shrinks_then_restores_grants(restartable_redis, group):
    hosts = [group.join(lease=0.5) for _ in range(2)]
    first, second = hosts
    sending = [group.send_many(host, 200, seconds=0.02) for host in hosts]
    await until(lambda: (first.limit, second.limit) == (4, 4))
    restartable_redis.stop()
    await asyncio.gather(*sending)
    assert group.peak <= 8
    assert (first.limit, second.limit) == (4, 4)
    alone = group.send_many(first, 100, seconds=0.02)
    await asyncio.sleep(0.3)
    assert first.in_flight == 4
    restartable_redis.start()
    await alone
    again = group.send_many(first, 100, seconds=0.05)
    await until(lambda: first.in_flight > 4, seconds=5)
    await again
    assert group.peak <= 8
