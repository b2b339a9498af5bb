"""One request out, one answer back: guarded, bounded, redirected by our own rules.

No retries and no rights here: `retry` and `auth` stand above. Redirects follow `registry.md` 2.8:
headers that carry rights go no further than the origin they were meant for.
"""

from __future__ import annotations

import asyncio
import ssl
from urllib.parse import SplitResult, urljoin

import aiohttp
import httpx

from models.errors import (
    ProtocolError,
    RegistryError,
    TlsError,
    TransientRegistryError,
)
from worker.registry.access import Access
from worker.registry.body import read_body, read_some
from worker.registry.config import ClientConfig
from worker.registry.failures import translate
from worker.registry.guard import EgressPolicy, check_url, origin_of, parse_address, refused
from worker.registry.hosts import Hosts
from worker.registry.transport import GuardedTransport, Lookup, look_up
from worker.registry.words import Answer, Outgoing, Place

REDIRECTS = frozenset({301, 302, 303, 307, 308})
MOST_HOPS = {"registry": 5, "token": 2, "same-origin": 2, "none": 0}
LONGEST_COMPLAINT = 64 * 1024
_RIGHTS = frozenset({"authorization", "cookie", "proxy-authorization"})
_ENDED = (aiohttp.ClientError, OSError, TimeoutError, httpx.InvalidURL, ValueError)


