"""Watch events: one change of an object, encoded once for all watchers (api-12.4, api-12.5).

An event has the object as the bytes that most watchers get, and besides them only what selectors
may read: names, labels, and the scalar values of the first level. So a thousand buffered events
take little more memory than their bytes, and an object is not parsed again for each watcher.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import structlog

from api.response.http_response import encode_compact_json
from api.served_resources import RESOURCES
from models.errors import TagstreamError
from models.store.changes.change_events import ChangeEvent
from models.store.changes.change_log import Verb

log = structlog.get_logger()

ObjectPredicate = Callable[[Mapping[str, Any]], bool]
ConvertChange = Callable[[ChangeEvent], dict[str, Any]]

_API_VERSIONS = {info.kind: info.api_version for info in reversed(RESOURCES)}
_METADATA = ("name", "namespace", "labels")


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One change of an object. `before` and `after` are None if there was no object.

    `body` is the whole object as JSON after the change; of a deleted object its last state.
    """

    version: int
    verb: Verb
    kind: str
    namespace: str
    name: str
    body: bytes
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None

    def verb_for(self, matches: ObjectPredicate | None) -> Verb | None:
        """Return what the change is for a watcher with selectors, or None if it is not sent.

        An object that begins to match is ADDED for this watcher, one that ceases to match is
        DELETED.
        """
        if matches is None:
            return self.verb
        matches_now = self.after is not None and matches(self.after)
        matched_before = self.before is not None and matches(self.before)
        if matches_now:
            return Verb.MODIFIED if matched_before else Verb.ADDED
        return Verb.DELETED if matched_before else None


class MatchedEvent(NamedTuple):
    """An event with the verb that it has for one watcher."""

    verb: Verb
    event: WatchEvent


def build_watch_event(change: ChangeEvent, convert_change: ConvertChange) -> WatchEvent:
    """Return the event of a change log entry; `convert_change` converts the stored object."""
    shown = _convert(change, convert_change)
    before: Mapping[str, Any] | None = None
    if change.before is not None:
        before = selectable_part(
            _convert(replace(change, object=change.before, before=None), convert_change)
        )
    after: Mapping[str, Any] | None = selectable_part(shown)
    if after == before:
        after = before
    if change.verb == Verb.DELETED:
        before, after = before or after, None
    elif change.verb == Verb.MODIFIED and before is None:
        before = after  # an entry of an older version, which did not store the previous object
    return WatchEvent(
        version=change.version,
        verb=Verb(change.verb),
        kind=change.kind,
        namespace=change.namespace,
        name=change.name,
        body=encode_compact_json(shown),
        before=before,
        after=after,
    )


def _convert(change: ChangeEvent, convert_change: ConvertChange) -> dict[str, Any]:
    """Return the shown object; one that cannot be converted is reduced to its metadata."""
    try:
        shown = convert_change(change)
    except TagstreamError as error:
        log.warning(
            "watch.conversion_failed",
            kind=change.kind,
            version=change.version,
            error=str(error),
        )
        shown = {"metadata": change.object.get("metadata", {})}
    except Exception:
        # One broken object must not stop the watches of all others.
        log.exception("watch.conversion_failed", kind=change.kind, version=change.version)
        shown = {"metadata": change.object.get("metadata", {})}
    if "kind" in shown and "apiVersion" in shown:
        return shown
    type_meta = {"kind": change.kind, "apiVersion": _API_VERSIONS.get(change.kind, "v1")}
    return {**type_meta, **shown}


def selectable_part(shown: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part that selectors read: names, labels, scalar values of the first level.

    `spec` and `status` are always present, even if the object could not be converted.
    """
    metadata = shown.get("metadata", {})
    part: dict[str, Any] = {"spec": {}, "status": {}}
    part["metadata"] = {k: metadata[k] for k in _METADATA if metadata.get(k)}
    for key, value in shown.items():
        if key == "metadata" or isinstance(value, list):
            continue
        part[key] = _scalar_fields(value) if isinstance(value, dict) else value
    return part


def _scalar_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in values.items() if not isinstance(v, dict | list)}
