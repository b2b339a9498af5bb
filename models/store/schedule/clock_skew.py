"""What the house's clock and the operator said last, so that turns planned by it are noticed.

Turns that were planned by a clock that went ahead would otherwise be waited for until it is that
late again. A clock that is set forward needs no care: what is overdue is worked off at the pace of
its registries.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, and_, bindparam, case, select, update
from sqlalchemy.orm import Session

from models.store.database.bulk_statements import insert_into, table_of
from models.store.tables.changes import CounterRow
from models.store.tables.schedule import PlaceRow, ScheduleRow
from models.streams.schedule.check_schedule import HOUR, LONGEST_RETRY, WEEK, Cadence, Decision

_CLOCK, _CADENCE = "clock", "cadence"
TOLERANCE = timedelta(seconds=60)  # by how much the clocks of several machines may differ
_TABLE = table_of(ScheduleRow)
_MOMENT = _TABLE.c.due.type


def notice_clock(session: Session, *, cadence: Cadence, now: datetime) -> int:
    """Note the time; where it is earlier than it was, call back turns that lie too far ahead.

    How many those were.
    """
    last = _note(session, _CLOCK, int(now.timestamp()))
    if last is None or datetime.fromtimestamp(last, UTC) <= now + TOLERANCE:
        return 0
    return call_back(session, cadence=cadence, now=now)


def notice_cadence(session: Session, *, cadence: Cadence, now: datetime) -> int:
    """Note the operator's intervals; where they are others than they were, find new turns for
    those who would wait too long by the new ones. How many those were.
    """
    last = _note(session, _CADENCE, cadence.mark)
    if last is None or last == cadence.mark:
        return 0
    moved = 0
    for here, taken in _kinds(session, cadence):
        ahead = bindparam("ahead", _later(now, 1.2 * taken), _MOMENT)
        mine = (
            here,
            _TABLE.c.scheduled,
            _TABLE.c.batch.is_(None),
            _TABLE.c.failures == 0,
            _TABLE.c.decision != Decision.LIMITED,
            _TABLE.c.next_look > ahead,
        )
        again = update(_TABLE).where(*mine).values(fresh=True, next_look=now)
        moved += session.connection().execute(again).rowcount
    return moved


def _note(session: Session, name: str, value: int) -> int | None:
    """Write a number down; what was there before."""
    found = select(CounterRow.value).where(CounterRow.name == name)
    last = session.connection().execute(found).scalar()
    new = insert_into(session, CounterRow).values(name=name, value=value)
    noted = new.on_conflict_do_update(index_elements=[CounterRow.name], set_={"value": value})
    session.connection().execute(noted)
    return last


def _kinds(session: Session, cadence: Cadence) -> Iterator[tuple[ColumnElement[bool], int]]:
    """All rows by what decides their interval, and that interval."""
    asked = select(ScheduleRow.asked).where(ScheduleRow.asked.is_not(None)).distinct()
    for wish in session.scalars(asked).all():
        yield _TABLE.c.asked == wish, cadence.interval(wish)
    for host in session.scalars(select(PlaceRow.host).distinct()).all():
        here = _TABLE.c.id.in_(select(PlaceRow.id).where(PlaceRow.host == host))
        yield and_(_TABLE.c.asked.is_(None), here), cadence.interval(None, host)


def call_back(session: Session, *, cadence: Cadence, now: datetime) -> int:
    """Let those rows come due now whose turn is further ahead than any rule would have it."""
    gone = 0
    for mine, taken in _kinds(session, cadence):
        longest = case(
            (_TABLE.c.failures == 0, bindparam("on_time", _later(now, 1.2 * taken), _MOMENT)),
            (
                _TABLE.c.reason == "http.legal",
                bindparam("rarely", _later(now, 1.2 * max(taken, WEEK)), _MOMENT),
            ),
            else_=bindparam("later", _later(now, 1.5 * max(LONGEST_RETRY * taken, HOUR)), _MOMENT),
        )
        called = update(_TABLE).where(mine, _TABLE.c.next_look > longest)
        gone += session.connection().execute(called.values(due=now, next_look=now)).rowcount
    return gone


def _later(now: datetime, seconds: float) -> datetime:
    return now + timedelta(seconds=seconds)
