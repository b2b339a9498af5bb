"""`metadata.managedFields`: who owns which field of an object (`api.md` C9, tier 2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from api.patch.field_set import Changes, Path, read_fields, under, write_fields
from api.patch.merge_keys import api_version_of, is_tracked, shape_of
from models.resources.wire import format_time

APPLY, UPDATE = "Apply", "Update"
MOST_UPDATERS = 10
ANCIENT = "ancient-changes"  # the one that inherits from the oldest updaters
LONGEST_NAME = 128
_FORMAT = "FieldsV1"


@dataclass(frozen=True, slots=True)
class Owner:
    """One manager in one way of writing, and the fields that are its own."""

    manager: str
    operation: str
    api_version: str = ""
    subresource: str = ""
    time: str = ""
    fields: frozenset[Path] = frozenset()

    @property
    def key(self) -> tuple[str, str, str]:
        return (self.manager, self.operation, self.subresource)

    def __str__(self) -> str:
        """As conflicts name it."""
        text = f'"{self.manager}"'
        if self.subresource:
            text += f' with subresource "{self.subresource}"'
        if self.operation == UPDATE:
            text += f" using {self.api_version}"
            text += f" at {self.time}" if self.time else ""
        return text

    def wire(self) -> dict[str, Any]:
        """The entry of `managedFields`."""
        printed = {
            "manager": self.manager,
            "operation": self.operation,
            "apiVersion": self.api_version,
            "time": self.time,
            "fieldsType": _FORMAT,
            "fieldsV1": write_fields(self.fields),
            "subresource": self.subresource,
        }
        return {name: value for name, value in printed.items() if value != ""}


def choose_manager(field_manager: str, user_agent: str) -> str:
    """Who an ordinary write is by: the `fieldManager`, or the client's name (C9)."""
    name = field_manager or user_agent.partition("/")[0]
    return name[:LONGEST_NAME] or "unknown"


def own_changes(
    old: dict[str, Any] | None,
    new: dict[str, Any],
    *,
    manager: str,
    operation: str = UPDATE,
    now: datetime,
    subresource: str = "",
) -> dict[str, Any]:
    """`new` with managedFields in which `manager` owns all that differs from `old`.

    Nobody else owns what changed or went away. `new` may bring managedFields of its own, as
    kubectl's first server-side apply does; what cannot be read is left aside. A write that
    changes nothing leaves managedFields as they were.
    """
    before = old or {}
    kind = new.get("kind") or before.get("kind")
    if not isinstance(kind, str) or not is_tracked(kind) or not _has_metadata(new):
        return new
    owners, changes = (
        owners_after(before, new),
        Changes(before, new, shape_of(kind), subresource=subresource),
    )
    if not changes:
        return with_owners(new, owners, before)
    mine = Owner(manager, operation, api_version_of(kind), subresource, format_time(now))
    others = [_without(owner, changes) for owner in owners if owner.key != mine.key]
    kept = next((owner.fields for owner in owners if owner.key == mine.key), frozenset())
    fields = (kept | changes.changed) - under(kept, changes.removed)
    return with_owners(new, [*others, replace(mine, fields=fields)], before)


def _without(owner: Owner, changes: Changes) -> Owner:
    gone = under(owner.fields, changes.removed) if changes.removed else set()
    return replace(owner, fields=owner.fields - changes.changed - gone)


def owners_after(old: dict[str, Any], new: dict[str, Any]) -> list[Owner]:
    """The owners that a write starts from: those it brings, else those that there were.

    `[{}]` clears them, as in Kubernetes.
    """
    brought = new["metadata"].get("managedFields") if _has_metadata(new) else None
    if brought == [{}]:
        return []
    owners = read_owners(brought) if brought else None
    if owners is None:
        stored = old["metadata"].get("managedFields") if _has_metadata(old) else None
        owners = read_owners(stored)
    return owners or []


def read_owners(entries: Any) -> list[Owner] | None:
    """The entries of `managedFields`; None where one of them cannot be read."""
    if not isinstance(entries, list):
        return None
    try:
        return [_read_owner(entry) for entry in entries]
    except (ValueError, RecursionError):
        return None


def _read_owner(entry: Any) -> Owner:
    if not isinstance(entry, Mapping) or entry.get("operation") not in (APPLY, UPDATE):
        raise ValueError("an entry of managedFields has an operation")
    return Owner(
        manager=_text(entry, "manager"),
        operation=_text(entry, "operation"),
        api_version=_text(entry, "apiVersion"),
        subresource=_text(entry, "subresource"),
        time=_text(entry, "time"),
        fields=read_fields({} if entry.get("fieldsV1") is None else entry["fieldsV1"]),
    )


def _text(entry: Mapping[str, Any], name: str) -> str:
    value = entry.get(name) or ""
    if not isinstance(value, str):
        raise ValueError("an entry of managedFields is made of texts")  # noqa: TRY004 - as above
    return value


def with_owners(
    new: dict[str, Any], owners: Iterable[Owner], old: dict[str, Any]
) -> dict[str, Any]:
    """The object with these owners in its metadata; owners of nothing are left out.

    Where none is left, `[{}]` tells the writer to clear the stored ones.
    """
    kept = _bury([owner for owner in owners if owner.fields])
    kept.sort(key=lambda owner: (owner.operation, owner.time, owner.key))
    entries = [owner.wire() for owner in kept]
    metadata = {name: value for name, value in new["metadata"].items() if name != "managedFields"}
    had = _has_metadata(old) and old["metadata"].get("managedFields")
    if entries or had:
        metadata["managedFields"] = entries or [{}]
    return {**new, "metadata": metadata}


def _bury(owners: list[Owner]) -> list[Owner]:
    """At most ten updaters; the oldest lose their names."""
    updaters = [owner for owner in owners if owner.operation == UPDATE]
    if len(updaters) <= MOST_UPDATERS:
        return owners
    updaters.sort(key=lambda owner: (owner.manager != ANCIENT, owner.time))
    oldest = updaters[: len(updaters) - MOST_UPDATERS + 1]
    heirs: dict[str, Owner] = {}
    for owner in oldest:
        heir = heirs.get(owner.api_version, replace(owner, manager=ANCIENT, subresource=""))
        heirs[owner.api_version] = replace(
            heir, time=max(heir.time, owner.time), fields=heir.fields | owner.fields
        )
    return [*heirs.values(), *(owner for owner in owners if owner not in oldest)]


def _has_metadata(value: dict[str, Any]) -> bool:
    return isinstance(value.get("metadata"), dict)
