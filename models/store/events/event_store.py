"""Events: told once, counted when they are told again, and forgotten after a day.

Their rows are only locked behind the counter of versions, like those of jobs (`changes`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import and_, bindparam, delete, func, select, update
from sqlalchemy.orm import Session

from models.oci import storable_text
from models.resources.core import Event
from models.store.changes.change_log import Change, Verb, lock_counter, record_changes
from models.store.changes.object_snapshots import Key, count_objects, list_objects
from models.store.database.bulk_statements import AnyRow, in_chunks, insert_rows, table_of
from models.store.events.event_mapping import EVENTS, KIND, build_event
from models.store.tables.events import NoticeRow

KEPT = timedelta(hours=24)
MOST_KEPT = 1000  # in each namespace
COUNTED_WITHIN = timedelta(hours=1)
LONGEST_MESSAGE = 1024
LONGEST_NAME = 236  # that there is room for a suffix
NORMAL, WARNING = "Normal", "Warning"
STREAM_API = "image.openshift.io/v1"
_PRUNED_AT_ONCE = 500
_CROWDED = 50  # namespaces that are trimmed at one go


@dataclass(frozen=True, slots=True)
class Happening:
    """Something to tell of one object."""

    namespace: str
    kind: str
    name: str
    uid: str
    type: str
    reason: str
    message: str
    api_version: str = STREAM_API

    def alike(self) -> str:
        """One text for all that are to be counted as one."""
        parts = (self.api_version, self.kind, self.name, self.uid, self.type, self.reason)
        told = "\0".join((*parts, self.message))
        return hashlib.sha256(told.encode("utf-8", "replace")).hexdigest()[:32]


def record_event(
    session: Session,
    *,
    namespace: str,
    kind: str,
    name: str,
    uid: str,
    type: str,  # noqa: A002 - the field's name
    reason: str,
    message: str,
    now: datetime,
) -> None:
    """Tell of one thing that happened."""
    told = Happening(namespace, kind, name, uid, type, reason, message)
    record_events(session, [told], now=now)


def record_events(session: Session, happened: Sequence[Happening], *, now: datetime) -> None:
    """Tell what happened. What was told within the hour is counted up instead."""
    if not happened:
        return
    lock_counter(session)
    news: dict[tuple[str, str], Happening] = {}
    counts: dict[tuple[str, str], int] = {}
    for each in happened:
        key = (each.namespace, each.alike())
        news.setdefault(key, each)
        counts[key] = counts.get(key, 0) + 1
    told = _told_lately(session, news, now=now)
    added = [
        _values(each, key[1], counts[key], now) for key, each in news.items() if key not in told
    ]
    again = [
        {"its_id": row.id, "its_last": now, "its_times": row.times + counts[key]}
        for key, row in told.items()
    ]
    changes = [
        Change(KIND, row.name, Verb.MODIFIED, row.namespace, build_event(row).wire())
        for row in told.values()
    ]
    changes += [Change(KIND, row["name"], Verb.ADDED, row["namespace"]) for row in added]
    version = record_changes(session, changes, now=now)
    for place, row in enumerate((*again, *added)):
        row["its_version" if place < len(again) else "version"] = version + place
    table = table_of(NoticeRow)
    if again:
        counted = (
            update(table)
            .where(table.c.id == bindparam("its_id"))
            .values(
                last=bindparam("its_last"),
                times=bindparam("its_times"),
                version=bindparam("its_version"),
            )
        )
        session.connection().execute(counted, again)
    insert_rows(session, NoticeRow, added)


def load_event(session: Session, namespace: str, name: str) -> Event | None:
    """One event."""
    wanted = EVENTS.where(NoticeRow.namespace == namespace, NoticeRow.name == name)
    row = session.execute(wanted).one_or_none()
    return None if row is None else build_event(row)


def list_events(
    session: Session, *, namespace: str | None = None, limit: int, after: Key | None = None
) -> list[dict[str, Any]]:
    """A page of events, printed, in the order of namespace and name."""
    return list_objects(session, KIND, namespace=namespace, after=after, limit=limit)


def count_events(
    session: Session, namespace: str | None = None, *, after: Key | None = None
) -> int:
    """How many events lie behind `after`."""
    return count_objects(session, KIND, namespace=namespace, after=after)


def delete_event(session: Session, namespace: str, name: str, *, now: datetime) -> int:
    """Remove one event; how many went."""
    lock_counter(session)
    wanted = EVENTS.where(NoticeRow.namespace == namespace, NoticeRow.name == name)
    return _forget(session, session.execute(wanted).all(), now=now)


def prune_events(
    session: Session, *, now: datetime, keep: timedelta = KEPT, most: int = MOST_KEPT
) -> int:
    """Forget what is older than `keep`, and in each namespace all but the `most` newest.

    A bounded part of it at a time; how many went. Come again until it is nothing.
    """
    lock_counter(session)
    return _forget(session, _prunable(session, now - keep, most), now=now)


def has_stale_events(
    session: Session, *, now: datetime, keep: timedelta = KEPT, most: int = MOST_KEPT
) -> bool:
    """Whether there is anything to prune; keeps no writer waiting."""
    return bool(_prunable(session, now - keep, most))


def _prunable(session: Session, before: datetime, most: int) -> Sequence[AnyRow]:
    stale = EVENTS.where(NoticeRow.last < before).order_by(NoticeRow.last)
    found = list(session.execute(stale.limit(_PRUNED_AT_ONCE)))
    if found:
        return found
    crowded = select(NoticeRow.namespace).group_by(NoticeRow.namespace)
    crowded = crowded.having(func.count() > most).limit(_CROWDED)
    for namespace in session.scalars(crowded):
        newest = EVENTS.where(NoticeRow.namespace == namespace)
        newest = newest.order_by(NoticeRow.last.desc(), NoticeRow.id.desc()).offset(most)
        found += session.execute(newest.limit(_PRUNED_AT_ONCE - len(found)))
        if len(found) == _PRUNED_AT_ONCE:
            break
    return found


def _forget(session: Session, rows: Sequence[AnyRow], *, now: datetime) -> int:
    if not rows:
        return 0
    table = table_of(NoticeRow)
    session.connection().execute(delete(table).where(table.c.id.in_([row.id for row in rows])))
    changes = [
        Change(KIND, row.name, Verb.DELETED, row.namespace, build_event(row).wire()) for row in rows
    ]
    record_changes(session, changes, now=now)
    return len(rows)


def _told_lately(
    session: Session, wanted: dict[tuple[str, str], Happening], *, now: datetime
) -> dict[tuple[str, str], AnyRow]:
    """The newest row of each that was told within the hour."""
    by_namespace: dict[str, list[str]] = {}
    for namespace, alike in wanted:
        by_namespace.setdefault(namespace, []).append(alike)
    found: dict[tuple[str, str], AnyRow] = {}
    for namespace, keys in by_namespace.items():
        for chunk in in_chunks(keys):
            lately = and_(
                NoticeRow.namespace == namespace,
                NoticeRow.alike.in_(chunk),
                NoticeRow.last > now - COUNTED_WITHIN,
            )
            rows = session.execute(EVENTS.where(lately).order_by(NoticeRow.id))
            found.update({(row.namespace, row.alike): row for row in rows})
    return found


def _values(told: Happening, alike: str, count: int, now: datetime) -> dict[str, Any]:
    return {
        "namespace": told.namespace,
        "name": f"{told.name[:LONGEST_NAME]}.{uuid4().hex[:16]}",
        "uid": uuid4(),
        "alike": alike,
        "about_api": told.api_version,
        "about_kind": told.kind,
        "about_name": told.name,
        "about_uid": told.uid,
        "type": told.type,
        "reason": told.reason,
        "message": storable_text(told.message)[:LONGEST_MESSAGE],
        "first": now,
        "last": now,
        "times": count,
    }
