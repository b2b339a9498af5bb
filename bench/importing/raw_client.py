"""The fastest client, as the reference: it sends requests and skips over the responses.

    python -m bench.importing.raw_client PORT CONNECTIONS FILE

It verifies, parses and stores nothing. FILE has one request a line, "METHOD /path". Prints the
seconds that all of them took.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import uvloop

ACCEPT_HEADER = (
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.docker.distribution.manifest.v2+json, */*"
)


class ReplayConnection(asyncio.Protocol):
    """A connection that keeps one request in flight until there are no more."""

    def __init__(self, requests: Iterator[bytes], done: asyncio.Future[None]) -> None:
        self._requests = requests
        self._done = done
        self._transport: asyncio.Transport | None = None
        self._is_head = False
        self._head = b""
        self._remaining_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._send_next()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(error or ConnectionError("closed early"))

    def data_received(self, data: bytes) -> None:
        if self._remaining_bytes:
            self._remaining_bytes -= len(data)
            if self._remaining_bytes <= 0:
                self._send_next()
            return
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if end < 0:
            return
        head, rest = self._head[:end].lower(), len(self._head) - end - 4
        if b" 200 " not in head[:16]:
            self._done.set_exception(ValueError(head[:80].decode("latin-1")))
            return
        start = head.find(b"content-length:")
        length = int(head[start + 15 :].split(b"\r", 1)[0])
        self._head = b""
        self._remaining_bytes = 0 if self._is_head else length - rest
        if self._remaining_bytes <= 0:
            self._send_next()

    def _send_next(self) -> None:
        assert self._transport is not None
        request = next(self._requests, None)
        if request is None:
            if not self._done.done():
                self._done.set_result(None)
            self._transport.close()
            return
        self._is_head = request.startswith(b"HEAD")
        self._transport.write(request)


async def replay(port: int, connections: int, lines: list[str]) -> float:
    """Send the requests and return the seconds that they took."""
    requests = iter(
        [
            f"{line} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: {ACCEPT_HEADER}\r\n\r\n".encode()
            for line in lines
        ]
    )
    loop = asyncio.get_running_loop()
    finished = [loop.create_future() for _ in range(min(connections, len(lines)))]
    started = time.perf_counter()
    for finished_future in finished:
        await loop.create_connection(
            lambda end=finished_future: ReplayConnection(requests, end), "127.0.0.1", port
        )
    await asyncio.gather(*finished)
    return time.perf_counter() - started


if __name__ == "__main__":
    port_arg, connections_arg, request_file = sys.argv[1:]
    print(
        uvloop.run(
            replay(int(port_arg), int(connections_arg), Path(request_file).read_text().splitlines())
        )
    )
