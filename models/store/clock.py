"""What the house's clock said last, so that a clock that was set back is noticed.

Turns that were planned by a clock that went ahead would otherwise be waited for until it is that
late again. A clock that is set forward needs no care: what is overdue is worked off at the pace of
its registries.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import bindparam, case, select, update
from sqlalchemy.orm import Session

from models.store.bulk import insert_into, table_of
from models.store.tables.changes import CounterRow
from models.store.tables.schedule import ScheduleRow
from models.streams.schedule import HOUR, LONGEST_RETRY, WEEK, Cadence

_CLOCK = "clock"
TOLERANCE = timedelta(seconds=60)  # by how much the clocks of several machines may differ
_TABLE = table_of(ScheduleRow)
_MOMENT = _TABLE.c.due.type


def notice_clock(session: Session, *, cadence: Cadence, now: datetime) -> int:
    """Note the time; where it is earlier than it was, call back turns that lie too far ahead.

    How many those were.
    """
    found = select(CounterRow.value).where(CounterRow.name == _CLOCK)
    last = session.connection().execute(found).scalar()
    stamp = int(now.timestamp())
    new = insert_into(session, CounterRow).values(name=_CLOCK, value=stamp)
    noted = new.on_conflict_do_update(index_elements=[CounterRow.name], set_={"value": stamp})
    session.connection().execute(noted)
    if last is None or datetime.fromtimestamp(last, UTC) <= now + TOLERANCE:
        return 0
    return call_back(session, cadence=cadence, now=now)


def call_back(session: Session, *, cadence: Cadence, now: datetime) -> int:
    """Let those rows come due now whose turn is further ahead than any rule would have it."""
    gone = 0
    for asked in session.scalars(select(ScheduleRow.asked).distinct()).all():
        mine = _TABLE.c.asked.is_(None) if asked is None else _TABLE.c.asked == asked
        taken = cadence.interval(asked)
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
