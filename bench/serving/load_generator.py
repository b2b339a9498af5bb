"""Sends requests to an API server over TLS and measures rate and latency of the responses.

    python -m bench.serving.load_generator < ORDER

ORDER is JSON: `port`, `authority` (PEM), `token`, `connections`, `seconds` and `requests`, a list
of [method, path, content type or null, body or null], which is repeated; with `once` it is sent
only once. Responses are skipped over, so that the load costs a fraction of what it measures. Prints
JSON: `rate`, `median` and `p99` in seconds, `codes`, `bytes` per response.
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

WARM_UP_SECONDS = 0.5
HOST = "127.0.0.1"


class ResponseStats:
    """Statistics of the responses after the warm-up."""

    def __init__(self, requests: Iterator[bytes], measure_from: float, end: float) -> None:
        self.requests = requests
        self.measure_from = measure_from
        self.end = end
        self.last_ended = measure_from
        self.seconds: list[float] = []
        self.codes: Counter[str] = Counter()
        self.bytes = 0

    def record(self, started: float, ended: float, code: bytes, size: int) -> None:
        """Record a response, unless its request was sent during the warm-up."""
        if started >= self.measure_from:
            self.seconds.append(ended - started)
            self.codes[code.decode()] += 1
            self.bytes += size
            self.last_ended = ended

    def report(self) -> dict[str, Any]:
        """Return the statistics as a document."""
        done = len(self.seconds)
        return {
            "rate": done / (self.last_ended - self.measure_from),
            "median": statistics.median(self.seconds),
            "p99": statistics.quantiles(self.seconds, n=100)[98],
            "codes": dict(self.codes),
            "bytes": self.bytes / done,
            "done": done,
        }


class LoadConnection(asyncio.Protocol):
    """A connection that keeps one request in flight."""

    def __init__(self, stats: ResponseStats, done: asyncio.Future[None]) -> None:
        self._stats = stats
        self._done = done
        self._transport: asyncio.Transport | None = None
        self._head = b""
        self._remaining_bytes = 0
        self._size = 0
        self._code = b""
        self._started = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._send_next()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(error or ConnectionError("closed early"))

    def data_received(self, data: bytes) -> None:
        if self._remaining_bytes:
            self._remaining_bytes -= len(data)
        else:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._head[:end].lower()
            start = head.find(b"content-length:") + 15
            self._size = int(head[start:].split(b"\r", 1)[0])
            self._code = head[9:12]
            self._remaining_bytes = self._size - (len(self._head) - end - 4)
            self._head = b""
        if self._remaining_bytes <= 0:
            self._remaining_bytes = 0
            self._stats.record(self._started, time.perf_counter(), self._code, self._size)
            self._send_next()

    def _send_next(self) -> None:
        assert self._transport is not None
        self._started = time.perf_counter()
        request = next(self._stats.requests, None) if self._started < self._stats.end else None
        if request is None:
            if not self._done.done():
                self._done.set_result(None)
            self._transport.close()
            return
        self._transport.write(request)


async def run_load(order: dict[str, Any]) -> dict[str, Any]:
    """Run the load that the order describes and return its report."""
    context = ssl.create_default_context(cafile=order["authority"])
    prepared = [encode_request(order["token"], *each) for each in order["requests"]]
    requests = iter(prepared) if order.get("once") else itertools.cycle(prepared)
    now = time.perf_counter()
    stats = ResponseStats(requests, now + WARM_UP_SECONDS, now + WARM_UP_SECONDS + order["seconds"])
    loop = asyncio.get_running_loop()
    finished: list[asyncio.Future[None]] = [
        loop.create_future() for _ in range(order["connections"])
    ]
    for finished_future in finished:
        await loop.create_connection(
            lambda end=finished_future: LoadConnection(stats, end),  # type: ignore[misc]
            HOST,
            order["port"],
            ssl=context,
        )
    await asyncio.gather(*finished)
    return stats.report()


def encode_request(
    token: str, method: str, path: str, content_type: str | None, body: str | None
) -> bytes:
    """Encode a request for the wire."""
    head = [
        f"{method} {path} HTTP/1.1",
        f"Host: {HOST}",
        f"Authorization: Bearer {token}",
        "Accept: application/json",
        "User-Agent: bench",
    ]
    content = (body or "").encode()
    if content_type is not None:
        head += [f"Content-Type: {content_type}", f"Content-Length: {len(content)}"]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + content


if __name__ == "__main__":
    print(json.dumps(uvloop.run(run_load(json.load(sys.stdin)))))
