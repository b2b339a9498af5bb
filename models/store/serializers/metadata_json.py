"""The metadata of a stream as JSON text, from columns that hold JSON already."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from json import encoder
from typing import Any

# Repository and public repository of a stream, by namespace, name and what its spec says.
Addresses = Callable[[str, str, str], tuple[str, str]]
# As `json.dumps(…, ensure_ascii=False)` writes a string.
quote: Callable[[str], str] = getattr(encoder, "c_encode_basestring", None) or (
    encoder.encode_basestring
)

_LATE = (
    ("owner_references", "ownerReferences"),
    ("finalizers", "finalizers"),
    ("managed_fields", "managedFields"),
)


def print_metadata(row: Sequence[Any]) -> str:
    """ObjectMeta, from the first columns of a row: namespace, name, uid, version, generation,
    created, labels, annotations and rest, the last three as the text that is stored.
    """
    namespace, name, uid, version, generation, created, labels, annotations, kept = row[:9]
    rest: dict[str, Any] = json.loads(kept) if kept else {}
    parts = [f'{{"name":{quote(name)}']
    if rest.get("generate_name"):
        parts.append(f'"generateName":{quote(rest["generate_name"])}')
    parts.append(f'"namespace":{quote(namespace)}')
    parts.append(f'"uid":"{dashed(uid)}","resourceVersion":"{version}"')
    if generation:
        parts.append(f'"generation":{generation}')
    parts.append(f'"creationTimestamp":"{created}"')
    if rest.get("deletion_timestamp"):
        parts.append(f'"deletionTimestamp":{quote(rest["deletion_timestamp"])}')
    if labels:
        parts.append(f'"labels":{labels}')
    if annotations:
        parts.append(f'"annotations":{annotations}')
    parts += [f'"{key}":{dump(rest[field])}' for field, key in _LATE if rest.get(field)]
    return ",".join(parts) + "}"


def dashed(uid: str) -> str:
    """A UUID as it is shown; SQLite keeps it without its dashes."""
    if len(uid) != 32:
        return uid
    return f"{uid[:8]}-{uid[8:12]}-{uid[12:16]}-{uid[16:20]}-{uid[20:]}"


def dump(value: Any) -> str:
    """JSON as it is shown."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
