"""YAML text → plain data, as upstream reads it: YAML 1.1 scalars, but dates stay strings.

Built from libyaml's events and not by its loader, which would follow every alias: here an alias
counts for all that it stands for, so that a small body cannot become a large object.
"""

from __future__ import annotations

import re
from typing import Any, Protocol

import yaml

from api.codec.json_decoder import MOST_DEPTH, MOST_VALUES, build_object, read_number, storable_tree
from models.api_errors import BadRequestError

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset(["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"])
_FALSE = frozenset(["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"])
_BASED = {
    2: re.compile(r"([-+]?)0b([01]+)", re.ASCII),
    8: re.compile(r"([-+]?)0o?([0-7]+)", re.ASCII),
    16: re.compile(r"([-+]?)0x([0-9a-fA-F]+)", re.ASCII),
}
_DECIMAL = re.compile(r"[-+]?(?:0|[1-9][0-9]*)", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_NO_NUMBER = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_MERGE = "<<"


class _Events(Protocol):
    """The part of a PyYAML loader that is used."""

    def get_event(self) -> Any: ...

    def check_event(self, *choices: type) -> bool: ...

    def dispose(self) -> None: ...


def load_yaml(body: bytes) -> Any:
    """The one document of `body`. BadRequestError, beginning with `yaml: `, for all else."""
    loader = None
    try:
        loader = _LOADER(body)
        value = _Builder(loader).document()
    except yaml.YAMLError as error:
        raise BadRequestError(f"yaml: {_describe(error)}") from None
    except (ValueError, RecursionError, MemoryError):
        raise BadRequestError("yaml: the document cannot be read") from None
    finally:
        if loader is not None:
            loader.dispose()
    return storable_tree(value)


class _Node:
    """A finished value, how many values it is made of, and how deep it is."""

    __slots__ = ("height", "plain", "size", "value")

    def __init__(self, value: Any, size: int = 1, height: int = 0, *, plain: bool = False) -> None:
        self.value = value
        self.size = size
        self.height = height
        self.plain = plain  # a scalar without quotes


class _Builder:
    def __init__(self, events: _Events) -> None:
        self._events = events
        self._anchors: dict[str, _Node] = {}
        self._built = 0

    def document(self) -> Any:
        self._events.get_event()
        if self._events.check_event(yaml.StreamEndEvent):
            return None
        self._events.get_event()
        node = self._node(1)
        self._events.get_event()
        if not self._events.check_event(yaml.StreamEndEvent):
            raise _refuse("the body has more than one document")
        return node.value

    def _node(self, depth: int) -> _Node:
        event: Any = self._events.get_event()
        if isinstance(event, yaml.AliasEvent):
            name = event.anchor or ""
            known = self._anchors.get(name)
            if known is None:
                raise _refuse(f"unknown anchor '{name[:100]}' referenced")
            node = known
        elif isinstance(event, yaml.ScalarEvent):
            node = _scalar(event)
        else:
            if depth > MOST_DEPTH:
                raise _refuse(f"the document is nested deeper than {MOST_DEPTH}")
            mapping = isinstance(event, yaml.MappingStartEvent)
            _check_tag(event.tag, "map" if mapping else "seq")
            node = self._mapping(depth) if mapping else self._sequence(depth)
        if depth - 1 + node.height > MOST_DEPTH:
            raise _refuse(f"the document is nested deeper than {MOST_DEPTH}")
        # What is not an alias was counted piece by piece.
        self._count(node.size if isinstance(event, yaml.AliasEvent) else 1)
        if event.anchor is not None and not isinstance(event, yaml.AliasEvent):
            self._anchors[event.anchor] = node
        return node

    def _count(self, more: int) -> None:
        self._built += more
        if self._built > MOST_VALUES:
            raise _refuse(f"the document has more than {MOST_VALUES} values")

    def _sequence(self, depth: int) -> _Node:
        items: list[Any] = []
        size = height = 0
        while not self._events.check_event(yaml.SequenceEndEvent):
            node = self._node(depth + 1)
            items.append(node.value)
            size, height = size + node.size, max(height, node.height)
        self._events.get_event()
        return _Node(items, size + 1, height + 1)

    def _mapping(self, depth: int) -> _Node:
        pairs: list[tuple[str, Any]] = []
        merged: dict[str, Any] = {}
        size = height = 0
        while not self._events.check_event(yaml.MappingEndEvent):
            name = self._node(depth + 1)
            node = self._node(depth + 1)
            size, height = size + 1 + node.size, max(height, node.height)
            if name.plain and name.value == _MERGE:
                for key, value in _merge_of(node.value):
                    self._count(1)
                    merged.setdefault(key, value)
            else:
                pairs.append((_key(name.value), node.value))
        self._events.get_event()
        if merged:
            own = {key for key, _ in pairs}
            pairs.extend(each for each in merged.items() if each[0] not in own)
        return _Node(build_object(pairs), size + len(merged) + 1, height + 1)


def _merge_of(value: Any) -> list[tuple[str, Any]]:
    """The keys that `<<` brings in: of one mapping, or of several, the first of which wins."""
    sources = value if isinstance(value, list) else [value]
    if not all(isinstance(each, dict) for each in sources):
        raise _refuse("map merge requires map or sequence of maps as the value")
    return [pair for each in sources for pair in each.items()]


def _key(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    raise _refuse("the key of a map is neither text nor a number")


def _scalar(event: Any) -> _Node:
    text: str = event.value
    tag = (event.tag or "").removeprefix(_TAG)
    if not tag or (tag == "!" and event.implicit[1]):
        plain = bool(event.implicit[0])
        return _Node(_resolve(text) if plain else text, plain=plain)
    if tag in {"!", "str", "timestamp", "binary"}:
        return _Node(text)
    if tag in {"null", "bool", "int", "float"}:
        return _Node(_resolve(text))
    raise _refuse(f"the tag {event.tag[:100]} has no meaning here")


def _resolve(text: str) -> Any:
    """A scalar without quotes, by the rules of YAML 1.1 as Go knows them."""
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if text[0] not in "+-.0123456789":
        return text
    digits = text.replace("_", "")
    if _DECIMAL.fullmatch(digits):
        return read_number(digits)
    for base, pattern in _BASED.items():
        found = pattern.fullmatch(digits)
        if found is not None and len(digits) < 80:
            whole = int(found.group(1) + found.group(2), base)
            return read_number(str(whole))
    if _FLOAT.fullmatch(digits):
        return read_number(digits)
    if _NO_NUMBER.fullmatch(text):
        raise _refuse(f"{text} has no form in JSON")
    return text


def _check_tag(tag: str | None, expected: str) -> None:
    if tag not in {None, "!", f"{_TAG}{expected}"}:
        raise _refuse(f"the tag {(tag or '')[:100]} has no meaning here")


def _describe(error: yaml.YAMLError) -> str:
    problem = getattr(error, "problem", None) or "control characters are not allowed"
    mark = getattr(error, "problem_mark", None)
    where = f"line {mark.line + 1}: " if mark is not None else ""
    return f"{where}{problem}"[:300]


def _refuse(text: str) -> BadRequestError:
    return BadRequestError(f"yaml: {text}")
