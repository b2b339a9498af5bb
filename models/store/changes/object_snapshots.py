"""Every kind in the undo log, as clients see it: wire objects by key or by page.

This module only reads, so that `change_log` can import it and the writers can import `change_log`.
Objects lack `kind` and `apiVersion`, as everything that `.wire()` prints. Secrets are sealed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import BindParameter, Select, bindparam, func, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from models.job_resource import build_import_job
from models.store.access import namespace_mapping, secret_mapping
from models.store.database.bulk_statements import AnyRow, AnySelect, in_chunks
from models.store.events import event_mapping
from models.store.images import image_mapping
from models.store.jobs import job_mapping
from models.store.registries import registry_mapping
from models.store.streams import stream_mapping
from models.store.streams.stream_list import MAX_SHOWN_HISTORY, load_stream_wires
from models.store.tables.access import NamespaceRow
from models.store.tables.events import CoreEventRow
from models.store.tables.images import ImageRow
from models.store.tables.jobs import JobRow
from models.store.tables.registries import RegistryRow
from models.store.tables.stored_secrets import SecretRow
from models.store.tables.streams import StreamRow

MAX_COUNT = 10_000  # counting stops here, so that a page costs the same of many objects as of few
ObjectKey = tuple[str, str]  # namespace (empty for cluster-scoped kinds) and name
WireObject = dict[str, Any]


@dataclass(frozen=True)
class KindQuery:
    """How the objects of one kind are read: query, key columns, and conversion of its rows."""

    rows: AnySelect
    name: InstrumentedAttribute[Any]
    namespace: InstrumentedAttribute[Any] | None
    build: Callable[[Session, Sequence[AnyRow]], list[WireObject]]

    def after_key(
        self, query: Select[Any], namespace: str | None, after: ObjectKey | None
    ) -> Select[Any]:
        """Restrict a query to that namespace (None: all) and to keys after `after`."""
        if self.namespace is None:
            return query if after is None else query.where(self.name > after[1])
        if namespace is not None:
            query = query.where(self.namespace == namespace)
        if after is None:
            return query
        if namespace == after[0]:  # so that the index leads directly to the row
            return query.where(self.name > after[1])
        last = tuple_(*after, types=[self.namespace.type, self.name.type])
        return query.where(tuple_(self.namespace, self.name) > last)

    def ordered(self, query: Select[Any]) -> Select[Any]:
        if self.namespace is None:
            return query.order_by(self.name)
        return query.order_by(self.namespace, self.name)

    @cached_property
    def by_names(self) -> AnySelect:
        """The query of the objects `its_names` in `its_namespace`."""
        has_name = self.name.in_(bindparam("its_names", expanding=True))
        namespace_parameter: BindParameter[str] = bindparam("its_namespace")
        if self.namespace is None:
            return self.rows.where(has_name, namespace_parameter == "")
        return self.rows.where(has_name, self.namespace == namespace_parameter)


KIND_QUERIES = {
    stream_mapping.STREAM_KIND: KindQuery(
        select(*stream_mapping.STREAM_COLUMNS),
        StreamRow.name,
        StreamRow.namespace,
        lambda session, rows: load_stream_wires(session, rows, MAX_SHOWN_HISTORY),
    ),
    image_mapping.IMAGE_KIND: KindQuery(
        select(*image_mapping.IMAGE_COLUMNS),
        ImageRow.digest,
        None,
        lambda session, rows: [
            each.wire() for each in image_mapping.load_images_of_rows(session, rows)
        ],
    ),
    namespace_mapping.NAMESPACE_KIND: KindQuery(
        namespace_mapping.SELECT_NAMESPACES,
        NamespaceRow.name,
        None,
        lambda _, rows: [namespace_mapping.build_namespace(row).wire() for row in rows],
    ),
    secret_mapping.SECRET_KIND: KindQuery(
        secret_mapping.SELECT_SECRETS,
        SecretRow.name,
        SecretRow.namespace,
        lambda _, rows: [secret_mapping.sealed_wire(row) for row in rows],
    ),
    job_mapping.JOB_KIND: KindQuery(
        select(*job_mapping.JOB_COLUMNS),
        JobRow.name,
        JobRow.namespace,
        lambda _, rows: [build_import_job(job_mapping.build_job(row)).wire() for row in rows],
    ),
    registry_mapping.REGISTRY_KIND: KindQuery(
        registry_mapping.SELECT_REGISTRIES,
        RegistryRow.name,
        None,
        lambda _, rows: [registry_mapping.stored_wire(row) for row in rows],
    ),
    event_mapping.EVENT_KIND: KindQuery(
        event_mapping.SELECT_EVENTS,
        CoreEventRow.name,
        CoreEventRow.namespace,
        lambda _, rows: [event_mapping.build_core_event(row).wire() for row in rows],
    ),
}


def load_objects(
    session: Session, kind: str, keys: Iterable[ObjectKey]
) -> dict[ObjectKey, WireObject]:
    """Return those of the objects that are stored, by key."""
    kind_query = KIND_QUERIES[kind]
    by_namespace: dict[str, list[str]] = {}
    for namespace, name in dict.fromkeys(keys):
        by_namespace.setdefault(namespace, []).append(name)
    found: dict[ObjectKey, WireObject] = {}
    for namespace, names in by_namespace.items():
        for chunk in in_chunks(names):
            parameters = {"its_namespace": namespace, "its_names": chunk}
            rows = session.connection().execute(kind_query.by_names, parameters).all()
            found.update({key_of(each): each for each in kind_query.build(session, rows)})
    return found


def list_objects(
    session: Session,
    kind: str,
    *,
    namespace: str | None = None,
    after: ObjectKey | None = None,
    limit: int,
) -> list[WireObject]:
    """Return a page of a kind's current objects in the order of namespace and name."""
    kind_query = KIND_QUERIES[kind]
    page = kind_query.ordered(kind_query.after_key(kind_query.rows, namespace, after)).limit(limit)
    return kind_query.build(session, session.execute(page).all())


def count_objects(
    session: Session, kind: str, *, namespace: str | None = None, after: ObjectKey | None = None
) -> int:
    """Count the objects of a kind after the key `after`; stop at MAX_COUNT + 1."""
    kind_query = KIND_QUERIES[kind]
    found = (
        kind_query.after_key(select(kind_query.name), namespace, after)
        .limit(MAX_COUNT + 1)
        .subquery()
    )
    return session.scalar(select(func.count()).select_from(found)) or 0


def key_of(found: WireObject) -> ObjectKey:
    """Return namespace and name of an object."""
    metadata = found["metadata"]
    return metadata.get("namespace", ""), metadata["name"]
