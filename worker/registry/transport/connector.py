"""Connections to registries, with the egress policy enforced where the socket is opened.

aiohttp is used on its own: httpx above it would cost more than all the rest of a request, and would
keep cookies, follow redirects and answer challenges, none of which is wanted here (registry-2.6,
registry-7.4). A name is resolved once for each connection, and the connection goes to the address
that was checked, so that a second lookup cannot return another one; SNI and `Host` remain the name
(registry-20.1, registry-26.3). Time limits are in registry-20.4.
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

from worker.registry.transport.egress_policy import (
    Address,
    EgressPolicy,
    egress_refused_error,
    parse_address,
)

Lookup = Callable[[str, int], Awaitable[list[str]]]

MAX_ADDRESSES = 16
MAX_CACHED_ADDRESSES = 4096
KEEP_ALIVE_SECONDS = 15.0
CONNECT_SECONDS = 5.0
READ_SECONDS = 15.0
_LOOKUP_THREADS = 16
_LOOKUP_EXECUTOR = ThreadPoolExecutor(_LOOKUP_THREADS, thread_name_prefix="dns")


async def system_lookup(host: str, port: int) -> list[str]:
    """Return the system's addresses for a name.

    Lookups have threads of their own, so that a slow name server delays no other work.
    """
    loop = asyncio.get_running_loop()
    found = await loop.run_in_executor(
        _LOOKUP_EXECUTOR, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    )
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class _GuardedResolver(AbstractResolver):
    """Resolves names under a deadline and refuses those that resolve to a denied address."""

    def __init__(self, policy: EgressPolicy, lookup: Lookup, timeout_seconds: float) -> None:
        self._policy = policy
        self._lookup = lookup
        self._timeout_seconds = timeout_seconds
        self._pending_lookups: dict[tuple[str, int], asyncio.Future[list[str]]] = {}
        self.checked_addresses: OrderedDict[tuple[str, int], None] = OrderedDict()
        self.resolved_addresses: OrderedDict[tuple[str, int], tuple[Address, ...]] = OrderedDict()

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 - aiohttp's signature
    ) -> list[ResolveResult]:
        async with asyncio.timeout(self._timeout_seconds):
            texts = (await asyncio.shield(self._pending_lookup(host, port)))[:MAX_ADDRESSES]
        addresses = [address for text in texts if (address := parse_address(text)) is not None]
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "no such host")
        self._policy.check_addresses(host, port, addresses)
        _put(self.resolved_addresses, (host, port), tuple(addresses))
        for address in addresses:
            _put(self.checked_addresses, (str(address), port), None)
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

    def _pending_lookup(self, host: str, port: int) -> asyncio.Future[list[str]]:
        """Return the lookup in flight for a name, so that a slow name holds only one thread."""
        key = (host, port)
        pending = self._pending_lookups.get(key)
        if pending is None:
            pending = self._pending_lookups[key] = asyncio.ensure_future(self._lookup(host, port))
            pending.add_done_callback(lambda done: self._finish_lookup(key, done))
        return pending

    def _finish_lookup(self, key: tuple[str, int], future: asyncio.Future[list[str]]) -> None:
        self._pending_lookups.pop(key, None)
        if not future.cancelled():
            future.exception()  # mark as retrieved: waiting callers have got it

    async def close(self) -> None:
        for pending in list(self._pending_lookups.values()):
            pending.cancel()


class GuardedTransport:
    """One pool of connections, for one egress policy and one way to check certificates.

    Connections are not shared between policies (registry-20.3). Proxies and `.netrc` are not used
    (registry-20.2). Raises aiohttp's exceptions, and EgressRefusedError for an address that the
    policy denies.
    """

    def __init__(
        self,
        policy: EgressPolicy,
        ssl_context: ssl.SSLContext,
        *,
        lookup: Lookup,
        dns_seconds: float,
    ) -> None:
        self._policy = policy
        self._resolver = _GuardedResolver(policy, lookup, dns_seconds)
        self._ssl_context = ssl_context
        self._client_session: aiohttp.ClientSession | None = None

    def _session(self) -> aiohttp.ClientSession:
        if self._client_session is None:
            connector = aiohttp.TCPConnector(
                resolver=self._resolver,
                socket_factory=self._open_socket,
                ssl=self._ssl_context,
                limit=0,  # the host limiters bound the connections
                use_dns_cache=False,
                keepalive_timeout=KEEP_ALIVE_SECONDS,
            )
            self._client_session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS
                ),
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            )
        return self._client_session

    def _open_socket(self, info: Any) -> socket.socket:
        """Create the socket of a connection, after a check of its address.

        Literal addresses pass no resolver, so every connection is checked here (registry-20.5).
        """
        family, kind, proto, _, target = info
        host, port = str(target[0]), int(target[1])
        if (host, port) not in self._resolver.checked_addresses:
            address = parse_address(host)
            if address is None:
                raise egress_refused_error("policy.address")
            self._policy.check_addresses(host, port, [address])
        return socket.socket(family, kind, proto)

    async def open(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> aiohttp.ClientResponse:
        """Send a request and return its response with an unread body, which the caller closes.

        `url` goes out as received: no escape sequence is added or removed (registry-2.9).
        """
        return await self._session().request(
            method, URL(url, encoded=True), headers=headers, data=body, allow_redirects=False
        )

    def may_reveal_cause(self, host: str, port: int) -> bool:
        """Return whether the caller may learn why a host did not answer (registry-26.10)."""
        return self._policy.may_reveal_cause(
            host, port, self._resolver.resolved_addresses.get((host, port), ())
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._resolver.close()
        if self._client_session is not None:
            await self._client_session.close()


def _put(cache: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    cache[key] = value
    cache.move_to_end(key)
    while len(cache) > MAX_CACHED_ADDRESSES:
        cache.popitem(last=False)
