"""HTTP exchanges: one request and its response, bounded, with our own redirect rules.

Retries (`request_retry`) and authentication (`auth`) are layers above and unknown here.
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
from models.telemetry.metrics import count_request, observe_permit_wait
from worker.registry.client_config import ClientConfig
from worker.registry.limits.host_limiters import HostLimiters
from worker.registry.registry_types import RegistryRequest, RegistryResponse, SourceRepository
from worker.registry.request_context import RequestContext
from worker.registry.transport.connection_errors import translate_connection_error
from worker.registry.transport.connector import GuardedTransport, Lookup, system_lookup
from worker.registry.transport.egress_policy import EgressPolicy, check_url, is_loopback, origin_of
from worker.registry.transport.origins import copy_request
from worker.registry.transport.redirects import REDIRECT_STATUSES, RedirectPolicy
from worker.registry.transport.response_body import read_body, read_prefix

MAX_ERROR_BODY_BYTES = 64 * 1024
MAX_CACHED_SCHEMES = 10_000
_CREDENTIAL_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization"})
_CONNECTION_ERRORS = (aiohttp.ClientError, OSError, TimeoutError, ValueError)


class HttpExchange:
    """All connections of a process: a pool for each egress policy and each certificate check."""

    def __init__(
        self, config: ClientConfig, hosts: HostLimiters, *, lookup: Lookup = system_lookup
    ) -> None:
        self._config = config
        self._hosts = hosts
        self._lookup = lookup
        self._transports: dict[tuple[EgressPolicy, bool], GuardedTransport] = {}
        self._policies: dict[str, EgressPolicy] = {}
        self._schemes: OrderedDict[tuple[str, bool], str] = OrderedDict()
        self._default_headers = {"User-Agent": config.user_agent, "Accept-Encoding": "identity"}
        self.sent_count = 0

    def base_url(self, source: SourceRepository) -> str:
        """Return the base URL of a repository's API, with the scheme that is known to work."""
        scheme = self._schemes.get((source.api_host, source.insecure), "https")
        return f"{scheme}://{source.api_host}"

    def policy(self, request_context: RequestContext) -> EgressPolicy:
        """Return the egress policy of the request's namespace."""
        found = self._policies.get(request_context.tenant)
        if found is None:
            found = self._policies[request_context.tenant] = self._config.policy.for_tenant(
                request_context.tenant
            )
        return found

    def allows_plain_http(self, source: SourceRepository, policy: EgressPolicy) -> bool:
        """Return whether certificates go unverified and http is tried after https (registry-20.7).

        That is where the import or the operator says so, and in embedded mode for loopback, as
        Docker does.
        """
        return source.insecure or (policy.embedded and _is_local(source.api_host))

    def may_send_credentials(self, url: str, policy: EgressPolicy) -> bool:
        """Return whether credentials may be sent to `url` (registry-20.8)."""
        if url.startswith("https://") or self._config.credentials_over_http:
            return True
        return policy.embedded and is_loopback(check_url(url).hostname or "")

    async def send(
        self, request: RegistryRequest, request_context: RequestContext
    ) -> RegistryResponse:
        """Send a request and return its response, of any status.

        Raises TransientRegistryError, TlsError, EgressRefusedError, ProtocolError, ContentError.
        The deadline starts when the registry's limiter has issued a permit, not while the request
        waits for one (registry-2.5).
        """
        policy = self.policy(request_context)
        source = request.source
        host = self._hosts.host(source)
        queued_at = perf_counter()
        async with host.permit(request_context, scope=request.scope, kind=request.kind) as permit:
            started_at = perf_counter()
            observe_permit_wait(source.registry, request_context.priority, started_at - queued_at)
            code: int | str = "cancelled"
            try:
                async with asyncio.timeout(request.timeout_seconds):
                    response = await self._send_with_fallback(request, policy)
                code = response.status
            except TimeoutError as error:
                code = "timeout"
                failure = self._timeout_error(error, request, policy)
                host.record_failure(failure)
                raise failure from error
            except RegistryError as error:
                code = _outcome_label(error)
                host.record_failure(error)
                raise
            finally:
                count_request(source.registry, request.method, code, perf_counter() - started_at)
            host.record_response(response.status, response.headers, permit=permit)
            return response

    def _timeout_error(
        self, error: TimeoutError, request: RegistryRequest, policy: EgressPolicy
    ) -> RegistryError:
        _, host, port = origin_of(check_url(request.url))
        transport = self._transport(
            policy, verify=not self.allows_plain_http(request.source, policy)
        )
        may_reveal_cause = transport.may_reveal_cause(host, port)
        return translate_connection_error(
            error, method=request.method, url=request.url, may_reveal_cause=may_reveal_cause
        )

    async def _send_with_fallback(
        self, request: RegistryRequest, policy: EgressPolicy
    ) -> RegistryResponse:
        """Send by https and, where that is allowed, by plain http after it (imports-3.6).

        The scheme that worked is cached and dropped when it no longer works (registry-20.7).
        """
        source = request.source
        allow_plain_http = self.allows_plain_http(source, policy)
        if not allow_plain_http:
            return await self._follow_redirects(
                request, policy, allow_plain_http=False, visited_urls=[]
            )
        key = (source.api_host, source.insecure)
        cached_scheme = self._schemes.get(key)
        if cached_scheme == "http":
            request = self._over_plain_http(request, policy) or request
        visited_urls: list[str] = []
        try:
            response = await self._follow_redirects(
                request, policy, allow_plain_http=True, visited_urls=visited_urls
            )
        except (TlsError, TransientRegistryError) as first:
            if len(visited_urls) > 1:  # the registry itself had answered
                raise
            if cached_scheme is not None:
                if cached_scheme == "http" or first.code == "tls.not_tls":
                    self._schemes.pop(key, None)
                raise
            plain_request = self._over_plain_http(request, policy)
            if plain_request is None:
                raise
            response = await self._follow_redirects(
                plain_request, policy, allow_plain_http=True, visited_urls=[]
            )
            if _wants_tls(response):
                raise first from None
        if _wants_tls(response) and cached_scheme == "http":
            self._schemes.pop(key, None)
        elif cached_scheme is None and check_url(response.url).netloc == source.api_host:
            self._schemes[key] = response.url.partition("://")[0]
            while len(self._schemes) > MAX_CACHED_SCHEMES:
                self._schemes.popitem(last=False)
        return response

    def _over_plain_http(
        self, request: RegistryRequest, policy: EgressPolicy
    ) -> RegistryRequest | None:
        """Return the same request by plain http.

        None where it is not https to the registry itself, or where its credentials may not be sent
        over http.
        """
        if not request.url.startswith(f"https://{request.source.api_host}/"):
            return None
        url = "http" + request.url[5:]
        has_credentials = any(key.lower() in _CREDENTIAL_HEADERS for key in request.headers)
        if has_credentials and not self.may_send_credentials(url, policy):
            return None
        return copy_request(request, url, request.headers)

    async def _follow_redirects(
        self,
        request: RegistryRequest,
        policy: EgressPolicy,
        *,
        allow_plain_http: bool,
        visited_urls: list[str],
    ) -> RegistryResponse:
        """Return the response after all redirects; each requested URL is added to `visited_urls`.

        Credentials are dropped when the origin changes and are not added again (registry-7.7).
        """
        transport = self._transport(policy, verify=not allow_plain_http)
        redirects = RedirectPolicy(request, policy, allow_plain_http=allow_plain_http)
        url = request.url
        headers = {**self._default_headers, **request.headers}
        _check_authorization(request)
        while True:
            _, host, port = _check_origin(policy, url[: _path_start(url)], allow_plain_http)
            visited_urls.append(url)
            self.sent_count += 1
            failure: RegistryError | None = None
            try:
                response = await self._send_once(transport, request, url, headers)
            except _CONNECTION_ERRORS as error:
                may_reveal_cause = transport.may_reveal_cause(host, port)
                failure = translate_connection_error(
                    error, method=request.method, url=url, may_reveal_cause=may_reveal_cause
                )
            if failure is not None:
                raise failure  # without its cause, whose text may hold a signed URL
            if response.status not in REDIRECT_STATUSES or "location" not in response.headers:
                return response
            target = redirects.next_url(url, response.headers["location"])
            if target is None:
                return response
            if not redirects.origins_match(url, target):
                headers = {k: v for k, v in headers.items() if k.lower() not in _CREDENTIAL_HEADERS}
            url = target

    async def _send_once(
        self,
        transport: GuardedTransport,
        request: RegistryRequest,
        url: str,
        headers: dict[str, str],
    ) -> RegistryResponse:
        response = await transport.open(request.method, url, headers, request.body)
        try:
            response_headers = httpx.Headers(list(response.raw_headers), encoding="latin-1")
            content = await _read_response(request, response, response_headers)
            return RegistryResponse(response.status, response_headers, content, url)
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
                _build_ssl_context(self._config, verify=verify),
                lookup=self._lookup,
                dns_seconds=self._config.dns_seconds,
            )
        return found

    async def close(self) -> None:
        """Close every connection."""
        for transport in self._transports.values():
            await transport.close()
        self._transports.clear()


