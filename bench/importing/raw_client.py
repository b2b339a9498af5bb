"""The fastest client at hand, as the yardstick: it writes requests, skips over answers, and
verifies, parses and keeps nothing.

    python -m bench.importing.raw_client PORT CONNECTIONS FILE

FILE holds a request a line, "METHOD /path". Prints the seconds that all of them took.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import uvloop

ACCEPT = (
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.docker.distribution.manifest.v2+json, */*"
)


class Connection(asyncio.Protocol):
    """Keeps one request in flight until there are no more."""

    def __init__(self, requests: Iterator[bytes], done: asyncio.Future[None]) -> None:
        self._requests = requests
        self._done = done
        self._transport: asyncio.Transport | None = None
        self._is_head = False
        self._head = b""
        self._left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._next()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(error or ConnectionError("closed early"))

    def data_received(self, data: bytes) -> None:
        if self._left:
            self._left -= len(data)
            if self._left <= 0:
                self._next()
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
        self._left = 0 if self._is_head else length - rest
        if self._left <= 0:
            self._next()

    def _next(self) -> None:
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
    """The seconds that these requests take."""
    requests = iter(
        [
            f"{line} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: {ACCEPT}\r\n\r\n".encode()
            for line in lines
        ]
    )
    loop = asyncio.get_running_loop()
    ends = [loop.create_future() for _ in range(min(connections, len(lines)))]
    began = time.perf_counter()
    for end in ends:
        await loop.create_connection(lambda end=end: Connection(requests, end), "127.0.0.1", port)
    await asyncio.gather(*ends)
    return time.perf_counter() - began


if __name__ == "__main__":
    where, number, file = sys.argv[1:]
    print(uvloop.run(replay(int(where), int(number), Path(file).read_text().splitlines())))
