"""Detection of a clock that was set back and of changed intervals, and correction of due times.

A due time that was planned while the clock was ahead would be waited for until it is that late
again. A clock that is set forward needs no care: overdue rows are dispatched at the rate of their
registries.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, and_, bindparam, case, select, update
from sqlalchemy.orm import Session

from models.store.database.bulk_statements import insert_into, table_of
from models.store.tables.changes import SequenceRow
from models.store.tables.schedule import ScheduledTagRow, ScheduleLookupRow
from models.streams.schedule.check_schedule import (
    HOUR_SECONDS,
    MAX_RETRY_INTERVALS,
    WEEK_SECONDS,
    Cadence,
    ScheduleReason,
)

_CLOCK_SEQUENCE, _CADENCE_SEQUENCE = "clock", "cadence"
CLOCK_SKEW_TOLERANCE = timedelta(seconds=60)  # the clocks of several machines may differ
_TABLE = table_of(ScheduledTagRow)
_DUE_TYPE = _TABLE.c.due_at.type


def handle_clock_change(session: Session, *, cadence: Cadence, now: datetime) -> int:
    """Save the time; if it is earlier than the last one, make rows due that lie too far ahead.

    A difference up to CLOCK_SKEW_TOLERANCE is ignored (scheduling-2.7). Return how many rows that
    were.
    """
    last = _swap_value(session, _CLOCK_SEQUENCE, int(now.timestamp()))
    if last is None or datetime.fromtimestamp(last, UTC) <= now + CLOCK_SKEW_TOLERANCE:
        return 0
    return advance_overdistant_rows(session, cadence=cadence, now=now)


def handle_interval_change(session: Session, *, cadence: Cadence, now: datetime) -> int:
    """Save the operator's intervals; if they have changed, reset rows that would wait too long.

    Those are rows without failures whose next check is further ahead than 1.2 times the new
    interval (scheduling-2.8). Return how many that were.
    """
    last = _swap_value(session, _CADENCE_SEQUENCE, cadence.fingerprint)
    if last is None or last == cadence.fingerprint:
        return 0
    reset_count = 0
    for is_in_group, interval in _interval_groups(session, cadence):
        latest = bindparam("ahead", _later(now, 1.2 * interval), _DUE_TYPE)
        conditions = (
            is_in_group,
            _TABLE.c.scheduled,
            _TABLE.c.batch.is_(None),
            _TABLE.c.consecutive_failures == 0,
            _TABLE.c.reason != ScheduleReason.RATE_LIMITED,
            _TABLE.c.next_check_at > latest,
        )
        statement = update(_TABLE).where(*conditions).values(needs_due_time=True, next_check_at=now)
        reset_count += session.connection().execute(statement).rowcount
    return reset_count


def _swap_value(session: Session, name: str, value: int) -> int | None:
    """Save a number under a name; return the previous one."""
    query = select(SequenceRow.value).where(SequenceRow.name == name)
    last = session.connection().execute(query).scalar()
    insert = insert_into(session, SequenceRow).values(name=name, value=value)
    upsert = insert.on_conflict_do_update(index_elements=[SequenceRow.name], set_={"value": value})
    session.connection().execute(upsert)
    return last


def _interval_groups(
    session: Session, cadence: Cadence
) -> Iterator[tuple[ColumnElement[bool], int]]:
    """Yield conditions that together select all rows, each with the interval of its rows."""
    query = (
        select(ScheduledTagRow.requested_interval)
        .where(ScheduledTagRow.requested_interval.is_not(None))
        .distinct()
    )
    for requested in session.scalars(query).all():
        yield _TABLE.c.requested_interval == requested, cadence.interval(requested)
    for host in session.scalars(select(ScheduleLookupRow.host).distinct()).all():
        is_of_host = _TABLE.c.id.in_(
            select(ScheduleLookupRow.id).where(ScheduleLookupRow.host == host)
        )
        yield and_(_TABLE.c.requested_interval.is_(None), is_of_host), cadence.interval(None, host)


def advance_overdistant_rows(session: Session, *, cadence: Cadence, now: datetime) -> int:
    """Make rows due now whose next check is further ahead than any rule allows; return how many.

    The limits are those of scheduling-2.7: 1.2 intervals, or 1.5 times the longest back-off after
    failures.
    """
    advanced_count = 0
    for is_in_group, interval in _interval_groups(session, cadence):
        latest = case(
            (
                _TABLE.c.consecutive_failures == 0,
                bindparam("on_time", _later(now, 1.2 * interval), _DUE_TYPE),
            ),
            (
                _TABLE.c.error_code == "http.legal",
                bindparam("rarely", _later(now, 1.2 * max(interval, WEEK_SECONDS)), _DUE_TYPE),
            ),
            else_=bindparam(
                "later",
                _later(now, 1.5 * max(MAX_RETRY_INTERVALS * interval, HOUR_SECONDS)),
                _DUE_TYPE,
            ),
        )
        statement = update(_TABLE).where(is_in_group, _TABLE.c.next_check_at > latest)
        advanced_count += (
            session.connection().execute(statement.values(due_at=now, next_check_at=now)).rowcount
        )
    return advanced_count


def _later(now: datetime, seconds: float) -> datetime:
    return now + timedelta(seconds=seconds)
