"""The calendar to look at: pages of it in the order of namespace, stream and tag."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from models.store.tables.schedule import PlaceRow, ScheduleRow
from models.store.tables.streams import StreamRow
from models.streams.schedule.check_schedule import Cadence, ScheduledTag

_SHOWN = [each.name for each in fields(ScheduledTag) if each.name != "interval"]
_COLUMNS = [getattr(ScheduleRow, name) for name in _SHOWN]
_ORDER = (PlaceRow.namespace, PlaceRow.stream, PlaceRow.tag)
CHECKING = "checking"  # what is decided about a row that was given to the workers
Place = tuple[str, str, str]  # namespace, stream and tag


@dataclass(frozen=True, slots=True)
class Sought:
    """Which rows of the calendar; empty words mean any."""

    namespace: str = ""
    stream: str = ""
    tag: str = ""
    host: str = ""
    decision: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the calendar, and what is known of its stream.

    A row that is `taken` has been given to the workers: it is being looked at, or will be.
    """

    row: ScheduledTag
    taken: bool
    uid: str = ""
    created: datetime | None = None
    labels: dict[str, str] = field(default_factory=dict)


def list_schedule(
    session: Session,
    sought: Sought,
    *,
    cadence: Cadence,
    limit: int | None = None,
    after: Place | None = None,
) -> list[Entry]:
    """A page of the calendar; `after` is the place of the last row seen."""
    taken = ScheduleRow.batch.is_not(None)
    wanted = select(*_COLUMNS, taken.label("taken")).order_by(*_ORDER).limit(limit)
    wanted = wanted.join(PlaceRow, PlaceRow.id == ScheduleRow.id)
    for name in ("namespace", "stream", "tag", "host"):
        if value := getattr(sought, name):
            wanted = wanted.where(getattr(PlaceRow, name) == value)
    if sought.decision == CHECKING:
        wanted = wanted.where(taken)
    elif sought.decision:
        wanted = wanted.where(ScheduleRow.decision == sought.decision, ~taken)
    if after is not None:
        wanted = wanted.where(_behind(sought, after))
    found: list[tuple[ScheduledTag, bool]] = []
    for each in session.execute(wanted):
        values = each._asdict()
        is_taken = bool(values.pop("taken"))
        found.append(
            (ScheduledTag(interval=cadence.interval(each.asked, each.host), **values), is_taken)
        )
    streams = _streams_of(session, {(row.namespace, row.stream) for row, _ in found})
    nothing: dict[str, Any] = {}
    return [
        Entry(row, is_taken, **streams.get((row.namespace, row.stream), nothing))
        for row, is_taken in found
    ]


def _behind(sought: Sought, after: Place) -> Any:
    """Behind that place; without what is fixed anyway, so that the index leads right there."""
    fixed = 0
    if sought.namespace == after[0]:
        fixed = 2 if sought.stream == after[1] else 1
    columns = _ORDER[fixed:]
    last = tuple_(*after[fixed:], types=[column.type for column in columns])
    return tuple_(*columns) > last


def _streams_of(
    session: Session, places: Collection[tuple[str, str]]
) -> dict[tuple[str, str], dict[str, Any]]:
    if not places:
        return {}
    key = tuple_(StreamRow.namespace, StreamRow.name)
    columns = (
        StreamRow.namespace,
        StreamRow.name,
        StreamRow.uid,
        StreamRow.created,
        StreamRow.labels,
    )
    rows = session.execute(select(*columns).where(key.in_(sorted(places))))
    return {
        (row.namespace, row.name): {
            "uid": str(row.uid),
            "created": row.created,
            "labels": row.labels or {},
        }
        for row in rows
    }
