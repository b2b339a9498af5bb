"""A process that checks tags as fast as the quota allows, and stops when its input ends.

python quota_check_process.py REDIS_URL HOST TAGS CLIENTS

It prints what it did as JSON. Its clients share nothing but Redis, like separate processes.
"""

import asyncio
import json
import sys

import uvloop

from models.errors import RateLimitedError, RegistryError
from tests.integration.registry.client_helpers import EMBEDDED_POLICY
from worker.registry.client_config import ClientConfig
from worker.registry.registry_client import RegistryClient
from worker.registry.registry_types import SourceRepository
from worker.registry.request_context import RequestContext

CONCURRENT_CHECKS = 8


class CheckWorker:
    """A client, and the results of its checks."""

    def __init__(self, redis_url, host, tags):
        self.client = RegistryClient(ClientConfig(policy=EMBEDDED_POLICY, redis_url=redis_url))
        self.source = SourceRepository(host, "team/app")
        self.tags = tags
        self.checked = 0
        self.deferred = 0
        self.errors = []

    async def check(self, number):
        """Check one tag after the other until the task is cancelled."""
        context = RequestContext(priority="scheduled", tenant="team")
        while True:
            number = (number + 1) % self.tags
            try:
                await self.client.head_manifest(self.source, f"v{number}", context)
            except RateLimitedError as error:
                self.deferred += 1
                await asyncio.sleep(min(error.retry_after or 0.2, 0.5))
            except RegistryError as error:
                self.errors.append(f"{error.code}: {error}")
                await asyncio.sleep(0.5)
            else:
                self.checked += 1


async def main(redis_url, host, tags, clients):
    workers = [CheckWorker(redis_url, host, tags) for _ in range(clients)]
    tasks = [
        asyncio.create_task(worker.check(number))
        for worker in workers
        for number in range(CONCURRENT_CHECKS)
    ]
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for worker in workers:
        await worker.client.close()
    report = {
        "checked": sum(worker.checked for worker in workers),
        "deferred": sum(worker.deferred for worker in workers),
        "errors": [error for worker in workers for error in worker.errors],
    }
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    redis_url, registry, *numbers = sys.argv[1:]
    uvloop.run(main(redis_url, registry, *map(int, numbers)))
