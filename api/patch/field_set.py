"""Which fields an object has, as Kubernetes writes them down in `fieldsV1` (`api.md` C9).

A path is a tuple of fieldsV1's own steps: `f:spec`, `k:{"name":"v1"}`, `v:"x.io/y"`. A set of
paths is what somebody owns; in the written tree `.` marks an owned place that has owned parts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from api.codec.json_values import same_json
from api.patch.merge_keys import Shape

Path = tuple[str, ...]
_SELF = "."
# Nobody's: the server says them, or they say which object this is.
_NOBODYS = frozenset(
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


def fields_of(value: Any, shape: Shape, path: Path = ()) -> Iterator[Path]:
    """Every field that a value sets; null sets none."""
    if isinstance(value, dict) and value and not shape.atomic:
        for name, item in value.items():
            if item is not None:
                yield from fields_of(item, shape.member(name), (*path, f"f:{name}"))
        return
    elements = elements_of(value, shape)
    if elements is None:
        if path and value is not None:
            yield path
        return
    for step, element in elements.items():
        yield (*path, step)
        if shape.apply_key:
            yield from fields_of(element, shape.element, (*path, step))


def elements_of(value: Any, shape: Shape) -> dict[str, Any] | None:
    """A list's elements by their steps; None for what is one piece, and what should not be."""
    if not isinstance(value, list) or not (shape.apply_key or shape.is_set):
        return None
    steps = [step_of(element, shape) for element in value]
    if None in steps or len(set(steps)) < len(steps):
        return None
    return {step: element for step, element in zip(steps, value, strict=True) if step}


def step_of(element: Any, shape: Shape) -> str | None:
    """How fieldsV1 names an element; None where it cannot."""
    if shape.is_set:
        return None if isinstance(element, dict | list) else f"v:{_compact(element)}"
    key = element.get(shape.apply_key) if isinstance(element, dict) else None
    if key is None or isinstance(key, dict | list):
        return None
    return f"k:{_compact({shape.apply_key: key})}"


class Changes:
    """What became of an object: fields with a new value, and fields that are gone."""

    def __init__(self, old: Any, new: Any, shape: Shape, *, subresource: str = "") -> None:
        self.changed: set[Path] = set()
        self.removed: set[Path] = set()
        self._compare(old, new, shape, ())
        self.changed = owned(self.changed, subresource)
        self.removed = owned(self.removed, subresource)

    def __bool__(self) -> bool:
        return bool(self.changed or self.removed)

    def _compare(self, old: Any, new: Any, shape: Shape, path: Path) -> None:
        if old is new:
            return
        if isinstance(old, dict) and isinstance(new, dict) and not shape.atomic:
            for name in old.keys() | new.keys():
                step = (*path, f"f:{name}")
                self._compare(old.get(name), new.get(name), shape.member(name), step)
            return
        before, after = elements_of(old, shape), elements_of(new, shape)
        if before is not None and after is not None:
            self._compare_elements(before, after, shape, path)
        elif not same_json(old, new):
            gone, here = {*fields_of(old, shape, path)}, {*fields_of(new, shape, path)}
            self.removed |= gone - here
            self.changed |= here

    def _compare_elements(
        self, before: dict[str, Any], after: dict[str, Any], shape: Shape, path: Path
    ) -> None:
        for step in before.keys() | after.keys():
            inner = (*path, step)
            if step not in before:
                self.changed |= {inner, *self._parts(after[step], shape, inner)}
            elif step not in after:
                self.removed |= {inner, *self._parts(before[step], shape, inner)}
            elif shape.apply_key:
                self._compare(before[step], after[step], shape.element, inner)

    @staticmethod
    def _parts(element: Any, shape: Shape, path: Path) -> Iterable[Path]:
        return fields_of(element, shape.element, path) if shape.apply_key else ()


def owned(paths: Iterable[Path], subresource: str = "") -> set[Path]:
    """Those that somebody can own, when written through the object or through its `/status`."""
    return {path for path in paths if _can_be_owned(path, subresource)}


def _can_be_owned(path: Path, subresource: str) -> bool:
    if path[0] in {"f:kind", "f:apiVersion"}:
        return False
    if path[0] == "f:metadata":
        return len(path) > 1 and path[1] not in _NOBODYS
    return (path[0] == "f:status") == (subresource == "status")


def under(paths: Iterable[Path], roots: set[Path]) -> set[Path]:
    """Those that are one of `roots`, or lie inside one."""
    return {path for path in paths if any(path[:end] in roots for end in range(1, len(path) + 1))}


def read_fields(tree: Any) -> frozenset[Path]:
    """A fieldsV1 tree → its paths. ValueError where it is none."""
    return frozenset(_read(tree, ()))


def _read(tree: Any, path: Path) -> Iterator[Path]:
    if not isinstance(tree, Mapping):
        raise ValueError("fieldsV1 is made of objects")  # noqa: TRY004 - one word for all of it
    if path and (not tree or _SELF in tree):
        yield path
    for step, inner in tree.items():
        if step == _SELF:
            continue
        if step[:2] not in {"f:", "k:", "v:", "i:"}:
            raise ValueError("fieldsV1 has an unknown step")
        if step[0] in "kvi":
            _check_json(step)
        yield from _read(inner, (*path, step))


def _check_json(step: str) -> None:
    found = json.loads(step[2:])
    if step[0] == "k" and not isinstance(found, dict):
        raise ValueError("fieldsV1 has a key that is no object")


def write_fields(paths: Iterable[Path]) -> dict[str, Any]:
    """Paths → their fieldsV1 tree."""
    root: dict[str, Any] = {}
    for path in sorted(paths):  # a place comes before its parts
        node = root
        for step in path:
            node = node.setdefault(step, {})
        node[_SELF] = {}
    return {step: _bare(inner) for step, inner in root.items()}


def _bare(tree: dict[str, Any]) -> dict[str, Any]:
    """A place without owned parts needs no mark."""
    if tree.keys() == {_SELF}:
        return {}
    return {step: _bare(inner) for step, inner in tree.items()}


def format_path(path: Path) -> str:
    """As conflicts name it: `.spec.tags[name="v1"].from`."""
    return "".join(map(_format_step, path))


def _format_step(step: str) -> str:
    kind, text = step[0], step[2:]
    if kind == "f":
        return f".{text}"
    if kind == "k":
        keys = json.loads(text)
        return f"[{','.join(f'{name}={_compact(value)}' for name, value in keys.items())}]"
    return f"[={text}]" if kind == "v" else f"[{text}]"


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
