"""One request out, one answer back: guarded, bounded, redirected by our own rules.

No retries and no rights here: `retry` and `auth` stand above.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import OrderedDict
from functools import lru_cache
from time import perf_counter

import aiohttp
import httpx

from models.errors import ProtocolError, RegistryError, TlsError, TransientRegistryError
from models.telemetry.metrics import count_request, observe_wait
from worker.registry.client_config import ClientConfig
from worker.registry.limits.host_limiters import Hosts
from worker.registry.registry_types import Answer, Outgoing, Place
from worker.registry.request_context import Access
from worker.registry.transport.connection_errors import translate
from worker.registry.transport.connector import GuardedTransport, Lookup, look_up
from worker.registry.transport.egress_policy import EgressPolicy, check_url, is_loopback, origin_of
from worker.registry.transport.origins import like
from worker.registry.transport.redirects import REDIRECTS, Redirects
from worker.registry.transport.response_body import read_body, read_some

LONGEST_COMPLAINT = 64 * 1024
MOST_SCHEMES = 10_000
_RIGHTS = frozenset({"authorization", "cookie", "proxy-authorization"})
_BROKEN = (aiohttp.ClientError, OSError, TimeoutError, ValueError)


class Exchange:
    """All connections of a process: a pool for each policy and each way to check certificates."""

    def __init__(self, config: ClientConfig, hosts: Hosts, *, lookup: Lookup = look_up) -> None:
        self._config = config
        self._hosts = hosts
        self._lookup = lookup
        self._transports: dict[tuple[EgressPolicy, bool], GuardedTransport] = {}
        self._policies: dict[str, EgressPolicy] = {}
        self._schemes: OrderedDict[tuple[str, bool], str] = OrderedDict()
        self._own_headers = {"User-Agent": config.user_agent, "Accept-Encoding": "identity"}
        self.sent = 0

    def base_url(self, place: Place) -> str:
        """Where the API of a place lives, by the scheme that is known to work."""
        scheme = self._schemes.get((place.api_host, place.insecure), "https")
        return f"{scheme}://{place.api_host}"

    def policy(self, access: Access) -> EgressPolicy:
        """The policy for whoever asks."""
        found = self._policies.get(access.tenant)
        if found is None:
            found = self._policies[access.tenant] = self._config.policy.for_tenant(access.tenant)
        return found

    def may_be_plain(self, place: Place, policy: EgressPolicy) -> bool:
        """Whether certificates go unverified and http is tried after https: by the import's own
        wish, the operator's, or on one's own machine's loopback, as Docker does.
        """
        return place.insecure or (policy.embedded and _is_local(place.api_host))

    def may_show_rights(self, url: str, policy: EgressPolicy) -> bool:
        """Whether credentials may travel to `url` (C4)."""
        if url.startswith("https://") or self._config.credentials_over_http:
            return True
        return policy.embedded and is_loopback(check_url(url).hostname or "")

    async def send(self, request: Outgoing, access: Access) -> Answer:
        """The answer to `request`, whatever its status.

        Raises TransientRegistryError, TlsError, EgressRefusedError, ProtocolError, ContentError.
        The deadline begins with our turn at the registry, not with the wait for it.
        """
        policy = self.policy(access)
        place = request.place
        host = self._hosts.host(place)
        came = perf_counter()
        async with host.slot(access, scope=request.scope, kind=request.kind) as slot:
            began = perf_counter()
            observe_wait(place.registry, access.lane, began - came)
            code: int | str = "cancelled"
            try:
                async with asyncio.timeout(request.deadline):
                    answer = await self._send(request, policy)
                code = answer.status
            except TimeoutError as error:
                code = "timeout"
                failure = self._out_of_time(error, request, policy)
                host.failed(failure)
                raise failure from error
            except RegistryError as error:
                code = _word_for(error)
                host.failed(error)
                raise
            finally:
                count_request(place.registry, request.method, code, perf_counter() - began)
            host.answered(answer.status, answer.headers, slot=slot)
            return answer

    def _out_of_time(
        self, error: TimeoutError, request: Outgoing, policy: EgressPolicy
    ) -> RegistryError:
        _, name, port = origin_of(check_url(request.url))
        transport = self._transport(policy, verify=not self.may_be_plain(request.place, policy))
        told = transport.is_told(name, port)
        return translate(error, method=request.method, url=request.url, is_told=told)

    async def _send(self, request: Outgoing, policy: EgressPolicy) -> Answer:
        """By https, or where that is allowed by plain http after it (`import.md` 3.2).

        What worked is remembered, and forgotten when it works no longer.
        """
        place = request.place
        loose = self.may_be_plain(place, policy)
        if not loose:
            return await self._follow(request, policy, loose=False, trail=[])
        key = (place.api_host, place.insecure)
        known = self._schemes.get(key)
        if known == "http":
            request = self._plainly(request, policy) or request
        trail: list[str] = []
        try:
            answer = await self._follow(request, policy, loose=True, trail=trail)
        except (TlsError, TransientRegistryError) as first:
            if len(trail) > 1:  # the registry itself had answered
                raise
            if known is not None:
                if known == "http" or first.code == "tls.not_tls":
                    self._schemes.pop(key, None)
                raise
            plain = self._plainly(request, policy)
            if plain is None:
                raise
            answer = await self._follow(plain, policy, loose=True, trail=[])
            if _wants_tls(answer):
                raise first from None
        if _wants_tls(answer) and known == "http":
            self._schemes.pop(key, None)
        elif known is None and check_url(answer.url).netloc == place.api_host:
            self._schemes[key] = answer.url.partition("://")[0]
            while len(self._schemes) > MOST_SCHEMES:
                self._schemes.popitem(last=False)
        return answer

    def _plainly(self, request: Outgoing, policy: EgressPolicy) -> Outgoing | None:
        """The same by plain http; None where it is not https to the registry itself, or where
        its rights may not travel that way.
        """
        if not request.url.startswith(f"https://{request.place.api_host}/"):
            return None
        url = "http" + request.url[5:]
        has_rights = any(key.lower() in _RIGHTS for key in request.headers)
        if has_rights and not self.may_show_rights(url, policy):
            return None
        return like(request, url, request.headers)

    async def _follow(
        self, request: Outgoing, policy: EgressPolicy, *, loose: bool, trail: list[str]
    ) -> Answer:
        """The answer at the end of all redirects; `trail` gets every address that was asked."""
        transport = self._transport(policy, verify=not loose)
        redirects = Redirects(request, policy, loose=loose)
        url = request.url
        headers = {**self._own_headers, **request.headers}
        _check_headers(request)
        while True:
            _, host, port = _vet(policy, url[: _path_of(url)], loose)
            trail.append(url)
            self.sent += 1
            failure: RegistryError | None = None
            try:
                answer = await self._ask(transport, request, url, headers)
            except _BROKEN as error:
                told = transport.is_told(host, port)
                failure = translate(error, method=request.method, url=url, is_told=told)
            if failure is not None:
                raise failure  # without its cause, whose text may hold a signed URL
            if answer.status not in REDIRECTS or "location" not in answer.headers:
                return answer
            target = redirects.next(url, answer.headers["location"])
            if target is None:
                return answer
            if not redirects.is_same_origin(url, target):
                headers = {k: v for k, v in headers.items() if k.lower() not in _RIGHTS}
            url = target

    async def _ask(
        self, transport: GuardedTransport, request: Outgoing, url: str, headers: dict[str, str]
    ) -> Answer:
        response = await transport.open(request.method, url, headers, request.body)
        try:
            said = httpx.Headers(list(response.raw_headers), encoding="latin-1")
            content = await _read(request, response, said)
            return Answer(response.status, said, content, url)
        finally:
            if response.content.at_eof():
                response.release()
            else:
                response.close()

    def _transport(self, policy: EgressPolicy, *, verify: bool) -> GuardedTransport:
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
            await transport.close()
        self._transports.clear()


def _word_for(error: RegistryError) -> str:
    """What stands in place of a status where there was no answer."""
    if isinstance(error, TlsError):
        return "tls"
    return "timeout" if error.code.endswith("timeout") else "broken"


async def _read(
    request: Outgoing, response: aiohttp.ClientResponse, headers: httpx.Headers
) -> bytes:
    """The body as far as it is wanted."""
    status = response.status
    if request.method == "HEAD" or (status < 300 and not request.reads_body):
        return b""
    coding = headers.get("content-encoding", "")
    chunks = response.content.iter_any()
    if status >= 300:
        return await read_some(chunks, coding=coding, cap=LONGEST_COMPLAINT)
    declared = headers.get("content-length", "")
    return await read_body(chunks, declared=declared, coding=coding, cap=request.cap)


@lru_cache(maxsize=4096)
def _vet(policy: EgressPolicy, origin: str, loose: bool) -> tuple[str, str, int]:
    """Scheme, host and port of an origin that the policy admits; refusals are not kept."""
    scheme, host, port = origin_of(check_url(origin))
    policy.check_name(host, port, plain=loose and scheme == "http")
    return scheme, host, port


def _path_of(url: str) -> int:
    """Where the path of a URL begins."""
    slash = url.find("/", len("https://"))
    return slash if slash >= 0 else len(url)


@lru_cache(maxsize=4096)
def _is_local(api_host: str) -> bool:
    return is_loopback(check_url(f"https://{api_host}").hostname or "")


def _check_headers(request: Outgoing) -> None:
    """A value that would break out of its line is never sent, nor told (C6, I2)."""
    value = request.headers.get("Authorization", "")
    if not (value.isascii() and value.isprintable()):
        raise ProtocolError(
            "the credential holds characters that cannot be sent; save the secret anew",
            code="auth.bad_token",
        )


def _wants_tls(answer: Answer) -> bool:
    """Whether a server complains that it was spoken to without TLS."""
    return (
        answer.status == 400
        and answer.url.startswith("http://")
        and b"https" in answer.content[:4096].lower()
    )


def _context(config: ClientConfig, *, verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if config.ca_file is not None:
        context.load_verify_locations(cafile=str(config.ca_file))
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