class Exchange:
    """All pools of a process: one for each policy and each way to check certificates."""

    def __init__(self, config: ClientConfig, hosts: Hosts, *, lookup: Lookup = look_up) -> None:
        self._config = config
        self._hosts = hosts
        self._lookup = lookup
        self._transports: dict[tuple[EgressPolicy, bool], GuardedTransport] = {}
        self._policies: dict[str, EgressPolicy] = {}
        self._plain: set[tuple[str, bool]] = set()
        self.sent = 0

    def base_url(self, place: Place) -> str:
        """Where the API of a place lives, by the scheme that is known to work."""
        scheme = "http" if (place.api_host, place.insecure) in self._plain else "https"
        return f"{scheme}://{place.api_host}"

    def policy(self, access: Access) -> EgressPolicy:
        """The policy for whoever asks."""
        found = self._policies.get(access.tenant)
        if found is None:
            found = self._policies[access.tenant] = self._config.policy.for_tenant(access.tenant)
        return found

    def may_be_plain(self, place: Place, policy: EgressPolicy) -> bool:
        """Whether certificates are not verified and http is tried after https: by the import's
        own wish, the operator's, or on one's own machine's loopback as Docker does.
        """
        return place.insecure or (policy.embedded and is_loopback(place.api_host))

    async def send(self, request: Outgoing, access: Access) -> Answer:
        """The answer to `request`, whatever its status.

        Raises TransientRegistryError, TlsError, EgressRefusedError, ProtocolError, ContentError.
        """
        policy = self.policy(access)
        host = self._hosts.host(request.place)
        async with host.slot(access):
            try:
                async with asyncio.timeout(request.deadline):
                    answer = await self._send(request, policy)
            except TimeoutError as error:
                failure = self._translated(error, request, policy)
                host.failed(failure)
                raise failure from error
            except RegistryError as error:
                host.failed(error)
                raise
            host.answered(answer.status, answer.headers)
            return answer

    def _translated(
        self, error: BaseException, request: Outgoing, policy: EgressPolicy
    ) -> RegistryError:
        name, _, port = request.place.api_host.partition(":")
        told = policy.is_told(name, int(port or 443))
        return translate(error, method=request.method, url=request.url, is_told=told)

    async def _send(self, request: Outgoing, policy: EgressPolicy) -> Answer:
        """With the fallback to plain http where it is allowed, and remembered."""
        loose = self.may_be_plain(request.place, policy)
        if not loose or not request.url.startswith("https://"):
            return await self._follow(request, policy, loose=loose)
        try:
            return await self._follow(request, policy, loose=loose)
        except (TlsError, TransientRegistryError) as first:
            plain = request.url.replace("https://", "http://", 1)
            if check_url(request.url).netloc != request.place.api_host:
                raise
            rights = {key for key in request.headers if key.lower() in _RIGHTS}
            if rights and not self.may_show_rights(plain, policy):
                raise
            answer = await self._follow(_at(request, plain), policy, loose=loose)
            if not isinstance(first, TlsError) and first.code not in {"net.refused", "net.reset"}:
                return answer
            self._plain.add((request.place.api_host, request.place.insecure))
            return answer

    def may_show_rights(self, url: str, policy: EgressPolicy) -> bool:
        """Whether credentials may travel to `url` (C4)."""
        parts = check_url(url)
        if parts.scheme == "https" or self._config.credentials_over_http:
            return True
        return policy.embedded and is_loopback(parts.netloc)

    async def _follow(self, request: Outgoing, policy: EgressPolicy, *, loose: bool) -> Answer:
        url, headers = request.url, dict(request.headers)
        parts = check_url(url)
        seen = {url}
        for _ in range(MOST_HOPS[request.redirects] + 1):
            answer, location = await self._hop(request, url, parts, headers, policy, loose=loose)
            if location is None:
                return answer
            target = check_url(location)
            self._check_hop(request, parts, target, loose=loose)
            if location in seen:
                break
            seen.add(location)
            if origin_of(target) != origin_of(parts):
                headers = {k: v for k, v in headers.items() if k.lower() not in _RIGHTS}
            url, parts = location, target
        raise ProtocolError(
            "the registry redirects in circles or too often", code="protocol.redirect"
        )

    def _check_hop(
        self, request: Outgoing, old: SplitResult, new: SplitResult, *, loose: bool
    ) -> None:
        """Whether an answer may send us there (S6, 2.8, 3.4)."""
        if new.scheme == "http" and (old.scheme == "https" or not loose):
            raise refused("policy.redirect")
        if new.port not in {None, 443, old.port} and (new.hostname, new.port) != (
            old.hostname,
            old.port,
        ):
            allowed = self._config.policy
            named = any(
                each.admits_name(new.hostname or "", new.port or 0) for each in allowed.allowances
            )
            if not allowed.embedded and not named and parse_address(new.hostname or "") is None:
                raise refused("policy.redirect")
        if request.redirects != "registry" and origin_of(old) != origin_of(new):
            raise refused("policy.redirect")

    async def _hop(
        self,
        request: Outgoing,
        url: str,
        parts: SplitResult,
        headers: dict[str, str],
        policy: EgressPolicy,
        *,
        loose: bool,
    ) -> tuple[Answer, str | None]:
        _, host, port = origin_of(parts)
        policy.check_name(host, port, plain=loose and parts.scheme == "http")
        transport = self._transport(policy, verify=not loose)
        self.sent += 1
        outgoing = httpx.Request(
            request.method,
            url,
            headers={
                "Host": parts.netloc,
                "User-Agent": self._config.user_agent,
                "Accept-Encoding": "identity",
                **headers,
            },
            content=request.body,
        )
        try:
            response = await transport.handle_async_request(outgoing)
            try:
                location = response.headers.get("location")
                if response.status_code in REDIRECTS and location and request.redirects != "none":
                    return Answer(response.status_code, response.headers, b"", url), urljoin(
                        url, location
                    )
                content = await self._read(request, response)
                return Answer(response.status_code, response.headers, content, url), None
            finally:
                await response.aclose()
        except RegistryError:
            raise
        except _ENDED as error:
            told = policy.is_told(host, port)
            raise translate(error, method=request.method, url=url, is_told=told) from error

    async def _read(self, request: Outgoing, response: httpx.Response) -> bytes:
        if request.method == "HEAD" or (response.is_success and not request.reads_body):
            return b""
        assert isinstance(response.stream, httpx.AsyncByteStream)
        if not response.is_success:
            return await read_some(response.stream.__aiter__(), cap=LONGEST_COMPLAINT)
        return await read_body(
            response.stream.__aiter__(),
            declared=response.headers.get("content-length", ""),
            coding=response.headers.get("content-encoding", ""),
            cap=request.cap,
        )

    def _transport(self, policy: EgressPolicy, *, verify: bool) -> GuardedTransport:
        """The transport alone: an httpx client above it would keep strangers' cookies for ever."""
        found = self._transports.get((policy, verify))
        if found is None:
            found = self._transports[policy, verify] = GuardedTransport(
                policy,
                _context(self._config, verify=verify),
                lookup=self._lookup,
                dns_seconds=self._config.dns_seconds,
            )
        return found

    async def close(self) -> None:
        """Close every connection."""
        for transport in self._transports.values():
            await transport.aclose()
        self._transports.clear()


def _context(config: ClientConfig, *, verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if config.ca_file is not None:
        context.load_verify_locations(cafile=str(config.ca_file))
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _at(request: Outgoing, url: str) -> Outgoing:
    return Outgoing(
        method=request.method,
        url=url,
        place=request.place,
        headers=request.headers,
        body=request.body,
        cap=request.cap,
        deadline=request.deadline,
        redirects=request.redirects,
    )


def is_loopback(netloc: str) -> bool:
    """Whether host[:port] is this machine's loopback."""
    host = netloc.rsplit(":", 1)[0] if netloc.count(":") == 1 or "]" in netloc else netloc
    host = host.strip("[]").lower()
    address = parse_address(host)
    return host == "localhost" if address is None else address.is_loopback
