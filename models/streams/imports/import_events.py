"""Kubernetes Events about an import (scheduling-8.3).

Only changes are reported: a tag that a scheduled check updated, the first of several failures and
the recovery from them, and tag lists that were not accepted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from models.job_types import TargetResult
from models.resources.stream import ImageStream, NamedTagEventList
from models.streams.imports.apply_import import ImportResult
from models.streams.imports.tag_list_guard import INCOMPLETE, ObservedTagList
from models.streams.tags.tag_conditions import IMPORT_SUCCESS, stable_message

NORMAL, WARNING = "Normal", "Warning"
TAG_UPDATED = "TagUpdated"
IMPORT_FAILED, IMPORT_RECOVERED = "ImportFailed", "ImportRecovered"
TAG_LIST_INCOMPLETE, TAG_LIST_SHRUNK = "TagListIncomplete", "TagListShrunk"
MAX_EVENTS_PER_REASON = 20


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """Type, reason and message of a Kubernetes Event about a stream."""

    type: str
    reason: str
    message: str


def build_stream_events(
    old: ImageStream | None, applied: ImportResult, *, by_schedule: bool
) -> list[StreamEvent]:
    """Build the events of an import into a stream that was `old` before; none for an unchanged
    stream.

    Of many events with the same reason the first are listed and the rest is counted.
    """
    events = [_tag_list_event(seen) for seen in applied.lists if seen.problem]
    if applied.changed and applied.stream is not None:
        events += _tag_events(old, applied.stream, applied.targets, by_schedule=by_schedule)
    return list(_limit_per_reason(events))


def _tag_list_event(seen: ObservedTagList) -> StreamEvent:
    location = f"the repository {seen.repository}"
    reason = TAG_LIST_INCOMPLETE if seen.problem == INCOMPLETE else TAG_LIST_SHRUNK
    return StreamEvent(WARNING, reason, f"{location}: {stable_message(seen.error().text)}")


def _tag_events(
    old: ImageStream | None,
    new: ImageStream,
    targets: Iterable[TargetResult],
    *,
    by_schedule: bool,
) -> Iterator[StreamEvent]:
    before = {} if old is None else {history.tag: history for history in old.status.tags}
    after = {history.tag: history for history in new.status.tags}
    for target in targets:
        old_history, new_history = before.get(target.to), after.get(target.to)
        had_failed = _has_failed(old_history)
        if not target.to:
            continue
        if not target.image:
            if _has_failed(new_history) and not had_failed:
                yield StreamEvent(WARNING, IMPORT_FAILED, _failure_message(target))
            continue
        if had_failed:
            text = f"tag {target.to} is imported again from {target.source}"
            yield StreamEvent(NORMAL, IMPORT_RECOVERED, text)
        image = old_history.items[0].image if old_history is not None and old_history.items else ""
        if by_schedule and image and image != target.image:
            text = f"tag {target.to} updated from {image} to {target.image} ({target.source})"
            yield StreamEvent(NORMAL, TAG_UPDATED, text)


def _failure_message(target: TargetResult) -> str:
    detail = stable_message(target.message)
    return f"tag {target.to} could not be imported from {target.source}: {detail}"


def _has_failed(history: NamedTagEventList | None) -> bool:
    return history is not None and any(
        condition.type == IMPORT_SUCCESS and condition.status == "False"
        for condition in history.conditions
    )


def _limit_per_reason(events: list[StreamEvent]) -> Iterator[StreamEvent]:
    for reason, group in groupby(sorted(events, key=attrgetter("reason")), attrgetter("reason")):
        group_events = list(group)
        yield from group_events[:MAX_EVENTS_PER_REASON]
        omitted = len(group_events) - MAX_EVENTS_PER_REASON
        if omitted > 0:
            message = f"{omitted} more tags of the same import"
            yield StreamEvent(group_events[0].type, reason, message)
