"""Limits that one process learns of a registry apply to all, through a real Redis."""

import asyncio
import time

import pytest
import redis

from models.errors import RateLimitedError
from tests import fixtures as fx
from tests.integration.registry.client_helpers import EMBEDDED_POLICY
from worker.registry.client_config import ClientConfig
from worker.registry.registry_client import RegistryClient
from worker.registry.registry_types import SourceRepository
from worker.registry.request_context import RequestContext

T = "/a/b/manifests/t"
CHECK = RequestContext(priority="scheduled", tenant="t")
INTERACTIVE = RequestContext(tenant="t")


@pytest.fixture
def source(fake):
    fake.push("a/b", tag="t", manifest=fx.S2)
    return SourceRepository(fake.host, "a/b")


@pytest.fixture
async def open_worker(restartable_redis):
    """Open clients that share a Redis, each like a separate process."""
    opened = []

    def open_one():
        config = ClientConfig(
            policy=EMBEDDED_POLICY, redis_url=restartable_redis.url, retry_pause=(0.0, 0.0)
        )
        opened.append(RegistryClient(config))
        return opened[-1]

    yield open_one
    for client in opened:
        await client.close()


async def until(condition, seconds=10.0):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def cooldowns(client, source):
    return dict(client.hosts.host(source).health().cooldowns)


async def limit_error(client, source, context=INTERACTIVE):
    with pytest.raises(RateLimitedError) as caught:
        await client.head_manifest(source, "t", context)
    return caught.value


@pytest.mark.case("registry 159")
async def test_429_cooldown_applies_to_all_workers_until_end(fake, source, open_worker):
    first, second = open_worker(), open_worker()
    for client in (first, second):
        await client.head_manifest(source, "t", INTERACTIVE)
    fake.fail_next(T, status=429, Retry_After="2")
    request_count = len(fake.log)
    error = await limit_error(first, source, CHECK)
    limited_at = time.monotonic()
    assert error.retry_after == 2
    await until(lambda: cooldowns(second, source))
    await asyncio.gather(*[client.head_manifest(source, "t", CHECK) for client in (first, second)])
    assert len(fake.log) == request_count + 3
    assert all(request.when - limited_at > 1.9 for request in fake.log[request_count + 1 :])


async def test_new_worker_reads_cooldown_before_first_request(fake, source, open_worker):
    fake.fail_next(T, status=429, Retry_After="600")
    await limit_error(open_worker(), source, CHECK)
    request_count = len(fake.log)
    new_worker = open_worker()
    assert (await limit_error(new_worker, source, CHECK)).retry_after == pytest.approx(600, abs=60)
    assert (await limit_error(new_worker, source)).code == "ratelimit.quota"
    assert len(fake.log) == request_count


async def test_cooldown_survives_redis_restart(fake, source, open_worker, restartable_redis):
    fake.fail_next(T, status=429, Retry_After="600")
    first = open_worker()
    await limit_error(first, source, CHECK)
    request_count = len(fake.log)
    restartable_redis.stop()
    await limit_error(first, source, CHECK)
    restartable_redis.start()
    new_worker = open_worker()
    first.hosts.host(source)._concurrency.request_more()

    async def wait_for_cooldown():
        while True:
            await limit_error(first, source, CHECK)
            if cooldowns(new_worker, source):
                return
            new_worker.hosts.host(source)._concurrency.request_more()
            await asyncio.sleep(0.05)

    await asyncio.wait_for(wait_for_cooldown(), 20)
    assert len(fake.log) == request_count


async def test_two_workers_respect_quota_seen_by_one(fake, source, open_worker):
    quota = fake.quota(20, 3600.0)
    first, second = open_worker(), open_worker()
    await first.head_manifest(source, "t", INTERACTIVE)
    await until(lambda: first.hosts.host(source).health().quotas)

    async def head_once(client):
        try:
            await client.head_manifest(source, "t", RequestContext(priority="bulk", retries=False))
        except RateLimitedError as error:
            return error
        return None

    tasks = [
        asyncio.create_task(head_once(client)) for client in (first, second) for _ in range(30)
    ]
    done, waiting = await asyncio.wait(tasks, timeout=4)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert not quota.refused
    assert len(quota.admitted) <= 18
    limited = [task.result() for task in done if task.result() is not None]
    assert all(error.code == "ratelimit.quota" for error in limited)
    await second.fetch_manifest(source, "t", INTERACTIVE)
    assert not quota.refused


async def test_new_worker_reads_quota_before_first_request(fake, source, open_worker):
    quota = fake.quota(20, 3600.0)
    first = open_worker()
    for _ in range(20):
        await first.head_manifest(source, "t", INTERACTIVE)
    await until(lambda: first.hosts.host(source).health().quotas[0][2] == 0)
    new_worker = open_worker()
    assert (await limit_error(new_worker, source)).retry_after > 30
    assert len(quota.admitted) == 20
    assert not quota.refused


async def test_workers_without_redis_use_their_fraction_of_quota(
    fake,
    source,
    open_worker,
    restartable_redis,
):
    quota = fake.quota(40, 3600.0)
    clients = [open_worker(), open_worker()]
    for client in clients:
        for _ in range(2):
            await client.head_manifest(source, "t", INTERACTIVE)
    await until(
        lambda: all(client.hosts.host(source)._concurrency.member_count == 2 for client in clients)
    )
    restartable_redis.stop()
    sent = [0, 0]
    for number, client in enumerate(clients):
        for _ in range(40):
            try:
                await client.head_manifest(source, "t", RequestContext(retries=False))
            except RateLimitedError:
                break
            sent[number] += 1
    assert sent[0] == 18
    assert 9 <= sent[1] <= 18
    assert not quota.refused


async def test_registry_without_quota_causes_no_redis_calls(
    fake, source, open_worker, restartable_redis
):
    client = open_worker()
    await client.head_manifest(source, "t", INTERACTIVE)
    with redis.Redis.from_url(restartable_redis.url) as redis_client:
        before = redis_client.info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0)
        for _ in range(200):
            await client.head_manifest(source, "t", INTERACTIVE)
        after = redis_client.info("commandstats")["cmdstat_evalsha"]["calls"]
    assert after - before <= 5
