"""Connections to strangers, with the guard where the socket opens (`registry.md` 6.1, S3 to S5).

aiohttp's connections on their own: httpx above them would cost more than all the rest of a
request, and would keep cookies, follow redirects and answer challenges, which nobody wants here.
A name is looked up once a connection, and the connection goes to the address that was vetted;
SNI and `Host` stay the name.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from worker.registry.transport.egress_policy import Address, EgressPolicy, parse_address, refused

Lookup = Callable[[str, int], Awaitable[list[str]]]

MOST_ANSWERS = 16
MOST_VETTED = 4096
KEEP_ALIVE = 15.0
CONNECT_SECONDS = 5.0
READ_SECONDS = 15.0
_LOOKUP_THREADS = 16
_LOOKERS = ThreadPoolExecutor(_LOOKUP_THREADS, thread_name_prefix="dns")


async def look_up(host: str, port: int) -> list[str]:
    """The system's addresses for a name, on threads of their own: a tarpit harms nobody else."""
    loop = asyncio.get_running_loop()
    found = await loop.run_in_executor(
        _LOOKERS, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    )
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class _GuardedResolver(AbstractResolver):
    """Looks names up under a deadline and lets none through that means a denied address."""

    def __init__(self, policy: EgressPolicy, lookup: Lookup, seconds: float) -> None:
        self._policy = policy
        self._lookup = lookup
        self._seconds = seconds
        self._flights: dict[tuple[str, int], asyncio.Future[list[str]]] = {}
        self.vetted: OrderedDict[tuple[str, int], None] = OrderedDict()
        self.found: OrderedDict[tuple[str, int], tuple[Address, ...]] = OrderedDict()

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 - aiohttp's signature
    ) -> list[ResolveResult]:
        async with asyncio.timeout(self._seconds):
            texts = (await asyncio.shield(self._flight(host, port)))[:MOST_ANSWERS]
        addresses = [address for text in texts if (address := parse_address(text)) is not None]
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "no such host")
        self._policy.check_addresses(host, port, addresses)
        _keep(self.found, (host, port), tuple(addresses))
        for address in addresses:
            _keep(self.vetted, (str(address), port), None)
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

    def _flight(self, host: str, port: int) -> asyncio.Future[list[str]]:
        """One look-up at a time for a name: a tarpit holds one thread, not all of them."""
        key = (host, port)
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = asyncio.ensure_future(self._lookup(host, port))
            flight.add_done_callback(lambda done: self._land(key, done))
        return flight

    def _land(self, key: tuple[str, int], done: asyncio.Future[list[str]]) -> None:
        self._flights.pop(key, None)
        if not done.cancelled():
            done.exception()  # whoever waited has heard of it

    async def close(self) -> None:
        for flight in list(self._flights.values()):
            flight.cancel()


class GuardedTransport:
    """One pool of connections, for one policy and one way to check certificates.

    Raises aiohttp's exceptions, and EgressRefusedError for an address that the policy denies.
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
                limit=0,  # the hosts' turns are the limit
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

    async def open(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> aiohttp.ClientResponse:
        """The head of the answer; its body is read, or not, by whoever asked, who then closes it.

        `url` goes out as it stands, no escape added or taken away.
        """
        return await self._session().request(
            method, URL(url, encoded=True), headers=headers, data=body, allow_redirects=False
        )

    def is_told(self, host: str, port: int) -> bool:
        """Whether whoever asks may learn why a host did not answer."""
        return self._policy.is_told(host, port, self._resolver.found.get((host, port), ()))

    async def close(self) -> None:
        """Close every connection."""
        await self._resolver.close()
        if self._open is not None:
            await self._open.close()


def _keep(kept: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > MOST_VETTED:
        kept.popitem(last=False)
