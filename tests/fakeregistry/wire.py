"""The HTTP/1.1 server side of the fake registry: requests in, replies or arbitrary bytes out."""

from __future__ import annotations

import asyncio
import base64
import binascii
import inspect
import itertools
import re
import time
from collections.abc import Awaitable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from urllib.parse import parse_qs, unquote, urlsplit

import httpx

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection:[ \t]*close", re.IGNORECASE)
_EXPECT = re.compile(rb"\r\nexpect:[ \t]*100-continue", re.IGNORECASE)
_TLS_HELLO = b"\x16"  # first byte of TLS on a plain port: real servers refuse it at once
_MAX_HEAD_BYTES = 1 << 20
_REASONS = {status.value: status.phrase for status in HTTPStatus}

Headers = Mapping[str, str] | Iterable[tuple[str, str]]


@dataclass(eq=False)
class Request:
    """A received request. `connection` numbers connections from 1; `sni` is the TLS server name."""

    method: str
    target: str
    head: bytes = b""
    body: bytes = b""
    peer: tuple[str, int] = ("", 0)
    sni: str | None = None
    connection: int = 0
    when: float = 0.0

    def __str__(self):
        return f"{self.method} {self.target}"

    @cached_property
    def headers(self) -> httpx.Headers:
        """All header fields; `get_list` returns every value of a repeated field."""
        lines = self.head.split(b"\r\n")[1:]
        pairs = (line.partition(b":") for line in lines if line)
        return httpx.Headers([(name, value.strip()) for name, _, value in pairs])

    @cached_property
    def path(self) -> str:
        """The path as it was sent, without the query."""
        return self.target.partition("?")[0]

    @cached_property
    def plain_path(self) -> str:
        """The path with percent-encoding decoded."""
        return unquote(self.path)

    @cached_property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)

    @cached_property
    def form(self) -> dict[str, list[str]]:
        return parse_qs(self.body.decode("utf-8", "replace"), keep_blank_values=True)

    @property
    def authorization(self) -> str:
        return self.headers.get("authorization", "")

    @property
    def bearer(self) -> str | None:
        scheme, _, token = self.authorization.partition(" ")
        return token if scheme.lower() == "bearer" else None

    @property
    def basic(self) -> tuple[str, str] | None:
        scheme, _, encoded = self.authorization.partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            user, _, password = base64.b64decode(encoded).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return user, password

    def contains(self, text: str) -> bool:
        """Return whether the request contains `text`, also in a Basic header or percent-encoded."""
        parts = [self.head.decode("latin-1"), unquote(self.target), self.body.decode("latin-1")]
        parts += [unquote(self.body.decode("latin-1")), ":".join(self.basic or ())]
        return any(text in part for part in parts)


@dataclass(slots=True)
class Reply:
    """A well-formed response. `length` overrides Content-Length; -1 leaves it out.

    With `close` the connection is closed after the body; with `hold` it stays open and silent, so
    that a missing rest never arrives.
    """

    status: int = 200
    body: bytes = b""
    headers: Headers = ()
    length: int | None = None
    close: bool = False
    hold: bool = False
    delay: float = 0.0

    def pairs(self) -> list[tuple[str, str]]:
        items = self.headers.items() if isinstance(self.headers, Mapping) else self.headers
        return list(items)

    def with_header(self, name: str, value: str | Sequence[str] | None) -> Reply:
        """Replace a header by one value, by several lines, or remove it (None)."""
        pairs = [pair for pair in self.pairs() if pair[0].lower() != name.lower()]
        values = [] if value is None else [value] if isinstance(value, str) else value
        self.headers = [*pairs, *((name, each) for each in values)]
        return self

    def render(self, method: str) -> bytes:
        """Return the bytes of the response to a request of `method`."""
        lines = [f"HTTP/1.1 {self.status} {_REASONS.get(self.status, 'Odd')}"]
        lines += [f"{name}: {value}" for name, value in self.pairs()]
        length = len(self.body) if self.length is None else self.length
        bodiless = self.status in {204, 304} or 100 <= self.status < 200
        if length >= 0 and not bodiless:
            lines.append(f"Content-Length: {length}")
        if self.close:
            lines.append("Connection: close")
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        return head if method == "HEAD" or bodiless else head + self.body


@dataclass(slots=True)
class Raw:
    """Arbitrary bytes to send. `pauses` are the seconds after each chunk; one number is for all.

    Afterwards the connection is closed (`end` is "close"), stays open and silent ("hold"), or the
    next request is read from it ("keep").
    """

    chunks: Iterable[bytes]
    pauses: float | Sequence[float] = ()
    end: str = "close"

    def steps(self) -> Iterator[tuple[bytes, float]]:
        if isinstance(self.pauses, int | float):
            pauses = itertools.repeat(float(self.pauses))
        else:
            pauses = itertools.chain(self.pauses, itertools.repeat(0.0))
        return zip(self.chunks, pauses, strict=False)


STALL = Raw((), end="hold")
Action = Reply | Raw | bytes | None


@dataclass
class Traffic:
    """The counters of a server."""

    connections: int = 0
    open_connections: set[Connection] = field(default_factory=set)
    in_flight: int = 0
    in_flight_peak: int = 0


