"""The change log: numbers every change of every object in commit order, with the state before it.

A resource version comes from the row `version` of the sequence table. That row stays locked from
`allocate_versions` to the commit, so a reader who sees a version sees all smaller ones (api-5.5).

Lock order of all writers: rows of streams, images, secrets, namespaces; then schedule rows by id;
then the version sequence; then jobs and events. Example of why: a worker that locked its job first
and then the sequence would deadlock with one that has the sequence and waits for that job. The
sequence comes late because everything behind it runs one writer at a time.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

from models.store.changes.change_notify import notify_on_commit
from models.store.changes.object_snapshots import WireObject
from models.store.changes.resource_versions import (
    ALLOCATE_VERSIONS,
    RECORD_CHANGE,
    VERSION_SEQUENCE,
)
from models.store.database.bulk_statements import table_of
from models.store.tables.changes import ChangeRow, SequenceRow

# Name of a sequence row: the newest version no longer in the log ("floor KIND": of one kind).
FLOOR_PREFIX = "floor"

# Built once: SQLAlchemy needs longer to build a statement than the database to run it.
_SELECT_LATEST_VERSION = select(SequenceRow.value).where(SequenceRow.name == VERSION_SEQUENCE)
_SELECT_FLOOR = select(func.max(SequenceRow.value)).where(SequenceRow.name.startswith(FLOOR_PREFIX))
_SELECT_KIND_FLOOR = select(func.max(SequenceRow.value)).where(
    SequenceRow.name.in_(bindparam("its_floors", expanding=True))
)


class Verb(StrEnum):
    """What happened to an object, with the type names of watch events."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True)
class Change:
    """An object that changes; cluster-scoped kinds have no namespace.

    `before` is its wire form before the change, or that as JSON text; None if there was no object.
    Of secrets it is the sealed form.
    """

    kind: str
    name: str
    verb: Verb
    namespace: str = ""
    before: WireObject | str | None = None


@dataclass(frozen=True, slots=True)
class RecordedChange:
    """A change with its resource version and time, without the state before."""

    version: int
    change: Change
    at: datetime


def lock_version_sequence(session: Session) -> None:
    """Lock the version sequence until the commit, which blocks all other writers of changes.

    Writers of job and event rows call it before they lock those.
    """
    if session.get_bind().dialect.name == "postgresql":
        query = (
            select(SequenceRow.value).where(SequenceRow.name == VERSION_SEQUENCE).with_for_update()
        )
        session.connection().execute(query)


def allocate_versions(session: Session, count: int) -> int:
    """Return the first of `count` new resource versions; other writers wait until the commit."""
    statement = ALLOCATE_VERSIONS[session.get_bind().dialect.name]
    last: int = session.connection().execute(statement, {"value": count}).scalar_one()
    return last - count + 1


def record_changes(session: Session, changes: Sequence[Change], *, now: datetime) -> int:
    """Allocate versions for `changes` and log them; return the first version.

    Watchers are notified when the transaction commits.
    """
    if len(changes) == 1 and session.get_bind().dialect.name == "postgresql":
        values = change_parameters(changes[0], now=now)
        return int(session.connection().execute(RECORD_CHANGE, values).scalar_one())
    first = allocate_versions(session, len(changes))
    session.connection().execute(
        table_of(ChangeRow).insert(),
        [
            {"version": first + offset, **_change_values(change, now)}
            for offset, change in enumerate(changes)
        ],
    )
    notify_on_commit(session)
    return first


def change_parameters(change: Change, *, now: datetime) -> dict[str, Any]:
    """Return the parameters of `resource_versions.insert_change_cte`."""
    return {f"its_{key}": value for key, value in _change_values(change, now).items()}


def _change_values(change: Change, now: datetime) -> dict[str, Any]:
    return {
        "kind": change.kind,
        "namespace": change.namespace,
        "name": change.name,
        "verb": change.verb.value,
        "at": now,
        "before": None if change.before is None else _compress(change.before),
    }


def latest_version(session: Session) -> int:
    """Return the newest committed resource version; 0 in an empty store."""
    return session.connection().execute(_SELECT_LATEST_VERSION).scalar() or 0


def floor_version(session: Session, kind: str | None = None) -> int:
    """Return the version after which every change is on record; a watch from below it is too old.

    The log of one kind may reach further back than that of all kinds.
    """
    if kind is None:
        return session.connection().execute(_SELECT_FLOOR).scalar() or 0
    names = {"its_floors": [FLOOR_PREFIX, f"{FLOOR_PREFIX} {kind}"]}
    return session.connection().execute(_SELECT_KIND_FLOOR, names).scalar() or 0


def load_changes(
    session: Session, *, after: int, limit: int, kind: str | None = None
) -> list[RecordedChange]:
    """Return the changes after the version `after`, oldest first, without states."""
    columns = (
        ChangeRow.version,
        ChangeRow.kind,
        ChangeRow.name,
        ChangeRow.verb,
        ChangeRow.namespace,
        ChangeRow.at,
    )
    query = select(*columns).where(ChangeRow.version > after).order_by(ChangeRow.version)
    if kind is not None:
        query = query.where(ChangeRow.kind == kind)
    return [
        RecordedChange(
            row.version, Change(row.kind, row.name, Verb(row.verb), row.namespace), row.at
        )
        for row in session.execute(query.limit(limit))
    ]


def _compress(wire: WireObject | str) -> bytes:
    text = wire if isinstance(wire, str) else json.dumps(wire, separators=(",", ":"))
    return zlib.compress(text.encode(), 1)
