"""Decoding of YAML into plain data, as upstream does: YAML 1.1 scalars, but dates stay strings.

The document is built from libyaml's events and not by its loader, which would expand every alias.
Here an alias counts as many values as it stands for, so that a small body cannot become a large
object.
"""

from __future__ import annotations

import re
from typing import Any, Protocol

import yaml

from api.codec.json_decoder import (
    MAX_JSON_DEPTH,
    MAX_JSON_VALUES,
    build_object,
    parse_number,
    storable_tree,
)
from models.api_errors import BadRequestError

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset(["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"])
_FALSE = frozenset(["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"])
_BASE_PATTERNS = {
    2: re.compile(r"([-+]?)0b([01]+)", re.ASCII),
    8: re.compile(r"([-+]?)0o?([0-7]+)", re.ASCII),
    16: re.compile(r"([-+]?)0x([0-9a-fA-F]+)", re.ASCII),
}
_DECIMAL = re.compile(r"[-+]?(?:0|[1-9][0-9]*)", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_INF_OR_NAN = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_MERGE_KEY = "<<"


class _YamlEvents(Protocol):
    """The methods of a PyYAML loader that are used."""

    def get_event(self) -> Any: ...

    def check_event(self, *choices: type) -> bool: ...

    def dispose(self) -> None: ...


def parse_yaml(body: bytes) -> Any:
    """Return the one document of `body`. Raises BadRequestError with the prefix `yaml: `."""
    loader = None
    try:
        loader = _LOADER(body)
        value = _DocumentBuilder(loader).build_document()
    except yaml.YAMLError as error:
        raise BadRequestError(f"yaml: {_describe_error(error)}") from None
    except (ValueError, RecursionError, MemoryError):
        raise BadRequestError("yaml: the document is too large or nested too deep") from None
    finally:
        if loader is not None:
            loader.dispose()
    return storable_tree(value)


class _YamlNode:
    """A complete value, the number of values it consists of, and its depth."""

    __slots__ = ("height", "plain", "size", "value")

    def __init__(self, value: Any, size: int = 1, height: int = 0, *, plain: bool = False) -> None:
        self.value = value
        self.size = size
        self.height = height
        self.plain = plain  # a scalar without quotes, whose type depends on its text


class _DocumentBuilder:
    def __init__(self, events: _YamlEvents) -> None:
        self._events = events
        self._anchors: dict[str, _YamlNode] = {}
        self._value_count = 0

    def build_document(self) -> Any:
        self._events.get_event()
        if self._events.check_event(yaml.StreamEndEvent):
            return None
        self._events.get_event()
        node = self._build_node(1)
        self._events.get_event()
        if not self._events.check_event(yaml.StreamEndEvent):
            raise _yaml_error("the body has more than one document")
        return node.value

    def _build_node(self, depth: int) -> _YamlNode:
        event: Any = self._events.get_event()
        if isinstance(event, yaml.AliasEvent):
            name = event.anchor or ""
            anchored = self._anchors.get(name)
            if anchored is None:
                raise _yaml_error(f"unknown anchor '{name[:100]}' referenced")
            node = anchored
        elif isinstance(event, yaml.ScalarEvent):
            node = _build_scalar(event)
        else:
            if depth > MAX_JSON_DEPTH:
                raise _yaml_error(f"the document is nested deeper than {MAX_JSON_DEPTH}")
            mapping = isinstance(event, yaml.MappingStartEvent)
            _check_tag(event.tag, "map" if mapping else "seq")
            node = self._build_mapping(depth) if mapping else self._build_sequence(depth)
        if depth - 1 + node.height > MAX_JSON_DEPTH:
            raise _yaml_error(f"the document is nested deeper than {MAX_JSON_DEPTH}")
        # The values inside an alias count again; those of other nodes are counted already.
        self._count(node.size if isinstance(event, yaml.AliasEvent) else 1)
        if event.anchor is not None and not isinstance(event, yaml.AliasEvent):
            self._anchors[event.anchor] = node
        return node

    def _count(self, added: int) -> None:
        self._value_count += added
        if self._value_count > MAX_JSON_VALUES:
            raise _yaml_error(f"the document has more than {MAX_JSON_VALUES} values")

    def _build_sequence(self, depth: int) -> _YamlNode:
        items: list[Any] = []
        size = height = 0
        while not self._events.check_event(yaml.SequenceEndEvent):
            node = self._build_node(depth + 1)
            items.append(node.value)
            size, height = size + node.size, max(height, node.height)
        self._events.get_event()
        return _YamlNode(items, size + 1, height + 1)

    def _build_mapping(self, depth: int) -> _YamlNode:
        pairs: list[tuple[str, Any]] = []
        merged: dict[str, Any] = {}
        size = height = 0
        while not self._events.check_event(yaml.MappingEndEvent):
            name = self._build_node(depth + 1)
            node = self._build_node(depth + 1)
            size, height = size + 1 + node.size, max(height, node.height)
            if name.plain and name.value == _MERGE_KEY:
                for key, value in _merge_pairs(node.value):
                    self._count(1)
                    merged.setdefault(key, value)
            else:
                pairs.append((_parse_key(name.value), node.value))
        self._events.get_event()
        if merged:
            own = {key for key, _ in pairs}
            pairs.extend(each for each in merged.items() if each[0] not in own)
        return _YamlNode(build_object(pairs), size + len(merged) + 1, height + 1)


def _merge_pairs(value: Any) -> list[tuple[str, Any]]:
    """Return the keys that `<<` merges: of one mapping, or of several, of which the first wins."""
    sources = value if isinstance(value, list) else [value]
    if not all(isinstance(each, dict) for each in sources):
        raise _yaml_error("map merge requires map or sequence of maps as the value")
    return [pair for each in sources for pair in each.items()]


def _parse_key(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    raise _yaml_error("the key of a map is neither a string nor a number")


def _build_scalar(event: Any) -> _YamlNode:
    text: str = event.value
    tag = (event.tag or "").removeprefix(_TAG)
    if not tag or (tag == "!" and event.implicit[1]):
        plain = bool(event.implicit[0])
        return _YamlNode(_resolve_plain_scalar(text) if plain else text, plain=plain)
    if tag in {"!", "str", "timestamp", "binary"}:
        return _YamlNode(text)
    if tag in {"null", "bool", "int", "float"}:
        return _YamlNode(_resolve_plain_scalar(text))
    raise _yaml_error(f"the tag {event.tag[:100]} is not supported here")


def _resolve_plain_scalar(text: str) -> Any:
    """Return the value of a scalar without quotes, by the rules of YAML 1.1 as Go applies them."""
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if text[0] not in "+-.0123456789":
        return text
    digits = text.replace("_", "")
    if _DECIMAL.fullmatch(digits):
        return parse_number(digits)
    for base, pattern in _BASE_PATTERNS.items():
        found = pattern.fullmatch(digits)
        if found is not None and len(digits) < 80:
            whole = int(found.group(1) + found.group(2), base)
            return parse_number(str(whole))
    if _FLOAT.fullmatch(digits):
        return parse_number(digits)
    if _INF_OR_NAN.fullmatch(text):
        raise _yaml_error(f"{text} cannot be represented in JSON")
    return text


def _check_tag(tag: str | None, expected: str) -> None:
    if tag not in {None, "!", f"{_TAG}{expected}"}:
        raise _yaml_error(f"the tag {(tag or '')[:100]} is not supported here")


def _describe_error(error: yaml.YAMLError) -> str:
    problem = getattr(error, "problem", None) or "control characters are not allowed"
    mark = getattr(error, "problem_mark", None)
    where = f"line {mark.line + 1}: " if mark is not None else ""
    return f"{where}{problem}"[:300]


def _yaml_error(text: str) -> BadRequestError:
    return BadRequestError(f"yaml: {text}")
