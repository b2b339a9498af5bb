"""The calendar at work: claimed by schedulers, taken by workers, settled with what they found.

Every step is one statement for many rows. A claim is a lease: `next_look` of a claimed row is when
it runs out, so a row whose scheduler, message or worker died comes up again by itself. Whoever
settles a row names the claim; a row that was changed or claimed anew meanwhile stays as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import and_, bindparam, delete, func, select, text, update
from sqlalchemy.orm import Session

from models.store.database.bulk_statements import AnyRow, among, in_chunks, insert_into, table_of
from models.store.tables.schedule import PlaceRow, ScheduleRow, TurnRow
from models.store.tables.streams import TagRow

_TABLE = table_of(ScheduleRow)
FEW = 50
_COLUMNS = (
    _TABLE.c.id,
    _TABLE.c.host,
    _TABLE.c.key,
    _TABLE.c.scheduled,
    _TABLE.c.asked,
    _TABLE.c.fresh,
    _TABLE.c.due,
    _TABLE.c.checked,
    _TABLE.c.decision,
    _TABLE.c.reason,
    _TABLE.c.message,
)
_DUE = (
    select(_TABLE.c.id)
    .where(_TABLE.c.next_look <= bindparam("now", type_=_TABLE.c.next_look.type))
    .order_by(_TABLE.c.next_look, _TABLE.c.id)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
)
_CLAIM = (
    update(_TABLE)
    .where(_TABLE.c.id.in_(_DUE.scalar_subquery()))
    .values(
        batch=bindparam("claim", type_=_TABLE.c.batch.type),
        next_look=bindparam("until", type_=_TABLE.c.next_look.type),
        carrier="",
    )
    .returning(*_COLUMNS)
)
_FIRST = select(func.min(_TABLE.c.next_look))
_CLAIMED = (
    select(_TABLE.c.host, func.count())
    .where(_TABLE.c.batch.is_not(None), _TABLE.c.next_look > bindparam("now"))
    .group_by(_TABLE.c.host)
)
_BRIEF = {
    "due": "timestamptz",
    "next_look": "timestamptz",
    "decision": "text",
    "reason": "text",
    "message": "text",
    "decided": "timestamptz",
}
_WHOLE = {
    **_BRIEF,
    "checked": "timestamptz",
    "failures": "int",
    "waited": "int",
    "etag": "text",
}


def _one_by_one(columns: Iterable[str]) -> Any:
    mine = and_(
        _TABLE.c.id == bindparam("its_id"),
        _TABLE.c.batch == bindparam("its_batch", type_=_TABLE.c.batch.type),
    )
    values = {name: bindparam(f"its_{name}", type_=_TABLE.c[name].type) for name in columns}
    return update(_TABLE).where(mine).values(batch=None, carrier="", fresh=False, **values)


@lru_cache(256)
def _all_at_once(whole: bool, alike: frozenset[str]) -> Any:
    """One statement for as many rows as there are; the locks come first, in the order of ids, so
    that two writers of the same rows wait for each other and never embrace.

    The columns in `alike` have one value for all rows, which is handed over once. The locked rows
    are counted, not joined: PostgreSQL plans for few, and would go through all of them for each.
    """
    columns = _WHOLE if whole else _BRIEF
    kinds = {"ids": "bigint", **columns}
    several = [name for name in columns if name not in alike]
    arrays = ", ".join(f"CAST(:{name} AS {kinds[name]}[])" for name in ("ids", *several))
    news = [f"{name} = n.{name}" for name in several]
    news += [f"{name} = CAST(:{name} AS {columns[name]})" for name in columns if name in alike]
    return text(
        "WITH held AS (SELECT id FROM scheduled_tags WHERE id = ANY(CAST(:ids AS bigint[]))"  # noqa: S608 - our names
        " AND batch = :batch ORDER BY id FOR UPDATE) "
        f"UPDATE scheduled_tags AS s SET {', '.join(news)},"
        " batch = NULL, carrier = '', fresh = false "
        f"FROM unnest({arrays}) AS n({', '.join(('id', *several))}) "
        "WHERE s.id = n.id AND s.batch = :batch AND (SELECT count(*) FROM held) > 0 RETURNING s.id"
    )


_CHECKS = select(
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
            "asked",
            "due",
            "failures",
            "decision",
            "etag",
        )
    ),
    func.coalesce(TagRow.known_key, ""),
    func.coalesce(TagRow.known_source, ""),
).outerjoin(TagRow, and_(TagRow.stream_id == _TABLE.c.stream_id, TagRow.name == _TABLE.c.tag))
_SAVE_TURNS = text(
    "INSERT INTO registry_turns (host, free)"
    " SELECT * FROM unnest(CAST(:hosts AS text[]), CAST(:free AS timestamptz[]))"
    " ON CONFLICT (host) DO UPDATE SET free = excluded.free"
)
_ONE_BY_ONE = {False: _one_by_one(_BRIEF), True: _one_by_one(_WHOLE)}


@dataclass(frozen=True, slots=True)
class Due:
    """A claimed row, as far as a scheduler has to know it. `fresh` ones have no turn yet."""

    id: int
    host: str
    key: str
    scheduled: bool
    asked: int | None
    fresh: bool
    due: datetime | None
    checked: datetime | None
    decision: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Claim:
    """What one scheduler took in one go, in the order in which it came due."""

    batch: UUID
    rows: tuple[Due, ...]


@dataclass(frozen=True, slots=True)
class Check:
    """A taken row, as a worker has to know it.

    `known_source` is the top-level digest that the last import saw, under `known_key`.
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
    asked: int | None
    due: datetime
    failures: int
    decision: str
    etag: str
    known_key: str
    known_source: str