class Connection(asyncio.Protocol):
    """A connection of one client. Its requests are answered one after the other, in order.

    `handle` returns the response and a delay. A response without delay is written at once, which
    keeps imports of 200 tags fast; any other becomes a task that ends with the connection.
    """

    def __init__(self, handle, traffic: Traffic):
        self._handle = handle
        self._traffic = traffic
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._task: asyncio.Task | None = None
        self._writable: asyncio.Event | None = None
        self._sent_continue = False
        self._ended = False
        self.number = 0

    def connection_made(self, transport):
        self._transport = transport
        self._traffic.connections += 1
        self._traffic.open_connections.add(self)
        self.number = self._traffic.connections
        self._peer = transport.get_extra_info("peername") or ("", 0)
        tls = transport.get_extra_info("ssl_object")
        self._sni = getattr(tls, "requested_server_name", None)

    def connection_lost(self, exc):
        self._ended = True
        self._traffic.open_connections.discard(self)
        if self._task is not None:
            self._task.cancel()
        if self._writable is not None:
            self._writable.set()

    def abort(self):
        self._transport.abort()

    def pause_writing(self):
        self._writable = asyncio.Event()

    def resume_writing(self):
        if self._writable is not None:
            self._writable.set()
        self._writable = None

    def data_received(self, data):
        self._buffer += data
        if self._task is None:
            self._answer_pending()

    def _answer_pending(self):
        """Answer the requests that have arrived completely."""
        while not self._ended and self._task is None and (request := self._next_request()):
            self._start(request)

    def _next_request(self) -> Request | None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if self._buffer[:1] == _TLS_HELLO:
                self._transport.write(Reply(400, close=True).render("GET"))
                self._transport.close()
            elif len(self._buffer) > _MAX_HEAD_BYTES:
                self._transport.abort()
            return None
        head = bytes(self._buffer[: end + 2])
        body, used = self._body_after(head, end + 4)
        if body is None:
            return None
        del self._buffer[:used]
        self._sent_continue = False
        try:
            method, target, _ = head[: head.index(b"\r\n")].decode("latin-1").split(" ", 2)
        except ValueError:
            self._transport.write(Reply(400, close=True).render("GET"))
            self._transport.close()
            return None
        return Request(
            method, target, head, body, self._peer, self._sni, self.number, time.monotonic()
        )

    def _body_after(self, head: bytes, start: int) -> tuple[bytes | None, int]:
        """Return the body if it is complete, and the offset in the buffer at which it ends."""
        if _CHUNKED.search(head):
            body, used = _read_chunks(self._buffer, start)
        elif length := _LENGTH.search(head):
            used = start + int(length.group(1))
            body = bytes(self._buffer[start:used]) if len(self._buffer) >= used else None
        else:
            return b"", start
        if body is None and not self._sent_continue and _EXPECT.search(head):
            self._sent_continue = True
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return body, used

    def _start(self, request: Request):
        self._traffic.in_flight += 1
        self._traffic.in_flight_peak = max(self._traffic.in_flight_peak, self._traffic.in_flight)
        action, delay = self._handle(request)
        if isinstance(action, Reply) and not (delay or action.delay or action.hold):
            self._transport.write(action.render(request.method))
            self._finish(request, close=action.close)
            return
        self._task = asyncio.get_running_loop().create_task(
            self._respond_later(request, action, delay)
        )

    async def _respond_later(
        self, request: Request, action: Action | Awaitable[Action], delay: float
    ):
        close = True
        try:
            if inspect.isawaitable(action):
                action = await action
            if isinstance(action, Reply):
                delay += action.delay
                end = "hold" if action.hold else "close" if action.close else "keep"
                action = Raw((action.render(request.method),), end=end)
            elif isinstance(action, bytes):
                action = Raw((action,))
            await asyncio.sleep(delay)
            for chunk, pause in action.steps():
                await self._write(chunk)
                if pause:
                    await asyncio.sleep(pause)
            if action.end == "hold":
                await asyncio.Event().wait()
            close = action.end == "close"
        except ConnectionResetError:
            pass
        finally:
            self._task = None
            self._finish(request, close=close)
        self._answer_pending()

    async def _write(self, chunk: bytes):
        if self._ended:
            raise ConnectionResetError
        self._transport.write(chunk)
        if self._writable is not None:
            await self._writable.wait()
        elif len(chunk) >= 1 << 16:
            await asyncio.sleep(0)

    def _finish(self, request: Request, *, close: bool):
        self._traffic.in_flight -= 1
        if close or _CLOSE.search(request.head):
            self._ended = True
            self._transport.close()


def _read_chunks(buffer: bytearray, start: int) -> tuple[bytes | None, int]:
    body = bytearray()
    while (end := buffer.find(b"\r\n", start)) >= 0:
        size = int(bytes(buffer[start:end]).partition(b";")[0] or b"0", 16)
        start = end + 2 + size + 2
        if len(buffer) < start:
            break
        if not size:
            return bytes(body), start
        body += buffer[end + 2 : end + 2 + size]
    return None, start
