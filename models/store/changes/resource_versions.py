"""How changes are numbered; on PostgreSQL one is numbered, written down and told of at once.

Writers stand in line from the moment one takes a number until its commit, so each round trip that
is saved here is saved for all of them.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import CTE, bindparam, cast, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import ReturningInsert

from models.store.changes.change_notify import CHANNEL
from models.store.database.bulk_statements import table_of
from models.store.tables.changes import ChangeRow, CounterRow

COUNTER = "version"
COLUMNS = ("kind", "namespace", "name", "verb", "at", "before")


def _next(new: postgresql.Insert | sqlite.Insert) -> ReturningInsert[int]:
    """Adds `value` to the counter; gives what it is then."""
    grown = CounterRow.value + new.excluded.value
    new = new.values(name=COUNTER)
    return new.on_conflict_do_update(
        index_elements=[CounterRow.name], set_={"value": grown}
    ).returning(CounterRow.value)


# Built once: to build a statement takes longer than to carry it out.
NEXT = {
    "postgresql": _next(postgresql.insert(table_of(CounterRow))),
    "sqlite": _next(sqlite.insert(table_of(CounterRow))),
}


def numbered() -> CTE:
    """A part of a statement of PostgreSQL: a fresh version, as `value`."""
    return _next(postgresql.insert(table_of(CounterRow)).values(value=1)).cte("numbered")


def written(number: CTE) -> CTE:
    """Another part: a change under that number, of `its_kind` and so on for each of COLUMNS."""
    table = table_of(ChangeRow)
    values = [
        cast(bindparam(f"its_{name}", type_=table.c[name].type), table.c[name].type)
        for name in COLUMNS
    ]
    row = select(number.c.value, *values)
    return table.insert().from_select(["version", *COLUMNS], row).cte("written")


def told() -> Any:
    """A column that wakes whoever listens."""
    return func.pg_notify(CHANNEL, "")


_NUMBER = numbered()
RECORD_ONE = select(_NUMBER.c.value, told()).add_cte(written(_NUMBER))
