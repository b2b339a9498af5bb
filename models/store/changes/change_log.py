"""Number every change of every object in commit order; record each object as it was before.

The counter's row stays locked from `next_versions` to the commit, so a reader of a version sees
all smaller ones. Lock order: streams, images, secrets, namespaces; the counter; jobs.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import bindparam, case, delete, func, select, tuple_
from sqlalchemy.orm import Session

from models.store.changes import object_snapshots
from models.store.changes.change_notify import announce
from models.store.changes.object_snapshots import SHELVES, Key, WireObject, key_of
from models.store.changes.resource_versions import COUNTER, NEXT, RECORD_ONE
from models.store.database.bulk_statements import AnyRow, in_chunks, insert_into, table_of
from models.store.tables.changes import ChangeRow, CounterRow

KEEP = timedelta(minutes=30)
KEEP_EACH = 1000
_FLOOR = "floor"  # the newest version that is no longer on record; after a space, of a kind

# Built once: to build a statement takes longer than to carry it out.
_LATEST = select(CounterRow.value).where(CounterRow.name == COUNTER)
_FLOOR_OF_ALL = select(func.max(CounterRow.value)).where(CounterRow.name.startswith(_FLOOR))
_FLOOR_OF_KIND = select(func.max(CounterRow.value)).where(
    CounterRow.name.in_(bindparam("its_floors", expanding=True))
)
_NEWEST = select(func.max(ChangeRow.version))
_FEED = (
    select(
        ChangeRow.version,
        ChangeRow.kind,
        ChangeRow.namespace,
        ChangeRow.name,
        ChangeRow.verb,
        ChangeRow.before,
    )
    .where(ChangeRow.version > bindparam("its_after"))
    .order_by(ChangeRow.version)
    .limit(bindparam("its_limit"))
)
_FEED_OF_KINDS = _FEED.where(ChangeRow.kind.in_(bindparam("its_kinds", expanding=True)))


class Verb(StrEnum):
    """What became of an object, in the words of a watch."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True)
class Change:
    """An object that changes; cluster-wide kinds have no namespace.

    `before` is its wire until then, or the JSON of it; None where there was no object. Secrets
    give the closed form.
    """

    kind: str
    name: str
    verb: Verb
    namespace: str = ""
    before: WireObject | str | None = None


@dataclass(frozen=True, slots=True)
class RecordedChange:
    """A change with its resource version and its time, without what was before."""

    version: int
    change: Change
    at: datetime


@dataclass(frozen=True, slots=True)
class FeedEvent:
    """A change as a watcher wants it: `object` is the state after it, `before` the one until then.

    Of a deleted object it is the last state, under the version of the deletion. Both are shared
    with other events, so look and do not touch; secrets are closed (`secret_rows.open_secret`).
    """

    version: int
    verb: Verb
    kind: str
    namespace: str
    name: str
    object: WireObject
    before: WireObject | None


def lock_counter(session: Session) -> None:
    """Keep other writers waiting from here on: for those who lock rows of jobs after this."""
    if session.get_bind().dialect.name == "postgresql":
        locked = select(CounterRow.value).where(CounterRow.name == COUNTER).with_for_update()
        session.connection().execute(locked)


def next_versions(session: Session, count: int) -> int:
    """The first of `count` fresh resource versions; until the commit nobody else gets any."""
    statement = NEXT[session.get_bind().dialect.name]
    last: int = session.connection().execute(statement, {"value": count}).scalar_one()
    return last - count + 1


def record_changes(session: Session, changes: Sequence[Change], *, now: datetime) -> int:
    """Number `changes` and write them down; the first one's version."""
    if len(changes) == 1 and session.get_bind().dialect.name == "postgresql":
        values = change_parameters(changes[0], now=now)
        return int(session.connection().execute(RECORD_ONE, values).scalar_one())
    first = next_versions(session, len(changes))
    session.connection().execute(
        table_of(ChangeRow).insert(),
        [
            {"version": first + offset, **_change_values(change, now)}
            for offset, change in enumerate(changes)
        ],
    )
    announce(session)
    return first


def change_parameters(change: Change, *, now: datetime) -> dict[str, Any]:
    """What `numbering.written` takes."""
    return {f"its_{key}": value for key, value in _change_values(change, now).items()}


def _change_values(change: Change, now: datetime) -> dict[str, Any]:
    return {
        "kind": change.kind,
        "namespace": change.namespace,
        "name": change.name,
        "verb": change.verb.value,
        "at": now,
        "before": None if change.before is None else _pack(change.before),
    }


def latest_version(session: Session) -> int:
    """The newest committed resource version; 0 in an empty store."""
    return session.connection().execute(_LATEST).scalar() or 0


