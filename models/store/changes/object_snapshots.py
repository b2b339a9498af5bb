"""Every kind that the undo log knows, as clients see it: plain wire objects by key or by page.

Only readers live here, so that `changes` can stand on them and the writers on `changes`. Objects
lack `kind` and `apiVersion`, as everything that `.wire()` prints. Secrets come closed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import BindParameter, Select, bindparam, func, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from models.job_resource import view_job
from models.store.access import namespace_mapping, secret_mapping
from models.store.database.bulk_statements import AnyRow, AnySelect, in_chunks
from models.store.events import event_mapping
from models.store.images import image_mapping
from models.store.jobs import job_mapping
from models.store.registries import registry_mapping
from models.store.streams import stream_mapping
from models.store.streams.stream_list import SHOWN_HISTORY, build_stream_wires
from models.store.tables.access import NamespaceRow
from models.store.tables.events import NoticeRow
from models.store.tables.images import ImageRow
from models.store.tables.jobs import JobRow
from models.store.tables.registries import RegistryRow
from models.store.tables.secrets import SecretRow
from models.store.tables.streams import StreamRow

COUNTED = 10_000  # objects that are counted at most: a page of many costs what a page of few does
Key = tuple[str, str]  # namespace (empty for cluster-wide kinds) and name
WireObject = dict[str, Any]


@dataclass(frozen=True)
class Shelf:
    """Where the objects of one kind stand: the query, its key, and what its rows become."""

    rows: AnySelect
    name: InstrumentedAttribute[Any]
    namespace: InstrumentedAttribute[Any] | None
    build: Callable[[Session, Sequence[AnyRow]], list[WireObject]]

    def behind(self, query: Select[Any], namespace: str | None, after: Key | None) -> Select[Any]:
        """Only what is of that namespace (None: of all) and comes after that key."""
        if self.namespace is None:
            return query if after is None else query.where(self.name > after[1])
        if namespace is not None:
            query = query.where(self.namespace == namespace)
        if after is None:
            return query
        if namespace == after[0]:  # so that the index leads right there
            return query.where(self.name > after[1])
        last = tuple_(*after, types=[self.namespace.type, self.name.type])
        return query.where(tuple_(self.namespace, self.name) > last)

    def in_order(self, query: Select[Any]) -> Select[Any]:
        if self.namespace is None:
            return query.order_by(self.name)
        return query.order_by(self.namespace, self.name)

    @cached_property
    def keyed(self) -> AnySelect:
        """Those of `its_names`, in `its_namespace`."""
        named = self.name.in_(bindparam("its_names", expanding=True))
        place: BindParameter[str] = bindparam("its_namespace")
        if self.namespace is None:
            return self.rows.where(named, place == "")
        return self.rows.where(named, self.namespace == place)


SHELVES = {
    stream_mapping.KIND: Shelf(
        select(*stream_mapping.STREAM_COLUMNS),
        StreamRow.name,
        StreamRow.namespace,
        lambda session, rows: build_stream_wires(session, rows, SHOWN_HISTORY),
    ),
    image_mapping.KIND: Shelf(
        select(*image_mapping.IMAGE_COLUMNS),
        ImageRow.digest,
        None,
        lambda session, rows: [each.wire() for each in image_mapping.build_images(session, rows)],
    ),
    namespace_mapping.KIND: Shelf(
        namespace_mapping.NAMESPACES,
        NamespaceRow.name,
        None,
        lambda _, rows: [namespace_mapping.build_namespace(row).wire() for row in rows],
    ),
    secret_mapping.KIND: Shelf(
        secret_mapping.SECRETS,
        SecretRow.name,
        SecretRow.namespace,
        lambda _, rows: [secret_mapping.closed_wire(row) for row in rows],
    ),
    job_mapping.KIND: Shelf(
        select(*job_mapping.JOB_COLUMNS),
        JobRow.name,
        JobRow.namespace,
        lambda _, rows: [view_job(job_mapping.build_job(row)).wire() for row in rows],
    ),
    registry_mapping.KIND: Shelf(
        registry_mapping.REGISTRIES,
        RegistryRow.name,
        None,
        lambda _, rows: [registry_mapping.stored_wire(row) for row in rows],
    ),
    event_mapping.KIND: Shelf(
        event_mapping.EVENTS,
        NoticeRow.name,
        NoticeRow.namespace,
        lambda _, rows: [event_mapping.build_event(row).wire() for row in rows],
    ),
}


def load_objects(session: Session, kind: str, keys: Iterable[Key]) -> dict[Key, WireObject]:
    """Those of the objects that are stored, by key."""
    shelf = SHELVES[kind]
    by_namespace: dict[str, list[str]] = {}
    for namespace, name in dict.fromkeys(keys):
        by_namespace.setdefault(namespace, []).append(name)
    found: dict[Key, WireObject] = {}
    for namespace, names in by_namespace.items():
        for chunk in in_chunks(names):
            wanted = {"its_namespace": namespace, "its_names": chunk}
            rows = session.connection().execute(shelf.keyed, wanted).all()
            found.update({key_of(each): each for each in shelf.build(session, rows)})
    return found


def list_objects(
    session: Session,
    kind: str,
    *,
    namespace: str | None = None,
    after: Key | None = None,
    limit: int,
) -> list[WireObject]:
    """A page of a kind's objects in the order of namespace and name, as they are now."""
    shelf = SHELVES[kind]
    page = shelf.in_order(shelf.behind(shelf.rows, namespace, after)).limit(limit)
    return shelf.build(session, session.execute(page).all())


def count_objects(
    session: Session, kind: str, *, namespace: str | None = None, after: Key | None = None
) -> int:
    """How many objects of a kind lie behind `after`; past COUNTED nobody counts on."""
    shelf = SHELVES[kind]
    found = shelf.behind(select(shelf.name), namespace, after).limit(COUNTED + 1).subquery()
    return session.scalar(select(func.count()).select_from(found)) or 0


def key_of(found: WireObject) -> Key:
    """Namespace and name of an object."""
    metadata = found["metadata"]
    return metadata.get("namespace", ""), metadata["name"]
