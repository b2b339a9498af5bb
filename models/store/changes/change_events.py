"""Past states of objects, rebuilt from the undo log: watch events and lists at an old version.

The log holds what each object was before a change. So the state at version V is the `before` of the
first change after V, or, without one, what the tables hold now. Example: `app` was changed at
versions 5 and 9. Its state at 5, 6, 7 and 8 is the `before` of change 9; at 9 it is the stored
object.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, func, select, tuple_
from sqlalchemy.orm import Session

from models.store.changes import object_snapshots
from models.store.changes.change_log import Verb, floor_version
from models.store.changes.object_snapshots import ObjectKey, WireObject, key_of
from models.store.database.bulk_statements import AnyRow, in_chunks
from models.store.tables.changes import ChangeRow

# Built once: SQLAlchemy needs longer to build a statement than the database to run it.
_SELECT_NEWEST_CHANGE = select(func.max(ChangeRow.version))
_SELECT_CHANGES = (
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
_SELECT_CHANGES_OF_KINDS = _SELECT_CHANGES.where(
    ChangeRow.kind.in_(bindparam("its_kinds", expanding=True))
)


@dataclass(frozen=True, slots=True)
class ChangeEvent:
    """A change for a watcher: `object` is the state after it, `before` the state until then.

    Of a deleted object, `object` is the last state under the version of the deletion. Both are
    shared with other events and must not be modified. Secrets are sealed
    (`secret_mapping.unseal_wire`).
    """

    version: int
    verb: Verb
    kind: str
    namespace: str
    name: str
    object: WireObject
    before: WireObject | None


def load_change_events(
    session: Session, *, after: int, limit: int, kinds: Collection[str] | None = None
) -> list[ChangeEvent]:
    """Return the changes after the version `after`, oldest first, each with the state after it.

    Call it in a read transaction: log and tables agree only in one snapshot.
    """
    parameters: dict[str, Any] = {"its_after": after, "its_limit": limit}
    if kinds is not None:
        parameters["its_kinds"] = list(kinds)
    statement = _SELECT_CHANGES if kinds is None else _SELECT_CHANGES_OF_KINDS
    rows = session.connection().execute(statement, parameters).all()
    if not rows:
        return []
    states = _load_states_at(
        session, rows[-1].version, {(row.kind, *_key_of_row(row)) for row in rows}
    )
    events: list[ChangeEvent] = []
    for row in reversed(rows):
        key = (row.kind, *_key_of_row(row))
        before = _decompress(row.before)
        state = states.get(key) if row.verb != Verb.DELETED else _deleted_state(before, row.version)
        if state is None:  # a change that an older version logged without `before`
            state = {"metadata": _bare_metadata(row)}
        verb = Verb(row.verb)
        events.append(ChangeEvent(row.version, verb, *key, state, before))
        states[key] = before
    return events[::-1]


def list_objects_at(
    session: Session,
    kind: str,
    version: int,
    *,
    namespace: str | None = None,
    after: ObjectKey | None = None,
    limit: int,
) -> list[WireObject] | None:
    """Return a page of a kind's objects as they were at `version`.

    Return None when the log does not reach back that far. The order is namespace, then name, after
    the key `after`. Secrets are sealed. A page of current objects is merged with those of its key
    range that changed since: objects that were deleted come back, those created later are left out.
    """
    if version < floor_version(session, kind):
        return None
    result: list[WireObject] = []
    while True:
        page = object_snapshots.list_objects(
            session, kind, namespace=namespace, after=after, limit=limit
        )
        last = key_of(page[-1]) if len(page) == limit else None
        changed = _load_changed_range(
            session, kind, version, namespace=namespace, after=after, until=last
        )
        objects = {key: state for key, state in changed.items() if state is not None}
        objects.update({key: each for each in page if (key := key_of(each)) not in changed})
        result += [objects[key] for key in sorted(objects)]
        if last is None or len(result) >= limit:
            return result[:limit]
        after = last


def _load_states_at(
    session: Session, version: int, object_keys: Iterable[tuple[str, str, str]]
) -> dict[tuple[str, str, str], WireObject | None]:
    """Return objects as they were when `version` was the newest; no entry where there was none."""
    by_kind: dict[str, list[ObjectKey]] = {}
    for kind, namespace, name in object_keys:
        by_kind.setdefault(kind, []).append((namespace, name))
    newest = session.connection().execute(_SELECT_NEWEST_CHANGE).scalar() or 0
    found: dict[tuple[str, str, str], WireObject | None] = {}
    for kind, keys in by_kind.items():
        changed = _load_changed_keys(session, kind, version, keys) if newest > version else {}
        current = object_snapshots.load_objects(
            session, kind, (key for key in keys if key not in changed)
        )
        found.update({(kind, *key): each for key, each in (changed | current).items()})
    return found


def _load_changed_keys(
    session: Session, kind: str, version: int, keys: Iterable[ObjectKey]
) -> dict[ObjectKey, WireObject | None]:
    """Return the objects that changed after `version`, as they were; None if not existing."""
    by_namespace: dict[str, list[str]] = {}
    for namespace, name in keys:
        by_namespace.setdefault(namespace, []).append(name)
    firsts: list[int] = []
    for namespace, names in by_namespace.items():
        for chunk in in_chunks(names):
            query = select(func.min(ChangeRow.version)).where(
                ChangeRow.kind == kind,
                ChangeRow.namespace == namespace,
                ChangeRow.name.in_(chunk),
                ChangeRow.version > version,
            )
            firsts.extend(session.scalars(query.group_by(ChangeRow.name)))
    return _load_before(session, firsts)


def _load_changed_range(
    session: Session,
    kind: str,
    version: int,
    *,
    namespace: str | None,
    after: ObjectKey | None,
    until: ObjectKey | None,
) -> dict[ObjectKey, WireObject | None]:
    """Return the objects between two keys that changed after `version`, as they were at it."""
    query = select(func.min(ChangeRow.version)).where(
        ChangeRow.kind == kind, ChangeRow.version > version
    )
    if namespace is not None:
        query = query.where(ChangeRow.namespace == namespace)
    if after is not None:
        query = query.where(_key_columns() > _key_values(after))
    if until is not None:
        query = query.where(_key_columns() <= _key_values(until))
    grouped_query = query.group_by(ChangeRow.namespace, ChangeRow.name)
    return _load_before(session, session.scalars(grouped_query))


def _load_before(session: Session, versions: Iterable[int]) -> dict[ObjectKey, WireObject | None]:
    """Return the states before those changes, by the key of the object."""
    columns = (ChangeRow.namespace, ChangeRow.name, ChangeRow.before)
    found: dict[ObjectKey, WireObject | None] = {}
    for chunk in in_chunks(versions):
        for row in session.execute(select(*columns).where(ChangeRow.version.in_(chunk))):
            found[_key_of_row(row)] = _decompress(row.before)
    return found


def _deleted_state(before: WireObject | None, version: int) -> WireObject | None:
    """Return the last state of an object, under the version of its deletion."""
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


def _decompress(compressed: bytes | None) -> WireObject | None:
    return None if compressed is None else json.loads(zlib.decompress(compressed))


def _key_of_row(row: AnyRow) -> ObjectKey:
    return row.namespace, row.name


def _key_columns() -> Any:
    return tuple_(ChangeRow.namespace, ChangeRow.name)


def _key_values(key: ObjectKey) -> Any:
    return tuple_(*key, types=[ChangeRow.namespace.type, ChangeRow.name.type])
