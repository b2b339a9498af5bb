"""Server-side apply: a manager sends all fields that it wants, and owns them (api-8.1, api-8.4)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

from api.codec.json_values import json_equal, json_type_name
from api.patch.field_set import (
    FieldChanges,
    FieldPath,
    elements_by_step,
    field_paths_of,
    format_fields_v1,
    format_path,
    ownable,
    path_step_of,
)
from api.patch.managed_fields import APPLY, FieldOwner, owners_before_write, with_owners
from api.patch.merge_keys import (
    MergeSchema,
    api_version_of,
    is_tracked,
    merge_schema_of,
    resource_of,
)
from models.api_errors import ApplyConflictError, BadRequestError
from models.errors import StreamConflictError
from models.resources.wire import format_time

MAX_REPORTED_ERRORS = 20  # type errors that one response names


def apply_server_side(
    current: dict[str, Any] | None,
    applied: dict[str, Any],
    *,
    manager: str,
    force: bool,
    kind: str,
    now: datetime,
    subresource: str = "",
) -> dict[str, Any]:
    """Return the object with the fields that `manager` applied, everything else as it was.

    What the manager applied before and no longer applies is removed, unless others own it too. A
    changed value that others own raises ApplyConflictError, or becomes the manager's by `force`
    (api-8.5). Kinds without managedFields are only merged. Neither argument is changed.
    """
    _check_applied(current, applied, kind)
    desired = _writable_part(applied, subresource)
    base = current if current is not None else _empty_object(kind)
    schema = merge_schema_of(kind)
    merged: dict[str, Any] = _merge_applied(base, desired, schema)
    if not is_tracked(kind) or not isinstance(merged.get("metadata"), dict):
        return merged
    owners = owners_before_write(base, base)
    own_entry = FieldOwner(manager, APPLY, api_version_of(kind), subresource, format_time(now))
    previous_entry = next((owner for owner in owners if owner.key == own_entry.key), own_entry)
    fields = frozenset(ownable(field_paths_of(desired, schema), subresource))
    others = _resolve_conflicts(
        [owner for owner in owners if owner.key != own_entry.key],
        FieldChanges(base, merged, schema, subresource=subresource).changed,
        force=force,
    )
    still_owned = fields.union(*(owner.fields for owner in others))
    if dropped := previous_entry.fields - still_owned:
        merged = _prune_dropped(
            merged, format_fields_v1(dropped), schema, (), _ancestor_paths(still_owned)
        )
    if previous_entry.fields == fields and json_equal(base, merged):
        # Nothing has changed, so the time stays too: a new time alone would be written.
        own_entry = previous_entry
    return with_owners(merged, [*others, replace(own_entry, fields=fields)], base)


def _check_applied(current: dict[str, Any] | None, applied: dict[str, Any], kind: str) -> None:
    metadata = applied.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    sent_type = applied.get("apiVersion", api_version_of(kind)), applied.get("kind", kind)
    if sent_type != (api_version_of(kind), kind):
        raise BadRequestError(f"invalid object type: {sent_type[0]}, Kind={sent_type[1]}")
    if metadata.get("managedFields"):
        raise BadRequestError("metadata.managedFields must be nil")
    name, namespace = metadata.get("name", ""), metadata.get("namespace", "")
    errors = [*_typing_errors(applied, merge_schema_of(kind), ())][:MAX_REPORTED_ERRORS]
    if errors:
        details = errors[0] if len(errors) == 1 else "errors:\n  " + "\n  ".join(errors)
        object_name = f"{namespace}/{name}; {api_version_of(kind)}, Kind={kind}"
        raise BadRequestError(f"failed to create typed patch object ({object_name}): {details}")
    if current is None and metadata.get("uid"):
        resource, group = resource_of(kind)
        raise StreamConflictError(
            f"uid mismatch: the provided object specified uid {metadata['uid']}, and no existing "
            "object was found",
            name=str(name),
            resource=resource,
            group=group,
        )


def _typing_errors(value: Any, schema: MergeSchema, path: FieldPath) -> Iterator[str]:
    """Yield why a value cannot be merged: a wrong type, or list elements without unique keys."""
    expected = {"object": dict, "list": list}.get(schema.kind)
    if value is None:
        return
    if expected is not None and not isinstance(value, expected):
        type_name = "map" if expected is dict else "list"
        yield f"{format_path(path)}: expected {type_name}, got {json_type_name(value)}"
    elif isinstance(value, dict) and not schema.atomic:
        for name, item in value.items():
            yield from _typing_errors(item, schema.member(name), (*path, f"f:{name}"))
    elif isinstance(value, list) and (schema.apply_key or schema.is_set):
        yield from _element_errors(value, schema, path)


def _element_errors(elements: list[Any], schema: MergeSchema, path: FieldPath) -> Iterator[str]:
    seen: set[str] = set()
    for position, element in enumerate(elements):
        step = path_step_of(element, schema)
        if step is None:
            yield (
                f"{format_path(path)}: element {position}: associative list with keys has an "
                f'element that omits key field "{schema.apply_key}"'
                if schema.apply_key
                else f"{format_path(path)}: element {position}: expected a plain value"
            )
        elif step in seen:
            yield f"{format_path(path)}: duplicate entries for key {format_path((step,))}"
        elif schema.apply_key:
            yield from _typing_errors(element, schema.element, (*path, step))
        seen.add(step or "")


def _writable_part(applied: dict[str, Any], subresource: str) -> dict[str, Any]:
    """Return the part of an applied object that may be written: its status, or all else."""
    writes_status = subresource == "status"
    common = {"kind", "apiVersion", "metadata"}
    writable = {
        name: value
        for name, value in applied.items()
        if name in common or (name == "status") == writes_status
    }
    if isinstance(metadata := writable.get("metadata"), dict):
        writable["metadata"] = {k: v for k, v in metadata.items() if k != "managedFields"}
    return writable


def _empty_object(kind: str) -> dict[str, Any]:
    return {"kind": kind, "apiVersion": api_version_of(kind), "metadata": {}}


def _merge_applied(current: Any, applied: Any, schema: MergeSchema) -> Any:
    if isinstance(applied, dict) and not schema.atomic:
        merged = dict(current) if isinstance(current, dict) else {}
        for name, value in applied.items():
            if value is not None:  # null counts as absent
                merged[name] = _merge_applied(merged.get(name), value, schema.member(name))
        return merged
    before, desired = elements_by_step(current, schema), elements_by_step(applied, schema)
    if before is None or desired is None:
        return applied
    elements = dict(before)
    for step, element in desired.items():
        elements[step] = _merge_applied(before.get(step), element, schema.element)
    return [*elements.values()]


def _resolve_conflicts(
    owners: list[FieldOwner], changed: set[FieldPath], *, force: bool
) -> list[FieldOwner]:
    """Return the other owners without what changed. Raises ApplyConflictError unless `force`."""
    conflicts = [
        (str(owner), format_path(path))
        for owner in owners
        for path in sorted(owner.fields & changed)
    ]
    if conflicts and not force:
        raise ApplyConflictError(conflicts)
    return [replace(owner, fields=owner.fields - changed) for owner in owners]


def _ancestor_paths(paths: frozenset[FieldPath]) -> set[FieldPath]:
    """Return the paths, and the paths of all their ancestors."""
    return {path[:end] for path in paths for end in range(1, len(path) + 1)}


def _prune_dropped(
    value: Any, dropped: Any, schema: MergeSchema, path: FieldPath, still_owned: set[FieldPath]
) -> Any:
    """Return the value without the dropped fields, which are given as a fieldsV1 tree.

    A value of which another manager owns a part stays; an object that becomes empty is removed.
    """
    if not dropped:
        return value
    if isinstance(value, dict) and not schema.atomic:
        return _prune_members(value, dropped, schema, path, still_owned)
    elements = elements_by_step(value, schema)
    if elements is None:
        return value
    remaining = []
    for step, element in elements.items():
        tree, inner = dropped.get(step), (*path, step)
        if tree is not None and _is_owned(tree) and inner not in still_owned:
            continue
        if tree and schema.apply_key:
            other_fields = {
                part: sub for part, sub in tree.items() if part != f"f:{schema.apply_key}"
            }
            remaining.append(
                _prune_dropped(element, other_fields, schema.element, inner, still_owned)
            )
        else:
            remaining.append(element)
    return remaining


def _prune_members(
    value: dict[str, Any],
    dropped: dict[str, Any],
    schema: MergeSchema,
    path: FieldPath,
    still_owned: set[FieldPath],
) -> dict[str, Any]:
    remaining = {}
    for name, item in value.items():
        inner = (*path, f"f:{name}")
        tree = dropped.get(inner[-1])
        if tree is None:
            remaining[name] = item
            continue
        pruned = _prune_dropped(item, tree, schema.member(name), inner, still_owned)
        if isinstance(pruned, dict) and not schema.member(name).atomic:
            is_removed = not pruned and bool(path) and inner not in still_owned
        else:
            is_removed = _is_owned(tree)
        if not is_removed:
            remaining[name] = pruned
    return remaining


def _is_owned(tree: dict[str, Any]) -> bool:
    return not tree or "." in tree