def floor_version(session: Session, kind: str | None = None) -> int:
    """From which version on everything is on record; a watch from below it comes too late.

    Of one kind the log may reach further back than of all.
    """
    if kind is None:
        return session.connection().execute(_FLOOR_OF_ALL).scalar() or 0
    names = {"its_floors": [_FLOOR, f"{_FLOOR} {kind}"]}
    return session.connection().execute(_FLOOR_OF_KIND, names).scalar() or 0


def load_changes(
    session: Session, *, after: int, limit: int, kind: str | None = None
) -> list[RecordedChange]:
    """What changed since the version `after`, oldest first."""
    columns = (
        ChangeRow.version,
        ChangeRow.kind,
        ChangeRow.name,
        ChangeRow.verb,
        ChangeRow.namespace,
        ChangeRow.at,
    )
    wanted = select(*columns).where(ChangeRow.version > after).order_by(ChangeRow.version)
    if kind is not None:
        wanted = wanted.where(ChangeRow.kind == kind)
    return [
        RecordedChange(
            row.version, Change(row.kind, row.name, Verb(row.verb), row.namespace), row.at
        )
        for row in session.execute(wanted.limit(limit))
    ]


def load_feed(
    session: Session, *, after: int, limit: int, kinds: Collection[str] | None = None
) -> list[FeedEvent]:
    """What changed since the version `after`, oldest first, each with its state after the change.

    In a transaction that only reads: its one snapshot is what makes log and tables agree.
    """
    wanted: dict[str, Any] = {"its_after": after, "its_limit": limit}
    if kinds is not None:
        wanted["its_kinds"] = list(kinds)
    statement = _FEED if kinds is None else _FEED_OF_KINDS
    rows = session.connection().execute(statement, wanted).all()
    if not rows:
        return []
    became = _states_at(session, rows[-1].version, {(row.kind, *_key(row)) for row in rows})
    events: list[FeedEvent] = []
    for row in reversed(rows):
        here = (row.kind, *_key(row))
        before = _unpack(row.before)
        after_it = became.get(here) if row.verb != Verb.DELETED else _deleted(before, row.version)
        if after_it is None:  # written when the log did not keep what was
            after_it = {"metadata": _bare_metadata(row)}
        verb = Verb(row.verb)
        events.append(FeedEvent(row.version, verb, *here, after_it, before))
        became[here] = before
    return events[::-1]


def list_as_of(
    session: Session,
    kind: str,
    version: int,
    *,
    namespace: str | None = None,
    after: Key | None = None,
    limit: int,
) -> list[WireObject] | None:
    """A page of a kind's objects as they were at `version`; None when the log does not reach back.

    In the order of namespace and name, behind the key `after`. Secrets come closed.
    """
    if version < floor_version(session, kind):
        return None
    found: list[WireObject] = []
    while True:
        page = object_snapshots.list_objects(
            session, kind, namespace=namespace, after=after, limit=limit
        )
        last = key_of(page[-1]) if len(page) == limit else None
        undone = _undone(session, kind, version, namespace=namespace, after=after, until=last)
        then = {key: was for key, was in undone.items() if was is not None}
        then.update({key: each for each in page if (key := key_of(each)) not in undone})
        found += [then[key] for key in sorted(then)]
        if last is None or len(found) >= limit:
            return found[:limit]
        after = last


def stale_changes(
    session: Session, *, now: datetime, keep: timedelta = KEEP, keep_each: int = KEEP_EACH
) -> dict[str, int]:
    """Up to which version changes may be forgotten, by kind; kinds without such are left out.

    They are older than `keep`, and not among the `keep_each` newest of their kind.
    """
    found: dict[str, int] = {}
    for kind in SHELVES:
        mine = ChangeRow.kind == kind
        newest = select(ChangeRow.version).where(mine).order_by(ChangeRow.version.desc())
        last = session.scalar(newest.offset(keep_each).limit(1))
        if last is None:
            continue
        stale = select(func.max(ChangeRow.version)).where(mine, ChangeRow.version <= last)
        last = session.scalar(stale.where(ChangeRow.at < now - keep))
        if last is not None:
            found[kind] = last
    return found


def forget_changes(session: Session, stale: Mapping[str, int]) -> int:
    """Take the changes of each kind up to its version off the record; how many those were."""
    gone = 0
    for kind, last in stale.items():
        forgotten = delete(ChangeRow).where(ChangeRow.kind == kind, ChangeRow.version <= last)
        gone += session.connection().execute(forgotten).rowcount
        raise_floor(session, last, kind=kind)
    return gone


