"""`metadata.managedFields`: which manager owns which fields of an object (api-8.4, api-8.6)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from api.patch.field_set import (
    FieldChanges,
    FieldPath,
    format_fields_v1,
    parse_fields_v1,
    paths_under,
)
from api.patch.merge_keys import api_version_of, is_tracked, merge_schema_of
from models.resources.wire import format_time

APPLY, UPDATE = "Apply", "Update"
MAX_UPDATE_MANAGERS = 10
ANCIENT_MANAGER = "ancient-changes"  # takes over the fields of the oldest updaters
MAX_MANAGER_NAME_LENGTH = 128
_FORMAT = "FieldsV1"


@dataclass(frozen=True, slots=True)
class FieldOwner:
    """One entry of `managedFields`: a manager, its operation, and the fields that it owns."""

    manager: str
    operation: str
    api_version: str = ""
    subresource: str = ""
    time: str = ""
    fields: frozenset[FieldPath] = frozenset()

    @property
    def key(self) -> tuple[str, str, str]:
        return (self.manager, self.operation, self.subresource)

    def __str__(self) -> str:
        """Return the owner as conflicts name it."""
        text = f'"{self.manager}"'
        if self.subresource:
            text += f' with subresource "{self.subresource}"'
        if self.operation == UPDATE:
            text += f" using {self.api_version}"
            text += f" at {self.time}" if self.time else ""
        return text

    def wire(self) -> dict[str, Any]:
        """Return the entry of `managedFields`."""
        printed = {
            "manager": self.manager,
            "operation": self.operation,
            "apiVersion": self.api_version,
            "time": self.time,
            "fieldsType": _FORMAT,
            "fieldsV1": format_fields_v1(self.fields),
            "subresource": self.subresource,
        }
        return {name: value for name, value in printed.items() if value != ""}


def choose_manager(field_manager: str, user_agent: str) -> str:
    """Return the manager of an ordinary write: `fieldManager`, or the client's name (api-8.6)."""
    name = field_manager or user_agent.partition("/")[0]
    return name[:MAX_MANAGER_NAME_LENGTH] or "unknown"


def update_managed_fields(
    old: dict[str, Any] | None,
    new: dict[str, Any],
    *,
    manager: str,
    operation: str = UPDATE,
    now: datetime,
    subresource: str = "",
) -> dict[str, Any]:
    """Return `new` with managedFields in which `manager` owns everything that differs from `old`.

    All other managers lose what was changed or removed. `new` may bring managedFields of its own,
    as kubectl's first server-side apply does; malformed ones are ignored. A write that changes
    nothing leaves managedFields as they are.
    """
    old_object = old or {}
    kind = new.get("kind") or old_object.get("kind")
    if not isinstance(kind, str) or not is_tracked(kind) or not _has_metadata(new):
        return new
    owners, changes = (
        owners_before_write(old_object, new),
        FieldChanges(old_object, new, merge_schema_of(kind), subresource=subresource),
    )
    if not changes:
        return with_owners(new, owners, old_object)
    own_entry = FieldOwner(manager, operation, api_version_of(kind), subresource, format_time(now))
    others = [_without_changes(owner, changes) for owner in owners if owner.key != own_entry.key]
    previously_owned = next(
        (owner.fields for owner in owners if owner.key == own_entry.key), frozenset()
    )
    fields = (previously_owned | changes.changed) - paths_under(previously_owned, changes.removed)
    return with_owners(new, [*others, replace(own_entry, fields=fields)], old_object)


def _without_changes(owner: FieldOwner, changes: FieldChanges) -> FieldOwner:
    removed = paths_under(owner.fields, changes.removed) if changes.removed else set()
    return replace(owner, fields=owner.fields - changes.changed - removed)


def owners_before_write(old: dict[str, Any], new: dict[str, Any]) -> list[FieldOwner]:
    """Return the owners that a write starts from: those of `new`, else the stored ones.

    `[{}]` clears them, as in Kubernetes.
    """
    sent_entries = new["metadata"].get("managedFields") if _has_metadata(new) else None
    if sent_entries == [{}]:
        return []
    owners = parse_owners(sent_entries) if sent_entries else None
    if owners is None:
        stored = old["metadata"].get("managedFields") if _has_metadata(old) else None
        owners = parse_owners(stored)
    return owners or []


def parse_owners(entries: Any) -> list[FieldOwner] | None:
    """Return the entries of `managedFields`, or None if one of them is malformed."""
    if not isinstance(entries, list):
        return None
    try:
        return [_parse_owner(entry) for entry in entries]
    except (ValueError, RecursionError):
        return None


def _parse_owner(entry: Any) -> FieldOwner:
    if not isinstance(entry, Mapping) or entry.get("operation") not in (APPLY, UPDATE):
        raise ValueError("an entry of managedFields has no known operation")
    return FieldOwner(
        manager=_text(entry, "manager"),
        operation=_text(entry, "operation"),
        api_version=_text(entry, "apiVersion"),
        subresource=_text(entry, "subresource"),
        time=_text(entry, "time"),
        fields=parse_fields_v1({} if entry.get("fieldsV1") is None else entry["fieldsV1"]),
    )


def _text(entry: Mapping[str, Any], name: str) -> str:
    value = entry.get(name) or ""
    if not isinstance(value, str):
        raise ValueError(f"{name} of managedFields is not a string")  # noqa: TRY004 - as above
    return value


def with_owners(
    new: dict[str, Any], owners: Iterable[FieldOwner], old: dict[str, Any]
) -> dict[str, Any]:
    """Return the object with these owners in its metadata; owners of no field are left out.

    If none is left, `[{}]` makes the write clear the stored ones.
    """
    owning = _merge_oldest_updaters([owner for owner in owners if owner.fields])
    owning.sort(key=lambda owner: (owner.operation, owner.time, owner.key))
    entries = [owner.wire() for owner in owning]
    metadata = {name: value for name, value in new["metadata"].items() if name != "managedFields"}
    had_entries = _has_metadata(old) and old["metadata"].get("managedFields")
    if entries or had_entries:
        metadata["managedFields"] = entries or [{}]
    return {**new, "metadata": metadata}


def _merge_oldest_updaters(owners: list[FieldOwner]) -> list[FieldOwner]:
    """Return at most ten updaters; the oldest are merged into `ancient-changes` (api-8.6)."""
    updaters = [owner for owner in owners if owner.operation == UPDATE]
    if len(updaters) <= MAX_UPDATE_MANAGERS:
        return owners
    updaters.sort(key=lambda owner: (owner.manager != ANCIENT_MANAGER, owner.time))
    oldest = updaters[: len(updaters) - MAX_UPDATE_MANAGERS + 1]
    merged_owners: dict[str, FieldOwner] = {}
    for owner in oldest:
        merged_owner = merged_owners.get(
            owner.api_version, replace(owner, manager=ANCIENT_MANAGER, subresource="")
        )
        merged_owners[owner.api_version] = replace(
            merged_owner,
            time=max(merged_owner.time, owner.time),
            fields=merged_owner.fields | owner.fields,
        )
    return [*merged_owners.values(), *(owner for owner in owners if owner not in oldest)]


def _has_metadata(value: dict[str, Any]) -> bool:
    return isinstance(value.get("metadata"), dict)
