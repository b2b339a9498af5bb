"""SQL that allocates resource versions, as statements and as parts of larger ones.

All writers wait from the moment one takes a version until its commit, so each round trip saved here
is saved for all of them. On PostgreSQL one statement allocates the version, writes the change and
notifies the listeners.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import CTE, bindparam, cast, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import ReturningInsert

from models.store.changes.change_notify import CHANNEL
from models.store.database.bulk_statements import table_of
from models.store.tables.changes import ChangeRow, SequenceRow

VERSION_SEQUENCE = "version"
CHANGE_COLUMNS = ("kind", "namespace", "name", "verb", "at", "before")


def _allocate_statement(new: postgresql.Insert | sqlite.Insert) -> ReturningInsert[int]:
    """Build the upsert that adds `value` to the version sequence and returns the sum."""
    increased = SequenceRow.value + new.excluded.value
    new = new.values(name=VERSION_SEQUENCE)
    return new.on_conflict_do_update(
        index_elements=[SequenceRow.name], set_={"value": increased}
    ).returning(SequenceRow.value)


# Built once: SQLAlchemy needs longer to build a statement than the database to run it.
ALLOCATE_VERSIONS = {
    "postgresql": _allocate_statement(postgresql.insert(table_of(SequenceRow))),
    "sqlite": _allocate_statement(sqlite.insert(table_of(SequenceRow))),
}


def allocate_version_cte() -> CTE:
    """Build a CTE for PostgreSQL that allocates one version, as `value`."""
    return _allocate_statement(postgresql.insert(table_of(SequenceRow)).values(value=1)).cte(
        "numbered"
    )


def insert_change_cte(number: CTE) -> CTE:
    """Build a CTE that logs a change under that version.

    Its parameters are `its_kind`, `its_namespace` and so on for each of CHANGE_COLUMNS.
    """
    table = table_of(ChangeRow)
    values = [
        cast(bindparam(f"its_{name}", type_=table.c[name].type), table.c[name].type)
        for name in CHANGE_COLUMNS
    ]
    row = select(number.c.value, *values)
    return table.insert().from_select(["version", *CHANGE_COLUMNS], row).cte("written")


def notify_column() -> Any:
    """Build a column that notifies the listeners."""
    return func.pg_notify(CHANNEL, "")


_ALLOCATED = allocate_version_cte()
RECORD_CHANGE = select(_ALLOCATED.c.value, notify_column()).add_cte(insert_change_cte(_ALLOCATED))
