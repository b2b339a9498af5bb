"""GET: one object, or a page of many (`api.md` C14)."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from api.kinds.kind_base import Kind, LiveKind, Work, reading
from api.kinds.stored_kind import StoredKind
from api.request.api_request import Call
from api.request.content_negotiation import Media, negotiate
from api.request.object_selectors import FieldSelector, parse_field_selector
from api.request.query_options import ListOptions, parse_list_options
from api.response.http_response import Reply, print_list, print_text
from api.response.representation import shape_list, shape_object
from models.api_errors import BadRequestError, ExpiredError, RequestTimeoutError
from models.store.changes.change_log import latest_version, list_as_of
from models.store.changes.object_snapshots import COUNTED
from models.store.database.session import transaction

STEP = 500
PATIENCE = 3.0
PAUSE = 0.05
EVERYTHING = FieldSelector()
_TOO_OLD = "The resourceVersion for the provided list is too old."
_CONTINUE_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start "
    "a new list without the continue parameter, or use the continue token in this response to "
    "retrieve the remainder of the results. Continuing with the provided token results in an "
    "inconsistent list - objects that were created, modified, or deleted between the time the "
    "first chunk was returned and now may show up in the list."
)
Place = tuple[str, str]
Matches = Callable[[Mapping[str, Any]], bool]


@dataclass(frozen=True, slots=True)
class Listing:
    """A page: objects, the version they were read at, and where the next page begins."""

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


async def get_object(call: Call, kind: Kind) -> Reply:
    """One object."""
    media = negotiate(call.accept, table=kind.has_table, partial="object")
    kind.check_name(call.target.name)
    await wait_for_version(call, parse_version_parameter(call.parameter("resourceVersion")))
    return await call.house.threads.run(_get, call, kind, media)


def _get(call: Call, kind: Kind, media: Media) -> Reply:
    if media.kind == "json":
        text = kind.print_one(call.house, call.target.namespace, call.target.name)
        if text is not None:
            return Reply(200, print_text(text), media.content_type, warnings=call.warnings)
    with reading(call.house, call.caller, now=call.now) as work:
        shown = kind.get(work, call.target.namespace, call.target.name)
    return shape_object(call, media, kind, shown)


async def list_objects(call: Call, kind: Kind) -> Reply:
    """A page of objects, in the order of namespace and name."""
    media = negotiate(call.accept, table=kind.has_table, partial="list")
    options = parse_list_options(call.query)
    selects = selection_of(call, kind, options)
    await wait_for_version(call, parse_version_parameter(options.resource_version))
    return await call.house.threads.run(_list, call, kind, media, options, selects)


def _list(call: Call, kind: Kind, media: Media, options: ListOptions, selects: Selects) -> Reply:
    with reading(call.house, call.caller, now=call.now) as work:
        if media.kind == "json" and isinstance(kind, StoredKind) and selects.matches is None:
            collector = _Collector(work, kind, call.target.namespace, options, selects)
            printed = collector.print_items()
            if printed is not None:
                text = print_list(kind.info, *printed)
                return Reply(200, text, media.content_type, warnings=call.warnings)
        listing = collect(work, call, kind, options, selects)
    return shape_list(call, media, kind, listing.items, listing.metadata)


@dataclass(frozen=True, slots=True)
class Selects:
    """What of a kind is wanted. `name` is set where a field selector leaves only one."""

    matches: Matches | None
    name: str | None
    wanted: FieldSelector = EVERYTHING


def selection_of(call: Call, kind: Kind, options: ListOptions) -> Selects:
    """Both selectors as one predicate over shown objects; None: everything matches."""
    wanted: FieldSelector = parse_field_selector(options.field_selector, kind.selectable)
    labels = options.label_selector
    target = call.target
    # The deprecated watch paths may name one object (C15).
    named = target.name if target.watched and target.name else None
    name = named or wanted.exact("metadata.name")
    if not wanted and not labels and named is None:
        return Selects(None, None)

    def matches(shown: Mapping[str, Any]) -> bool:
        metadata = shown["metadata"]
        if named is not None and metadata.get("name") != named:
            return False
        return labels.matches(metadata.get("labels", {})) and wanted.matches(kind.fields(shown))

    return Selects(matches, name, wanted)


def collect(work: Work, call: Call, kind: Kind, options: ListOptions, selects: Selects) -> Listing:
    """The objects of a list; virtual kinds have no pages."""
    namespace = call.target.namespace
    if isinstance(kind, LiveKind):
        return _collect_live(work, namespace, kind, options, selects)
    if not isinstance(kind, StoredKind):
        items = kind.list_all(work, namespace)
        matches = selects.matches
        if matches is not None:
            items = [item for item in items if matches(item)]
        return Listing(items, latest_version(work.session))
    return _Collector(work, kind.narrowed(selects.wanted), namespace, options, selects).collect()


def _collect_live(
    work: Work, namespace: str, kind: LiveKind, options: ListOptions, selects: Selects
) -> Listing:
    """A page of what has no past: the next page goes on from where this one ends."""
    version, limit = latest_version(work.session), options.limit
    after: Place | None = None
    if options.continue_token:
        _, after = read_token(options.continue_token, version)
    step = STEP if selects.matches is not None or not limit else min(STEP, limit + 1)
    found: list[dict[str, Any]] = []
    while True:
        page = kind.page(work, namespace, selects.wanted, limit=step, after=after)
        for shown in page:
            if selects.matches is None or selects.matches(shown):
                if limit and len(found) == limit:
                    return Listing(found, version, write_token(version, after))
                found.append(shown)
            after = (shown["metadata"].get("namespace", ""), shown["metadata"]["name"])
        if len(page) < step:
            return Listing(found, version)


class _Collector:
    def __init__(
        self, work: Work, kind: StoredKind, namespace: str, options: ListOptions, selects: Selects
    ) -> None:
        self._work = work
        self._kind = kind
        self._namespace = namespace
        self._options = options
        self._selects = selects
        self._visible = kind.visible(work.caller)
        self._current = latest_version(work.session)
        self._version, self._after = self._current, None
        if options.continue_token:
            if options.resource_version not in {"", "0"}:
                raise BadRequestError(
                    "specifying resource version is not allowed when using continue"
                )
            self._version, self._after = read_token(options.continue_token, self._current)
        elif options.match == "Exact" and options.resource_version:
            self._version = parse_version_parameter(options.resource_version)

    def collect(self) -> Listing:
        name = self._selects.name
        if name is not None and self._namespace_known() and self._version == self._current:
            return Listing(self._one(name), self._current)
        limit = self._options.limit
        found: list[dict[str, Any]] = []
        after = self._after
        while True:
            step = min(STEP, limit - len(found) + 1) if limit else STEP
            step = max(step, STEP if self._selects.matches is not None else 1)
            page = self._page(step, after)
            for place, shown in page:
                if self._matches(shown):
                    if limit and len(found) == limit:
                        assert after is not None
                        return self._full(found, after)
                    found.append(shown)
                after = place
            if len(page) < step:
                return Listing(found, self._version)

    def print_items(self) -> tuple[list[str], dict[str, Any]] | None:
        """The same page as JSON, and its metadata; None where there is no quick way to it."""
        if self._version != self._current:
            return None
        limit = self._options.limit
        found: list[str] = []
        after = self._after
        while True:
            step = min(STEP + 1, limit - len(found) + 1) if limit else STEP
            page = self._kind.print_page(self._work, self._namespace, limit=step, after=after)
            if page is None:
                return None
            for place, text in page:
                if limit and len(found) == limit:
                    assert after is not None
                    return found, self._full([], after).metadata
                found.append(text)
                after = place
            if len(page) < step:
                return found, Listing([], self._version).metadata

    def _namespace_known(self) -> bool:
        return bool(self._namespace) or not self._kind.info.namespaced

    def _one(self, name: str) -> list[dict[str, Any]]:
        found = self._kind.load(self._work, self._namespace, name)
        shown = None if found is None else self._kind.show(found)
        return [shown] if shown is not None and self._matches(shown) else []

    def _matches(self, shown: dict[str, Any]) -> bool:
        if self._visible is not None and shown["metadata"]["name"] not in self._visible:
            return False
        return self._selects.matches is None or self._selects.matches(shown)

    def _page(self, step: int, after: Place | None) -> list[tuple[Place, dict[str, Any]]]:
        if self._version == self._current:
            shown = self._kind.page(self._work, self._namespace, limit=step, after=after)
        else:
            past = list_as_of(
                self._work.session,
                self._kind.logged_as,
                self._version,
                namespace=self._namespace or None,
                after=after,
                limit=step,
            )
            if past is None:
                raise self._too_old(after)
            shown = [self._kind.show_stored(self._work.house, item) for item in past]
        return [
            ((item["metadata"].get("namespace", ""), item["metadata"]["name"]), item)
            for item in shown
        ]

    def _too_old(self, after: Place | None) -> ExpiredError:
        if not self._options.continue_token:
            return ExpiredError(_TOO_OLD)
        return ExpiredError(_CONTINUE_TOO_OLD, again=write_token(self._current, after))

    def _full(self, found: list[dict[str, Any]], last: Place) -> Listing:
        remaining = None
        if self._selects.matches is None and self._version == self._current:
            counted = self._kind.count(self._work, self._namespace, after=last)
            remaining = counted if counted <= COUNTED else None
        return Listing(found, self._version, write_token(self._version, last), remaining)


def write_token(version: int, after: Place | None) -> str:
    """Where the next page begins, and as of when; opaque to clients."""
    text = json.dumps({"v": version, "after": after}, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_token(token: str, current: int) -> tuple[int, Place | None]:
    """What `write_token` wrote. BadRequestError for anything else."""
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
        raise BadRequestError("invalid continue token: it is not one that this server gave out")
    return version, after


def parse_version_parameter(text: str) -> int:
    """A resource version from a query; nothing counts as 0."""
    if not text:
        return 0
    if text.isascii() and text.isdigit() and len(text) < 19:
        return int(text)
    raise BadRequestError(
        f'invalid resource version: resourceVersion: Invalid value: "{text}": '
        f'strconv.ParseUint: parsing "{text}": invalid syntax'
    )


async def wait_for_version(call: Call, wanted: int) -> None:
    """Wait until the store is as new as the client knows it to be (C14)."""
    if not wanted:
        return
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while True:
        current = await call.house.threads.run(_current_version, call)
        if current >= wanted:
            return
        if asyncio.get_running_loop().time() >= deadline:
            raise RequestTimeoutError(
                f"Too large resource version: {wanted}, current: {current}",
                causes=[
                    {
                        "reason": "ResourceVersionTooLarge",
                        "message": "Too large resource version",
                    }
                ],
            )
        await asyncio.sleep(PAUSE)


def _current_version(call: Call) -> int:
    with transaction(call.house.engine, write=False) as session:
        return latest_version(session)
