"""The metadata of a stream as JSON text, from columns that hold JSON already."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from json import encoder
from typing import Any

# Returns repository and public repository of a stream, from namespace, name and spec repository.
DeriveRepositories = Callable[[str, str, str], tuple[str, str]]
# As `json.dumps(…, ensure_ascii=False)` writes a string.
quote_json: Callable[[str], str] = getattr(encoder, "c_encode_basestring", None) or (
    encoder.encode_basestring
)

_TRAILING_KEYS = (
    ("owner_references", "ownerReferences"),
    ("finalizers", "finalizers"),
    ("managed_fields", "managedFields"),
)


def print_metadata(row: Sequence[Any]) -> str:
    """Print ObjectMeta from the first nine columns of a row.

    They are namespace, name, uid, version, generation, created, labels, annotations and rest; the
    last three are the JSON text as it is stored.
    """
    namespace, name, uid, version, generation, created, labels, annotations, rest_json = row[:9]
    rest: dict[str, Any] = json.loads(rest_json) if rest_json else {}
    parts = [f'{{"name":{quote_json(name)}']
    if rest.get("generate_name"):
        parts.append(f'"generateName":{quote_json(rest["generate_name"])}')
    parts.append(f'"namespace":{quote_json(namespace)}')
    parts.append(f'"uid":"{format_uuid(uid)}","resourceVersion":"{version}"')
    if generation:
        parts.append(f'"generation":{generation}')
    parts.append(f'"creationTimestamp":"{created}"')
    if rest.get("deletion_timestamp"):
        parts.append(f'"deletionTimestamp":{quote_json(rest["deletion_timestamp"])}')
    if labels:
        parts.append(f'"labels":{labels}')
    if annotations:
        parts.append(f'"annotations":{annotations}')
    parts += [
        f'"{key}":{dump_json(rest[field])}' for field, key in _TRAILING_KEYS if rest.get(field)
    ]
    return ",".join(parts) + "}"


def format_uuid(uid: str) -> str:
    """Format a UUID with dashes; SQLite stores it without."""
    if len(uid) != 32:
        return uid
    return f"{uid[:8]}-{uid[8:12]}-{uid[12:16]}-{uid[16:20]}-{uid[20:]}"


def dump_json(value: Any) -> str:
    """Print JSON compactly, without escaping non-ASCII text."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
