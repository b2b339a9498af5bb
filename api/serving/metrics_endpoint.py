"""`/metrics`, and the metrics of the API itself: requests, their results, open watches.

The values of labels are a fixed set: a path that we do not serve counts as `other`, so that clients
cannot create label values.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from time import perf_counter

from starlette.types import Scope

from api.api_context import ApiContext
from api.request.request_info import parse_request_info, split_path
from api.response.http_response import HttpResponse
from models.access.builtin_roles import IMAGE_API_GROUP
from models.access.rbac import Caller, is_allowed
from models.api_errors import BadRequestError, ForbiddenPathError, MethodNotAllowedError
from models.telemetry.metric_labels import OTHER_LABEL
from models.telemetry.metrics import API_WATCHES, CONTENT_TYPE, count_api_request, render_metrics

CLIENT_CLOSED_REQUEST = 499  # the code of proxies for a client that disconnected
MAX_CACHED_PATH_BYTES = 512  # the longest path whose labels are cached
_HEALTH_PATHS = frozenset({"healthz", "livez", "readyz"})
_NON_RESOURCE_PATHS = frozenset({"api", "apis", "openapi", "version"})
_VERBS = frozenset(
    {"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"}
)


async def handle_metrics(context: ApiContext, caller: Caller, method: str) -> HttpResponse:
    """Return all metrics of this process, for callers that may list the streams of all namespaces.

    Raises ForbiddenPathError for other callers, because labels name registries and credentials.
    """
    if not _may_scrape(caller):
        caller = await context.authenticator.refresh(caller)
        if not _may_scrape(caller):
            raise ForbiddenPathError(
                f'forbidden: User "{caller.user}" cannot {method.lower()} path "/metrics"'
            )
    if method not in {"GET", "HEAD"}:
        raise MethodNotAllowedError
    return HttpResponse(200, await context.executor.run(render_metrics), CONTENT_TYPE)


def _may_scrape(caller: Caller) -> bool:
    return is_allowed(caller, verb="list", group=IMAGE_API_GROUP, resource="imagestreams")


class RequestMetrics:
    """The metrics of one request, from the moment it arrived."""

    __slots__ = ("_start_time", "resource", "verb")

    def __init__(self, scope: Scope) -> None:
        raw_path = scope.get("raw_path") or scope["path"].encode()
        is_watch = b"watch=" in scope.get("query_string", b"")
        labels_of = (
            metric_labels_of
            if len(raw_path) <= MAX_CACHED_PATH_BYTES
            else metric_labels_of.__wrapped__
        )
        self.resource, self.verb = labels_of(scope["method"], raw_path, is_watch=is_watch)
        self._start_time = perf_counter()

    def record_response(self, code: int) -> None:
        """Count the request and its duration.

        The duration of a watch is not recorded, because it is up to the client.
        """
        seconds = None if self.verb == "watch" else perf_counter() - self._start_time
        count_api_request(self.resource, self.verb, code, seconds)

    @contextmanager
    def track_watch(self) -> Iterator[None]:
        """Count an open watch while the block runs."""
        gauge = API_WATCHES.labels(self.resource)
        gauge.inc()
        try:
            yield
        finally:
            gauge.dec()


@lru_cache(4096)
def metric_labels_of(method: str, raw_path: bytes, *, is_watch: bool) -> tuple[str, str]:
    """Return the resource and the verb of a request as label values."""
    try:
        segments = split_path(raw_path)
    except BadRequestError:
        return OTHER_LABEL, OTHER_LABEL
    target = parse_request_info(segments)
    if target is not None:
        verb = target.verb(method, watch=is_watch)
        resource = OTHER_LABEL if target.info is None else target.info.resource
        return resource, verb if verb in _VERBS else OTHER_LABEL
    first = segments[0] if segments else "api"
    known_labels = {
        "metrics": "metrics",
        **dict.fromkeys(_HEALTH_PATHS, "health"),
        **dict.fromkeys(_NON_RESOURCE_PATHS, "api"),
    }
    return known_labels.get(first, OTHER_LABEL), "get" if method in {"GET", "HEAD"} else OTHER_LABEL
