"""A process that asks a registry for many tags, taking turns with others like it.

python asker.py REDIS_URL HOST TAGS BUDGET [LEASE]; prints how many answers it got. Where TAGS is
`forever`, it fills every slot it is given and holds on to them.
"""

import asyncio
import sys

from worker.registry.limits.host_limiters import Hosts
from worker.registry.limits.shared_concurrency import RedisSlots
from worker.registry.registry_types import Place
from worker.registry.request_context import Access


async def head(host, address, tag):
    async with host.slot(Access(tenant="t", lane="bulk")):
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
        host.answered(status)
        return status


async def hold(host):
    async with host.slot(Access()):
        sys.stdout.write("holding\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


async def main(redis_url, address, tags, budget, lease="5"):
    slots = RedisSlots(redis_url, lease=float(lease))
    hosts = Hosts(start=int(budget), most=int(budget), slots=slots)
    host = hosts.host(Place(address, "team/app"))
    if tags == "forever":
        await asyncio.gather(*[hold(host) for _ in range(int(budget))])
    answers = await asyncio.gather(*[head(host, address, tag) for tag in range(int(tags))])
    await hosts.close()
    sys.stdout.write(f"{len(answers)}\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
