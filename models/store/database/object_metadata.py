"""The fields of ObjectMeta that have no column of their own, stored as one JSON document."""

from __future__ import annotations

from typing import Any

from models.resources.meta import ObjectMeta
from models.resources.wire import format_time, is_empty, print_value
from models.store.database.bulk_statements import AnyRow

_FIELDS_WITHOUT_COLUMN = (
    "generate_name",
    "deletion_timestamp",
    "owner_references",
    "finalizers",
    "managed_fields",
)


def metadata_without_columns(metadata: ObjectMeta) -> dict[str, Any]:
    """Return the fields that are set and have no column, by field name."""
    found = {name: print_value(getattr(metadata, name)) for name in _FIELDS_WITHOUT_COLUMN}
    return {name: value for name, value in found.items() if not is_empty(value)}


def metadata_wire(row: AnyRow, *, namespace: str = "", generation: int = 0) -> dict[str, Any]:
    """Return ObjectMeta in wire form, from a row with the columns that all kinds share."""
    rest = row.rest or {}
    metadata = {
        "name": row.name,
        "generateName": rest.get("generate_name"),
        "namespace": namespace,
        "uid": str(row.uid),
        "resourceVersion": str(row.version),
        "generation": generation,
        "creationTimestamp": format_time(row.created),
        "deletionTimestamp": rest.get("deletion_timestamp"),
        "labels": row.labels,
        "annotations": row.annotations,
        "ownerReferences": rest.get("owner_references"),
        "finalizers": rest.get("finalizers"),
        "managedFields": rest.get("managed_fields"),
    }
    return {key: value for key, value in metadata.items() if value}


def parse_version(text: str) -> int:
    """Parse a resource version as a number; return -1 for a text that is not one."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else -1
