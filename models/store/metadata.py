"""The parts of ObjectMeta that have no column of their own, folded into one document."""

from __future__ import annotations

from typing import Any

from models.resources.base import is_empty, print_value
from models.resources.meta import ObjectMeta

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


def parse_version(text: str) -> int:
    """A resource version as a number; -1 for a text that never was one."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else -1
