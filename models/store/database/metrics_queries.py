"""The gauges that a metrics scrape reads from the database: size and age of schedule and job queue.

The cost is bounded: due rows and unfinished jobs are counted from indexes up to a maximum, and the
total number of rows is the database's estimate when it is known to be large.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, literal, select, text, union_all
from sqlalchemy.orm import Session

from models.job_types import JobState, Priority
from models.store.tables.jobs import JobRow
from models.store.tables.schedule import ScheduledTagRow
from models.telemetry.metrics import (
    MAX_OVERDUE_SECONDS,
    OLDEST_JOB_AGE_SECONDS,
    OVERDUE_TAGS,
    SCHEDULED_TAGS,
    UNFINISHED_JOBS,
    GaugeSample,
)

MAX_COUNTED_TAGS = 100_000
MAX_COUNTED_JOBS = 10_000
MAX_DEFERRED_ROWS = 20_000  # rows that are checked next, among which deferred ones are counted
MAX_OLDEST_ROWS = 1000  # among so many of the rows that wait longest, the oldest due time is found

_SELECT_ROW_ESTIMATE = text(
    "SELECT CAST(reltuples AS bigint) FROM pg_class WHERE oid = to_regclass('scheduled_tags')"
)
_UNFINISHED = (JobState.QUEUED, JobState.RUNNING)


def load_gauges(session: Session, *, now: datetime) -> Iterator[GaugeSample]:
    """Yield every gauge that is read from the database, at `now`."""
    yield GaugeSample(SCHEDULED_TAGS, _count_scheduled(session))
    pending, oldest = _count_pending(session, now)
    yield GaugeSample(OVERDUE_TAGS, pending)
    yield GaugeSample(MAX_OVERDUE_SECONDS, 0.0 if oldest is None else _age(oldest, now))
    yield from _count_jobs(session, now)


def _count_scheduled(session: Session) -> int:
    """Return the number of schedule rows, or the database's own estimate when there are many."""
    if session.get_bind().dialect.name == "postgresql":
        estimate = session.scalar(_SELECT_ROW_ESTIMATE) or 0
        if estimate > MAX_COUNTED_TAGS:
            return int(estimate)
    return _count(session, select(ScheduledTagRow.id), max_rows=None)


def _count_pending(session: Session, now: datetime) -> tuple[int, datetime | None]:
    """Return how many rows are due and not checked, and the due time of the oldest one.

    Such a row is in one of three states. It waits for a scheduler (next check time has passed). It
    is deferred: its next check time is near, so it is among the next rows in that order. Or it is
    claimed by a worker.
    """
    order = (ScheduledTagRow.next_check_at, ScheduledTagRow.id)
    waiting = select(ScheduledTagRow.id).where(ScheduledTagRow.next_check_at <= now)
    ahead = select(ScheduledTagRow.due_at, ScheduledTagRow.batch).where(
        ScheduledTagRow.next_check_at > now
    )
    upcoming = ahead.order_by(*order).limit(MAX_DEFERRED_ROWS).subquery()
    deferred = select(func.count(), func.min(upcoming.c.due_at)).where(
        upcoming.c.due_at <= now, upcoming.c.batch.is_(None)
    )
    claimed_query = select(ScheduledTagRow.due_at, ScheduledTagRow.next_check_at).where(
        ScheduledTagRow.batch.is_not(None)
    )
    # A subquery without the conditions on time, so that SQLite uses the index of claims.
    claimed_rows = claimed_query.limit(MAX_DEFERRED_ROWS).subquery()
    claimed = select(func.count(), func.min(claimed_rows.c.due_at)).where(
        claimed_rows.c.next_check_at > now, claimed_rows.c.due_at <= now
    )
    first = (
        waiting.add_columns(ScheduledTagRow.due_at)
        .order_by(*order)
        .limit(MAX_OLDEST_ROWS)
        .subquery()
    )
    found = [
        (
            _count(session, waiting, max_rows=MAX_COUNTED_TAGS),
            session.scalar(select(func.min(first.c.due_at))),
        ),
        *(session.execute(each).one() for each in (deferred, claimed)),
    ]
    due_times = [due_time for _, due_time in found if due_time is not None]
    return min(sum(count for count, _ in found), MAX_COUNTED_TAGS), min(due_times, default=None)


def _count_jobs(session: Session, now: datetime) -> Iterator[GaugeSample]:
    parts = [
        select(literal(state.value).label("state"), JobRow.priority, JobRow.created_at)
        .where(JobRow.state == state.value)
        .limit(MAX_COUNTED_JOBS)
        .subquery()
        for state in _UNFINISHED
    ]
    rows = union_all(*(select(part) for part in parts)).subquery()
    found = session.execute(
        select(rows.c.state, rows.c.priority, func.count(), func.min(rows.c.created_at)).group_by(
            rows.c.state, rows.c.priority
        )
    ).all()
    counts = {(state, priority): number for state, priority, number, _ in found}
    for state in _UNFINISHED:
        for priority in Priority:
            number = counts.get((state.value, priority.value), 0)
            yield GaugeSample(UNFINISHED_JOBS, number, (state.value, priority.value))
        ages = [
            _age(created, now) for job_state, _, _, created in found if job_state == state.value
        ]
        yield GaugeSample(OLDEST_JOB_AGE_SECONDS, max(ages, default=0.0), (state.value,))


def _count(session: Session, rows: Select[Any], *, max_rows: int | None) -> int:
    return session.scalar(select(func.count()).select_from(rows.limit(max_rows).subquery())) or 0


def _age(since: datetime, now: datetime) -> float:
    return max(0.0, (now - since).total_seconds())
