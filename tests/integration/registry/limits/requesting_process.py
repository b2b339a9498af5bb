"""A process that requests many tags of a registry under a limit shared with others like it.

python requesting_process.py REDIS_URL HOST TAGS LIMIT [LEASE] prints how many responses it got.
If TAGS is `forever`, it takes every permit that it is granted and holds it.
"""

import asyncio
import sys

from worker.registry.limits.host_limiters import HostLimiters
from worker.registry.limits.shared_concurrency import RedisLimitBackend
from worker.registry.registry_types import SourceRepository
from worker.registry.request_context import RequestContext


async def send_head(host, address, tag):
    async with host.permit(RequestContext(tenant="t", priority="bulk")):
        name, _, port = address.partition(":")
        reader, writer = await asyncio.open_connection(name, int(port))
        writer.write(
            f"HEAD /v2/team/app/manifests/{tag} HTTP/1.1\r\nHost: {address}\r\n"
            "Connection: close\r\n\r\n".encode()
        )
        status = int((await reader.readline()).split()[1])
        await reader.read()
        writer.close()
        await writer.wait_closed()
        host.record_response(status)
        return status


async def hold_permit(host):
    async with host.permit(RequestContext()):
        sys.stdout.write("holding\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


async def main(redis_url, address, tags, budget, lease="5"):
    backend = RedisLimitBackend(redis_url, lease_seconds=float(lease))
    hosts = HostLimiters(
        initial_concurrency=int(budget), max_concurrency=int(budget), limit_backend=backend
    )
    host = hosts.host(SourceRepository(address, "team/app"))
    if tags == "forever":
        await asyncio.gather(*[hold_permit(host) for _ in range(int(budget))])
    answers = await asyncio.gather(*[send_head(host, address, tag) for tag in range(int(tags))])
    await hosts.close()
    sys.stdout.write(f"{len(answers)}\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
