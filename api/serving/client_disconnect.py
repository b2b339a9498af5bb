"""Detection of disconnected clients, so that a watch or a wait without a client ends (api-12.9)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import Receive


class ClientDisconnectedError(Exception):
    """The client disconnected; no response can be sent."""


@asynccontextmanager
async def cancel_on_disconnect(receive: Receive) -> AsyncIterator[None]:
    """Run the block, and raise ClientDisconnectedError in it as soon as the client disconnects.

    The request's body has to be read before: what arrives later is discarded.
    """
    task = asyncio.current_task()
    assert task is not None
    disconnected = False

    async def wait_for_disconnect() -> None:
        nonlocal disconnected
        while (await receive())["type"] != "http.disconnect":
            pass
        disconnected = True
        task.cancel()

    disconnect_task = asyncio.create_task(wait_for_disconnect())
    try:
        yield
    except asyncio.CancelledError:
        if not disconnected or task.uncancel() > 0:
            raise
        raise ClientDisconnectedError from None
    finally:
        disconnect_task.cancel()
