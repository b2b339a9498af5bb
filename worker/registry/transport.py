"""httpx's API over aiohttp's connections: the fastest pair measured, with the guard inside.

Addresses are checked where the socket opens; names are looked up once a connection, and the
connection goes to the address that was vetted (`registry.md` 6.1, S3 to S5).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from worker.registry.guard import EgressPolicy, parse_address, refused

Lookup = Callable[[str, int], Awaitable[list[str]]]

MOST_ANSWERS = 16
MOST_VETTED = 4096
MOST_SOCKETS = 64
KEEP_ALIVE = 15.0
CONNECT_SECONDS = 5.0
READ_SECONDS = 15.0
_LOOKUP_THREADS = 8
_LOOKERS = ThreadPoolExecutor(_LOOKUP_THREADS, thread_name_prefix="dns")


async def look_up(host: str, port: int) -> list[str]:
    """The system's addresses for a name, on threads of their own: a tarpit harms nobody else."""
    loop = asyncio.get_running_loop()
    found = await loop.run_in_executor(
        _LOOKERS, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    )
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class _GuardedResolver(AbstractResolver):
    def __init__(self, policy: EgressPolicy, lookup: Lookup, seconds: float) -> None:
        self._policy = policy
        self._lookup = lookup
        self._seconds = seconds
        self.vetted: dict[tuple[str, int], None] = {}

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 - aiohttp's signature
    ) -> list[ResolveResult]:
        async with asyncio.timeout(self._seconds):
            texts = (await self._lookup(host, port))[:MOST_ANSWERS]
        addresses = [address for text in texts if (address := parse_address(text)) is not None]
        if not addresses:
            raise OSError(None, "no such host")
        self._policy.check_addresses(host, port, addresses)
        for address in addresses:
            self.vetted[str(address), port] = None
        while len(self.vetted) > MOST_VETTED:
            del self.vetted[next(iter(self.vetted))]
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=socket.AF_INET6 if address.version == 6 else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        """Nothing to give back: the threads are the process's."""


class _Stream(httpx.AsyncByteStream):
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        content = self._response.content
        while chunk := await content.readany():
            yield chunk

    async def aclose(self) -> None:
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


class GuardedTransport(httpx.AsyncBaseTransport):
    """One pool of connections, for one policy and one way to check certificates.

    `context` None speaks to plain http alike. Raises aiohttp's exceptions, and EgressRefusedError
    for an address that the policy denies.
    """

    def __init__(
        self, policy: EgressPolicy, context: ssl.SSLContext, *, lookup: Lookup, dns_seconds: float
    ) -> None:
        self._policy = policy
        self._resolver = _GuardedResolver(policy, lookup, dns_seconds)
        self._context = context
        self._open: aiohttp.ClientSession | None = None

    def _session(self) -> aiohttp.ClientSession:
        if self._open is None:
            connector = aiohttp.TCPConnector(
                resolver=self._resolver,
                socket_factory=self._open_socket,
                ssl=self._context,
                limit=MOST_SOCKETS,
                use_dns_cache=False,
                keepalive_timeout=KEEP_ALIVE,
            )
            self._open = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS
                ),
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            )
        return self._open

    def _open_socket(self, info: Any) -> socket.socket:
        """Where every connection begins, literal addresses included."""
        family, kind, proto, _, target = info
        host, port = str(target[0]), int(target[1])
        if (host, port) not in self._resolver.vetted:
            address = parse_address(host)
            if address is None:
                raise refused("policy.address")
            self._policy.check_addresses(host, port, [address])
        return socket.socket(family, kind, proto)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._session().request(
            request.method,
            URL(str(request.url), encoded=True),
            headers=[(key.decode(), value.decode("latin-1")) for key, value in request.headers.raw],
            data=request.content or None,
            allow_redirects=False,
        )
        return httpx.Response(
            response.status,
            headers=list(response.raw_headers),
            stream=_Stream(response),
            request=request,
        )

    async def aclose(self) -> None:
        if self._open is not None:
            await self._open.close()
