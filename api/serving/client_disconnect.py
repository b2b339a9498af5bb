"""Whether a client is still there: nobody watches or waits for one who hung up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import Receive


class ClientGoneError(Exception):
    """The client hung up; there is nobody to answer."""


@asynccontextmanager
async def while_present(receive: Receive) -> AsyncIterator[None]:
    """Carry out the block; ClientGoneError in it as soon as the client hangs up.

    The request's body has to be read before: whatever still comes is thrown away.
    """
    task = asyncio.current_task()
    assert task is not None
    gone = False

    async def listen() -> None:
        nonlocal gone
        while (await receive())["type"] != "http.disconnect":
            pass
        gone = True
        task.cancel()

    listening = asyncio.create_task(listen())
    try:
        yield
    except asyncio.CancelledError:
        if not gone or task.uncancel() > 0:
            raise
        raise ClientGoneError from None
    finally:
        listening.cancel()
