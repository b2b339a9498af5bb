"""A TCP proxy that simulates network latency: every byte is delayed by half a round trip.

    python -m bench.importing.latency_proxy PORT TARGET_PORT MILLISECONDS [FILE]

Opening a connection costs one more round trip, as on a real network. FILE receives the first line
of every request.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from pathlib import Path
from typing import TextIO, cast

import uvloop


class ProxyEnd(asyncio.Protocol):
    """One end of a proxied connection. Data leaves at the other end `delay` seconds later, in
    order.
    """

    def __init__(self, delay: float, connect_delay: float = 0.0, log: TextIO | None = None) -> None:
        self.peer: ProxyEnd | None = None
        self.transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._delay = delay
        self._not_before = self._loop.time() + connect_delay
        self._log = log
        self._unconnected: deque[bytes] = deque()
        self._in_transit: deque[bytes] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        if self.peer is not None:
            self.peer.flush()

    def data_received(self, data: bytes) -> None:
        if self._log is not None and data[:1].isupper():
            self._log.write(data[: data.find(b"\r\n")].decode("latin-1") + "\n")
        if not self._delay:
            self._send(data)
            return
        start = max(self._loop.time(), self._not_before)
        self._in_transit.append(data)
        self._loop.call_at(start + self._delay, self._deliver)

    def flush(self) -> None:
        while self._unconnected:
            self._send(self._unconnected.popleft())

    def connection_lost(self, _error: Exception | None) -> None:
        other = self.peer
        if other is not None and other.transport is not None:
            self._loop.call_later(self._delay + 0.001, other.transport.close)

    def _deliver(self) -> None:
        self._send(self._in_transit.popleft())

    def _send(self, data: bytes) -> None:
        assert self.peer is not None
        if self.peer.transport is None:
            self._unconnected.append(data)
        elif not self.peer.transport.is_closing():
            self.peer.transport.write(data)


async def main(port: int, target: int, round_trip: float, log: TextIO | None) -> None:
    """Serve the proxy until the process is stopped."""
    loop = asyncio.get_running_loop()
    connecting: set[asyncio.Task[object]] = set()

    def accept() -> ProxyEnd:
        client_end, server_end = ProxyEnd(round_trip / 2, round_trip, log), ProxyEnd(round_trip / 2)
        client_end.peer, server_end.peer = server_end, client_end
        task = loop.create_task(loop.create_connection(lambda: server_end, "127.0.0.1", target))
        connecting.add(task)
        task.add_done_callback(connecting.discard)
        return client_end

    server = await loop.create_server(accept, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    port_arg, target, milliseconds, *file = sys.argv[1:]
    output = Path(file[0]).open("w", buffering=1) if file else None  # noqa: SIM115
    uvloop.run(main(int(port_arg), int(target), float(milliseconds) / 1000, output))
