"""The parts of ObjectMeta that have no column of their own, folded into one document."""

from __future__ import annotations

from typing import Any

from models.resources.meta import ObjectMeta
from models.resources.wire import format_time, is_empty, print_value
from models.store.database.bulk_statements import AnyRow

_RARE = (
    "generate_name",
    "deletion_timestamp",
    "owner_references",
    "finalizers",
    "managed_fields",
)


def rare_metadata(metadata: ObjectMeta) -> dict[str, Any]:
    """The rarer keys that are set, by field name."""
    found = {name: print_value(getattr(metadata, name)) for name in _RARE}
    return {name: value for name, value in found.items() if not is_empty(value)}


def metadata_wire(row: AnyRow, *, namespace: str = "", generation: int = 0) -> dict[str, Any]:
    """ObjectMeta on the wire, from a row with the columns that all kinds share."""
    rest = row.rest or {}
    whole = {
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
    return {key: value for key, value in whole.items() if value}


def parse_version(text: str) -> int:
    """A resource version as a number; -1 for a text that never was one."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else -1
