"""One change on its way to the watchers: small, frozen, printed once (`api.md` C15).

An event keeps the object as the bytes that most watchers get, and beside them only what selectors
may ask: names, labels, and the plain values of the first level. So a thousand kept events cost
little more than their bytes, and no watcher parses what another one parsed before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import structlog

from api.response.http_response import print_json
from api.served_resources import RESOURCES
from models.errors import TagstreamError
from models.store.changes.change_log import FeedEvent, Verb

log = structlog.get_logger()

Matches = Callable[[Mapping[str, Any]], bool]
OpenObject = Callable[[FeedEvent], dict[str, Any]]

_API_VERSIONS = {info.kind: info.api_version for info in reversed(RESOURCES)}
_METADATA = ("name", "namespace", "labels")


@dataclass(frozen=True, slots=True)
class Event:
    """What became of one object. `before` and `after` are None where there was no object.

    `body` is the whole object as JSON, after the change; of a deleted one its last state.
    """

    version: int
    verb: Verb
    kind: str
    namespace: str
    name: str
    body: bytes
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None

    def seen_by(self, matches: Matches | None) -> Verb | None:
        """What the change is to a watcher with selectors; None: nothing.

        An object that begins to match is ADDED to this watcher, one that ceases to is DELETED.
        """
        if matches is None:
            return self.verb
        is_there = self.after is not None and matches(self.after)
        was_there = self.before is not None and matches(self.before)
        if is_there:
            return Verb.MODIFIED if was_there else Verb.ADDED
        return Verb.DELETED if was_there else None


class Seen(NamedTuple):
    """An event, and what it is to one watcher."""

    verb: Verb
    event: Event


def open_event(feed: FeedEvent, open_object: OpenObject) -> Event:
    """The event of a line of the log; `open_object` makes the shown object of the stored one."""
    shown = _open(feed, open_object)
    before: Mapping[str, Any] | None = None
    if feed.before is not None:
        before = selectable(_open(replace(feed, object=feed.before, before=None), open_object))
    after: Mapping[str, Any] | None = selectable(shown)
    if after == before:
        after = before
    if feed.verb == Verb.DELETED:
        before, after = before or after, None
    elif feed.verb == Verb.MODIFIED and before is None:
        before = after  # written before the log kept what was
    return Event(
        version=feed.version,
        verb=Verb(feed.verb),
        kind=feed.kind,
        namespace=feed.namespace,
        name=feed.name,
        body=print_json(shown),
        before=before,
        after=after,
    )


def _open(feed: FeedEvent, open_object: OpenObject) -> dict[str, Any]:
    """The shown object. One that cannot be opened is told of by its metadata alone."""
    try:
        shown = open_object(feed)
    except TagstreamError as error:
        log.warning("watch.unreadable", kind=feed.kind, version=feed.version, error=str(error))
        shown = {"metadata": feed.object.get("metadata", {})}
    except Exception:
        # One strange object must not silence the watchers of all others.
        log.exception("watch.unreadable", kind=feed.kind, version=feed.version)
        shown = {"metadata": feed.object.get("metadata", {})}
    if "kind" in shown and "apiVersion" in shown:
        return shown
    named = {"kind": feed.kind, "apiVersion": _API_VERSIONS.get(feed.kind, "v1")}
    return {**named, **shown}


def selectable(shown: Mapping[str, Any]) -> dict[str, Any]:
    """The part of an object that selectors see: names, labels, plain values of the first level.

    `spec` and `status` are always there, however little is known of the object.
    """
    metadata = shown.get("metadata", {})
    part: dict[str, Any] = {"spec": {}, "status": {}}
    part["metadata"] = {k: metadata[k] for k in _METADATA if metadata.get(k)}
    for key, value in shown.items():
        if key == "metadata" or isinstance(value, list):
            continue
        part[key] = _plain(value) if isinstance(value, dict) else value
    return part


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in values.items() if not isinstance(v, dict | list)}
