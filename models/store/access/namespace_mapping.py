"""Between a Namespace and its row."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from models.resources.core import ACTIVE, Namespace, NamespaceSpec, NamespaceStatus
from models.resources.meta import ObjectMeta
from models.store.database.bulk_statements import AnyRow
from models.store.database.object_metadata import rare_metadata
from models.store.tables.access import NamespaceRow

KIND = "Namespace"
NAMESPACES = select(
    NamespaceRow.id,
    NamespaceRow.name,
    NamespaceRow.uid,
    NamespaceRow.version,
    NamespaceRow.created,
    NamespaceRow.labels,
    NamespaceRow.annotations,
    NamespaceRow.rest,
    NamespaceRow.phase,
)


def namespace_values(namespace: Namespace) -> dict[str, Any]:
    """The columns of a namespace that a write may change."""
    metadata = namespace.metadata
    return {
        "labels": metadata.labels or None,
        "annotations": metadata.annotations or None,
        "rest": rare_metadata(metadata) or None,
        "phase": namespace.status.phase or ACTIVE,
    }


def build_namespace(row: AnyRow) -> Namespace:
    """The namespace of a row of NAMESPACES."""
    return Namespace(
        metadata=ObjectMeta(
            name=row.name,
            uid=str(row.uid),
            resource_version=str(row.version),
            creation_timestamp=row.created,
            labels=row.labels or {},
            annotations=row.annotations or {},
            **(row.rest or {}),
        ),
        spec=NamespaceSpec(finalizers=["kubernetes"] if row.phase == ACTIVE else []),
        status=NamespaceStatus(phase=row.phase),
    )
