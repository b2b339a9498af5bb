"""Redirect rules: which redirects of a registry are followed (registry-7.4, registry-7.5).

The HTTP library follows none, because a redirect is chosen by an untrusted peer. Credentials are
dropped when the origin changes (registry-7.7); token requests stay on their origin (registry-11.7).
"""

from __future__ import annotations

from urllib.parse import urljoin

from models.errors import EgressRefusedError, ProtocolError
from worker.registry.registry_types import RegistryRequest
from worker.registry.transport.egress_policy import EgressPolicy, check_url, is_loopback, origin_of

REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})
MAX_HOPS = {"registry": 5, "token": 2, "same-origin": 2, "none": 0}


class RedirectPolicy:
    """The redirects of one request; with `allow_plain_http` its registry may be plain http."""

    def __init__(
        self, request: RegistryRequest, policy: EgressPolicy, *, allow_plain_http: bool
    ) -> None:
        self._request = request
        self._policy = policy
        self._allow_plain_http = allow_plain_http
        self._visited_urls: set[str] = set()

    def next_url(self, url: str, location: str) -> str | None:
        """Return the URL to request after `url`, or None if this request follows no redirects.

        `location` may be relative (registry-2.7). Raises EgressRefusedError `policy.redirect` for a
        target that is not allowed, and ProtocolError `protocol.redirect` for loops and for too many
        redirects.
        """
        if self._request.redirects == "none":
            return None
        self._visited_urls.add(url)
        try:
            target = urljoin(url, location).partition("#")[0]
        except ValueError as error:
            raise _redirect_refused_error("to an address that cannot be read") from error
        self._check(url, target)
        if (
            target in self._visited_urls
            or len(self._visited_urls) > MAX_HOPS[self._request.redirects]
        ):
            raise ProtocolError(
                "the registry redirects in a loop or too often", code="protocol.redirect"
            )
        return target

    def _check(self, url: str, target: str) -> None:
        scheme, _, _ = origin_of(check_url(url))
        new_scheme, new_host, new_port = origin_of(check_url(target))
        _, own_host, own_port = origin_of(check_url(self._request.url))
        if new_scheme == "http":
            is_local = self._policy.embedded and is_loopback(new_host)
            if (
                scheme == "https"
                or not self._allow_plain_http
                or not (new_host == own_host or is_local)
            ):
                raise _redirect_refused_error("to plain http")
        if not self._policy.may_redirect(new_host, new_port, own_port=own_port):
            raise _redirect_refused_error("to a port that is not allowed")
        if self._request.redirects != "registry" and not self.origins_match(url, target):
            raise _redirect_refused_error("to another server where only itself is trusted")

    @staticmethod
    def origins_match(url: str, other: str) -> bool:
        """Return whether two URLs have one origin: scheme, host and port (registry-1.8)."""
        return origin_of(check_url(url)) == origin_of(check_url(other))


def _redirect_refused_error(destination: str) -> EgressRefusedError:
    return EgressRefusedError(
        f"the registry redirects {destination}; it was not followed", code="policy.redirect"
    )
