"""GET with `watch`: what changes from now on, or from a version on (`api.md` C15)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from api.handlers.read_handler import Selects, collect, parse_version_parameter, selection_of
from api.kinds.kind_base import Kind, reading
from api.kinds.stored_kind import StoredKind
from api.printers.table_printer import build_partial, build_table, parse_include
from api.request.api_request import Call
from api.request.content_negotiation import Media, negotiate
from api.request.query_options import ListOptions, parse_list_options
from api.request.request_info import Target
from api.response.http_response import JSON, Reply
from api.watch.reauthorization import Lease
from api.watch.watch_encoder import Shape
from api.watch.watch_stream import WatchRequest, watch_body
from models.access.rbac import Caller, allowed
from models.api_errors import MethodNotAllowedError


async def watch_objects(call: Call, kind: Kind) -> Reply:
    """A stream of events, one JSON document a line."""
    if not isinstance(kind, StoredKind) or "watch" not in kind.info.verbs:
        raise _cannot_watch(kind)
    media = negotiate(call.accept, table=kind.has_table, partial="object", watch=True)
    options = parse_list_options(call.query, watching=True)
    selects = selection_of(call, kind, options)
    start: int | None = parse_version_parameter(options.resource_version)
    if options.send_initial_events is False and not options.resource_version:
        start = None  # whatever comes from now on

    async def list_now() -> tuple[list[dict[str, Any]], int]:
        return await call.house.threads.run(_snapshot, call, kind, selects)

    lease = Lease(_may_watch(call.target))
    request = WatchRequest(
        kind=kind.logged_as,
        shape=_shape(call, kind, media),
        namespace=call.target.namespace,
        name=selects.name or "",
        matches=_visible(call, kind, selects),
        start=start,
        timeout=options.timeout_seconds,
        bookmarks=options.bookmarks,
        initial_events=bool(options.send_initial_events),
        lease=lease,
    )
    body = watch_body(call.house.hub, request, list_now)
    return Reply(200, call.house.guard.guard(body, call.caller, lease), JSON)


def _may_watch(target: Target) -> Callable[[Caller], bool]:
    def may_watch(caller: Caller) -> bool:
        return allowed(
            caller,
            verb="watch",
            group=target.group,
            resource=target.resource,
            subresource=target.subresource,
            namespace=target.namespace,
            name=target.name,
        )

    return may_watch


def _shape(call: Call, kind: StoredKind, media: Media) -> Shape:
    """How the events are printed; a Table's ages are those of the moment it is printed at."""
    info = kind.info
    if media.kind == "partial":
        return _partial_shape(kind, media)
    if media.kind != "table":
        return Shape(info.kind, info.kind, info.api_version, show=kind.show_logged)
    include = parse_include(call.parameter("includeObject"))

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
    return Shape(key, info.kind, info.api_version, show=kind.show_logged, table=table)


def _partial_shape(kind: StoredKind, media: Media) -> Shape:
    def bare(shown: dict[str, Any]) -> dict[str, Any]:
        return build_partial(shown, version=media.table_version)

    name, version = "PartialObjectMetadata", f"meta.k8s.io/{media.table_version}"
    return Shape(f"{kind.info.kind} {version}", name, version, show=bare)


def _visible(call: Call, kind: StoredKind, selects: Selects) -> Any:
    """The selectors, and what the caller may see of a kind that shows each their own."""
    seen = kind.visible(call.caller)
    matches = selects.matches
    if seen is None:
        return matches

    def both(shown: Mapping[str, Any]) -> bool:
        return shown["metadata"]["name"] in seen and (matches is None or matches(shown))

    return both


def _snapshot(call: Call, kind: StoredKind, selects: Selects) -> tuple[list[dict[str, Any]], int]:
    with reading(call.house, call.caller, now=call.now) as work:
        listing = collect(work, call, kind, ListOptions(), selects)
    return listing.items, listing.version


def _cannot_watch(kind: Kind) -> MethodNotAllowedError:
    info = kind.info
    return MethodNotAllowedError(
        f'watch is not supported on resources of kind "{info.qualified}"',
        {"group": info.group, "kind": info.resource},
    )
