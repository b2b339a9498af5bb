"""What one process learns of a registry's limits holds for all, with a real Redis between them."""

import asyncio
import time

import pytest
import redis

from models.errors import RateLimitedError
from tests import fixtures as fx
from tests.integration.registry.rights import OWN_MACHINE
from tests.integration.registry.test_slots import RedisServer, server  # noqa: F401 (a fixture)
from worker.registry.client_config import ClientConfig
from worker.registry.registry_client import RegistryClient
from worker.registry.registry_types import Place
from worker.registry.request_context import Access

T = "/a/b/manifests/t"
CHECK = Access(lane="scheduled", tenant="t")
PERSON = Access(tenant="t")


@pytest.fixture
def place(fake):
    fake.push("a/b", tag="t", manifest=fx.S2)
    return Place(fake.host, "a/b")


@pytest.fixture
async def workers(server):  # noqa: F811
    """Opens clients that share a Redis; each as good as a process of its own."""
    opened = []

    def open_one():
        config = ClientConfig(policy=OWN_MACHINE, redis_url=server.url, retry_pause=(0.0, 0.0))
        opened.append(RegistryClient(config))
        return opened[-1]

    yield open_one
    for client in opened:
        await client.close()


async def until(true, seconds=10.0):
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.01)


def gates(client, place):
    return dict(client.hosts.host(place).health().gates)


async def refused(client, place, access=PERSON):
    with pytest.raises(RateLimitedError) as caught:
        await client.head_manifest(place, "t", access)
    return caught.value


@pytest.mark.case("registry 159")
async def test_after_a_429_no_worker_asks_before_its_time_and_then_all_may(fake, place, workers):
    first, second = workers(), workers()
    for client in (first, second):
        await client.head_manifest(place, "t", PERSON)
    fake.fail_next(T, status=429, Retry_After="2")
    asked = len(fake.log)
    error = await refused(first, place, CHECK)
    told = time.monotonic()
    assert error.retry_after == 2
    await until(lambda: gates(second, place))
    await asyncio.gather(*[client.head_manifest(place, "t", CHECK) for client in (first, second)])
    assert len(fake.log) == asked + 3
    assert all(request.when - told > 1.9 for request in fake.log[asked + 1 :])


async def test_a_worker_that_comes_later_hears_of_a_gate_before_its_first_request(
    fake, place, workers
):
    fake.fail_next(T, status=429, Retry_After="600")
    await refused(workers(), place, CHECK)
    asked = len(fake.log)
    late = workers()
    assert (await refused(late, place, CHECK)).retry_after == pytest.approx(600, abs=60)
    assert (await refused(late, place)).code == "ratelimit.quota"
    assert len(fake.log) == asked


async def test_a_gate_outlives_the_redis_that_held_it(fake, place, workers, server):  # noqa: F811
    fake.fail_next(T, status=429, Retry_After="600")
    first = workers()
    await refused(first, place, CHECK)
    asked = len(fake.log)
    server.stop()
    await refused(first, place, CHECK)
    server.start()
    late = workers()
    first.hosts.host(place)._share.press()

    async def both():
        while True:
            await refused(first, place, CHECK)
            if gates(late, place):
                return
            late.hosts.host(place)._share.press()
            await asyncio.sleep(0.05)

    await asyncio.wait_for(both(), 20)
    assert len(fake.log) == asked


async def test_two_workers_together_keep_to_a_quota_that_one_of_them_has_seen(fake, place, workers):
    quota = fake.quota(20, 3600.0)
    first, second = workers(), workers()
    await first.head_manifest(place, "t", PERSON)
    await until(lambda: first.hosts.host(place).health().quotas)

    async def ask(client):
        try:
            await client.head_manifest(place, "t", Access(lane="bulk", retries=False))
        except RateLimitedError as error:
            return error
        return None

    asks = [asyncio.create_task(ask(client)) for client in (first, second) for _ in range(30)]
    done, waiting = await asyncio.wait(asks, timeout=4)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert not quota.refused
    assert len(quota.admitted) <= 18
    limited = [task.result() for task in done if task.result() is not None]
    assert all(error.code == "ratelimit.quota" for error in limited)
    await second.fetch_manifest(place, "t", PERSON)
    assert not quota.refused


async def test_a_worker_that_comes_later_knows_the_quota_before_its_first_request(
    fake, place, workers
):
    quota = fake.quota(20, 3600.0)
    first = workers()
    for _ in range(20):
        await first.head_manifest(place, "t", PERSON)
    await until(lambda: first.hosts.host(place).health().quotas[0][2] == 0)
    late = workers()
    assert (await refused(late, place)).retry_after > 30
    assert len(quota.admitted) == 20
    assert not quota.refused


async def test_without_redis_workers_keep_to_their_part_of_the_quota(
    fake,
    place,
    workers,
    server,  # noqa: F811
):
    quota = fake.quota(40, 3600.0)
    clients = [workers(), workers()]
    for client in clients:
        for _ in range(2):
            await client.head_manifest(place, "t", PERSON)
    await until(lambda: all(client.hosts.host(place)._share.members == 2 for client in clients))
    server.stop()
    sent = [0, 0]
    for number, client in enumerate(clients):
        for _ in range(40):
            try:
                await client.head_manifest(place, "t", Access(retries=False))
            except RateLimitedError:
                break
            sent[number] += 1
    assert sent[0] == 18
    assert 9 <= sent[1] <= 18
    assert not quota.refused


async def test_a_registry_without_a_quota_costs_no_word_to_redis(fake, place, workers, server):  # noqa: F811
    client = workers()
    await client.head_manifest(place, "t", PERSON)
    with redis.Redis.from_url(server.url) as books:
        before = books.info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0)
        for _ in range(200):
            await client.head_manifest(place, "t", PERSON)
        after = books.info("commandstats")["cmdstat_evalsha"]["calls"]
    assert after - before <= 5
