"""Registry objects: the operator's policy for each registry, changed while everything runs.

Every registry that the schedule follows gets an object by itself. An object that a user creates for
the same registry replaces the discovered one, unless that was changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from models.errors import FieldError, InvalidObjectError, StreamConflictError
from models.resources.meta import ObjectMeta
from models.resources.registries import DISCOVERED_LABEL, Registry, RegistrySpec
from models.store.changes.change_log import Change, Verb, record_changes
from models.store.changes.object_snapshots import count_objects
from models.store.database.bulk_statements import AnyRow, in_chunks, insert_into, table_of
from models.store.database.db_errors import MODIFIED_MESSAGE
from models.store.registries.registry_mapping import (
    REGISTRY_KIND,
    SELECT_REGISTRIES,
    build_registry,
    registry_values,
    stored_wire,
)
from models.store.registries.registry_rechecks import recheck_scope
from models.store.tables.changes import SequenceRow
from models.store.tables.registries import RegistryRow
from models.store.tables.schedule import ScheduledTagRow, ScheduleLookupRow
from models.streams.registries.registry_mirrors import normalise_scope
from models.streams.registries.registry_policies import RegistryPolicies
from models.streams.registries.registry_validation import registry_object_name

REGISTRY_GROUP = "sync.tagstream.io"
# Name of a sequence row: the newest resource version of any Registry, deletions included.
_POLICIES_SEQUENCE = "policies"
_SELECT_POLICIES_VERSION = select(SequenceRow.value).where(SequenceRow.name == _POLICIES_SEQUENCE)


def load_policies(session: Session) -> RegistryPolicies:
    """Return the policies of all Registry objects as one value."""
    version = load_policies_version(session)
    rows = session.execute(select(RegistryRow.spec)).scalars()
    return RegistryPolicies([RegistrySpec.model_validate(spec) for spec in rows], version=version)


def load_policies_version(session: Session) -> int:
    """Return a number that grows whenever a Registry is written or deleted; one cheap query."""
    return session.connection().execute(_SELECT_POLICIES_VERSION).scalar() or 0


def load_registry(session: Session, name: str, *, for_update: bool = False) -> Registry | None:
    """Return the registry of that name, without its status."""
    row = _load_row(session, name, for_update=for_update)
    return None if row is None else build_registry(row)


def list_registries(session: Session, *, limit: int, after: str | None = None) -> list[Registry]:
    """Return a page of registries in the order of names; `after` is the last one seen."""
    query = SELECT_REGISTRIES.order_by(RegistryRow.name).limit(limit)
    if after is not None:
        query = query.where(RegistryRow.name > after)
    return [build_registry(row) for row in session.execute(query)]


def count_registries(session: Session, *, after: str | None = None) -> int:
    """Count the registries after the name `after`."""
    return count_objects(session, REGISTRY_KIND, after=None if after is None else ("", after))


def save_registry(
    session: Session, old: Registry | None, new: Registry, *, now: datetime
) -> Registry:
    """Insert `new`, or replace `old` by it; return what is stored now. An equal one is not written.

    Raise StreamConflictError when the stored registry is no longer `old`, InvalidObjectError when
    another object covers the same host. The generation grows only with the spec.
    """
    name = new.metadata.name
    if old is None:
        _replace_discovered(session, new, now=now)
        recheck_scope(session, None, new.spec, now=now)
        if not _insert(session, new, now=now):
            raise _conflict(name)
        return _load(session, name)
    row = _load_row(session, name, for_update=True)
    if row is None or str(row.version) != old.metadata.resource_version:
        raise _conflict(name)
    values = registry_values(new)
    if values == registry_values(build_registry(row)):
        return build_registry(row)
    recheck_scope(session, build_registry(row).spec, new.spec, now=now)
    change = Change(REGISTRY_KIND, name, Verb.MODIFIED, before=stored_wire(row))
    version = record_changes(session, [change], now=now)
    _save_policies_version(session, version)
    generation = row.generation + (values["spec"] != row.spec)
    table = table_of(RegistryRow)
    statement = update(table).where(table.c.name == name)
    session.connection().execute(statement.values(version=version, generation=generation, **values))
    return _load(session, name)


def delete_registry(session: Session, name: str, *, now: datetime) -> int:
    """Delete a registry; return the version of its deletion, 0 if there is none of that name.

    While the schedule follows its host, the object is created again, without a policy.
    """
    row = _load_row(session, name, for_update=True)
    if row is None:
        return 0
    recheck_scope(session, build_registry(row).spec, None, now=now)
    table = table_of(RegistryRow)
    session.connection().execute(delete(table).where(table.c.name == name))
    version = record_changes(
        session, [Change(REGISTRY_KIND, name, Verb.DELETED, before=stored_wire(row))], now=now
    )
    _save_policies_version(session, version)
    return version


def list_undiscovered_hosts(session: Session, *, limit: int) -> list[str]:
    """Return the registries that the schedule follows and no object covers, in order."""
    first = select(func.min(ScheduleLookupRow.host).label("host")).where(
        ScheduleLookupRow.host != ""
    )
    hosts = first.cte("hosts", recursive=True)
    # Loose index scan: from one host to the next by the index, however many rows each has.
    # PostgreSQL and SQLite would read every row for SELECT DISTINCT.
    following = select(func.min(ScheduleLookupRow.host)).where(
        ScheduleLookupRow.host > hosts.c.host
    )
    hosts = hosts.union_all(select(following.scalar_subquery()).where(hosts.c.host.is_not(None)))
    known = select(RegistryRow.id).where(RegistryRow.scope == hosts.c.host).exists()
    query = select(hosts.c.host).where(hosts.c.host.is_not(None), ~known)
    return list(session.scalars(query.order_by(hosts.c.host).limit(limit)))


def create_discovered_registries(session: Session, *, now: datetime, limit: int) -> int:
    """Create an object without a policy for each followed registry without one (scheduling-9.2).

    Return how many were created.
    """
    created = 0
    for host in list_undiscovered_hosts(session, limit=limit):
        found = Registry(
            metadata=ObjectMeta(
                name=_unused_name(session, host), labels={DISCOVERED_LABEL: "true"}
            ),
            spec=RegistrySpec(host=host),
        )
        created += _insert(session, found, now=now)
    return created


def count_scheduled_tags(
    session: Session, hosts: Iterable[str], *, now: datetime
) -> dict[str, tuple[int, int]]:
    """Return for each registry the number of scheduled tags, and how many of them are due."""
    pending = func.count().filter(ScheduledTagRow.due_at <= now)
    query = select(ScheduleLookupRow.host, func.count(), pending).group_by(ScheduleLookupRow.host)
    query = query.join(ScheduledTagRow, ScheduledTagRow.id == ScheduleLookupRow.id)
    counts: dict[str, tuple[int, int]] = {}
    for chunk in in_chunks(dict.fromkeys(hosts)):
        for host, count, due in session.execute(query.where(ScheduleLookupRow.host.in_(chunk))):
            counts[host] = (count, due)
    return counts


def _unused_name(session: Session, host: str) -> str:
    """Return the object name of a host, with a hash appended if another object has that name."""
    name = registry_object_name(host)
    return (
        name
        if name and _load_row(session, name) is None
        else registry_object_name(host, with_hash=True)
    )


def _replace_discovered(session: Session, new: Registry, *, now: datetime) -> None:
    """Delete the discovered object of the same host if it is unchanged.

    Raise InvalidObjectError when a user's own object covers the host.
    """
    name = new.metadata.name
    query = SELECT_REGISTRIES.where(RegistryRow.scope == normalise_scope(new.spec.host))
    row = session.execute(query.with_for_update()).one_or_none()
    if row is None or row.name == name:
        return
    found = build_registry(row)
    if DISCOVERED_LABEL in found.metadata.labels and found.spec == RegistrySpec(
        host=found.spec.host
    ):
        delete_registry(session, row.name, now=now)
        return
    detail = f"the Registry {row.name} covers this host already; change that one"
    errors = [FieldError.invalid("spec.host", new.spec.host, detail)]
    raise InvalidObjectError(kind=REGISTRY_KIND, name=name, errors=errors, group=REGISTRY_GROUP)


def _insert(session: Session, new: Registry, *, now: datetime) -> bool:
    """Insert a registry; return False if another transaction has created it meanwhile."""
    name = new.metadata.name
    values: dict[str, Any] = registry_values(new)
    statement = insert_into(session, RegistryRow).values(
        name=name, uid=uuid4(), created=now, version=0, generation=1, **values
    )
    insert = statement.on_conflict_do_nothing().returning(RegistryRow.id)
    if session.connection().execute(insert).scalar_one_or_none() is None:
        return False
    version = record_changes(session, [Change(REGISTRY_KIND, name, Verb.ADDED)], now=now)
    _save_policies_version(session, version)
    table = table_of(RegistryRow)
    session.connection().execute(update(table).where(table.c.name == name).values(version=version))
    return True


def _save_policies_version(session: Session, version: int) -> None:
    """Save the version of the last policy change.

    The version sequence is locked here, so the saved version only grows.
    """
    insert = insert_into(session, SequenceRow).values(name=_POLICIES_SEQUENCE, value=version)
    upsert = insert.on_conflict_do_update(
        index_elements=[SequenceRow.name], set_={"value": insert.excluded.value}
    )
    session.connection().execute(upsert)


def _load_row(session: Session, name: str, *, for_update: bool = False) -> AnyRow | None:
    query = SELECT_REGISTRIES.where(RegistryRow.name == name)
    return session.execute(query.with_for_update() if for_update else query).one_or_none()


def _load(session: Session, name: str) -> Registry:
    stored = load_registry(session, name)
    assert stored is not None
    return stored


def _conflict(name: str) -> StreamConflictError:
    return StreamConflictError(
        MODIFIED_MESSAGE, name=name, resource="registries", group=REGISTRY_GROUP
    )
