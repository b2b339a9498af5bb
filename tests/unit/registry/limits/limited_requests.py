"""Requests through a host limiter: held until finished, completed at once, or failed."""

import asyncio

import httpx
import pytest

from models.errors import TransientRegistryError
from tests.manual_clock import settle
from worker.registry.registry_types import SourceRepository
from worker.registry.request_context import RequestContext

SOURCE = SourceRepository("r.example", "team/app")
OTHER_SOURCE = SourceRepository("other.example", "team/app")
EOF = TransientRegistryError(
    'Get "https://r.example/v2/team/app/manifests/1": EOF', code="net.reset"
)


class HeldRequests:
    """Requests that hold their permit until the test finishes them."""

    def __init__(self, host):
        self.host = host
        self.held = []
        self.order = []
        self.tasks = []

    async def send(self, name, tenant="", priority="interactive", **options):
        async def hold():
            async with self.host.permit(
                RequestContext(tenant=tenant, priority=priority), **options
            ):
                self.order.append(name)
                end = asyncio.get_running_loop().create_future()
                self.held.append((name, end))
                status = await end
                if status:
                    self.host.record_response(status)

        self.tasks.append(asyncio.create_task(hold()))
        await settle()
        return self.tasks[-1]

    async def finish(self, name=None, status=200):
        """Finish the request `name`, or the oldest one."""
        found = next(each for each in self.held if name in {None, each[0]})
        self.held.remove(found)
        found[1].set_result(status)
        await settle()

    def in_flight(self):
        return [name for name, _ in self.held]

    async def finish_all(self):
        while self.held:
            await self.finish()
        return await asyncio.gather(*self.tasks, return_exceptions=True)


async def send_request(
    host, status=200, *, headers=None, scope=None, tenant="", priority="interactive", **options
):
    async with host.permit(
        RequestContext(tenant=tenant, priority=priority), scope=scope, **options
    ) as permit:
        host.record_response(status, headers and httpx.Headers(headers), permit=permit)
    await settle()


async def fail_request(host, error=EOF, tenant=""):
    async def send():
        async with host.permit(RequestContext(tenant=tenant)):
            host.record_failure(error)
            raise error

    with pytest.raises(type(error)):
        await send()
