"""A process that checks tags as fast as it is let, and stops when its input ends.

python quota_worker.py REDIS_URL HOST TAGS CLIENTS; prints what it did, as JSON. Each client shares
nothing with the others but Redis, as if it were a process of its own.
"""

import asyncio
import json
import sys

import uvloop

from models.errors import RateLimitedError, RegistryError
from tests.integration.registry.rights import OWN_MACHINE
from worker.registry.client_config import ClientConfig
from worker.registry.registry_client import RegistryClient
from worker.registry.registry_types import Place
from worker.registry.request_context import Access

SIDE_BY_SIDE = 8


class Worker:
    """A client, and what became of its checks."""

    def __init__(self, redis_url, host, tags):
        self.client = RegistryClient(ClientConfig(policy=OWN_MACHINE, redis_url=redis_url))
        self.place = Place(host, "team/app")
        self.tags = tags
        self.checked = 0
        self.put_off = 0
        self.errors = []

    async def check(self, number):
        """One tag after the other, for ever."""
        access = Access(lane="scheduled", tenant="team")
        while True:
            number = (number + 1) % self.tags
            try:
                await self.client.head_manifest(self.place, f"v{number}", access)
            except RateLimitedError as error:
                self.put_off += 1
                await asyncio.sleep(min(error.retry_after or 0.2, 0.5))
            except RegistryError as error:
                self.errors.append(f"{error.code}: {error}")
                await asyncio.sleep(0.5)
            else:
                self.checked += 1


async def main(redis_url, host, tags, clients):
    workers = [Worker(redis_url, host, tags) for _ in range(clients)]
    tasks = [
        asyncio.create_task(worker.check(number))
        for worker in workers
        for number in range(SIDE_BY_SIDE)
    ]
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for worker in workers:
        await worker.client.close()
    told = {
        "checked": sum(worker.checked for worker in workers),
        "put_off": sum(worker.put_off for worker in workers),
        "errors": [error for worker in workers for error in worker.errors],
    }
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    where, registry, *numbers = sys.argv[1:]
    uvloop.run(main(where, registry, *map(int, numbers)))
