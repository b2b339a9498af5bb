"""Discovery of a registry's challenge: from the headers of a 401, or from `GET /v2/`."""

from __future__ import annotations

from collections.abc import Sequence

from worker.registry.auth.challenge_cache import AuthChallenge, choose_challenge
from worker.registry.auth.token_realm import trusted_token_servers
from worker.registry.client_config import ClientConfig
from worker.registry.clock import Clock
from worker.registry.registry_types import (
    CHALLENGE_PROBE,
    RegistryRequest,
    RegistryResponse,
    SourceRepository,
)
from worker.registry.request_context import RequestContext
from worker.registry.transport.http_exchange import HttpExchange
from worker.registry.transport.origins import is_from_other_host

SILENT_REGISTRY_TTL_SECONDS = 600.0
MAX_SILENT_REGISTRIES = 10_000


class ChallengeDiscovery:
    """Finds challenges, and caches which registries send none."""

    def __init__(self, exchange: HttpExchange, config: ClientConfig, *, clock: Clock) -> None:
        self._exchange = exchange
        self._config = config
        self._clock = clock
        self._silent_until: dict[str, float] = {}

    async def fetch(
        self, response: RegistryResponse, request: RegistryRequest, request_context: RequestContext
    ) -> AuthChallenge | None:
        """Return the challenge of a 401; after one without, that of `GET /v2/` (registry-8.3).

        The scope of the challenge of `/v2/` is not used. None: there is no challenge at all, which
        is cached for 10 minutes.
        """
        header_values = response.headers.get_list("www-authenticate")
        if header_values:
            return self.choose(header_values, response.url, request, request_context)
        source = request.source
        if self._silent_until.get(source.api_host, 0.0) > self._clock.now():
            return None
        url = f"{request.url.partition('://')[0]}://{source.api_host}/v2/"
        ping = await self._exchange.send(
            RegistryRequest(
                "GET",
                url,
                source,
                timeout_seconds=self._config.token_seconds,
                scope=CHALLENGE_PROBE,
            ),
            request_context,
        )
        header_values = ping.headers.get_list("www-authenticate") if ping.status == 401 else []
        if not header_values or is_from_other_host(ping, request):
            if len(self._silent_until) >= MAX_SILENT_REGISTRIES:
                self._silent_until.clear()
            self._silent_until[source.api_host] = self._clock.now() + SILENT_REGISTRY_TTL_SECONDS
            return None
        return self.choose(
            header_values, ping.url, request, request_context, is_for_repository=False
        )

    def choose(
        self,
        header_values: Sequence[str],
        url: str,
        request: RegistryRequest,
        request_context: RequestContext,
        *,
        is_for_repository: bool = True,
    ) -> AuthChallenge:
        """Return the challenge to answer of the `WWW-Authenticate` values that `url` sent.

        Raises the errors of `choose_challenge`.
        """
        source = request.source
        policy = self._exchange.policy(request_context)
        return choose_challenge(
            header_values,
            source,
            request_url=url,
            allow_plain_http=self._exchange.allows_plain_http(source, policy),
            trusted_hosts=self.trusted_hosts(source),
            is_for_repository=is_for_repository,
        )

    def trusted_hosts(self, source: SourceRepository) -> Sequence[str]:
        """Return the token servers that the operator trusts for this registry."""
        return trusted_token_servers(
            self._config.trusted_realm_hosts, registry=source.registry, api_host=source.api_host
        )