def prune_changes(
    session: Session, *, now: datetime, keep: timedelta = KEEP, keep_each: int = KEEP_EACH
) -> int:
    """Forget what is stale; how many changes went."""
    return forget_changes(session, stale_changes(session, now=now, keep=keep, keep_each=keep_each))


def raise_floor(session: Session, version: int, *, kind: str = "") -> None:
    """Note that changes up to `version` are no longer on record."""
    new = insert_into(session, CounterRow).values(name=f"{_FLOOR} {kind}".strip(), value=version)
    higher = case(
        (new.excluded.value > CounterRow.value, new.excluded.value), else_=CounterRow.value
    )
    raised = new.on_conflict_do_update(index_elements=[CounterRow.name], set_={"value": higher})
    session.connection().execute(raised)


def _states_at(
    session: Session, version: int, wanted: Iterable[tuple[str, str, str]]
) -> dict[tuple[str, str, str], WireObject | None]:
    """Objects as they were when `version` was the newest; no entry where there was none."""
    by_kind: dict[str, list[Key]] = {}
    for kind, namespace, name in wanted:
        by_kind.setdefault(kind, []).append((namespace, name))
    newest = session.connection().execute(_NEWEST).scalar() or 0
    found: dict[tuple[str, str, str], WireObject | None] = {}
    for kind, keys in by_kind.items():
        undone = _undone_keys(session, kind, version, keys) if newest > version else {}
        now = object_snapshots.load_objects(
            session, kind, (key for key in keys if key not in undone)
        )
        found.update({(kind, *key): each for key, each in (undone | now).items()})
    return found


def _undone_keys(
    session: Session, kind: str, version: int, keys: Iterable[Key]
) -> dict[Key, WireObject | None]:
    """Those of the objects that changed since, as they were; None where there was none."""
    by_namespace: dict[str, list[str]] = {}
    for namespace, name in keys:
        by_namespace.setdefault(namespace, []).append(name)
    firsts: list[int] = []
    for namespace, names in by_namespace.items():
        for chunk in in_chunks(names):
            later = select(func.min(ChangeRow.version)).where(
                ChangeRow.kind == kind,
                ChangeRow.namespace == namespace,
                ChangeRow.name.in_(chunk),
                ChangeRow.version > version,
            )
            firsts.extend(session.scalars(later.group_by(ChangeRow.name)))
    return _before(session, firsts)


def _undone(
    session: Session,
    kind: str,
    version: int,
    *,
    namespace: str | None,
    after: Key | None,
    until: Key | None,
) -> dict[Key, WireObject | None]:
    """The objects between two keys that changed since `version`, as they were at it."""
    later = select(func.min(ChangeRow.version)).where(
        ChangeRow.kind == kind, ChangeRow.version > version
    )
    if namespace is not None:
        later = later.where(ChangeRow.namespace == namespace)
    if after is not None:
        later = later.where(_key_columns() > _key_values(after))
    if until is not None:
        later = later.where(_key_columns() <= _key_values(until))
    grouped = later.group_by(ChangeRow.namespace, ChangeRow.name)
    return _before(session, session.scalars(grouped))


def _before(session: Session, versions: Iterable[int]) -> dict[Key, WireObject | None]:
    """What was before those changes, by the key of the object."""
    columns = (ChangeRow.namespace, ChangeRow.name, ChangeRow.before)
    found: dict[Key, WireObject | None] = {}
    for chunk in in_chunks(versions):
        for row in session.execute(select(*columns).where(ChangeRow.version.in_(chunk))):
            found[_key(row)] = _unpack(row.before)
    return found


def _deleted(before: WireObject | None, version: int) -> WireObject | None:
    """The last state of an object, under the version of its deletion."""
    if before is None:
        return None
    return {**before, "metadata": {**before["metadata"], "resourceVersion": str(version)}}


def _bare_metadata(row: AnyRow) -> dict[str, str]:
    metadata = {
        "name": row.name,
        "namespace": row.namespace,
        "resourceVersion": str(row.version),
    }
    return {key: value for key, value in metadata.items() if value}


def _pack(found: WireObject | str) -> bytes:
    text = found if isinstance(found, str) else json.dumps(found, separators=(",", ":"))
    return zlib.compress(text.encode(), 1)


def _unpack(packed: bytes | None) -> WireObject | None:
    return None if packed is None else json.loads(zlib.decompress(packed))


def _key(row: AnyRow) -> Key:
    return row.namespace, row.name


def _key_columns() -> Any:
    return tuple_(ChangeRow.namespace, ChangeRow.name)


def _key_values(key: Key) -> Any:
    return tuple_(*key, types=[ChangeRow.namespace.type, ChangeRow.name.type])
