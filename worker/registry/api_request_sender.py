"""Sending of one request to a registry's API: authenticated, retried, failures as typed errors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from models.errors import ManifestUnknownError, ProtocolError, RegistryError
from worker.registry.auth.authenticator import Authenticator
from worker.registry.auth.challenge_responder import AuthorizedResponse
from worker.registry.client_config import ClientConfig
from worker.registry.clock import Clock
from worker.registry.limits.host_limiters import HostLimiters
from worker.registry.registry_types import (
    CHALLENGE_PROBE,
    RegistryRequest,
    RegistryResponse,
    SourceRepository,
)
from worker.registry.request_context import RequestContext
from worker.registry.transport.error_responses import describe_status, error_of, is_registry_api
from worker.registry.transport.http_exchange import HttpExchange
from worker.registry.transport.request_retry import RandomUniform, with_retries
from worker.registry.ttl_cache import TtlCache

PING_TTL_SECONDS = 600.0


class ApiRequestSender:
    """Sends the requests of one registry client."""

    def __init__(
        self,
        exchange: HttpExchange,
        hosts: HostLimiters,
        config: ClientConfig,
        *,
        clock: Clock,
        random_uniform: RandomUniform,
    ) -> None:
        self._exchange = exchange
        self._hosts = hosts
        self._config = config
        self._clock = clock
        self._random_uniform = random_uniform
        self._authenticator = Authenticator(exchange, config, clock=clock)
        self._ping_problems = TtlCache(clock, ttl_seconds=PING_TTL_SECONDS)

    async def send(
        self,
        method: str,
        source: SourceRepository,
        path: str,
        request_context: RequestContext,
        *,
        accept: str,
        max_bytes: int,
        timeout_seconds: float,
        reference: str,
        is_blob: bool = False,
        accepted_statuses: frozenset[int] = frozenset(),
        headers: Mapping[str, str] | None = None,
        reads_body: bool = True,
        redirects: str = "registry",
        kind: str = "other",
    ) -> AuthorizedResponse:
        """Send one request, authenticated and retried, and return its response.

        `path` is a path or a whole URL. Any status other than 200 and `accepted_statuses` raises
        the RegistryError that it stands for, with `reference` in its text (registry-14.3). The
        meaning of the other arguments is that of `RegistryRequest`'s fields.
        """
        request_headers = {"Accept": accept, **(headers or {})}

        async def attempt() -> AuthorizedResponse:
            url = path if "://" in path else self._exchange.base_url(source) + path
            request = RegistryRequest(
                method=method,
                url=url,
                source=source,
                headers=request_headers,
                max_bytes=max_bytes,
                timeout_seconds=timeout_seconds,
                reads_body=reads_body,
                redirects=redirects,
                kind=kind,
            )
            authorized = await self._authenticator.request(request, request_context)
            status = authorized.response.status
            if status == 200 or status in accepted_statuses:
                return authorized
            raise error_of(authorized.response, reference=reference, is_blob=is_blob)

        try:
            return await self._retry(attempt, source, request_context)
        except ManifestUnknownError as error:
            await self._check_is_registry(source, request_context, error, reference=reference)
            raise
        except RegistryError as error:
            if error.reference:
                raise
            raise error.with_reference(reference) from error

    async def _retry(
        self,
        attempt: Callable[[], Awaitable[AuthorizedResponse]],
        source: SourceRepository,
        request_context: RequestContext,
    ) -> AuthorizedResponse:
        return await with_retries(
            attempt,
            host=self._hosts.host(source),
            pauses=self._config.retry_pause,
            clock=self._clock,
            random_uniform=self._random_uniform,
            retries=request_context.retries_enabled,
        )

    async def _check_is_registry(
        self,
        source: SourceRepository,
        request_context: RequestContext,
        error: ManifestUnknownError,
        *,
        reference: str,
    ) -> None:
        """Raise ProtocolError if a 404 was not written by a registry, and there is none.

        What `GET /v2/` showed is cached for 10 minutes (registry-14.5).
        """
        if not error.text.startswith("error parsing HTTP"):
            return
        problem = self._ping_problems.get(source.api_host)
        if problem is None:
            response = await self._ping(source, request_context)
            problem = "" if is_registry_api(response) else describe_status(response.status)
            self._ping_problems.put(source.api_host, problem)
        if problem:
            raise ProtocolError(
                f'endpoint "{self._exchange.base_url(source)}" does not support v2 API '
                f"(got {problem})",
                code="protocol.not_a_registry",
                reference=reference,
            ) from error

    async def _ping(
        self, source: SourceRepository, request_context: RequestContext
    ) -> RegistryResponse:
        """Fetch the response to `GET /v2/`."""
        url = f"{self._exchange.base_url(source)}/v2/"
        return await self._exchange.send(
            RegistryRequest(
                "GET",
                url,
                source,
                timeout_seconds=self._config.token_seconds,
                scope=CHALLENGE_PROBE,
            ),
            request_context,
        )
