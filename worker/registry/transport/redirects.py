"""How far an answer may send us (`registry.md` 2.8, 3.4; S6, S10, C1).

The rules are our own, the HTTP library follows nothing: a redirect is a stranger's wish.
"""

from __future__ import annotations

from urllib.parse import urljoin

from models.errors import EgressRefusedError, ProtocolError
from worker.registry.registry_types import Outgoing
from worker.registry.transport.egress_policy import EgressPolicy, check_url, is_loopback, origin_of

REDIRECTS = frozenset({301, 302, 303, 307, 308})
MOST_HOPS = {"registry": 5, "token": 2, "same-origin": 2, "none": 0}


class Redirects:
    """The way of one request. `loose`: its registry may be spoken to by plain http."""

    def __init__(self, request: Outgoing, policy: EgressPolicy, *, loose: bool) -> None:
        self._request = request
        self._policy = policy
        self._loose = loose
        self._seen: set[str] = set()

    def next(self, url: str, location: str) -> str | None:
        """Where to go from `url`; None where this request follows nothing.

        Raises EgressRefusedError for a place we do not go, ProtocolError for circles.
        """
        if self._request.redirects == "none":
            return None
        self._seen.add(url)
        try:
            target = urljoin(url, location).partition("#")[0]
        except ValueError as error:
            raise _refused("to an address that cannot be read") from error
        self._check(url, target)
        if target in self._seen or len(self._seen) > MOST_HOPS[self._request.redirects]:
            raise ProtocolError(
                "the registry redirects in circles or too often", code="protocol.redirect"
            )
        return target

    def _check(self, url: str, target: str) -> None:
        scheme, _, _ = origin_of(check_url(url))
        new_scheme, new_host, new_port = origin_of(check_url(target))
        _, own_host, own_port = origin_of(check_url(self._request.url))
        if new_scheme == "http":
            local = self._policy.embedded and is_loopback(new_host)
            if scheme == "https" or not self._loose or not (new_host == own_host or local):
                raise _refused("to plain http")
        if not self._policy.may_redirect(new_host, new_port, own_port=own_port):
            raise _refused("to a port that is not allowed")
        if self._request.redirects != "registry" and not self.is_same_origin(url, target):
            raise _refused("to another server where only itself is trusted")

    @staticmethod
    def is_same_origin(url: str, other: str) -> bool:
        """Whether scheme, host and port are the same: what rights are bound to."""
        return origin_of(check_url(url)) == origin_of(check_url(other))


def _refused(where: str) -> EgressRefusedError:
    return EgressRefusedError(
        f"the registry redirects {where}; it was not followed", code="policy.redirect"
    )
