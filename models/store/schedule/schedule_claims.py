"""The scheduler's side of the schedule: due rows are claimed under a lease, and paced by registry.

Every step is one statement for many rows. A claim is a lease: `next_check_at` of a claimed row is
the end of the lease, so a row whose scheduler, message or worker died becomes due again by itself
(scheduling-3.3). The worker's side is `claimed_checks` (scheduling-3.5).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import and_, bindparam, func, select, text, update
from sqlalchemy.orm import Session

from models.store.database.bulk_statements import in_chunks, insert_into, is_in, table_of
from models.store.tables.schedule import RegistryDispatchRow, ScheduledTagRow, ScheduleLookupRow

_TABLE = table_of(ScheduledTagRow)
MAX_SINGLE_KEY_QUERIES = 50  # up to as many keys are queried one by one
_COLUMNS = (
    _TABLE.c.id,
    _TABLE.c.host,
    _TABLE.c.key,
    _TABLE.c.scheduled,
    _TABLE.c.requested_interval,
    _TABLE.c.needs_due_time,
    _TABLE.c.due_at,
    _TABLE.c.last_check_at,
    _TABLE.c.reason,
    _TABLE.c.error_code,
    _TABLE.c.message,
)
_SELECT_DUE = (
    select(_TABLE.c.id)
    .where(_TABLE.c.next_check_at <= bindparam("now", type_=_TABLE.c.next_check_at.type))
    .order_by(_TABLE.c.next_check_at, _TABLE.c.id)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
)
_CLAIM = (
    update(_TABLE)
    .where(_TABLE.c.id.in_(_SELECT_DUE.scalar_subquery()))
    .values(
        batch=bindparam("claim", type_=_TABLE.c.batch.type),
        next_check_at=bindparam("until", type_=_TABLE.c.next_check_at.type),
        worker="",
    )
    .returning(*_COLUMNS)
)
_SELECT_NEXT_CHECK_TIME = select(func.min(_TABLE.c.next_check_at))
_COUNT_CLAIMED = (
    select(_TABLE.c.host, func.count())
    .where(_TABLE.c.batch.is_not(None), _TABLE.c.next_check_at > bindparam("now"))
    .group_by(_TABLE.c.host)
)


_SAVE_NEXT_SEND_TIMES = text(
    "INSERT INTO registry_dispatch_times (host, next_dispatch_at)"
    " SELECT * FROM unnest(CAST(:hosts AS text[]), CAST(:times AS timestamptz[]))"
    " ON CONFLICT (host) DO UPDATE SET next_dispatch_at = excluded.next_dispatch_at"
)


@dataclass(frozen=True, slots=True)
class DueTag:
    """A claimed row, as far as a scheduler needs it; with `needs_due_time` it has no due time yet.

    `due_at` is when the check is due, however often it was deferred (scheduling-2.3). `key` is the
    key of its target (source, import mode, platform): rows with the same key share one send time.
    """

    id: int
    host: str
    key: str
    scheduled: bool
    requested_interval: int | None
    needs_due_time: bool
    due_at: datetime | None
    last_check_at: datetime | None
    reason: str
    error_code: str
    message: str


@dataclass(frozen=True, slots=True)
class ScheduleClaim:
    """The rows that one scheduler claimed at once, in the order of their due times."""

    batch: UUID
    rows: tuple[DueTag, ...]


def load_next_check_time(session: Session) -> datetime | None:
    """Return the earliest next check time; None if there is no row."""
    return session.connection().execute(_SELECT_NEXT_CHECK_TIME).scalar()


def claim_due(
    session: Session,
    *,
    now: datetime,
    until: datetime,
    limit: int,
) -> ScheduleClaim:
    """Claim up to `limit` due rows, the oldest first, with a lease to `until` (scheduling-3.2)."""
    batch = uuid4()
    values = {"now": now, "limit": limit, "claim": batch, "until": until}
    found = session.connection().execute(_CLAIM, values)
    rows = [DueTag(*row) for row in found]
    rows.sort(key=lambda row: (row.due_at or now, row.id))
    return ScheduleClaim(batch, tuple(rows))


def count_claimed(session: Session, *, now: datetime) -> dict[str, int]:
    """Return for each registry how many of its rows are claimed, expired leases excluded."""
    found = session.connection().execute(_COUNT_CLAIMED, {"now": now})
    return {row[0]: row[1] for row in found}


def load_next_send_times(session: Session, hosts: Iterable[str]) -> dict[str, datetime]:
    """Return when the next check of each registry may be sent, locked until the commit.

    To a registry without an entry, it may be sent now. The column is `next_dispatch_at`.
    """
    found: dict[str, datetime] = {}
    for chunk in in_chunks(sorted(hosts)):
        query = select(RegistryDispatchRow.host, RegistryDispatchRow.next_dispatch_at).where(
            is_in(session, RegistryDispatchRow.host, chunk)
        )
        rows = session.execute(query.order_by(RegistryDispatchRow.host).with_for_update())
        found.update({row.host: row.next_dispatch_at for row in rows})
    return found


def save_next_send_times(session: Session, next_send_times: Mapping[str, datetime]) -> None:
    """Save when the next check of each registry may be sent."""
    if not next_send_times:
        return
    names = sorted(next_send_times)
    if session.get_bind().dialect.name == "postgresql":
        values = {"hosts": names, "times": [next_send_times[host] for host in names]}
        session.connection().execute(_SAVE_NEXT_SEND_TIMES, values)
        return
    new = insert_into(session, RegistryDispatchRow)
    upsert = new.on_conflict_do_update(
        index_elements=[RegistryDispatchRow.host],
        set_={"next_dispatch_at": new.excluded.next_dispatch_at},
    )
    rows = [{"host": host, "next_dispatch_at": next_send_times[host]} for host in names]
    session.connection().execute(upsert, rows)


def load_sibling_due_times(session: Session, keys: Collection[str]) -> dict[str, datetime]:
    """Return by key the due time of a sibling: another row of the schedule with the same key.

    A new row takes over its sibling's due time, so that one check serves both (scheduling-2.5). Up
    to 50 keys are looked up one by one, as each query then ends at the first row of the index; more
    keys are grouped in one query for each chunk, which reads all their rows. Only regular due times
    count: rows with failures are due at the time of a retry.
    """
    is_regular = and_(
        ScheduledTagRow.due_at.is_not(None),
        ScheduledTagRow.needs_due_time.is_(False),
        ScheduledTagRow.consecutive_failures == 0,  # otherwise it is the time of a retry
        ScheduledTagRow.scheduled,
    )
    found: dict[str, datetime] = {}
    if len(keys) <= MAX_SINGLE_KEY_QUERIES:
        for key in keys:
            query_one = select(ScheduledTagRow.due_at).join(
                ScheduleLookupRow, ScheduleLookupRow.id == ScheduledTagRow.id
            )
            due_at = session.scalar(
                query_one.where(ScheduleLookupRow.key == key, is_regular).limit(1)
            )
            if due_at is not None:
                found[key] = due_at
        return found
    for chunk in in_chunks(keys):
        query = select(ScheduleLookupRow.key, func.max(ScheduledTagRow.due_at))
        query = query.join(ScheduledTagRow, ScheduledTagRow.id == ScheduleLookupRow.id)
        query = query.where(ScheduleLookupRow.key.in_(chunk), is_regular).group_by(
            ScheduleLookupRow.key
        )
        found.update((row[0], row[1]) for row in session.execute(query) if row[1] is not None)
    return found
