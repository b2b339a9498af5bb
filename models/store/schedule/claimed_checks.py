"""The worker's side of the schedule: claimed checks are taken, renewed, settled or released.

Every write names the claim (`batch`). A row that was changed or claimed again meanwhile has another
one or none, and stays as it is; so a batch that is delivered twice is checked once
(scheduling-3.5).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import and_, bindparam, case, delete, func, select, text, update
from sqlalchemy.orm import Session

from models.store.database.bulk_statements import AnyRow, in_chunks, is_in, table_of
from models.store.tables.schedule import ScheduledTagRow
from models.store.tables.streams import TagRow

_TABLE = table_of(ScheduledTagRow)
_DEFERRED_COLUMNS = {
    "due_at": "timestamptz",
    "next_check_at": "timestamptz",
    "reason": "text",
    "error_code": "text",
    "message": "text",
    "last_transition_at": "timestamptz",
}
_SETTLED_COLUMNS = {
    **_DEFERRED_COLUMNS,
    "last_check_at": "timestamptz",
    "last_outcome": "text",
    "consecutive_failures": "int",
    "wait_seconds": "int",
    "etag": "text",
}


def _settle_row_statement(columns: Iterable[str]) -> Any:
    is_claimed_row = and_(
        _TABLE.c.id == bindparam("its_id"),
        _TABLE.c.batch == bindparam("its_batch", type_=_TABLE.c.batch.type),
    )
    values: dict[str, Any] = {
        name: bindparam(f"its_{name}", type_=_TABLE.c[name].type) for name in columns
    }
    values["last_transition_at"] = case(
        (_TABLE.c.reason == values["reason"], _TABLE.c.last_transition_at),
        else_=values["last_transition_at"],
    )
    released = {"batch": None, "worker": "", "needs_due_time": False}
    return update(_TABLE).where(is_claimed_row).values(**released, **values)


@lru_cache(256)
def _settle_rows_statement(is_settled: bool, constant_columns: frozenset[str]) -> Any:
    """Build the PostgreSQL statement that settles any number of rows at once.

    The locks are taken first, in the order of ids: two writers that lock rows 1, 2 and 2, 1 would
    each wait for the other's second row (deadlock). Columns in `constant_columns` have one value
    for all rows, which is passed once. The locked rows are counted, not joined: PostgreSQL plans
    for few rows and would scan all of them for each.
    """
    columns = _SETTLED_COLUMNS if is_settled else _DEFERRED_COLUMNS
    kinds = {"ids": "bigint", **columns}
    varying_columns = [name for name in columns if name not in constant_columns]
    arrays = ", ".join(f"CAST(:{name} AS {kinds[name]}[])" for name in ("ids", *varying_columns))
    values = {
        name: f"CAST(:{name} AS {kind})" if name in constant_columns else f"n.{name}"
        for name, kind in columns.items()
    }
    values["last_transition_at"] = (
        f"CASE WHEN s.reason = {values['reason']} THEN s.last_transition_at"
        f" ELSE {values['last_transition_at']} END"
    )
    assignments = [f"{name} = {value}" for name, value in values.items()]
    return text(
        "WITH locked AS (SELECT id FROM scheduled_tags WHERE id = ANY(CAST(:ids AS bigint[]))"  # noqa: S608 - constant names
        " AND batch = :batch ORDER BY id FOR UPDATE) "
        f"UPDATE scheduled_tags AS s SET {', '.join(assignments)},"
        " batch = NULL, worker = '', needs_due_time = false "
        f"FROM unnest({arrays}) AS n({', '.join(('id', *varying_columns))}) "
        "WHERE s.id = n.id AND s.batch = :batch AND (SELECT count(*) FROM locked) > 0"
        " RETURNING s.id"
    )


_SELECT_CHECKS = select(
    *(
        _TABLE.c[name]
        for name in (
            "id",
            "namespace",
            "stream",
            "tag",
            "host",
            "key",
            "source",
            "insecure",
            "scheduled",
            "requested_interval",
            "due_at",
            "consecutive_failures",
            "reason",
            "etag",
        )
    ),
    func.coalesce(TagRow.known_key, ""),
    func.coalesce(TagRow.known_source, ""),
).outerjoin(TagRow, and_(TagRow.stream_id == _TABLE.c.stream_id, TagRow.name == _TABLE.c.tag))
_SETTLE_ROW = {
    False: _settle_row_statement(_DEFERRED_COLUMNS),
    True: _settle_row_statement(_SETTLED_COLUMNS),
}


@dataclass(frozen=True, slots=True)
class ClaimedCheck:
    """A claimed row, as far as a worker needs it.

    `known_source` is the top-level digest that the last import saw, for the target `known_key`.
    """

    id: int
    namespace: str
    stream: str
    tag: str
    host: str
    key: str
    source: str
    insecure: bool
    scheduled: bool
    requested_interval: int | None
    due_at: datetime
    consecutive_failures: int
    reason: str
    etag: str
    known_key: str
    known_source: str


@dataclass(frozen=True, slots=True)
class SettledCheck:
    """The result of a check, or the reason why it was deferred.

    `last_transition_at` is stored only where `reason` differs from the stored one.
    """

    id: int
    due_at: datetime | None
    next_check_at: datetime | None
    reason: str
    last_transition_at: datetime
    last_check_at: datetime | None = None
    last_outcome: str = ""
    consecutive_failures: int = 0
    error_code: str = ""
    message: str = ""
    wait_seconds: int = 0
    etag: str = ""


def claim_checks(
    session: Session,
    batch: UUID,
    ids: Sequence[int],
    *,
    worker: str,
    now: datetime,
    until: datetime,
) -> list[ClaimedCheck]:
    """Take the rows of a claim that no worker has taken yet, for `worker`.

    Their lease is renewed only if a third of it has passed: before that, renewal is the worker's
    regular duty, and an update that leaves the index on `next_check_at` alone costs a quarter.
    """
    renew_before = until - (until - now) / 3
    connection = session.connection()
    found: list[ClaimedCheck] = []
    for chunk in in_chunks(sorted(ids)):
        conditions = (
            is_in(session, _TABLE.c.id, chunk),
            _TABLE.c.batch == batch,
            _TABLE.c.worker == "",
        )
        query = select(_TABLE.c.id, _TABLE.c.next_check_at).where(*conditions).order_by(_TABLE.c.id)
        leases = {row.id: row.next_check_at for row in connection.execute(query.with_for_update())}
        if not leases:
            continue
        statement = update(_TABLE).where(is_in(session, _TABLE.c.id, list(leases)))
        lease_values = {"next_check_at": until} if min(leases.values()) < renew_before else {}
        connection.execute(statement.values(worker=worker, **lease_values))
        check_query = _SELECT_CHECKS.where(is_in(session, _TABLE.c.id, list(leases)))
        found.extend(_build_check(row, now) for row in connection.execute(check_query))
    found.sort(key=lambda check: (check.due_at, check.id))
    return found


def _build_check(row: AnyRow, now: datetime) -> ClaimedCheck:
    check = ClaimedCheck(*row)
    return check if check.due_at else replace(check, due_at=now)


def renew_checks(session: Session, worker: str, ids: Sequence[int], *, until: datetime) -> None:
    """Renew the lease of rows that a worker still holds; rows are locked in the order of ids."""
    for chunk in in_chunks(sorted(ids)):
        conditions = is_in(session, _TABLE.c.id, chunk), _TABLE.c.worker == worker
        query = select(_TABLE.c.id).where(*conditions).order_by(_TABLE.c.id).with_for_update()
        owned_ids = session.scalars(query).all()
        statement = update(_TABLE).where(is_in(session, _TABLE.c.id, owned_ids))
        session.connection().execute(statement.values(next_check_at=until))


def delete_checks(session: Session, batch: UUID, ids: Collection[int]) -> None:
    """Delete rows of a claim that no tag needs; rows that were changed meanwhile stay."""
    for chunk in in_chunks(sorted(ids)):
        statement = delete(_TABLE).where(
            is_in(session, _TABLE.c.id, chunk), _TABLE.c.batch == batch
        )
        session.connection().execute(statement)


def settle_checks(session: Session, batch: UUID, settled: Sequence[SettledCheck]) -> int:
    """Save the results of checks and release the rows; return how many the claim still had."""
    return _settle_rows(session, batch, settled, is_settled=True)


def defer_checks(session: Session, batch: UUID, deferred: Sequence[SettledCheck]) -> int:
    """Release rows that were not checked; the results of earlier checks stay as they are."""
    return _settle_rows(session, batch, deferred, is_settled=False)


def _settle_rows(
    session: Session, batch: UUID, rows: Sequence[SettledCheck], *, is_settled: bool
) -> int:
    if not rows:
        return 0
    dialect, columns = (
        session.get_bind().dialect.name,
        _SETTLED_COLUMNS if is_settled else _DEFERRED_COLUMNS,
    )
    if dialect == "postgresql":
        values: dict[str, Any] = {name: [getattr(row, name) for row in rows] for name in columns}
        constant_columns = [
            name for name, each in values.items() if each.count(each[0]) == len(each)
        ]
        values |= {name: values[name][0] for name in constant_columns}
        values |= {"ids": [row.id for row in rows], "batch": batch}
        statement = _settle_rows_statement(is_settled, frozenset(constant_columns))
        return len(session.connection().execute(statement, values).all())
    parameters = [
        {
            "its_id": row.id,
            "its_batch": batch,
            **{f"its_{name}": getattr(row, name) for name in columns},
        }
        for row in rows
    ]
    return session.connection().execute(_SETTLE_ROW[is_settled], parameters).rowcount
