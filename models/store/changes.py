"""One number for every change of every object, in the order of commits.

The counter's row stays locked from `next_versions` to the commit, so that whoever sees a version
sees all smaller ones too (`api.md` C5). Take it late: other writers wait for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models.store.bulk import insert_into, table_of
from models.store.tables.changes import ChangeRow, CounterRow

_COUNTER = "version"


class Verb(StrEnum):
    """What became of an object, in the words of a watch."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True)
class Change:
    """An object that changes; cluster-wide kinds have no namespace."""

    kind: str
    name: str
    verb: Verb
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class RecordedChange:
    """A change with its resource version and its time."""

    version: int
    change: Change
    at: datetime


def next_versions(session: Session, count: int) -> int:
    """The first of `count` fresh resource versions; until the commit nobody else gets any."""
    new = insert_into(session, CounterRow).values(name=_COUNTER, value=count)
    grown = new.on_conflict_do_update(
        index_elements=[CounterRow.name], set_={"value": CounterRow.value + new.excluded.value}
    )
    last: int = session.connection().execute(grown.returning(CounterRow.value)).scalar_one()
    return last - count + 1


def record_changes(session: Session, changes: Sequence[Change], *, now: datetime) -> int:
    """Number `changes` and write them down; the first one's version."""
    first = next_versions(session, len(changes))
    session.connection().execute(
        table_of(ChangeRow).insert(),
        [
            {
                "version": first + offset,
                "kind": change.kind,
                "namespace": change.namespace,
                "name": change.name,
                "verb": change.verb.value,
                "at": now,
            }
            for offset, change in enumerate(changes)
        ],
    )
    return first


def latest_version(session: Session) -> int:
    """The newest committed resource version; 0 in an empty store."""
    found = session.scalar(select(CounterRow.value).where(CounterRow.name == _COUNTER))
    return found or 0


def load_changes(
    session: Session, *, after: int, limit: int, kind: str | None = None
) -> list[RecordedChange]:
    """What changed since the version `after`, oldest first."""
    wanted = select(ChangeRow).where(ChangeRow.version > after).order_by(ChangeRow.version)
    if kind is not None:
        wanted = wanted.where(ChangeRow.kind == kind)
    return [
        RecordedChange(
            row.version, Change(row.kind, row.name, Verb(row.verb), row.namespace), row.at
        )
        for row in session.scalars(wanted.limit(limit))
    ]


def oldest_change(session: Session) -> int | None:
    """The version of the oldest change still on record."""
    return session.scalar(select(func.min(ChangeRow.version)))