@dataclass(frozen=True, slots=True)
class Settled:
    """How the look at a row ended, or why there was none."""

    id: int
    due: datetime | None
    next_look: datetime | None
    decision: str
    decided: datetime
    checked: datetime | None = None
    failures: int = 0
    reason: str = ""
    message: str = ""
    waited: int = 0
    etag: str = ""


def first_look(session: Session) -> datetime | None:
    """When the next row is to be looked at; None where there is none."""
    return session.connection().execute(_FIRST).scalar()


def claim_due(
    session: Session,
    *,
    now: datetime,
    until: datetime,
    limit: int,
) -> Claim:
    """Take up to `limit` rows whose time has come, the oldest first, under a lease to `until`."""
    batch = uuid4()
    values = {"now": now, "limit": limit, "claim": batch, "until": until}
    found = session.connection().execute(_CLAIM, values)
    rows = [Due(*row) for row in found]
    rows.sort(key=lambda row: (row.due or now, row.id))
    return Claim(batch, tuple(rows))


def count_claimed(session: Session, *, now: datetime) -> dict[str, int]:
    """How many rows of each registry are in somebody's hands."""
    found = session.connection().execute(_CLAIMED, {"now": now})
    return {row[0]: row[1] for row in found}


def load_turns(session: Session, hosts: Iterable[str]) -> dict[str, datetime]:
    """From when on each registry can take another check; kept from other schedulers until the end.

    What is not there can take one now.
    """
    found: dict[str, datetime] = {}
    for chunk in in_chunks(sorted(hosts)):
        wanted = select(TurnRow.host, TurnRow.free).where(among(session, TurnRow.host, chunk))
        rows = session.execute(wanted.order_by(TurnRow.host).with_for_update())
        found.update({row.host: row.free for row in rows})
    return found


def save_turns(session: Session, turns: Mapping[str, datetime]) -> None:
    """Note from when on each registry can take another check."""
    if not turns:
        return
    names = sorted(turns)
    if session.get_bind().dialect.name == "postgresql":
        values = {"hosts": names, "free": [turns[host] for host in names]}
        session.connection().execute(_SAVE_TURNS, values)
        return
    new = insert_into(session, TurnRow)
    upsert = new.on_conflict_do_update(
        index_elements=[TurnRow.host], set_={"free": new.excluded.free}
    )
    rows = [{"host": host, "free": turns[host]} for host in names]
    session.connection().execute(upsert, rows)


def sibling_turns(session: Session, keys: Collection[str]) -> dict[str, datetime]:
    """When somebody else who follows the same source looks at it next, by key."""
    mine = and_(
        ScheduleRow.due.is_not(None),
        ScheduleRow.fresh.is_(False),
        ScheduleRow.failures == 0,  # or it is a retry
        ScheduleRow.scheduled,
    )
    found: dict[str, datetime] = {}
    if len(keys) <= FEW:
        for key in keys:
            one = select(ScheduleRow.due).join(PlaceRow, PlaceRow.id == ScheduleRow.id)
            due = session.scalar(one.where(PlaceRow.key == key, mine).limit(1))
            if due is not None:
                found[key] = due
        return found
    for chunk in in_chunks(keys):
        wanted = select(PlaceRow.key, func.max(ScheduleRow.due))
        wanted = wanted.join(ScheduleRow, ScheduleRow.id == PlaceRow.id)
        wanted = wanted.where(PlaceRow.key.in_(chunk), mine).group_by(PlaceRow.key)
        found.update((row[0], row[1]) for row in session.execute(wanted) if row[1] is not None)
    return found


