"""GET with `watch`: a stream of changes from now on, or from a version on (api-12.1).

Without a resourceVersion a watch begins with ADDED for every object (clients-3.4). Kinds without
the `watch` verb, such as ImageStreamTag, answer 405, and kubectl stops watching (clients-3.5).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from api.handlers.read_handler import (
    ListSelection,
    build_selection,
    collect,
    parse_resource_version,
)
from api.kinds.kind_base import Kind, read_transaction
from api.kinds.stored_kind import StoredKind
from api.printers.table_printer import build_partial, build_table, parse_include
from api.request.api_request import ApiRequest
from api.request.content_negotiation import NegotiatedMedia, negotiate
from api.request.query_options import ListOptions, parse_list_options
from api.request.request_info import RequestInfo
from api.response.http_response import JSON, HttpResponse
from api.watch.reauthorization import WatchAuthorization
from api.watch.watch_encoder import WatchEncoder
from api.watch.watch_stream import WatchRequest, stream_watch
from models.access.rbac import Caller, is_allowed
from models.api_errors import MethodNotAllowedError


async def watch_objects(request: ApiRequest, kind: Kind) -> HttpResponse:
    """Return a stream of watch events, one JSON document a line. 405 if the kind has no watch."""
    if not isinstance(kind, StoredKind) or "watch" not in kind.info.verbs:
        raise _watch_not_supported(kind)
    media = negotiate(request.accept, table=kind.has_table, partial="object", watch=True)
    options = parse_list_options(request.query, watching=True)
    selection = build_selection(request, kind, options)
    start: int | None = parse_resource_version(options.resource_version)
    if options.send_initial_events is False and not options.resource_version:
        start = None  # changes from now on

    async def list_initial() -> tuple[list[dict[str, Any]], int]:
        return await request.context.executor.run(_list_snapshot, request, kind, selection)

    authorization = WatchAuthorization(_build_watch_check(request.target))
    watch_request = WatchRequest(
        kind=kind.log_kind,
        encoder=_build_encoder(request, kind, media),
        namespace=request.target.namespace,
        name=selection.name or "",
        matches=_build_predicate(request, kind, selection),
        start=start,
        timeout=options.timeout_seconds,
        bookmarks=options.bookmarks,
        initial_events=bool(options.send_initial_events),
        authorization=authorization,
    )
    body = stream_watch(request.context.watch_cache, watch_request, list_initial)
    return HttpResponse(
        200, request.context.watch_reauthorizer.wrap(body, request.caller, authorization), JSON
    )


def _build_watch_check(target: RequestInfo) -> Callable[[Caller], bool]:
    def may_watch(caller: Caller) -> bool:
        return is_allowed(
            caller,
            verb="watch",
            group=target.group,
            resource=target.resource,
            subresource=target.subresource,
            namespace=target.namespace,
            name=target.name,
        )

    return may_watch


def _build_encoder(request: ApiRequest, kind: StoredKind, media: NegotiatedMedia) -> WatchEncoder:
    """Return the encoder of the events; ages in a Table are those of the moment it is encoded."""
    info = kind.info
    if media.kind == "partial":
        return _build_partial_encoder(kind, media)
    if media.kind != "table":
        return WatchEncoder(info.kind, info.kind, info.api_version, show=kind.show_logged)
    include = parse_include(request.parameter("includeObject"))

    def table(
        objects: list[dict[str, Any]], metadata: dict[str, Any], with_columns: bool
    ) -> dict[str, Any]:
        return build_table(
            info.kind,
            objects,
            list_metadata=metadata,
            include=include,
            now=datetime.now(UTC),
            columns=with_columns,
            version=media.table_version,
        )

    key = f"{info.kind} table {media.table_version} {include}"
    return WatchEncoder(key, info.kind, info.api_version, show=kind.show_logged, table=table)


def _build_partial_encoder(kind: StoredKind, media: NegotiatedMedia) -> WatchEncoder:
    def show_metadata(shown: dict[str, Any]) -> dict[str, Any]:
        return build_partial(shown, version=media.table_version)

    name, version = "PartialObjectMetadata", f"meta.k8s.io/{media.table_version}"
    return WatchEncoder(f"{kind.info.kind} {version}", name, version, show=show_metadata)


def _build_predicate(request: ApiRequest, kind: StoredKind, selection: ListSelection) -> Any:
    """Return the selectors, restricted to the names that the caller may see of the kind."""
    visible_names = kind.visible_names(request.caller)
    matches = selection.matches
    if visible_names is None:
        return matches

    def matches_and_visible(shown: Mapping[str, Any]) -> bool:
        return shown["metadata"]["name"] in visible_names and (matches is None or matches(shown))

    return matches_and_visible


def _list_snapshot(
    request: ApiRequest, kind: StoredKind, selection: ListSelection
) -> tuple[list[dict[str, Any]], int]:
    with read_transaction(request.context, request.caller, now=request.now) as work:
        listing = collect(work, request, kind, ListOptions(), selection)
    return listing.items, listing.version


def _watch_not_supported(kind: Kind) -> MethodNotAllowedError:
    info = kind.info
    return MethodNotAllowedError(
        f'watch is not supported on resources of kind "{info.qualified}"',
        {"group": info.group, "kind": info.resource},
    )
