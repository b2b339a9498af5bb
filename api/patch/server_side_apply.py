"""Server-side apply: somebody says all of what they want, and owns what they said (`api.md` C9)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

from api.codec.json_values import describe_json, same_json
from api.patch.field_set import (
    Changes,
    Path,
    elements_of,
    fields_of,
    format_path,
    owned,
    step_of,
    write_fields,
)
from api.patch.managed_fields import APPLY, Owner, owners_after, with_owners
from api.patch.merge_keys import Shape, api_version_of, is_tracked, resource_of, shape_of
from models.api_errors import ApplyConflictError, BadRequestError
from models.errors import StreamConflictError
from models.resources.wire import format_time

MOST_TOLD = 20  # conflicts and typing errors that one answer names


def apply_object(
    current: dict[str, Any] | None,
    applied: dict[str, Any],
    *,
    manager: str,
    force: bool,
    kind: str,
    now: datetime,
    subresource: str = "",
) -> dict[str, Any]:
    """The object as `manager` wants it, everything else as it was.

    What the manager applied before and no longer does goes away, unless others own it too.
    Values that others own are an ApplyConflictError, or become the manager's by `force`. Kinds
    whose objects remember no owners are only merged. Neither argument is changed.
    """
    _check_applied(current, applied, kind)
    wanted = _wanted(applied, subresource)
    base = current if current is not None else _nameplate(kind)
    shape = shape_of(kind)
    merged: dict[str, Any] = _merge(base, wanted, shape)
    if not is_tracked(kind) or not isinstance(merged.get("metadata"), dict):
        return merged
    owners = owners_after(base, base)
    mine = Owner(manager, APPLY, api_version_of(kind), subresource, format_time(now))
    last = next((owner for owner in owners if owner.key == mine.key), mine)
    fields = frozenset(owned(fields_of(wanted, shape), subresource))
    others = _yielding(
        [owner for owner in owners if owner.key != mine.key],
        Changes(base, merged, shape, subresource=subresource).changed,
        force=force,
    )
    kept = fields.union(*(owner.fields for owner in others))
    if dropped := last.fields - kept:
        merged = _prune(merged, write_fields(dropped), shape, (), _places(kept))
    if last.fields == fields and same_json(base, merged):
        mine = last  # nothing new: not even the time, so that nothing is written
    return with_owners(merged, [*others, replace(mine, fields=fields)], base)


def _check_applied(current: dict[str, Any] | None, applied: dict[str, Any], kind: str) -> None:
    metadata = applied.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    given = applied.get("apiVersion", api_version_of(kind)), applied.get("kind", kind)
    if given != (api_version_of(kind), kind):
        raise BadRequestError(f"invalid object type: {given[0]}, Kind={given[1]}")
    if metadata.get("managedFields"):
        raise BadRequestError("metadata.managedFields must be nil")
    name, namespace = metadata.get("name", ""), metadata.get("namespace", "")
    errors = [*_typing_errors(applied, shape_of(kind), ())][:MOST_TOLD]
    if errors:
        told = errors[0] if len(errors) == 1 else "errors:\n  " + "\n  ".join(errors)
        place = f"{namespace}/{name}; {api_version_of(kind)}, Kind={kind}"
        raise BadRequestError(f"failed to create typed patch object ({place}): {told}")
    if current is None and metadata.get("uid"):
        resource, group = resource_of(kind)
        raise StreamConflictError(
            f"uid mismatch: the provided object specified uid {metadata['uid']}, and no existing "
            "object was found",
            name=str(name),
            resource=resource,
            group=group,
        )


def _typing_errors(value: Any, shape: Shape, path: Path) -> Iterator[str]:
    """What keeps a value from being merged: a wrong type, or elements that are not told apart."""
    expected = {"object": dict, "list": list}.get(shape.kind)
    if value is None:
        return
    if expected is not None and not isinstance(value, expected):
        word = "map" if expected is dict else "list"
        yield f"{format_path(path)}: expected {word}, got {describe_json(value)}"
    elif isinstance(value, dict) and not shape.atomic:
        for name, item in value.items():
            yield from _typing_errors(item, shape.member(name), (*path, f"f:{name}"))
    elif isinstance(value, list) and (shape.apply_key or shape.is_set):
        yield from _element_errors(value, shape, path)


def _element_errors(elements: list[Any], shape: Shape, path: Path) -> Iterator[str]:
    seen: set[str] = set()
    for position, element in enumerate(elements):
        step = step_of(element, shape)
        if step is None:
            yield (
                f"{format_path(path)}: element {position}: associative list with keys has an "
                f'element that omits key field "{shape.apply_key}"'
                if shape.apply_key
                else f"{format_path(path)}: element {position}: expected a plain value"
            )
        elif step in seen:
            yield f"{format_path(path)}: duplicate entries for key {format_path((step,))}"
        elif shape.apply_key:
            yield from _typing_errors(element, shape.element, (*path, step))
        seen.add(step or "")


def _wanted(applied: dict[str, Any], subresource: str) -> dict[str, Any]:
    """What of an applied object counts here: the half of it that may be written."""
    status = subresource == "status"
    common = {"kind", "apiVersion", "metadata"}
    wanted = {
        name: value
        for name, value in applied.items()
        if name in common or (name == "status") == status
    }
    if isinstance(metadata := wanted.get("metadata"), dict):
        wanted["metadata"] = {k: v for k, v in metadata.items() if k != "managedFields"}
    return wanted


def _nameplate(kind: str) -> dict[str, Any]:
    return {"kind": kind, "apiVersion": api_version_of(kind), "metadata": {}}


def _merge(current: Any, applied: Any, shape: Shape) -> Any:
    if isinstance(applied, dict) and not shape.atomic:
        merged = dict(current) if isinstance(current, dict) else {}
        for name, value in applied.items():
            if value is not None:  # says nothing
                merged[name] = _merge(merged.get(name), value, shape.member(name))
        return merged
    before, wanted = elements_of(current, shape), elements_of(applied, shape)
    if before is None or wanted is None:
        return applied
    elements = dict(before)
    for step, element in wanted.items():
        elements[step] = _merge(before.get(step), element, shape.element)
    return [*elements.values()]


def _yielding(owners: list[Owner], changed: set[Path], *, force: bool) -> list[Owner]:
    """The others after they gave up what changed, which they only do by force."""
    conflicts = [
        (str(owner), format_path(path))
        for owner in owners
        for path in sorted(owner.fields & changed)
    ]
    if conflicts and not force:
        raise ApplyConflictError(conflicts)
    return [replace(owner, fields=owner.fields - changed) for owner in owners]


def _places(paths: frozenset[Path]) -> set[Path]:
    """Every place that holds one of the fields."""
    return {path[:end] for path in paths for end in range(1, len(path) + 1)}


def _prune(value: Any, dropped: Any, shape: Shape, path: Path, kept: set[Path]) -> Any:
    """The value without the dropped fields, which come as their tree.

    What somebody still owns a part of stays; what is emptied goes.
    """
    if not dropped:
        return value
    if isinstance(value, dict) and not shape.atomic:
        return _prune_members(value, dropped, shape, path, kept)
    elements = elements_of(value, shape)
    if elements is None:
        return value
    left = []
    for step, element in elements.items():
        tree, inner = dropped.get(step), (*path, step)
        if tree is not None and _is_member(tree) and inner not in kept:
            continue
        if tree and shape.apply_key:
            rest = {part: sub for part, sub in tree.items() if part != f"f:{shape.apply_key}"}
            left.append(_prune(element, rest, shape.element, inner, kept))
        else:
            left.append(element)
    return left


def _prune_members(
    value: dict[str, Any], dropped: dict[str, Any], shape: Shape, path: Path, kept: set[Path]
) -> dict[str, Any]:
    left = {}
    for name, item in value.items():
        inner = (*path, f"f:{name}")
        tree = dropped.get(inner[-1])
        if tree is None:
            left[name] = item
            continue
        rest = _prune(item, tree, shape.member(name), inner, kept)
        if isinstance(rest, dict) and not shape.member(name).atomic:
            gone = not rest and bool(path) and inner not in kept
        else:
            gone = _is_member(tree)
        if not gone:
            left[name] = rest
    return left


def _is_member(tree: dict[str, Any]) -> bool:
    return not tree or "." in tree
