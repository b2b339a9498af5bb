"""Conversion between a Namespace and its row."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from models.resources.core import ACTIVE, Namespace, NamespaceSpec, NamespaceStatus
from models.resources.meta import ObjectMeta
from models.store.database.bulk_statements import AnyRow
from models.store.database.object_metadata import metadata_without_columns
from models.store.tables.access import NamespaceRow

NAMESPACE_KIND = "Namespace"
SELECT_NAMESPACES = select(
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
    """Return the columns of a namespace that a write may change."""
    metadata = namespace.metadata
    return {
        "labels": metadata.labels or None,
        "annotations": metadata.annotations or None,
        "rest": metadata_without_columns(metadata) or None,
        "phase": namespace.status.phase or ACTIVE,
    }


def build_namespace(row: AnyRow) -> Namespace:
    """Build the namespace from a row of SELECT_NAMESPACES."""
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