def _outcome_label(error: RegistryError) -> str:
    """Return the label of a request metric that has no status, as there was no response."""
    if isinstance(error, TlsError):
        return "tls"
    return "timeout" if error.code.endswith("timeout") else "broken"


async def _read_response(
    request: RegistryRequest, response: aiohttp.ClientResponse, headers: httpx.Headers
) -> bytes:
    """Read the body: none, the whole one, or the first part of an error's."""
    status = response.status
    if request.method == "HEAD" or (status < 300 and not request.reads_body):
        return b""
    coding = headers.get("content-encoding", "")
    chunks = response.content.iter_any()
    if status >= 300:
        return await read_prefix(chunks, coding=coding, max_bytes=MAX_ERROR_BODY_BYTES)
    declared = headers.get("content-length", "")
    return await read_body(chunks, declared=declared, coding=coding, max_bytes=request.max_bytes)


@lru_cache(maxsize=4096)
def _check_origin(
    policy: EgressPolicy, origin: str, allow_plain_http: bool
) -> tuple[str, str, int]:
    """Return scheme, host and port of an origin that the policy admits; refusals are not cached."""
    scheme, host, port = origin_of(check_url(origin))
    policy.check_name(host, port, plain=allow_plain_http and scheme == "http")
    return scheme, host, port


def _path_start(url: str) -> int:
    """Return the position at which the path of a URL starts."""
    slash = url.find("/", len("https://"))
    return slash if slash >= 0 else len(url)


@lru_cache(maxsize=4096)
def _is_local(api_host: str) -> bool:
    return is_loopback(check_url(f"https://{api_host}").hostname or "")


def _check_authorization(request: RegistryRequest) -> None:
    """Raise ProtocolError for a value that a header line cannot carry (registry-27.1).

    The error does not contain the value.
    """
    value = request.headers.get("Authorization", "")
    if not (value.isascii() and value.isprintable()):
        raise ProtocolError(
            "the credential holds characters that cannot be sent; save the secret anew",
            code="auth.bad_token",
        )


def _wants_tls(response: RegistryResponse) -> bool:
    """Return whether a response says that the server expects TLS."""
    return (
        response.status == 400
        and response.url.startswith("http://")
        and b"https" in response.content[:4096].lower()
    )


def _build_ssl_context(config: ClientConfig, *, verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if config.ca_file is not None:
        context.load_verify_locations(cafile=str(config.ca_file))
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
