"""The operations of a JSON patch (RFC 6902), on a draft that copies only what it changes."""

from __future__ import annotations

import re
from typing import Any

from api.codec.json_values import json_equal
from models.api_errors import InvalidPatchError

MAX_PATCH_DEPTH = 100
# The number of values that all operations of a patch may visit. Without a limit, a patch of
# repeated `copy` operations could double the object with each of them.
MAX_PATCH_VISITS = 4_000_000
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)
_MISSING = object()


class JsonPatchDraft:
    """A JSON value being changed. The original value is not modified.

    Containers on the path of a change are copied once and then changed in place: `_owned_ids` are
    the ids of the containers that only this draft refers to.
    """

    def __init__(self, root: Any) -> None:
        self.root = root
        self._owned_ids: set[int] = set()  # containers that no other object refers to
        self._visits = 0

    def find(self, pointer: list[str]) -> Any:
        """Return the value at a pointer. Raises InvalidPatchError if there is none."""
        value = self.root
        for token in pointer:
            value = _child(value, token)
            if value is _MISSING:
                raise InvalidPatchError
        return value

    def add(self, pointer: list[str], value: Any) -> None:
        """Set a member, or insert an element."""
        self._check_cost(pointer, value)
        if not pointer:
            self.root = value
            return
        parent, last = self._open_container(pointer[:-1]), pointer[-1]
        if isinstance(parent, dict):
            parent[last] = value
        elif last == "-":
            parent.append(value)
        else:
            parent.insert(_index(last, len(parent) + 1), value)

    def remove(self, pointer: list[str]) -> None:
        """Remove an existing member or element."""
        self.find(pointer)
        if not pointer:
            self.root = None
            return
        parent, last = self._open_container(pointer[:-1]), pointer[-1]
        del parent[last if isinstance(parent, dict) else int(last)]

    def replace(self, pointer: list[str], value: Any) -> None:
        """Replace an existing member or element."""
        self.find(pointer)
        self._check_cost(pointer, value)
        if not pointer:
            self.root = value
            return
        parent, last = self._open_container(pointer[:-1]), pointer[-1]
        parent[last if isinstance(parent, dict) else int(last)] = value

    def copy(self, source: list[str], target: list[str]) -> None:
        """Add the value at `source` at `target` too."""
        value = self.find(source)
        self._owned_ids.clear()  # the value is referred to twice from here on
        self.add(target, value)

    def move(self, source: list[str], target: list[str]) -> None:
        """Move the value at `source` to `target`, which must not be inside it."""
        value = self.find(source)
        if target == source:
            return
        if target[: len(source)] == source:
            raise InvalidPatchError
        self.remove(source)
        self.add(target, value)

    def _open_container(self, pointer: list[str]) -> Any:
        """Return the container at a pointer; it and its ancestors are copied if necessary."""
        self.root = value = self._owned_copy(self.root)
        for token in pointer:
            child = _child(value, token)
            if child is _MISSING:
                raise InvalidPatchError
            owned = self._owned_copy(child)
            value[token if isinstance(value, dict) else int(token)] = owned
            value = owned
        return value

    def _owned_copy(self, value: Any) -> Any:
        if not isinstance(value, dict | list):
            raise InvalidPatchError
        if id(value) in self._owned_ids:
            return value
        self._count_visits(1 + len(value) // 16)
        copied = value.copy()
        self._owned_ids.add(id(copied))
        return copied

    def _check_cost(self, pointer: list[str], value: Any) -> None:
        """Raise InvalidPatchError if a value would be nested too deep or cost too many visits."""
        level, depth = [value], len(pointer)
        while level:
            self._count_visits(len(level))
            if depth > MAX_PATCH_DEPTH:
                raise InvalidPatchError
            containers = [each for each in level if isinstance(each, dict | list) and each]
            self._count_visits(sum(map(len, containers)))
            level = [
                inner
                for outer in containers
                for inner in (outer.values() if isinstance(outer, dict) else outer)
            ]
            depth += 1

    def _count_visits(self, visits: int) -> None:
        self._visits += visits
        if self._visits > MAX_PATCH_VISITS:
            raise InvalidPatchError


def apply_operation(draft: JsonPatchDraft, operation: dict[str, Any]) -> None:
    """Apply one operation. Raises InvalidPatchError if it is malformed or fails (api-7.2)."""
    path = _parse_pointer(operation.get("path"))
    match operation.get("op"):
        case "add":
            draft.add(path, _value_of(operation))
        case "remove":
            draft.remove(path)
        case "replace":
            draft.replace(path, _value_of(operation))
        case "move":
            draft.move(_parse_pointer(operation.get("from")), path)
        case "copy":
            draft.copy(_parse_pointer(operation.get("from")), path)
        case "test":
            _test_value(draft, path, _value_of(operation))
        case _:
            raise InvalidPatchError


def _test_value(draft: JsonPatchDraft, path: list[str], expected: Any) -> None:
    """Check a `test` operation.

    As in Kubernetes, null equals a missing member; clients test for absence with it.
    """
    if path and expected is None:
        parent = draft.find(path[:-1])
        if isinstance(parent, dict) and path[-1] not in parent:
            return
    if not json_equal(draft.find(path), expected):
        raise InvalidPatchError


def _value_of(operation: dict[str, Any]) -> Any:
    if "value" not in operation:
        raise InvalidPatchError
    return operation["value"]


def _parse_pointer(text: Any) -> list[str]:
    """Return the tokens of a JSON pointer (RFC 6901): `/metadata/annotations/x.io~1y` has three."""
    if not isinstance(text, str) or text.count("/") > MAX_PATCH_DEPTH:
        raise InvalidPatchError
    if not text:
        return []
    first, *tokens = text.split("/")
    if first or re.search(r"~(?![01])", text):
        raise InvalidPatchError
    return [token.replace("~1", "/").replace("~0", "~") for token in tokens]


def _child(value: Any, token: str) -> Any:
    if isinstance(value, dict):
        return value.get(token, _MISSING)
    if isinstance(value, list) and _INDEX.fullmatch(token) and int(token) < len(value):
        return value[int(token)]
    return _MISSING


def _index(token: str, end: int) -> int:
    if not _INDEX.fullmatch(token) or int(token) >= end:
        raise InvalidPatchError
    return int(token)
