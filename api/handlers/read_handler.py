"""GET of one object, or of a page of a list (api-11.1, api-11.4, api-11.5, api-11.8)."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from api.kinds.kind_base import Kind, UnitOfWork, UnversionedKind, read_transaction
from api.kinds.stored_kind import StoredKind
from api.request.api_request import ApiRequest
from api.request.content_negotiation import NegotiatedMedia, negotiate
from api.request.object_selectors import FieldSelector, parse_field_selector
from api.request.query_options import ListOptions, parse_list_options
from api.response.http_response import HttpResponse, encode_json_list, encode_json_text
from api.response.representation import list_response, object_response
from models.api_errors import BadRequestError, ExpiredError, RequestTimeoutError
from models.store.changes.change_events import list_objects_at
from models.store.changes.change_log import latest_version
from models.store.changes.object_snapshots import MAX_COUNT
from models.store.database.session import transaction

LIST_CHUNK_SIZE = 500
VERSION_WAIT_SECONDS = 3.0
VERSION_POLL_SECONDS = 0.05
MATCH_EVERYTHING = FieldSelector()
_TOO_OLD = "The resourceVersion for the provided list is too old."
_CONTINUE_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start "
    "a new list without the continue parameter, or use the continue token in this response to "
    "retrieve the remainder of the results. Continuing with the provided token results in an "
    "inconsistent list - objects that were created, modified, or deleted between the time the "
    "first chunk was returned and now may show up in the list."
)
ObjectKey = tuple[str, str]
ListPredicate = Callable[[Mapping[str, Any]], bool]


@dataclass(frozen=True, slots=True)
class ListPage:
    """A page of a list: objects, the version they were read at, and the token of the next page."""

    items: list[dict[str, Any]]
    version: int
    token: str = ""
    remaining: int | None = None

    @property
    def metadata(self) -> dict[str, Any]:
        found: dict[str, Any] = {"resourceVersion": str(self.version)} if self.version else {}
        if self.token:
            found["continue"] = self.token
            if self.remaining is not None:
                found["remainingItemCount"] = self.remaining
        return found


async def get_object(request: ApiRequest, kind: Kind) -> HttpResponse:
    """Return one object. `resourceVersion` waits until the store has that version."""
    media = negotiate(request.accept, table=kind.has_table, partial="object")
    kind.check_name(request.target.name)
    await wait_for_version(request, parse_resource_version(request.parameter("resourceVersion")))
    return await request.context.executor.run(_get_one, request, kind, media)


def _get_one(request: ApiRequest, kind: Kind, media: NegotiatedMedia) -> HttpResponse:
    if media.kind == "json":
        text = kind.get_json(request.context, request.target.namespace, request.target.name)
        if text is not None:
            return HttpResponse(
                200, encode_json_text(text), media.content_type, warnings=request.warnings
            )
    with read_transaction(request.context, request.caller, now=request.now) as work:
        shown = kind.get(work, request.target.namespace, request.target.name)
    return object_response(request, media, kind, shown)


async def list_objects(request: ApiRequest, kind: Kind) -> HttpResponse:
    """Return a page of objects, ordered by namespace and name."""
    media = negotiate(request.accept, table=kind.has_table, partial="list")
    options = parse_list_options(request.query)
    selection = build_selection(request, kind, options)
    await wait_for_version(request, parse_resource_version(options.resource_version))
    return await request.context.executor.run(_list_page, request, kind, media, options, selection)


def _list_page(
    request: ApiRequest,
    kind: Kind,
    media: NegotiatedMedia,
    options: ListOptions,
    selection: ListSelection,
) -> HttpResponse:
    with read_transaction(request.context, request.caller, now=request.now) as work:
        if media.kind == "json" and isinstance(kind, StoredKind) and selection.matches is None:
            collector = _ListCollector(work, kind, request.target.namespace, options, selection)
            json_page = collector.collect_json()
            if json_page is not None:
                text = encode_json_list(kind.info, *json_page)
                return HttpResponse(200, text, media.content_type, warnings=request.warnings)
        listing = collect(work, request, kind, options, selection)
    return list_response(request, media, kind, listing.items, listing.metadata)


@dataclass(frozen=True, slots=True)
class ListSelection:
    """Which objects of a kind are selected; `name` is set if a field selector allows only one."""

    matches: ListPredicate | None
    name: str | None
    field_selector: FieldSelector = MATCH_EVERYTHING


def build_selection(request: ApiRequest, kind: Kind, options: ListOptions) -> ListSelection:
    """Return both selectors as one predicate over shown objects; None means that all match."""
    field_selector: FieldSelector = parse_field_selector(options.field_selector, kind.selectable)
    label_selector = options.label_selector
    target = request.target
    # The deprecated watch paths may name one object (api-12.1).
    path_name = target.name if target.watched and target.name else None
    name = path_name or field_selector.exact_value("metadata.name")
    if not field_selector and not label_selector and path_name is None:
        return ListSelection(None, None)

    def matches(shown: Mapping[str, Any]) -> bool:
        metadata = shown["metadata"]
        if path_name is not None and metadata.get("name") != path_name:
            return False
        return label_selector.matches(metadata.get("labels", {})) and field_selector.matches(
            kind.fields(shown)
        )

    return ListSelection(matches, name, field_selector)


def collect(
    work: UnitOfWork,
    request: ApiRequest,
    kind: Kind,
    options: ListOptions,
    selection: ListSelection,
) -> ListPage:
    """Return a page of the selected objects; virtual kinds have no pages and return all."""
    namespace = request.target.namespace
    if isinstance(kind, UnversionedKind):
        return _collect_unversioned(work, namespace, kind, options, selection)
    if not isinstance(kind, StoredKind):
        items = kind.list_all(work, namespace)
        matches = selection.matches
        if matches is not None:
            items = [item for item in items if matches(item)]
        return ListPage(items, latest_version(work.session))
    return _ListCollector(
        work, kind.narrow(selection.field_selector), namespace, options, selection
    ).collect()


def _collect_unversioned(
    work: UnitOfWork,
    namespace: str,
    kind: UnversionedKind,
    options: ListOptions,
    selection: ListSelection,
) -> ListPage:
    """Return a page of a kind without versions: the next page continues after the last object.

    There is no snapshot. Objects that change between two pages may be missing or appear twice.
    """
    version, limit = latest_version(work.session), options.limit
    after: ObjectKey | None = None
    if options.continue_token:
        _, after = parse_continue_token(options.continue_token, version)
    chunk_size = (
        LIST_CHUNK_SIZE
        if selection.matches is not None or not limit
        else min(LIST_CHUNK_SIZE, limit + 1)
    )
    found: list[dict[str, Any]] = []
    while True:
        page = kind.page(work, namespace, selection.field_selector, limit=chunk_size, after=after)
        for shown in page:
            if selection.matches is None or selection.matches(shown):
                if limit and len(found) == limit:
                    return ListPage(found, version, format_continue_token(version, after))
                found.append(shown)
            after = (shown["metadata"].get("namespace", ""), shown["metadata"]["name"])
        if len(page) < chunk_size:
            return ListPage(found, version)


class _ListCollector:
    def __init__(
        self,
        work: UnitOfWork,
        kind: StoredKind,
        namespace: str,
        options: ListOptions,
        selection: ListSelection,
    ) -> None:
        self._work = work
        self._kind = kind
        self._namespace = namespace
        self._options = options
        self._selection = selection
        self._visible = kind.visible_names(work.caller)
        self._current = latest_version(work.session)
        self._version, self._after = self._current, None
        if options.continue_token:
            if options.resource_version not in {"", "0"}:
                raise BadRequestError(
                    "specifying resource version is not allowed when using continue"
                )
            self._version, self._after = parse_continue_token(options.continue_token, self._current)
        elif options.match == "Exact" and options.resource_version:
            self._version = parse_resource_version(options.resource_version)

    def collect(self) -> ListPage:
        name = self._selection.name
        if name is not None and self._is_name_unique() and self._version == self._current:
            return ListPage(self._named_object(name), self._current)
        limit = self._options.limit
        found: list[dict[str, Any]] = []
        after = self._after
        while True:
            chunk_size = min(LIST_CHUNK_SIZE, limit - len(found) + 1) if limit else LIST_CHUNK_SIZE
            chunk_size = max(
                chunk_size, LIST_CHUNK_SIZE if self._selection.matches is not None else 1
            )
            page = self._page(chunk_size, after)
            for key, shown in page:
                if self._matches(shown):
                    if limit and len(found) == limit:
                        assert after is not None
                        return self._truncated_page(found, after)
                    found.append(shown)
                after = key
            if len(page) < chunk_size:
                return ListPage(found, self._version)

    def collect_json(self) -> tuple[list[str], dict[str, Any]] | None:
        """Return the same page as JSON texts with its metadata; None if there is no fast path."""
        if self._version != self._current:
            return None
        limit = self._options.limit
        found: list[str] = []
        after = self._after
        while True:
            chunk_size = (
                min(LIST_CHUNK_SIZE + 1, limit - len(found) + 1) if limit else LIST_CHUNK_SIZE
            )
            page = self._kind.page_json(self._work, self._namespace, limit=chunk_size, after=after)
            if page is None:
                return None
            for key, text in page:
                if limit and len(found) == limit:
                    assert after is not None
                    return found, self._truncated_page([], after).metadata
                found.append(text)
                after = key
            if len(page) < chunk_size:
                return found, ListPage([], self._version).metadata

    def _is_name_unique(self) -> bool:
        return bool(self._namespace) or not self._kind.info.namespaced

    def _named_object(self, name: str) -> list[dict[str, Any]]:
        found = self._kind.load(self._work, self._namespace, name)
        shown = None if found is None else self._kind.show(found)
        return [shown] if shown is not None and self._matches(shown) else []

    def _matches(self, shown: dict[str, Any]) -> bool:
        if self._visible is not None and shown["metadata"]["name"] not in self._visible:
            return False
        return self._selection.matches is None or self._selection.matches(shown)

    def _page(
        self, chunk_size: int, after: ObjectKey | None
    ) -> list[tuple[ObjectKey, dict[str, Any]]]:
        if self._version == self._current:
            shown = self._kind.page(self._work, self._namespace, limit=chunk_size, after=after)
        else:
            logged = list_objects_at(
                self._work.session,
                self._kind.log_kind,
                self._version,
                namespace=self._namespace or None,
                after=after,
                limit=chunk_size,
            )
            if logged is None:
                raise self._expired_error(after)
            shown = [self._kind.show_stored(self._work.context, item) for item in logged]
        return [
            ((item["metadata"].get("namespace", ""), item["metadata"]["name"]), item)
            for item in shown
        ]

    def _expired_error(self, after: ObjectKey | None) -> ExpiredError:
        if not self._options.continue_token:
            return ExpiredError(_TOO_OLD)
        return ExpiredError(_CONTINUE_TOO_OLD, again=format_continue_token(self._current, after))

    def _truncated_page(self, found: list[dict[str, Any]], last: ObjectKey) -> ListPage:
        remaining = None
        if self._selection.matches is None and self._version == self._current:
            counted = self._kind.count(self._work, self._namespace, after=last)
            remaining = counted if counted <= MAX_COUNT else None
        return ListPage(found, self._version, format_continue_token(self._version, last), remaining)


def format_continue_token(version: int, after: ObjectKey | None) -> str:
    """Return an opaque token of where the next page begins, and at which version."""
    text = json.dumps({"v": version, "after": after}, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def parse_continue_token(token: str, current: int) -> tuple[int, ObjectKey | None]:
    """Return the content of `format_continue_token`. Raises BadRequestError for anything else."""
    try:
        padded = token + "=" * (-len(token) % 4)
        found = json.loads(base64.urlsafe_b64decode(padded.encode("ascii")))
        version, after = found["v"], found["after"]
        valid = isinstance(version, int) and 0 <= version <= current
        if after is not None:
            namespace, name = after
            valid = valid and isinstance(namespace, str) and isinstance(name, str)
            after = (namespace, name)
    except (ValueError, TypeError, KeyError, RecursionError, binascii.Error):
        valid = False
    if not valid:
        raise BadRequestError("invalid continue token: it was not issued by this server")
    return version, after


def parse_resource_version(text: str) -> int:
    """Return the resource version of a query; empty is 0. Raises BadRequestError."""
    if not text:
        return 0
    if text.isascii() and text.isdigit() and len(text) < 19:
        return int(text)
    raise BadRequestError(
        f'invalid resource version: resourceVersion: Invalid value: "{text}": '
        f'strconv.ParseUint: parsing "{text}": invalid syntax'
    )


async def wait_for_version(request: ApiRequest, version: int) -> None:
    """Wait until the store has reached a version that the client has seen (api-11.6).

    Raises RequestTimeoutError after 3 seconds.
    """
    if not version:
        return
    deadline = asyncio.get_running_loop().time() + VERSION_WAIT_SECONDS
    while True:
        current = await request.context.executor.run(_current_version, request)
        if current >= version:
            return
        if asyncio.get_running_loop().time() >= deadline:
            raise RequestTimeoutError(
                f"Too large resource version: {version}, current: {current}",
                causes=[
                    {
                        "reason": "ResourceVersionTooLarge",
                        "message": "Too large resource version",
                    }
                ],
            )
        await asyncio.sleep(VERSION_POLL_SECONDS)


def _current_version(request: ApiRequest) -> int:
    with transaction(request.context.engine, write=False) as session:
        return latest_version(session)
