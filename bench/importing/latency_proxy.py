"""A wire of a certain length: a TCP proxy that lets every byte travel for half a round trip.

    python -m bench.importing.latency_proxy PORT TARGET_PORT MILLISECONDS [FILE]

Connections cost a round trip to open, as real ones do. FILE gets the first line of every request.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from pathlib import Path
from typing import TextIO, cast

import uvloop


class End(asyncio.Protocol):
    """One end of a wire. What arrives leaves at the other end `seconds` later, in order."""

    def __init__(self, seconds: float, first: float = 0.0, log: TextIO | None = None) -> None:
        self.other: End | None = None
        self.transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._seconds = seconds
        self._not_before = self._loop.time() + first
        self._log = log
        self._early: deque[bytes] = deque()
        self._travelling: deque[bytes] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        if self.other is not None:
            self.other.flush()

    def data_received(self, data: bytes) -> None:
        if self._log is not None and data[:1].isupper():
            self._log.write(data[: data.find(b"\r\n")].decode("latin-1") + "\n")
        if not self._seconds:
            self._send(data)
            return
        start = max(self._loop.time(), self._not_before)
        self._travelling.append(data)
        self._loop.call_at(start + self._seconds, self._arrive)

    def flush(self) -> None:
        while self._early:
            self._send(self._early.popleft())

    def connection_lost(self, _error: Exception | None) -> None:
        other = self.other
        if other is not None and other.transport is not None:
            self._loop.call_later(self._seconds + 0.001, other.transport.close)

    def _arrive(self) -> None:
        self._send(self._travelling.popleft())

    def _send(self, data: bytes) -> None:
        assert self.other is not None
        if self.other.transport is None:
            self._early.append(data)
        elif not self.other.transport.is_closing():
            self.other.transport.write(data)


async def main(port: int, target: int, round_trip: float, log: TextIO | None) -> None:
    loop = asyncio.get_running_loop()
    waiting: set[asyncio.Task[object]] = set()

    def accept() -> End:
        near, far = End(round_trip / 2, round_trip, log), End(round_trip / 2)
        near.other, far.other = far, near
        task = loop.create_task(loop.create_connection(lambda: far, "127.0.0.1", target))
        waiting.add(task)
        task.add_done_callback(waiting.discard)
        return near

    server = await loop.create_server(accept, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    own, target, milliseconds, *file = sys.argv[1:]
    output = Path(file[0]).open("w", buffering=1) if file else None  # noqa: SIM115
    uvloop.run(main(int(own), int(target), float(milliseconds) / 1000, output))
