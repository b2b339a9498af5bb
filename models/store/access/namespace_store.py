"""Namespaces: made on demand, and emptied before they go (`api.md` E)."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from models.errors import StreamConflictError
from models.resources.core import Namespace
from models.resources.meta import ObjectMeta
from models.store.access.namespace_mapping import (
    KIND,
    NAMESPACES,
    build_namespace,
    namespace_values,
)
from models.store.changes.change_log import Change, Verb, lock_counter, record_changes
from models.store.changes.object_snapshots import count_objects, list_objects
from models.store.database.bulk_statements import insert_into, table_of
from models.store.database.db_errors import MODIFIED
from models.store.schedule.schedule_locks import hold_rows
from models.store.tables.access import NamespaceRow
from models.store.tables.events import NoticeRow
from models.store.tables.jobs import JobRow
from models.store.tables.secrets import SecretRow
from models.store.tables.streams import StreamRow
from models.store.tables.table_base import Base

FIRST_NAMESPACES = ("default", "openshift")
NAME_LABEL = "kubernetes.io/metadata.name"
_PAGE = 100
_HELD = "tagstream_held"  # the namespaces that a session keeps


def ensure_namespace(session: Session, name: str, *, now: datetime) -> None:
    """Make the namespace where there is none yet. Nobody deletes it until the transaction ends."""
    if name in session.info.get(_HELD, ()):
        return
    wanted = select(NamespaceRow.id).where(NamespaceRow.name == name)
    if not name or session.scalar(wanted.with_for_update(read=True, key_share=True)) is not None:
        return
    metadata = ObjectMeta(name=name, labels={NAME_LABEL: name})
    _insert(session, Namespace(metadata=metadata), now=now)


def load_namespace(session: Session, name: str, *, for_update: bool = False) -> Namespace | None:
    """The namespace of that name."""
    wanted = NAMESPACES.where(NamespaceRow.name == name)
    row = session.execute(wanted.with_for_update() if for_update else wanted).one_or_none()
    return None if row is None else build_namespace(row)


def hold_namespace(session: Session, name: str) -> Namespace | None:
    """The namespace of that name, for whoever puts something into it: it stays until they commit.

    Without, what came while it was deleted would wait in it for the next of its name.
    """
    wanted = NAMESPACES.where(NamespaceRow.name == name)
    held = wanted.with_for_update(read=True, key_share=True)
    row = session.execute(held).one_or_none()
    if row is None:
        return None
    session.info.setdefault(_HELD, set()).add(name)
    return build_namespace(row)


def list_namespaces(session: Session, *, limit: int, after: str | None = None) -> list[Namespace]:
    """A page of namespaces in the order of names; `after` is the last one seen."""
    wanted = NAMESPACES.order_by(NamespaceRow.name).limit(limit)
    if after is not None:
        wanted = wanted.where(NamespaceRow.name > after)
    return [build_namespace(row) for row in session.execute(wanted)]


def count_namespaces(session: Session, *, after: str | None = None) -> int:
    """How many namespaces lie behind `after`."""
    return count_objects(session, KIND, after=None if after is None else ("", after))


def save_namespace(
    session: Session, old: Namespace | None, new: Namespace, *, now: datetime
) -> Namespace:
    """Insert `new`, or replace `old` by it; as it is stored now. An equal one is not written.

    Raises StreamConflictError when the stored namespace is no longer `old`.
    """
    name = new.metadata.name
    if old is None:
        if not _insert(session, new, now=now):
            raise _moved(name)
        return _load(session, name)
    stored = load_namespace(session, name, for_update=True)
    if stored is None or stored.metadata.resource_version != old.metadata.resource_version:
        raise _moved(name)
    values = namespace_values(new)
    if values == namespace_values(stored):
        return stored
    change = Change(KIND, name, Verb.MODIFIED, before=stored.wire())
    version = record_changes(session, [change], now=now)
    table = table_of(NamespaceRow)
    written = update(table).where(table.c.name == name).values(version=version, **values)
    session.connection().execute(written)
    return _load(session, name)


def delete_namespace(session: Session, name: str, *, now: datetime) -> int:
    """Remove a namespace and everything in it; the version of its own deletion, 0: there is none.

    Streams, secrets, jobs and events go first, each with its own change. A worker that carries one
    of the jobs loses its lease with it.
    """
    stored = load_namespace(session, name, for_update=True)
    if stored is None:
        return 0
    for row in (StreamRow, SecretRow):
        held = select(row.id).where(row.namespace == name).order_by(row.id)
        session.execute(held.with_for_update(key_share=True)).all()
    hold_rows(session, name)
    lock_counter(session)
    _clear(session, "ImageStream", StreamRow, name, now=now)
    _clear(session, "Secret", SecretRow, name, now=now)
    session.execute(select(JobRow.id).where(JobRow.namespace == name).with_for_update()).all()
    _clear(session, "ImportJob", JobRow, name, now=now)
    _clear(session, "Event", NoticeRow, name, now=now)
    table = table_of(NamespaceRow)
    session.connection().execute(delete(table).where(table.c.name == name))
    change = Change(KIND, name, Verb.DELETED, before=stored.wire())
    return record_changes(session, [change], now=now)


def _clear(session: Session, kind: str, row: type[Base], namespace: str, *, now: datetime) -> None:
    """Delete a kind's objects, which are locked, a page at a time."""
    table = table_of(row)
    while page := list_objects(session, kind, namespace=namespace, limit=_PAGE):
        uids = [UUID(each["metadata"]["uid"]) for each in page]
        uid = table.c.id if row is JobRow else table.c.uid
        session.connection().execute(delete(table).where(uid.in_(uids)))
        changes = [
            Change(kind, each["metadata"]["name"], Verb.DELETED, namespace, each) for each in page
        ]
        record_changes(session, changes, now=now)


def _insert(session: Session, new: Namespace, *, now: datetime) -> bool:
    """False where somebody else made it meanwhile."""
    name = new.metadata.name
    statement = insert_into(session, NamespaceRow).values(
        name=name, uid=uuid4(), created=now, version=0, **namespace_values(new)
    )
    added = statement.on_conflict_do_nothing().returning(NamespaceRow.id)
    if session.connection().execute(added).scalar_one_or_none() is None:
        return False
    version = record_changes(session, [Change(KIND, name, Verb.ADDED)], now=now)
    table = table_of(NamespaceRow)
    session.connection().execute(update(table).where(table.c.name == name).values(version=version))
    return True


def _load(session: Session, name: str) -> Namespace:
    stored = load_namespace(session, name)
    assert stored is not None
    return stored


def _moved(name: str) -> StreamConflictError:
    return StreamConflictError(MODIFIED, name=name, resource="namespaces", group="")
