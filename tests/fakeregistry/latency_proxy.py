"""A TCP proxy that adds latency: it delays all data by half a round trip in each direction.

`with LatencyProxy("127.0.0.1", port, round_trip=0.02) as proxy:` and connect to `proxy.host`. It
runs in a separate process, so that it takes no CPU time from the process that measures.
"""

from __future__ import annotations

import asyncio
import collections
import subprocess
import sys
from typing import Self

import uvloop


class LatencyProxy:
    """The proxy, seen from the process that measures."""

    def __init__(self, address: str, port: int, *, round_trip: float = 0.02):
        self._command = [sys.executable, "-P", __file__, address, str(port), str(round_trip)]
        self._process: subprocess.Popen | None = None
        self.port = 0

    @classmethod
    def in_front_of(cls, host: str, *, round_trip: float = 0.02) -> Self:
        """Return a proxy in front of `host`, which is address:port."""
        address, _, port = host.rpartition(":")
        return cls(address, int(port), round_trip=round_trip)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> Self:
        # The process exits when its standard input is closed, so also when this process is killed.
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.port = int(self._process.stdout.readline())
        return self

    def close(self):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_):
        self.close()


class _Pipe:
    """One direction of a connection: data and its end are delivered `delay` seconds later."""

    def __init__(self, loop: asyncio.AbstractEventLoop, delay: float):
        self._loop = loop
        self._delay = delay
        self._pending: collections.deque[tuple[float, bytes | None]] = collections.deque()
        self._to: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def open(self, to: asyncio.Transport):
        self._to = to
        self._deliver()

    def send(self, data: bytes | None):
        """Deliver `data` later; None closes the connection."""
        self._pending.append((self._loop.time() + self._delay, data))
        if self._to is not None and self._timer is None:
            self._timer = self._loop.call_later(self._delay, self._deliver)

    def _deliver(self):
        self._timer = None
        now = self._loop.time() + 0.0005  # uvloop's timers have a resolution of a millisecond
        due = []
        while self._pending and self._pending[0][0] <= now:
            due.append(self._pending.popleft()[1])
        data = b"".join(piece for piece in due if piece)
        if data and not self._to.is_closing():
            self._to.write(data)
        if None in due:
            self._to.close()
        elif self._pending:
            self._timer = self._loop.call_later(self._pending[0][0] - now, self._deliver)


class _Endpoint(asyncio.Protocol):
    """One end of a proxied connection; what it receives goes into `out`."""

    def __init__(self, out: _Pipe, connected=None):
        self._out = out
        self._connected = connected

    def connection_made(self, transport):
        if self._connected is not None:
            self._connected(transport)

    def data_received(self, data):
        self._out.send(data)

    def connection_lost(self, exc):
        self._out.send(None)


async def serve(address: str, port: int, round_trip: float):
    """Proxy to `address`:`port` until standard input ends."""
    loop = asyncio.get_running_loop()
    connecting = set()

    def accept() -> _Endpoint:
        upstream, downstream = _Pipe(loop, round_trip / 2), _Pipe(loop, round_trip / 2)

        async def connect(client: asyncio.Transport):
            downstream.open(client)
            # A real connection takes one round trip to establish.
            await asyncio.sleep(round_trip)
            try:
                server, _ = await loop.create_connection(
                    lambda: _Endpoint(downstream), address, port
                )
            except OSError:
                client.abort()
                return
            upstream.open(server)

        def connected(client: asyncio.Transport):
            task = loop.create_task(connect(client))
            connecting.add(task)
            task.add_done_callback(connecting.discard)

        return _Endpoint(upstream, connected)

    server = await loop.create_server(accept, "127.0.0.1", 0, backlog=1024)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


def main(address: str, port: str, round_trip: str):
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(address, int(port), float(round_trip)))


if __name__ == "__main__":
    main(*sys.argv[1:])
