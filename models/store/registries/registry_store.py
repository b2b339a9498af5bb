"""Registry objects: the operator's word on each registry, changed while everything runs.

They come into being by themselves for every registry that the calendar follows. Whoever writes one
of their own for the same registry takes the place of one that was found and left as it was.
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
from models.resources.registries import DISCOVERED, Registry, RegistrySpec
from models.store.changes.change_log import Change, Verb, record_changes
from models.store.changes.object_snapshots import count_objects
from models.store.database.bulk_statements import AnyRow, in_chunks, insert_into, table_of
from models.store.database.db_errors import MODIFIED
from models.store.registries.registry_mapping import (
    KIND,
    REGISTRIES,
    build_registry,
    registry_values,
    stored_wire,
)
from models.store.registries.registry_rechecks import wake_scope
from models.store.tables.changes import CounterRow
from models.store.tables.registries import RegistryRow
from models.store.tables.schedule import PlaceRow, ScheduleRow
from models.streams.registries.registry_mirrors import normal_scope
from models.streams.registries.registry_policies import Policies
from models.streams.registries.registry_validation import name_for

GROUP = "sync.tagstream.io"
_POLICIES = "policies"  # a counter: the newest resource version of any Registry, deletions included
_VERSION = select(CounterRow.value).where(CounterRow.name == _POLICIES)


def load_policies(session: Session) -> Policies:
    """What all Registry objects say, as one value."""
    version = policies_version(session)
    rows = session.execute(select(RegistryRow.spec)).scalars()
    return Policies([RegistrySpec.model_validate(spec) for spec in rows], version=version)


def policies_version(session: Session) -> int:
    """Another number whenever a Registry object was made, changed or deleted; one cheap query."""
    return session.connection().execute(_VERSION).scalar() or 0


def load_registry(session: Session, name: str, *, for_update: bool = False) -> Registry | None:
    """The registry of that name, without its status."""
    row = _find(session, name, for_update=for_update)
    return None if row is None else build_registry(row)


def list_registries(session: Session, *, limit: int, after: str | None = None) -> list[Registry]:
    """A page of registries in the order of names; `after` is the last one seen."""
    wanted = REGISTRIES.order_by(RegistryRow.name).limit(limit)
    if after is not None:
        wanted = wanted.where(RegistryRow.name > after)
    return [build_registry(row) for row in session.execute(wanted)]


def count_registries(session: Session, *, after: str | None = None) -> int:
    """How many registries lie behind `after`."""
    return count_objects(session, KIND, after=None if after is None else ("", after))


def save_registry(
    session: Session, old: Registry | None, new: Registry, *, now: datetime
) -> Registry:
    """Insert `new`, or replace `old` by it; as it is stored now. An equal one is not written.

    StreamConflictError when the stored registry is no longer `old`, InvalidObjectError when
    another one speaks for the same host. The generation grows with the spec alone.
    """
    name = new.metadata.name
    if old is None:
        _make_room(session, new, now=now)
        wake_scope(session, None, new.spec, now=now)
        if not _insert(session, new, now=now):
            raise _moved(name)
        return _load(session, name)
    row = _find(session, name, for_update=True)
    if row is None or str(row.version) != old.metadata.resource_version:
        raise _moved(name)
    values = registry_values(new)
    if values == registry_values(build_registry(row)):
        return build_registry(row)
    wake_scope(session, build_registry(row).spec, new.spec, now=now)
    change = Change(KIND, name, Verb.MODIFIED, before=stored_wire(row))
    version = record_changes(session, [change], now=now)
    _note_version(session, version)
    generation = row.generation + (values["spec"] != row.spec)
    table = table_of(RegistryRow)
    written = update(table).where(table.c.name == name)
    session.connection().execute(written.values(version=version, generation=generation, **values))
    return _load(session, name)


def delete_registry(session: Session, name: str, *, now: datetime) -> int:
    """Take a registry off; the version of its deletion, 0: there is none of that name.

    While the calendar follows its host it comes back, without a policy.
    """
    row = _find(session, name, for_update=True)
    if row is None:
        return 0
    wake_scope(session, build_registry(row).spec, None, now=now)
    table = table_of(RegistryRow)
    session.connection().execute(delete(table).where(table.c.name == name))
    version = record_changes(
        session, [Change(KIND, name, Verb.DELETED, before=stored_wire(row))], now=now
    )
    _note_version(session, version)
    return version


def unknown_hosts(session: Session, *, limit: int) -> list[str]:
    """Registries that the calendar follows and no object speaks for, in order."""
    first = select(func.min(PlaceRow.host).label("host")).where(PlaceRow.host != "")
    hosts = first.cte("hosts", recursive=True)
    # From one host to the next by the index, however many rows each has.
    following = select(func.min(PlaceRow.host)).where(PlaceRow.host > hosts.c.host)
    hosts = hosts.union_all(select(following.scalar_subquery()).where(hosts.c.host.is_not(None)))
    known = select(RegistryRow.id).where(RegistryRow.scope == hosts.c.host).exists()
    wanted = select(hosts.c.host).where(hosts.c.host.is_not(None), ~known)
    return list(session.scalars(wanted.order_by(hosts.c.host).limit(limit)))


def discover_registries(session: Session, *, now: datetime, limit: int) -> int:
    """Make an object without a policy for each followed registry that has none; how many."""
    made = 0
    for host in unknown_hosts(session, limit=limit):
        found = Registry(
            metadata=ObjectMeta(name=_free_name(session, host), labels={DISCOVERED: "true"}),
            spec=RegistrySpec(host=host),
        )
        made += _insert(session, found, now=now)
    return made


def tags_followed(
    session: Session, hosts: Iterable[str], *, now: datetime
) -> dict[str, tuple[int, int]]:
    """Of each registry, how many tags the calendar follows, and how many of those are due."""
    pending = func.count().filter(ScheduleRow.due <= now)
    counted = select(PlaceRow.host, func.count(), pending).group_by(PlaceRow.host)
    counted = counted.join(ScheduleRow, ScheduleRow.id == PlaceRow.id)
    found: dict[str, tuple[int, int]] = {}
    for chunk in in_chunks(dict.fromkeys(hosts)):
        for host, count, due in session.execute(counted.where(PlaceRow.host.in_(chunk))):
            found[host] = (count, due)
    return found


def _free_name(session: Session, host: str) -> str:
    """The host's name, or where another object has it, the same with a mark behind it."""
    name = name_for(host)
    return name if name and _find(session, name) is None else name_for(host, marked=True)


