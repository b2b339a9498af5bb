"""What a scrape reads of the database: how long the calendar and the counter are, and how old.

Nothing here costs more with more rows than it must: what is due or unfinished is counted up to a
bound, from indexes; how many there are in all is estimated where that is known to be many.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, literal, select, text, union_all
from sqlalchemy.orm import Session

from models.job_types import JobState, Lane
from models.store.tables.jobs import JobRow
from models.store.tables.schedule import ScheduleRow
from models.telemetry.metrics import (
    JOBS,
    OLDEST_DUE,
    OLDEST_JOB,
    TAGS_PENDING,
    TAGS_SCHEDULED,
    Value,
)

MOST_TAGS = 100_000
MOST_JOBS = 10_000
MOST_AHEAD = 20_000  # rows that are looked at next, of which some were put off
OLDEST = 1000  # of the rows that wait longest, how many are asked for their turn

_ESTIMATE = text(
    "SELECT CAST(reltuples AS bigint) FROM pg_class WHERE oid = to_regclass('scheduled_tags')"
)
_UNFINISHED = (JobState.QUEUED, JobState.RUNNING)


def load_gauges(session: Session, *, now: datetime) -> Iterator[Value]:
    """Every gauge of the database, as it is now."""
    yield Value(TAGS_SCHEDULED, _scheduled(session))
    pending, oldest = _pending(session, now)
    yield Value(TAGS_PENDING, pending)
    yield Value(OLDEST_DUE, 0.0 if oldest is None else _age(oldest, now))
    yield from _jobs(session, now)


def _scheduled(session: Session) -> int:
    """All rows of the calendar; the database's own estimate where they are many."""
    if session.get_bind().dialect.name == "postgresql":
        estimate = session.scalar(_ESTIMATE) or 0
        if estimate > MOST_TAGS:
            return int(estimate)
    return _count(session, select(ScheduleRow.id), most=None)


def _pending(session: Session, now: datetime) -> tuple[int, datetime | None]:
    """How many are due and not checked, and the turn of the one that waits longest.

    They wait for a scheduler, are put off (until soon, hence among the next to be looked at), or
    are in somebody's hands.
    """
    order = (ScheduleRow.next_look, ScheduleRow.id)
    waiting = select(ScheduleRow.id).where(ScheduleRow.next_look <= now)
    ahead = select(ScheduleRow.due, ScheduleRow.batch).where(ScheduleRow.next_look > now)
    next_ones = ahead.order_by(*order).limit(MOST_AHEAD).subquery()
    put_off = select(func.count(), func.min(next_ones.c.due)).where(
        next_ones.c.due <= now, next_ones.c.batch.is_(None)
    )
    held = select(ScheduleRow.due, ScheduleRow.next_look).where(ScheduleRow.batch.is_not(None))
    held_ones = held.limit(MOST_AHEAD).subquery()  # apart, so that SQLite takes the index of claims
    claimed = select(func.count(), func.min(held_ones.c.due)).where(
        held_ones.c.next_look > now, held_ones.c.due <= now
    )
    first = waiting.add_columns(ScheduleRow.due).order_by(*order).limit(OLDEST).subquery()
    found = [
        (_count(session, waiting, most=MOST_TAGS), session.scalar(select(func.min(first.c.due)))),
        *(session.execute(each).one() for each in (put_off, claimed)),
    ]
    turns = [turn for _, turn in found if turn is not None]
    return min(sum(count for count, _ in found), MOST_TAGS), min(turns, default=None)


def _jobs(session: Session, now: datetime) -> Iterator[Value]:
    parts = [
        select(literal(state.value).label("state"), JobRow.lane, JobRow.created)
        .where(JobRow.state == state.value)
        .limit(MOST_JOBS)
        .subquery()
        for state in _UNFINISHED
    ]
    rows = union_all(*(select(part) for part in parts)).subquery()
    found = session.execute(
        select(rows.c.state, rows.c.lane, func.count(), func.min(rows.c.created)).group_by(
            rows.c.state, rows.c.lane
        )
    ).all()
    counts = {(state, lane): number for state, lane, number, _ in found}
    for state in _UNFINISHED:
        for lane in Lane:
            number = counts.get((state.value, lane.value), 0)
            yield Value(JOBS, number, (state.value, lane.value))
        ages = [_age(created, now) for its, _, _, created in found if its == state.value]
        yield Value(OLDEST_JOB, max(ages, default=0.0), (state.value,))


def _count(session: Session, rows: Select[Any], *, most: int | None) -> int:
    return session.scalar(select(func.count()).select_from(rows.limit(most).subquery())) or 0


def _age(moment: datetime, now: datetime) -> float:
    return max(0.0, (now - moment).total_seconds())
