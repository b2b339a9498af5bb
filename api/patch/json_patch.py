"""The operations of a JSON patch (RFC 6902), on a draft that copies only what it changes."""

from __future__ import annotations

import re
from typing import Any

from api.codec.json_values import same_json
from models.api_errors import InvalidPatchError

MAX_DEPTH = 100
# What operations may visit in all: a patch of copies would otherwise double its object at will.
MAX_VISITS = 4_000_000
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)
_MISSING = object()


class Draft:
    """A JSON value under change. The value it began with stays as it was."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self._own: set[int] = set()  # the containers that nobody else holds
        self._visits = 0

    def find(self, pointer: list[str]) -> Any:
        """The value at a pointer; InvalidPatchError where there is none."""
        value = self.root
        for token in pointer:
            value = _child(value, token)
            if value is _MISSING:
                raise InvalidPatchError
        return value

    def add(self, pointer: list[str], value: Any) -> None:
        """Put a member, or insert an element."""
        self._check(pointer, value)
        if not pointer:
            self.root = value
            return
        parent, last = self._open(pointer[:-1]), pointer[-1]
        if isinstance(parent, dict):
            parent[last] = value
        elif last == "-":
            parent.append(value)
        else:
            parent.insert(_index(last, len(parent) + 1), value)

    def remove(self, pointer: list[str]) -> None:
        """Take away a member or an element that is there."""
        self.find(pointer)
        if not pointer:
            self.root = None
            return
        parent, last = self._open(pointer[:-1]), pointer[-1]
        del parent[last if isinstance(parent, dict) else int(last)]

    def replace(self, pointer: list[str], value: Any) -> None:
        """Exchange a member or an element that is there."""
        self.find(pointer)
        self._check(pointer, value)
        if not pointer:
            self.root = value
            return
        parent, last = self._open(pointer[:-1]), pointer[-1]
        parent[last if isinstance(parent, dict) else int(last)] = value

    def copy(self, source: list[str], target: list[str]) -> None:
        """Put the value at `source` at `target` too."""
        value = self.find(source)
        self._own.clear()  # the value has two holders from here on
        self.add(target, value)

    def move(self, source: list[str], target: list[str]) -> None:
        """Take the value at `source` to `target`, which does not lie inside it."""
        value = self.find(source)
        if target == source:
            return
        if target[: len(source)] == source:
            raise InvalidPatchError
        self.remove(source)
        self.add(target, value)

    def _open(self, pointer: list[str]) -> Any:
        """The container at a pointer, our own to change, like all that lead to it."""
        self.root = value = self._owned(self.root)
        for token in pointer:
            child = _child(value, token)
            if child is _MISSING:
                raise InvalidPatchError
            owned = self._owned(child)
            value[token if isinstance(value, dict) else int(token)] = owned
            value = owned
        return value

    def _owned(self, value: Any) -> Any:
        if not isinstance(value, dict | list):
            raise InvalidPatchError
        if id(value) in self._own:
            return value
        self._spend(1 + len(value) // 16)
        twin = value.copy()
        self._own.add(id(twin))
        return twin

    def _check(self, pointer: list[str], value: Any) -> None:
        """Refuse what would grow too deep, or cost too much to look at."""
        level, depth = [value], len(pointer)
        while level:
            self._spend(len(level))
            if depth > MAX_DEPTH:
                raise InvalidPatchError
            containers = [each for each in level if isinstance(each, dict | list) and each]
            self._spend(sum(map(len, containers)))
            level = [
                inner
                for outer in containers
                for inner in (outer.values() if isinstance(outer, dict) else outer)
            ]
            depth += 1

    def _spend(self, visits: int) -> None:
        self._visits += visits
        if self._visits > MAX_VISITS:
            raise InvalidPatchError


def carry_out(draft: Draft, operation: dict[str, Any]) -> None:
    """One operation; InvalidPatchError where it is none, or cannot be done."""
    path = _parse_pointer(operation.get("path"))
    match operation.get("op"):
        case "add":
            draft.add(path, _value(operation))
        case "remove":
            draft.remove(path)
        case "replace":
            draft.replace(path, _value(operation))
        case "move":
            draft.move(_parse_pointer(operation.get("from")), path)
        case "copy":
            draft.copy(_parse_pointer(operation.get("from")), path)
        case "test":
            _test(draft, path, _value(operation))
        case _:
            raise InvalidPatchError


def _test(draft: Draft, path: list[str], wanted: Any) -> None:
    """Kubernetes takes null as what a missing member is; clients test for absence with it."""
    if path and wanted is None:
        parent = draft.find(path[:-1])
        if isinstance(parent, dict) and path[-1] not in parent:
            return
    if not same_json(draft.find(path), wanted):
        raise InvalidPatchError


def _value(operation: dict[str, Any]) -> Any:
    if "value" not in operation:
        raise InvalidPatchError
    return operation["value"]


def _parse_pointer(text: Any) -> list[str]:
    """RFC 6901: `/metadata/annotations/x.io~1y` → the three names."""
    if not isinstance(text, str) or text.count("/") > MAX_DEPTH:
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
