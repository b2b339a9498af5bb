"""`/metrics`, and what it tells of the API itself: what was asked, how it ended, who watches.

The labels are words of ours: a path that names nothing we serve counts as `other`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from time import perf_counter

from starlette.types import Scope

from api.api_context import House
from api.request.request_info import find_target, split_path
from api.response.http_response import Reply
from models.access.builtin_roles import IMAGE
from models.access.rbac import Caller, allowed
from models.api_errors import BadRequestError, ForbiddenPathError, MethodNotAllowedError
from models.telemetry.metric_labels import OTHER
from models.telemetry.metrics import API_WATCHES, CONTENT_TYPE, count_api, render

CLIENT_GONE = 499  # what proxies call a client that did not wait
LONGEST_KNOWN = 512  # bytes of a path that is remembered
_HEALTH = frozenset({"healthz", "livez", "readyz"})
_OPEN = frozenset({"api", "apis", "openapi", "version"})
_VERBS = frozenset(
    {"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"}
)


async def answer_metrics(house: House, caller: Caller, method: str) -> Reply:
    """Everything this process counts, for callers who may look at every namespace.

    ForbiddenPathError for the others: registries and their credentials are told of.
    """
    if not _may_scrape(caller):
        caller = await house.gatekeeper.renew(caller)
        if not _may_scrape(caller):
            raise ForbiddenPathError(
                f'forbidden: User "{caller.user}" cannot {method.lower()} path "/metrics"'
            )
    if method not in {"GET", "HEAD"}:
        raise MethodNotAllowedError
    return Reply(200, await house.threads.run(render), CONTENT_TYPE)


def _may_scrape(caller: Caller) -> bool:
    return allowed(caller, verb="list", group=IMAGE, resource="imagestreams")


class Asked:
    """One request, from its coming in on."""

    __slots__ = ("_began", "resource", "verb")

    def __init__(self, scope: Scope) -> None:
        raw = scope.get("raw_path") or scope["path"].encode()
        watches = b"watch=" in scope.get("query_string", b"")
        find = words_of if len(raw) <= LONGEST_KNOWN else words_of.__wrapped__
        self.resource, self.verb = find(scope["method"], raw, watches=watches)
        self._began = perf_counter()

    def answered(self, code: int) -> None:
        """Count it; a watch takes as long as it pleases, so it is not timed."""
        seconds = None if self.verb == "watch" else perf_counter() - self._began
        count_api(self.resource, self.verb, code, seconds)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """A watch that is open as long as the block lasts."""
        gauge = API_WATCHES.labels(self.resource)
        gauge.inc()
        try:
            yield
        finally:
            gauge.dec()


@lru_cache(4096)
def words_of(method: str, raw_path: bytes, *, watches: bool) -> tuple[str, str]:
    """The resource and the verb of a request, in words of ours."""
    try:
        segments = split_path(raw_path)
    except BadRequestError:
        return OTHER, OTHER
    target = find_target(segments)
    if target is not None:
        verb = target.verb(method, watch=watches)
        resource = OTHER if target.info is None else target.info.resource
        return resource, verb if verb in _VERBS else OTHER
    first = segments[0] if segments else "api"
    known = {
        "metrics": "metrics",
        **dict.fromkeys(_HEALTH, "health"),
        **dict.fromkeys(_OPEN, "api"),
    }
    return known.get(first, OTHER), "get" if method in {"GET", "HEAD"} else OTHER
