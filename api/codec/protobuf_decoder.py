"""Protobuf bodies → the same plain objects as JSON (`api.md` C20; `clients.md` 1.2, 4).

`kubectl` and `oc` write a handful of kinds in protobuf and do not fall back to JSON. Only their
fields are read, unknown ones are skipped. What is empty counts as absent, as clients send it so.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from models.api_errors import BadRequestError
from models.oci import storable_text
from models.resources.wire import format_time

MAGIC = b"k8s\x00"
MOST_FIELDS = 250_000
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LARGEST_FIELD = 2**29 - 1
_YEAR_ONE = -62_135_596_800  # Go's zero time

Scalar = Literal["text", "bytes", "int", "bool", "time"]


@dataclass(frozen=True, slots=True)
class Many:
    """A repeated field."""

    of: Scalar | Message


@dataclass(frozen=True, slots=True)
class Map:
    """Entries of key and value, the last of a key wins."""

    of: Literal["text", "bytes"]


Shape = Scalar | Many | Map | Mapping[int, tuple[str, Any]]
Message = Mapping[int, tuple[str, Any]]  # field number → key and Shape; never in circles

_OWNER: Message = {
    1: ("kind", "text"),
    3: ("name", "text"),
    4: ("uid", "text"),
    5: ("apiVersion", "text"),
    6: ("controller", "bool"),
    7: ("blockOwnerDeletion", "bool"),
}
_META: Message = {
    1: ("name", "text"),
    2: ("generateName", "text"),
    3: ("namespace", "text"),
    5: ("uid", "text"),
    6: ("resourceVersion", "text"),
    7: ("generation", "int"),
    8: ("creationTimestamp", "time"),
    9: ("deletionTimestamp", "time"),
    10: ("deletionGracePeriodSeconds", "int"),
    11: ("labels", Map("text")),
    12: ("annotations", Map("text")),
    13: ("ownerReferences", Many(_OWNER)),
    14: ("finalizers", Many("text")),
}
_RESOURCE: Message = {
    1: ("namespace", "text"),
    2: ("verb", "text"),
    3: ("group", "text"),
    4: ("version", "text"),
    5: ("resource", "text"),
    6: ("subresource", "text"),
    7: ("name", "text"),
}
_PATH: Message = {1: ("path", "text"), 2: ("verb", "text")}
_SELF_ACCESS: Message = {
    1: ("resourceAttributes", _RESOURCE),
    2: ("nonResourceAttributes", _PATH),
}
_ACCESS: Message = {
    **_SELF_ACCESS,
    3: ("user", "text"),
    4: ("groups", Many("text")),
    6: ("uid", "text"),
}
_KINDS: Mapping[str, Message] = {
    "Namespace": {
        1: ("metadata", _META),
        2: ("spec", {1: ("finalizers", Many("text"))}),
        3: ("status", {1: ("phase", "text")}),
    },
    "Secret": {
        1: ("metadata", _META),
        2: ("data", Map("bytes")),
        3: ("type", "text"),
        4: ("stringData", Map("text")),
        5: ("immutable", "bool"),
    },
    "SelfSubjectReview": {1: ("metadata", _META)},
    "SelfSubjectRulesReview": {1: ("metadata", _META), 2: ("spec", {1: ("namespace", "text")})},
    "SelfSubjectAccessReview": {1: ("metadata", _META), 2: ("spec", _SELF_ACCESS)},
    "SubjectAccessReview": {1: ("metadata", _META), 2: ("spec", _ACCESS)},
    "LocalSubjectAccessReview": {1: ("metadata", _META), 2: ("spec", _ACCESS)},
    "DeleteOptions": {
        1: ("gracePeriodSeconds", "int"),
        2: ("preconditions", {1: ("uid", "text"), 2: ("resourceVersion", "text")}),
        3: ("orphanDependents", "bool"),
        4: ("propagationPolicy", "text"),
        5: ("dryRun", Many("text")),
    },
}
# Pointers in Go: false is not the same as absent.
_KEPT_FALSE = frozenset({"orphanDependents"})
_EMPTY: Mapping[str, Any] = {}


def decode_protobuf(body: bytes) -> dict[str, Any]:
    """The object in its envelope, with kind and apiVersion as the envelope says.

    BadRequestError for anything that is not one, and for kinds that we do not know.
    """
    if not body.startswith(MAGIC):
        raise BadRequestError("the body does not start as protobuf of Kubernetes does")
    reader = _Reader()
    envelope: dict[int, bytes] = {}
    for number, wire, value in reader.fields(body[len(MAGIC) :]):
        if wire == _BYTES and number in {1, 2, 3, 4}:
            assert isinstance(value, bytes)
            envelope[number] = value
    head = reader.message(envelope.get(1, b""), {1: ("apiVersion", "text"), 2: ("kind", "text")})
    if envelope.get(3) or envelope.get(4, b"") not in {b"", b"application/vnd.kubernetes.protobuf"}:
        raise BadRequestError("the protobuf envelope holds something that is not protobuf")
    shape = _KINDS.get(head.get("kind", ""))
    if shape is None:
        kind, version = head.get("kind", "")[:100], head.get("apiVersion", "")[:100]
        raise BadRequestError(f'kind "{kind}" of version "{version}" is not read from protobuf')
    return head | reader.message(envelope.get(2, b""), shape)


class _Reader:
    """Reads messages; counts their fields, so that a small body cannot become many objects."""

    def __init__(self) -> None:
        self._left = MOST_FIELDS

    def message(self, content: bytes, shape: Message) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for number, wire, raw in self.fields(content):
            if number not in shape:
                continue
            key, kind = shape[number]
            if isinstance(kind, Map):
                name, value = self._entry(_as_bytes(key, wire, raw), kind)
                found.setdefault(key, {})[name] = value
                continue
            if isinstance(kind, Many):
                value = self._value(key, kind.of, wire, raw)
                if value not in ("", None):
                    found.setdefault(key, []).append(value)
                continue
            value = self._value(key, kind, wire, raw)
            if value in ("", None, 0, _EMPTY) and key not in _KEPT_FALSE:
                found.pop(key, None)  # proto: the last one counts, also when it is empty
            else:
                found[key] = value
        return found

    def fields(self, content: bytes) -> Iterator[tuple[int, int, int | bytes]]:
        """Field number, wire type and raw value, one after the other."""
        position, end = 0, len(content)
        while position < end:
            self._left -= 1
            if self._left < 0:
                raise BadRequestError(f"the protobuf body has more than {MOST_FIELDS} fields")
            tag, position = _varint(content, position)
            number, wire = tag >> 3, tag & 7
            if not 1 <= number <= _LARGEST_FIELD:
                raise BadRequestError(f"illegal tag {number} in the protobuf body")
            if wire == _VARINT:
                value, position = _varint(content, position)
                yield number, wire, value
                continue
            if wire == _BYTES:
                size, position = _varint(content, position)
            elif wire in {_FIXED64, _FIXED32}:
                size = 8 if wire == _FIXED64 else 4
            else:
                raise BadRequestError(f"illegal wire type {wire} in the protobuf body")
            if size > end - position:
                raise BadRequestError("unexpected end of the protobuf body")
            yield number, wire, content[position : position + size]
            position += size

    def _entry(self, content: bytes, kind: Map) -> tuple[str, str]:
        name, value = "", ""
        for number, wire, raw in self.fields(content):
            if number == 1:
                name = _text("key", _as_bytes("key", wire, raw))
            elif number == 2:
                plain = _as_bytes("value", wire, raw)
                value = _base64(plain) if kind.of == "bytes" else _text("value", plain)
        return name, value

    def _value(self, key: str, kind: Scalar | Message, wire: int, raw: int | bytes) -> Any:
        if isinstance(kind, Mapping):
            return self.message(_as_bytes(key, wire, raw), kind)
        if kind in {"int", "bool"}:
            if not isinstance(raw, int):
                raise _wrong_wire(key, wire)
            return bool(raw) if kind == "bool" else _signed(raw)
        content = _as_bytes(key, wire, raw)
        if kind == "time":
            return self._time(key, content)
        return _base64(content) if kind == "bytes" else _text(key, content)

    def _time(self, key: str, content: bytes) -> str | None:
        """RFC 3339; None for the zero time, which is written as nothing."""
        seconds = 0
        for number, wire, raw in self.fields(content):
            if number == 1:
                if not isinstance(raw, int):
                    raise _wrong_wire(key, wire)
                seconds = _signed(raw)
        if seconds in {0, _YEAR_ONE}:
            return None
        try:
            return format_time(datetime.fromtimestamp(seconds, UTC))
        except (ValueError, OverflowError, OSError):
            raise BadRequestError(f"the time in {key} of the protobuf body is no time") from None


def _varint(content: bytes, position: int) -> tuple[int, int]:
    result = 0
    for shift in range(0, 70, 7):
        if position >= len(content):
            raise BadRequestError("unexpected end of the protobuf body")
        byte = content[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            if result >= 2**64:
                break
            return result, position
    raise BadRequestError("a number of the protobuf body is out of bounds")


def _signed(number: int) -> int:
    return number - 2**64 if number >= 2**63 else number


def _as_bytes(key: str, wire: int, raw: int | bytes) -> bytes:
    if wire != _BYTES or not isinstance(raw, bytes):
        raise _wrong_wire(key, wire)
    return raw


def _wrong_wire(key: str, wire: int) -> BadRequestError:
    return BadRequestError(f"wrong wire type {wire} for field {key} of the protobuf body")


def _text(key: str, content: bytes) -> str:
    try:
        return storable_text(content.decode())
    except UnicodeDecodeError:
        raise BadRequestError(f"the field {key} of the protobuf body is not UTF-8") from None


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