def take_checks(
    session: Session,
    batch: UUID,
    ids: Sequence[int],
    *,
    worker: str,
    now: datetime,
    until: datetime,
) -> list[Check]:
    """The rows of a claim that nobody else has begun with, now in the hands of `worker`.

    Their lease is renewed only where a third of it is gone: until then whoever holds them renews
    it, and a row that keeps its place in the index costs a quarter.
    """
    soon = until - (until - now) / 3
    connection = session.connection()
    found: list[Check] = []
    for chunk in in_chunks(sorted(ids)):
        here = among(session, _TABLE.c.id, chunk), _TABLE.c.batch == batch, _TABLE.c.carrier == ""
        open_ = select(_TABLE.c.id, _TABLE.c.next_look).where(*here).order_by(_TABLE.c.id)
        leases = {row.id: row.next_look for row in connection.execute(open_.with_for_update())}
        if not leases:
            continue
        mine = update(_TABLE).where(among(session, _TABLE.c.id, list(leases)))
        renewed = {"next_look": until} if min(leases.values()) < soon else {}
        connection.execute(mine.values(carrier=worker, **renewed))
        wanted = _CHECKS.where(among(session, _TABLE.c.id, list(leases)))
        found.extend(_check(row, now) for row in connection.execute(wanted))
    found.sort(key=lambda check: (check.due, check.id))
    return found


def _check(row: AnyRow, now: datetime) -> Check:
    check = Check(*row)
    return check if check.due else replace(check, due=now)


def keep_checks(session: Session, worker: str, ids: Sequence[int], *, until: datetime) -> None:
    """Renew the lease of rows that a worker still has; the locks come in the order of ids."""
    for chunk in in_chunks(sorted(ids)):
        mine = among(session, _TABLE.c.id, chunk), _TABLE.c.carrier == worker
        held = select(_TABLE.c.id).where(*mine).order_by(_TABLE.c.id).with_for_update()
        kept = session.scalars(held).all()
        renewed = update(_TABLE).where(among(session, _TABLE.c.id, kept))
        session.connection().execute(renewed.values(next_look=until))


def forget_checks(session: Session, batch: UUID, ids: Collection[int]) -> None:
    """Drop rows of a claim that no tag wants; those that were changed meanwhile stay."""
    for chunk in in_chunks(sorted(ids)):
        gone = delete(_TABLE).where(among(session, _TABLE.c.id, chunk), _TABLE.c.batch == batch)
        session.connection().execute(gone)


def settle_checks(session: Session, batch: UUID, settled: Sequence[Settled]) -> int:
    """Write down how looks ended, and give the rows back; how many of them still were ours."""
    return _write(session, batch, settled, whole=True)


def put_off_checks(session: Session, batch: UUID, put_off: Sequence[Settled]) -> int:
    """Give rows back that were not looked at; what earlier looks found stays as it is."""
    return _write(session, batch, put_off, whole=False)


def _write(session: Session, batch: UUID, rows: Sequence[Settled], *, whole: bool) -> int:
    if not rows:
        return 0
    dialect, columns = session.get_bind().dialect.name, _WHOLE if whole else _BRIEF
    if dialect == "postgresql":
        values: dict[str, Any] = {name: [getattr(row, name) for row in rows] for name in columns}
        alike = [name for name, each in values.items() if each.count(each[0]) == len(each)]
        values |= {name: values[name][0] for name in alike}
        values |= {"ids": [row.id for row in rows], "batch": batch}
        statement = _all_at_once(whole, frozenset(alike))
        return len(session.connection().execute(statement, values).all())
    one_by_one = [
        {
            "its_id": row.id,
            "its_batch": batch,
            **{f"its_{name}": getattr(row, name) for name in columns},
        }
        for row in rows
    ]
    return session.connection().execute(_ONE_BY_ONE[whole], one_by_one).rowcount