def _make_room(session: Session, new: Registry, *, now: datetime) -> None:
    """Let one that was found and left as it was give way; refuse where somebody's own is there."""
    name = new.metadata.name
    wanted = REGISTRIES.where(RegistryRow.scope == normal_scope(new.spec.host))
    row = session.execute(wanted.with_for_update()).one_or_none()
    if row is None or row.name == name:
        return
    found = build_registry(row)
    if DISCOVERED in found.metadata.labels and found.spec == RegistrySpec(host=found.spec.host):
        delete_registry(session, row.name, now=now)
        return
    detail = f"the Registry {row.name} speaks for this host already; change that one"
    errors = [FieldError.invalid("spec.host", new.spec.host, detail)]
    raise InvalidObjectError(kind=KIND, name=name, errors=errors, group=GROUP)


def _insert(session: Session, new: Registry, *, now: datetime) -> bool:
    """False where somebody else made it meanwhile."""
    name = new.metadata.name
    values: dict[str, Any] = registry_values(new)
    statement = insert_into(session, RegistryRow).values(
        name=name, uid=uuid4(), created=now, version=0, generation=1, **values
    )
    added = statement.on_conflict_do_nothing().returning(RegistryRow.id)
    if session.connection().execute(added).scalar_one_or_none() is None:
        return False
    version = record_changes(session, [Change(KIND, name, Verb.ADDED)], now=now)
    _note_version(session, version)
    table = table_of(RegistryRow)
    session.connection().execute(update(table).where(table.c.name == name).values(version=version))
    return True


def _note_version(session: Session, version: int) -> None:
    """Let everybody know that policies changed; the log's counter is locked, so it only grows."""
    new = insert_into(session, CounterRow).values(name=_POLICIES, value=version)
    raised = new.on_conflict_do_update(
        index_elements=[CounterRow.name], set_={"value": new.excluded.value}
    )
    session.connection().execute(raised)


def _find(session: Session, name: str, *, for_update: bool = False) -> AnyRow | None:
    wanted = REGISTRIES.where(RegistryRow.name == name)
    return session.execute(wanted.with_for_update() if for_update else wanted).one_or_none()


def _load(session: Session, name: str) -> Registry:
    stored = load_registry(session, name)
    assert stored is not None
    return stored


def _moved(name: str) -> StreamConflictError:
    return StreamConflictError(MODIFIED, name=name, resource="registries", group=GROUP)
