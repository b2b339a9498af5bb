"""Sets of field paths of an object, in the notation of `fieldsV1` in managedFields (api-8.4).

A path is a tuple of fieldsV1 steps: `f:spec`, `k:{"name":"v1"}`, `v:"x.io/y"`. A set of paths is
what one manager owns. In the tree form, `.` marks a node that is owned and has owned children.
Example: the paths `f:spec` and `f:spec f:tags` become `{"f:spec": {".": {}, "f:tags": {}}}`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from api.codec.json_values import json_equal
from api.patch.merge_keys import MergeSchema

FieldPath = tuple[str, ...]
_OWNED_MARKER = "."
# Not owned by any manager: they are set by the server, or identify the object.
_UNOWNED_FIELDS = frozenset(
    f"f:{name}"
    for name in (
        "name",
        "generateName",
        "namespace",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
        "managedFields",
    )
)


def field_paths_of(value: Any, schema: MergeSchema, path: FieldPath = ()) -> Iterator[FieldPath]:
    """Yield the path of every field that a value sets; null sets none."""
    if isinstance(value, dict) and value and not schema.atomic:
        for name, item in value.items():
            if item is not None:
                yield from field_paths_of(item, schema.member(name), (*path, f"f:{name}"))
        return
    elements = elements_by_step(value, schema)
    if elements is None:
        if path and value is not None:
            yield path
        return
    for step, element in elements.items():
        yield (*path, step)
        if schema.apply_key:
            yield from field_paths_of(element, schema.element, (*path, step))


def elements_by_step(value: Any, schema: MergeSchema) -> dict[str, Any] | None:
    """Return a list's elements by their steps.

    None if the list is atomic, or if its elements have no unique keys.
    """
    if not isinstance(value, list) or not (schema.apply_key or schema.is_set):
        return None
    steps = [path_step_of(element, schema) for element in value]
    if None in steps or len(set(steps)) < len(steps):
        return None
    return {step: element for step, element in zip(steps, value, strict=True) if step}


def path_step_of(element: Any, schema: MergeSchema) -> str | None:
    """Return the fieldsV1 step of a list element; None if it has none."""
    if schema.is_set:
        return None if isinstance(element, dict | list) else f"v:{_compact_json(element)}"
    key = element.get(schema.apply_key) if isinstance(element, dict) else None
    if key is None or isinstance(key, dict | list):
        return None
    return f"k:{_compact_json({schema.apply_key: key})}"


class FieldChanges:
    """The difference of two versions of an object: the changed paths and the removed paths."""

    def __init__(self, old: Any, new: Any, schema: MergeSchema, *, subresource: str = "") -> None:
        self.changed: set[FieldPath] = set()
        self.removed: set[FieldPath] = set()
        self._compare(old, new, schema, ())
        self.changed = ownable(self.changed, subresource)
        self.removed = ownable(self.removed, subresource)

    def __bool__(self) -> bool:
        return bool(self.changed or self.removed)

    def _compare(self, old: Any, new: Any, schema: MergeSchema, path: FieldPath) -> None:
        if old is new:
            return
        if isinstance(old, dict) and isinstance(new, dict) and not schema.atomic:
            for name in old.keys() | new.keys():
                step = (*path, f"f:{name}")
                self._compare(old.get(name), new.get(name), schema.member(name), step)
            return
        before, after = elements_by_step(old, schema), elements_by_step(new, schema)
        if before is not None and after is not None:
            self._compare_elements(before, after, schema, path)
        elif not json_equal(old, new):
            old_paths, new_paths = (
                {*field_paths_of(old, schema, path)},
                {*field_paths_of(new, schema, path)},
            )
            self.removed |= old_paths - new_paths
            self.changed |= new_paths

    def _compare_elements(
        self, before: dict[str, Any], after: dict[str, Any], schema: MergeSchema, path: FieldPath
    ) -> None:
        for step in before.keys() | after.keys():
            inner = (*path, step)
            if step not in before:
                self.changed |= {inner, *self._element_paths(after[step], schema, inner)}
            elif step not in after:
                self.removed |= {inner, *self._element_paths(before[step], schema, inner)}
            elif schema.apply_key:
                self._compare(before[step], after[step], schema.element, inner)

    @staticmethod
    def _element_paths(element: Any, schema: MergeSchema, path: FieldPath) -> Iterable[FieldPath]:
        return field_paths_of(element, schema.element, path) if schema.apply_key else ()


def ownable(paths: Iterable[FieldPath], subresource: str = "") -> set[FieldPath]:
    """Return the paths that a manager can own when it writes the object or its `/status`."""
    return {path for path in paths if _is_ownable(path, subresource)}


def _is_ownable(path: FieldPath, subresource: str) -> bool:
    if path[0] in {"f:kind", "f:apiVersion"}:
        return False
    if path[0] == "f:metadata":
        return len(path) > 1 and path[1] not in _UNOWNED_FIELDS
    return (path[0] == "f:status") == (subresource == "status")


def paths_under(paths: Iterable[FieldPath], roots: set[FieldPath]) -> set[FieldPath]:
    """Return the paths that are one of `roots`, or below one."""
    return {path for path in paths if any(path[:end] in roots for end in range(1, len(path) + 1))}


def parse_fields_v1(tree: Any) -> frozenset[FieldPath]:
    """Return the paths of a fieldsV1 tree. Raises ValueError if it is malformed."""
    return frozenset(_parse_tree(tree, ()))


def _parse_tree(tree: Any, path: FieldPath) -> Iterator[FieldPath]:
    if not isinstance(tree, Mapping):
        raise ValueError("fieldsV1 consists of objects")  # noqa: TRY004 - one type for all errors
    if path and (not tree or _OWNED_MARKER in tree):
        yield path
    for step, inner in tree.items():
        if step == _OWNED_MARKER:
            continue
        if step[:2] not in {"f:", "k:", "v:", "i:"}:
            raise ValueError("fieldsV1 has an unknown step")
        if step[0] in "kvi":
            _check_step(step)
        yield from _parse_tree(inner, (*path, step))


def _check_step(step: str) -> None:
    found = json.loads(step[2:])
    if step[0] == "k" and not isinstance(found, dict):
        raise ValueError("fieldsV1 has a key that is not an object")


def format_fields_v1(paths: Iterable[FieldPath]) -> dict[str, Any]:
    """Return the fieldsV1 tree of paths."""
    root: dict[str, Any] = {}
    for path in sorted(paths):  # a path comes before those below it
        node = root
        for step in path:
            node = node.setdefault(step, {})
        node[_OWNED_MARKER] = {}
    return {step: _strip_markers(inner) for step, inner in root.items()}


def _strip_markers(tree: dict[str, Any]) -> dict[str, Any]:
    """Return the tree without the marker of nodes that have no owned children."""
    if tree.keys() == {_OWNED_MARKER}:
        return {}
    return {step: _strip_markers(inner) for step, inner in tree.items()}


def format_path(path: FieldPath) -> str:
    """Return the path as conflicts name it: `.spec.tags[name="v1"].from`."""
    return "".join(map(_format_step, path))


def _format_step(step: str) -> str:
    kind, text = step[0], step[2:]
    if kind == "f":
        return f".{text}"
    if kind == "k":
        keys = json.loads(text)
        return f"[{','.join(f'{name}={_compact_json(value)}' for name, value in keys.items())}]"
    return f"[={text}]" if kind == "v" else f"[{text}]"


def _compact_json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
