"""Keeps an API server busy over TLS, and says how many answers came and how soon.

    python -m bench.serving.load_generator < ORDER

ORDER is JSON: `port`, `authority` (PEM), `token`, `connections`, `seconds` and `requests`, a list
of [method, path, content type or null, body or null], which is sent over and over; `once` ends with
the last one instead. Answers are skipped over, so that this costs a fraction of what it measures.
Prints JSON: `rate`, `median` and `p99` in seconds, `codes`, `bytes` of an answer.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import ssl
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, cast

import uvloop

WARM_UP = 0.5
HOST = "127.0.0.1"


class Tally:
    """What came back, from the moment on when it counts."""

    def __init__(self, requests: Iterator[bytes], begin: float, end: float) -> None:
        self.requests = requests
        self.begin = begin
        self.end = end
        self.last = begin
        self.seconds: list[float] = []
        self.codes: Counter[str] = Counter()
        self.bytes = 0

    def count(self, began: float, ended: float, code: bytes, size: int) -> None:
        if began >= self.begin:
            self.seconds.append(ended - began)
            self.codes[code.decode()] += 1
            self.bytes += size
            self.last = ended

    def report(self) -> dict[str, Any]:
        done = len(self.seconds)
        return {
            "rate": done / (self.last - self.begin),
            "median": statistics.median(self.seconds),
            "p99": statistics.quantiles(self.seconds, n=100)[98],
            "codes": dict(self.codes),
            "bytes": self.bytes / done,
            "done": done,
        }


class Connection(asyncio.Protocol):
    """Keeps one request in flight."""

    def __init__(self, tally: Tally, done: asyncio.Future[None]) -> None:
        self._tally = tally
        self._done = done
        self._transport: asyncio.Transport | None = None
        self._head = b""
        self._left = 0
        self._size = 0
        self._code = b""
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._next()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(error or ConnectionError("closed early"))

    def data_received(self, data: bytes) -> None:
        if self._left:
            self._left -= len(data)
        else:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._head[:end].lower()
            start = head.find(b"content-length:") + 15
            self._size = int(head[start:].split(b"\r", 1)[0])
            self._code = head[9:12]
            self._left = self._size - (len(self._head) - end - 4)
            self._head = b""
        if self._left <= 0:
            self._left = 0
            self._tally.count(self._began, time.perf_counter(), self._code, self._size)
            self._next()

    def _next(self) -> None:
        assert self._transport is not None
        self._began = time.perf_counter()
        request = next(self._tally.requests, None) if self._began < self._tally.end else None
        if request is None:
            if not self._done.done():
                self._done.set_result(None)
            self._transport.close()
            return
        self._transport.write(request)


async def run(order: dict[str, Any]) -> dict[str, Any]:
    """Carry an order out."""
    context = ssl.create_default_context(cafile=order["authority"])
    prepared = [prepare(order["token"], *each) for each in order["requests"]]
    requests = iter(prepared) if order.get("once") else itertools.cycle(prepared)
    now = time.perf_counter()
    tally = Tally(requests, now + WARM_UP, now + WARM_UP + order["seconds"])
    loop = asyncio.get_running_loop()
    ends: list[asyncio.Future[None]] = [loop.create_future() for _ in range(order["connections"])]
    for end in ends:
        await loop.create_connection(
            lambda end=end: Connection(tally, end),  # type: ignore[misc]
            HOST,
            order["port"],
            ssl=context,
        )
    await asyncio.gather(*ends)
    return tally.report()


def prepare(token: str, method: str, path: str, kind: str | None, body: str | None) -> bytes:
    """A request as it is sent."""
    head = [
        f"{method} {path} HTTP/1.1",
        f"Host: {HOST}",
        f"Authorization: Bearer {token}",
        "Accept: application/json",
        "User-Agent: bench",
    ]
    content = (body or "").encode()
    if kind is not None:
        head += [f"Content-Type: {kind}", f"Content-Length: {len(content)}"]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + content


if __name__ == "__main__":
    print(json.dumps(uvloop.run(run(json.load(sys.stdin)))))
