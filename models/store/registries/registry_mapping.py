"""Conversion between a Registry and its row, without the status that workers report."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from models.resources.meta import ObjectMeta
from models.resources.registries import Registry, RegistrySpec
from models.store.database.bulk_statements import AnyRow
from models.store.database.object_metadata import metadata_without_columns
from models.store.tables.registries import RegistryRow
from models.streams.registries.registry_mirrors import normalise_scope

REGISTRY_KIND = "Registry"
SELECT_REGISTRIES = select(
    RegistryRow.id,
    RegistryRow.name,
    RegistryRow.scope,
    RegistryRow.uid,
    RegistryRow.version,
    RegistryRow.generation,
    RegistryRow.created,
    RegistryRow.labels,
    RegistryRow.annotations,
    RegistryRow.rest,
    RegistryRow.spec,
)


def registry_values(registry: Registry) -> dict[str, Any]:
    """Return the columns of a registry that a write may change."""
    metadata = registry.metadata
    return {
        "scope": normalise_scope(registry.spec.host),
        "labels": metadata.labels or None,
        "annotations": metadata.annotations or None,
        "rest": metadata_without_columns(metadata) or None,
        "spec": registry.spec.wire(),
    }


def build_registry(row: AnyRow) -> Registry:
    """Build the registry from a row of SELECT_REGISTRIES, without its status."""
    return Registry(
        metadata=ObjectMeta(
            name=row.name,
            uid=str(row.uid),
            resource_version=str(row.version),
            generation=row.generation,
            creation_timestamp=row.created,
            labels=row.labels or {},
            annotations=row.annotations or {},
            **(row.rest or {}),
        ),
        spec=RegistrySpec.model_validate(row.spec),
    )


def stored_wire(row: AnyRow) -> dict[str, Any]:
    """Return a row of SELECT_REGISTRIES in the wire form of the undo log: without status."""
    return build_registry(row).wire() | {"status": {}}
