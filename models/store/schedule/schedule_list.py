"""Pages of the schedule for clients, in the order of namespace, stream and tag."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from models.store.tables.schedule import ScheduledTagRow, ScheduleLookupRow
from models.store.tables.streams import StreamRow
from models.streams.schedule.check_schedule import Cadence, ScheduleReason, TagSchedule

_SHOWN_FIELDS = [each.name for each in fields(TagSchedule) if each.name != "interval"]
_COLUMNS = [getattr(ScheduledTagRow, name) for name in _SHOWN_FIELDS]
_ORDER = (ScheduleLookupRow.namespace, ScheduleLookupRow.stream, ScheduleLookupRow.tag)
ScheduleKey = tuple[str, str, str]  # namespace, stream and tag


@dataclass(frozen=True, slots=True)
class ScheduleFilter:
    """Which rows of the schedule to list; an empty string means any."""

    namespace: str = ""
    stream: str = ""
    tag: str = ""
    host: str = ""
    reason: str = ""
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class ScheduleListEntry:
    """A row of the schedule, and the metadata of its stream.

    A row with `is_claimed` has been given to the workers: it is being checked, or will be.
    """

    schedule: TagSchedule
    is_claimed: bool
    uid: str = ""
    created: datetime | None = None
    labels: dict[str, str] = field(default_factory=dict)


def list_schedule(
    session: Session,
    schedule_filter: ScheduleFilter,
    *,
    cadence: Cadence,
    limit: int | None = None,
    after: ScheduleKey | None = None,
) -> list[ScheduleListEntry]:
    """Return a page of the schedule; `after` is the key of the last row seen."""
    is_claimed = ScheduledTagRow.batch.is_not(None)
    query = select(*_COLUMNS, is_claimed.label("is_claimed")).order_by(*_ORDER).limit(limit)
    query = query.join(ScheduleLookupRow, ScheduleLookupRow.id == ScheduledTagRow.id)
    for name in ("namespace", "stream", "tag", "host"):
        if value := getattr(schedule_filter, name):
            query = query.where(getattr(ScheduleLookupRow, name) == value)
    if schedule_filter.reason == ScheduleReason.CHECKING:
        query = query.where(is_claimed)
    elif schedule_filter.reason:
        query = query.where(ScheduledTagRow.reason == schedule_filter.reason, ~is_claimed)
    if schedule_filter.outcome:
        query = query.where(ScheduledTagRow.last_outcome == schedule_filter.outcome)
    if after is not None:
        query = query.where(_is_after(schedule_filter, after))
    found: list[tuple[TagSchedule, bool]] = []
    for each in session.execute(query):
        values = each._asdict()
        claimed = bool(values.pop("is_claimed"))
        found.append(
            (
                TagSchedule(
                    interval=cadence.interval(each.requested_interval, each.host), **values
                ),
                claimed,
            )
        )
    streams = _load_streams(session, {(row.namespace, row.stream) for row, _ in found})
    no_stream: dict[str, Any] = {}
    return [
        ScheduleListEntry(row, claimed, **streams.get((row.namespace, row.stream), no_stream))
        for row, claimed in found
    ]


def _is_after(schedule_filter: ScheduleFilter, after: ScheduleKey) -> Any:
    """Return the condition of rows after that key.

    Columns that the filter fixes are left out, so that the index leads directly to the row.
    """
    fixed_columns = 0
    if schedule_filter.namespace == after[0]:
        fixed_columns = 2 if schedule_filter.stream == after[1] else 1
    columns = _ORDER[fixed_columns:]
    last = tuple_(*after[fixed_columns:], types=[column.type for column in columns])
    return tuple_(*columns) > last


def _load_streams(
    session: Session, stream_keys: Collection[tuple[str, str]]
) -> dict[tuple[str, str], dict[str, Any]]:
    if not stream_keys:
        return {}
    key = tuple_(StreamRow.namespace, StreamRow.name)
    columns = (
        StreamRow.namespace,
        StreamRow.name,
        StreamRow.uid,
        StreamRow.created,
        StreamRow.labels,
    )
    rows = session.execute(select(*columns).where(key.in_(sorted(stream_keys))))
    return {
        (row.namespace, row.name): {
            "uid": str(row.uid),
            "created": row.created,
            "labels": row.labels or {},
        }
        for row in rows
    }
