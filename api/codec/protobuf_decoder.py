"""Decoding of protobuf bodies into the plain objects that JSON would give (api-15.1, clients-1.2).

`kubectl` and `oc` send a few kinds in protobuf and do not fall back to JSON. Only the fields of
those kinds are read, unknown ones are skipped. Empty values count as absent, because clients send
absent fields as empty (clients-1.4).
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
MAX_PROTOBUF_FIELDS = 250_000
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_FIELD_NUMBER = 2**29 - 1
_GO_ZERO_TIME_SECONDS = -62_135_596_800  # 0001-01-01T00:00:00Z

ScalarType = Literal["text", "bytes", "int", "bool", "time"]


@dataclass(frozen=True, slots=True)
class RepeatedField:
    """A repeated field."""

    element_type: ScalarType | MessageType


@dataclass(frozen=True, slots=True)
class MapField:
    """A map field: entries of key and value; the last entry of a key wins."""

    value_type: Literal["text", "bytes"]


ProtobufFieldType = ScalarType | RepeatedField | MapField | Mapping[int, tuple[str, Any]]
# Field number -> JSON key and type. Never recursive, so the depth of a message is bounded.
MessageType = Mapping[int, tuple[str, Any]]

_OWNER: MessageType = {
    1: ("kind", "text"),
    3: ("name", "text"),
    4: ("uid", "text"),
    5: ("apiVersion", "text"),
    6: ("controller", "bool"),
    7: ("blockOwnerDeletion", "bool"),
}
# ObjectMeta (clients-6.2). Other fields, such as managedFields (17), are skipped.
_META: MessageType = {
    1: ("name", "text"),
    2: ("generateName", "text"),
    3: ("namespace", "text"),
    5: ("uid", "text"),
    6: ("resourceVersion", "text"),
    7: ("generation", "int"),
    8: ("creationTimestamp", "time"),
    9: ("deletionTimestamp", "time"),
    10: ("deletionGracePeriodSeconds", "int"),
    11: ("labels", MapField("text")),
    12: ("annotations", MapField("text")),
    13: ("ownerReferences", RepeatedField(_OWNER)),
    14: ("finalizers", RepeatedField("text")),
}
_RESOURCE: MessageType = {
    1: ("namespace", "text"),
    2: ("verb", "text"),
    3: ("group", "text"),
    4: ("version", "text"),
    5: ("resource", "text"),
    6: ("subresource", "text"),
    7: ("name", "text"),
}
_PATH: MessageType = {1: ("path", "text"), 2: ("verb", "text")}
_SELF_ACCESS: MessageType = {
    1: ("resourceAttributes", _RESOURCE),
    2: ("nonResourceAttributes", _PATH),
}
_ACCESS: MessageType = {
    **_SELF_ACCESS,
    3: ("user", "text"),
    4: ("groups", RepeatedField("text")),
    6: ("uid", "text"),
}
# The kinds that clients send in protobuf (clients-6.3, clients-6.4).
_MESSAGE_TYPES: Mapping[str, MessageType] = {
    "Namespace": {
        1: ("metadata", _META),
        2: ("spec", {1: ("finalizers", RepeatedField("text"))}),
        3: ("status", {1: ("phase", "text")}),
    },
    "Secret": {
        1: ("metadata", _META),
        2: ("data", MapField("bytes")),
        3: ("type", "text"),
        4: ("stringData", MapField("text")),
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
        5: ("dryRun", RepeatedField("text")),
    },
}
# Pointers in Go: false differs from absent.
_POINTER_FIELDS = frozenset({"orphanDependents"})
_EMPTY: Mapping[str, Any] = {}


def decode_protobuf(body: bytes) -> dict[str, Any]:
    """Return the object of the body, with the kind and apiVersion of its envelope (clients-6.1).

    Raises BadRequestError for anything that is not a message of a known kind, and for more than
    250,000 fields (clients-6.5).
    """
    if not body.startswith(MAGIC):
        raise BadRequestError("the body does not start with the Kubernetes protobuf prefix")
    reader = _ProtobufReader()
    envelope: dict[int, bytes] = {}
    for number, wire_type, value in reader.read_fields(body[len(MAGIC) :]):
        if wire_type == _BYTES and number in {1, 2, 3, 4}:
            assert isinstance(value, bytes)
            envelope[number] = value
    type_meta = reader.read_message(
        envelope.get(1, b""), {1: ("apiVersion", "text"), 2: ("kind", "text")}
    )
    if envelope.get(3) or envelope.get(4, b"") not in {b"", b"application/vnd.kubernetes.protobuf"}:
        raise BadRequestError("the protobuf envelope contains something that is not protobuf")
    message_type = _MESSAGE_TYPES.get(type_meta.get("kind", ""))
    if message_type is None:
        kind, version = type_meta.get("kind", "")[:100], type_meta.get("apiVersion", "")[:100]
        raise BadRequestError(f'kind "{kind}" of version "{version}" is not accepted as protobuf')
    return type_meta | reader.read_message(envelope.get(2, b""), message_type)


class _ProtobufReader:
    """A reader of messages; counts fields, so that a small body cannot become many objects."""

    def __init__(self) -> None:
        self._remaining_fields = MAX_PROTOBUF_FIELDS

    def read_message(self, content: bytes, message_type: MessageType) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for number, wire_type, raw in self.read_fields(content):
            if number not in message_type:
                continue
            key, field_type = message_type[number]
            if isinstance(field_type, MapField):
                name, value = self._read_map_entry(_as_bytes(key, wire_type, raw), field_type)
                found.setdefault(key, {})[name] = value
                continue
            if isinstance(field_type, RepeatedField):
                value = self._read_value(key, field_type.element_type, wire_type, raw)
                if value not in ("", None):
                    found.setdefault(key, []).append(value)
                continue
            value = self._read_value(key, field_type, wire_type, raw)
            if value in ("", None, 0, _EMPTY) and key not in _POINTER_FIELDS:
                found.pop(key, None)  # of a repeated single field the last counts, even if empty
            else:
                found[key] = value
        return found

    def read_fields(self, content: bytes) -> Iterator[tuple[int, int, int | bytes]]:
        """Yield field number, wire type and raw value of each field."""
        position, end = 0, len(content)
        while position < end:
            self._remaining_fields -= 1
            if self._remaining_fields < 0:
                raise BadRequestError(
                    f"the protobuf body has more than {MAX_PROTOBUF_FIELDS} fields"
                )
            tag, position = _read_varint(content, position)
            number, wire_type = tag >> 3, tag & 7
            if not 1 <= number <= _MAX_FIELD_NUMBER:
                raise BadRequestError(f"illegal tag {number} in the protobuf body")
            if wire_type == _VARINT:
                value, position = _read_varint(content, position)
                yield number, wire_type, value
                continue
            if wire_type == _BYTES:
                size, position = _read_varint(content, position)
            elif wire_type in {_FIXED64, _FIXED32}:
                size = 8 if wire_type == _FIXED64 else 4
            else:
                raise BadRequestError(f"illegal wire type {wire_type} in the protobuf body")
            if size > end - position:
                raise BadRequestError("unexpected end of the protobuf body")
            yield number, wire_type, content[position : position + size]
            position += size

    def _read_map_entry(self, content: bytes, field_type: MapField) -> tuple[str, str]:
        name, value = "", ""
        for number, wire_type, raw in self.read_fields(content):
            if number == 1:
                name = _decode_text("key", _as_bytes("key", wire_type, raw))
            elif number == 2:
                plain = _as_bytes("value", wire_type, raw)
                value = (
                    _encode_base64(plain)
                    if field_type.value_type == "bytes"
                    else _decode_text("value", plain)
                )
        return name, value

    def _read_value(
        self, key: str, field_type: ScalarType | MessageType, wire_type: int, raw: int | bytes
    ) -> Any:
        if isinstance(field_type, Mapping):
            return self.read_message(_as_bytes(key, wire_type, raw), field_type)
        if field_type in {"int", "bool"}:
            if not isinstance(raw, int):
                raise _wrong_wire_type(key, wire_type)
            return bool(raw) if field_type == "bool" else _to_signed(raw)
        content = _as_bytes(key, wire_type, raw)
        if field_type == "time":
            return self._read_time(key, content)
        return _encode_base64(content) if field_type == "bytes" else _decode_text(key, content)

    def _read_time(self, key: str, content: bytes) -> str | None:
        """Return the time in RFC 3339, or None for the zero time, which is left out."""
        seconds = 0
        for number, wire_type, raw in self.read_fields(content):
            if number == 1:
                if not isinstance(raw, int):
                    raise _wrong_wire_type(key, wire_type)
                seconds = _to_signed(raw)
        if seconds in {0, _GO_ZERO_TIME_SECONDS}:
            return None
        try:
            return format_time(datetime.fromtimestamp(seconds, UTC))
        except (ValueError, OverflowError, OSError):
            raise BadRequestError(
                f"the field {key} of the protobuf body is not a valid time"
            ) from None


def _read_varint(content: bytes, position: int) -> tuple[int, int]:
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
    raise BadRequestError("a number of the protobuf body has more than 64 bits")


def _to_signed(number: int) -> int:
    return number - 2**64 if number >= 2**63 else number


def _as_bytes(key: str, wire_type: int, raw: int | bytes) -> bytes:
    if wire_type != _BYTES or not isinstance(raw, bytes):
        raise _wrong_wire_type(key, wire_type)
    return raw


def _wrong_wire_type(key: str, wire_type: int) -> BadRequestError:
    return BadRequestError(f"wrong wire type {wire_type} for field {key} of the protobuf body")


def _decode_text(key: str, content: bytes) -> str:
    try:
        return storable_text(content.decode())
    except UnicodeDecodeError:
        raise BadRequestError(f"the field {key} of the protobuf body is not UTF-8") from None


def _encode_base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
