"""Field checks of a plain object against its model: unknown fields, duplicates and wrong types.

The fields are those of the pydantic models, under their wire names. The rules are Go's, not
pydantic's: `null` is absent, absent is the zero value, and a string is never taken for a number
(api-6.3, api-9.5). oc sends nulls and empty objects for absent fields (clients-1.4).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from types import NoneType
from typing import Any, get_args, get_origin

from api.codec.json_decoder import MAX_JSON_DEPTH, key_value_pairs
from models.api_errors import BadRequestError
from models.errors import ContentError
from models.images.docker_metadata import parse_time, read_metadata
from models.oci import storable_text
from models.resources.image import Image, ImageSignature
from models.resources.meta import ObjectMeta, Secret
from models.resources.wire import Wire

MAX_FINDINGS = 100
MAX_PATH_LENGTH = 200
# Fields of Kubernetes that we do not use: dropped without a finding.
_IGNORED_FIELDS: Mapping[type[Wire], frozenset[str]] = {
    ObjectMeta: frozenset({"selfLink", "deletionGracePeriodSeconds"}),
}
_BASE64_FIELDS = frozenset(
    {(ImageSignature, "content"), (Image, "dockerImageSignatures"), (Secret, "data")}
)
_TYPE_META_FIELDS = frozenset({"kind", "apiVersion"})
_NO_METADATA_VERSION = (
    'Image in version "v1" cannot be handled as a Image: no kind "DockerImage" is registered for '
    'version "image.openshift.io/{}" in scheme'
)


@dataclass(frozen=True, slots=True)
class FieldType:
    """The type of a field.

    `category` is text, base64, number, decimal, flag, time, free (any value), open (an object of
    any keys), list or map (of `item`), or object (of `model`).
    """

    category: str
    item: FieldType | None = None
    model: type[Wire] | None = None

    @property
    def go_type(self) -> str:
        """Return the type as Go's decoder names it in a message."""
        if self.model is not None:
            return f"v1.{self.model.__name__}"
        if self.item is not None:
            return f"{'[]' if self.category == 'list' else 'map[string]'}{self.item.go_type}"
        return _GO_NAMES.get(self.category, "object")


_GO_NAMES = {
    "text": "string",
    "base64": "[]uint8",
    "number": "int64",
    "decimal": "float64",
    "flag": "bool",
    "time": "v1.Time",
    "open": "map[string]interface {}",
}


@dataclass(frozen=True, slots=True)
class ModelField:
    """A field of a model; a `required` one gets Go's zero value if it is missing."""

    field_type: FieldType
    required: bool


@lru_cache(maxsize=256)
def model_fields_of(model: type[Wire]) -> Mapping[str, ModelField]:
    """Return the fields of a model by their wire names."""
    return {
        alias: ModelField(
            _field_type_of(field.annotation, is_base64=(model, alias) in _BASE64_FIELDS),
            field.is_required(),
        )
        for name, field in model.model_fields.items()
        for alias in [field.alias or name]
    }


def drop_unknown_fields(value: Any, model: type[Wire]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return `value` without the fields that `model` does not have, and the findings.

    Findings are `unknown field "spec.foo"` and `duplicate field "spec"`, in document order, each
    once.
    """
    unknown_field_filter = _UnknownFieldFilter()
    known_fields = unknown_field_filter.filter_object(value, FieldType("object", model=model), "")
    return known_fields, tuple(unknown_field_filter.findings)


def coerce_to_model(value: Mapping[str, Any], model: type[Wire]) -> dict[str, Any]:
    """Return `value` in the types of `model`.

    Raises BadRequestError naming the first field of a wrong type.
    """
    version = str(value.get("apiVersion") or "v1").rpartition("/")[2][:50]
    message_prefix = (
        f'{model.__name__} in version "{version}" cannot be handled as a {model.__name__}: '
    )
    try:
        found = _coerce(value, FieldType("object", model=model), model.__name__)
    except _MismatchError as error:
        raise BadRequestError(message_prefix + error.text) from None
    assert isinstance(found, dict)
    return found


class _MismatchError(BadRequestError):
    """The second half of the message; `coerce_to_model` adds the first."""


class _UnknownFieldFilter:
    def __init__(self) -> None:
        self.findings: dict[str, None] = {}  # an ordered set

    def filter_object(
        self, value: dict[str, Any], field_type: FieldType, path: str
    ) -> dict[str, Any]:
        assert field_type.model is not None
        known = model_fields_of(field_type.model)
        ignored = _IGNORED_FIELDS.get(field_type.model, frozenset())
        if not path or "metadata" in known:
            ignored |= _TYPE_META_FIELDS
        known_fields: dict[str, Any] = {}
        seen = set()
        for key, item in key_value_pairs(value):
            field_path = f"{path}.{key}" if path else key
            if key not in known and key not in ignored:
                self._add_finding("unknown", field_path)
                continue
            if key in seen:
                self._add_finding("duplicate", field_path)
            seen.add(key)
            if key in known:
                known_fields[key] = self._filter(item, known[key].field_type, field_path)
            elif key in _TYPE_META_FIELDS:
                known_fields[key] = item
        return known_fields

    def _filter(self, value: Any, field_type: FieldType, path: str) -> Any:
        if isinstance(value, dict) and field_type.category == "object":
            return self.filter_object(value, field_type, path)
        if isinstance(value, list) and field_type.category == "list":
            assert field_type.item is not None
            return [
                self._filter(item, field_type.item, f"{path}[{position}]")
                for position, item in enumerate(value)
            ]
        if isinstance(value, dict) and field_type.category == "map":
            return self._filter_map(value, field_type, path)
        return _storable_copy(value)

    def _filter_map(
        self, value: dict[str, Any], field_type: FieldType, path: str
    ) -> dict[str, Any]:
        assert field_type.item is not None
        entries: dict[str, Any] = {}
        for key, item in key_value_pairs(value):
            field_path = f"{path}.{key}"
            if key in entries:
                self._add_finding("duplicate", field_path)
            entries[key] = self._filter(item, field_type.item, field_path)
        return entries

    def _add_finding(self, what: str, path: str) -> None:
        if len(self.findings) < MAX_FINDINGS:
            shown = path if len(path) <= MAX_PATH_LENGTH else path[:MAX_PATH_LENGTH] + "..."
            self.findings[f'{what} field "{shown}"'] = None


def _storable_copy(value: Any, depth: int = 2 * MAX_JSON_DEPTH) -> Any:
    """Return a copy with duplicate keys resolved (the last one wins) and with storable text.

    A patch may add its depth to that of the object, so twice the depth of a document is allowed.
    """
    if isinstance(value, str):
        return storable_text(value)
    if not isinstance(value, dict | list):
        return value
    if depth <= 0:
        raise BadRequestError(f"the object is nested deeper than {2 * MAX_JSON_DEPTH}")
    if isinstance(value, list):
        return [_storable_copy(item, depth - 1) for item in value]
    return {storable_text(key): _storable_copy(item, depth - 1) for key, item in value.items()}


def _field_type_of(annotation: Any, *, is_base64: bool) -> FieldType:
    """Return the type of a pydantic annotation; an Optional has the type beside None."""
    arguments = [each for each in get_args(annotation) if each is not NoneType]
    origin = get_origin(annotation)
    if origin is list:
        return FieldType("list", _field_type_of(arguments[0], is_base64=is_base64))
    if origin is dict:
        if arguments[1] is Any:
            return FieldType("open")
        return FieldType("map", _field_type_of(arguments[1], is_base64=is_base64))
    if isinstance(annotation, type) and origin is None:
        if issubclass(annotation, Wire):
            return FieldType("object", model=annotation)
        if annotation is str and is_base64:
            return FieldType("base64")
        return FieldType(_CATEGORIES[annotation])
    if annotation is Any:
        return FieldType("free")
    if arguments and isinstance(arguments[0], str):  # a Literal
        return FieldType("text")
    return _field_type_of(arguments[0], is_base64=is_base64)  # Optional, Annotated


def _coerce(value: Any, field_type: FieldType, path: str) -> Any:
    if field_type.category in _SCALAR_READERS:
        return _SCALAR_READERS[field_type.category](value, field_type, path)
    if field_type.category == "free":
        return _storable_copy(value)
    if field_type.category == "list":
        if not isinstance(value, list):
            raise _wrong_type(value, field_type, path)
        assert field_type.item is not None
        return [_coerce_element(item, field_type.item, path) for item in value]
    if not isinstance(value, dict):
        raise _wrong_type(value, field_type, path)
    if field_type.category == "open":
        return _storable_copy(value)
    if field_type.category == "map":
        assert field_type.item is not None
        return {
            storable_text(key): _coerce_element(item, field_type.item, path)
            for key, item in value.items()
        }
    assert field_type.model is not None
    return _coerce_object(value, field_type.model, path)


def _coerce_element(value: Any, field_type: FieldType, path: str) -> Any:
    """Return an element of a list or a map, where null is the zero value."""
    return _zero_value(field_type, path) if value is None else _coerce(value, field_type, path)


def _coerce_object(value: Mapping[str, Any], model: type[Wire], path: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, field in model_fields_of(model).items():
        item, field_path = value.get(key), f"{path}.{key}"
        if item is not None:
            item = _coerce(item, field.field_type, field_path)
        elif field.required:
            item = _zero_value(field.field_type, field_path)
        if item is not None:
            found[key] = item
    return _coerce_image(found, path) if model is Image else found


def _coerce_image(found: dict[str, Any], path: str) -> dict[str, Any]:
    """Return an Image whose `dockerImageMetadata` has the one known version and form (api-18.5).

    Raises BadRequestError for another `dockerImageMetadataVersion` than 1.0 (api-18.6).
    """
    version = found.get("dockerImageMetadataVersion") or "1.0"
    if version != "1.0":
        raise BadRequestError(_NO_METADATA_VERSION.format(version[:50]))
    found["dockerImageMetadataVersion"] = version
    metadata = found.get("dockerImageMetadata")
    if metadata:
        try:
            found["dockerImageMetadata"] = read_metadata(metadata)
        except ContentError as error:
            raise _MismatchError(f"{path}.dockerImageMetadata: {error.text}") from None
    else:
        found.pop("dockerImageMetadata", None)  # the model's default takes its place
    return found


def _zero_value(field_type: FieldType, path: str) -> Any:
    """Return Go's zero value of a required field. A missing time is an error."""
    if field_type.category == "object":
        assert field_type.model is not None
        return _coerce_object({}, field_type.model, path)
    if field_type.category == "time":
        raise _MismatchError(f"{path}: a time is required")
    return {
        "number": 0,
        "decimal": 0.0,
        "flag": False,
        "list": [],
        "map": {},
        "open": {},
        "free": None,
    }.get(field_type.category, "")


def _read_text(value: Any, field_type: FieldType, path: str) -> str:
    if not isinstance(value, str):
        raise _wrong_type(value, field_type, path)
    return storable_text(value)


def _read_number(value: Any, field_type: FieldType, path: str) -> int:
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise _wrong_type(value, field_type, path)
    return value


def _read_decimal(value: Any, field_type: FieldType, path: str) -> float:
    if type(value) is not int and type(value) is not float:
        raise _wrong_type(value, field_type, path)
    return float(value)


def _read_flag(value: Any, field_type: FieldType, path: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong_type(value, field_type, path)
    return value


def _read_time(value: Any, field_type: FieldType, path: str) -> str | None:
    """Return the time in RFC 3339, or None for the year 1, which is Go's zero time."""
    if not isinstance(value, str):
        raise _wrong_type(value, field_type, path)
    try:
        time_text = parse_time(value)
    except ContentError as error:
        raise _MismatchError(error.text) from None
    if time_text is None:
        raise _MismatchError(f'parsing time "" as "2006-01-02T15:04:05Z07:00": {path} is empty')
    return None if time_text.startswith("0001-01-01T00:00:00") else time_text


def _read_base64(value: Any, field_type: FieldType, path: str) -> str:
    """Return standard base64, decoded as Go does, in its canonical form."""
    if not isinstance(value, str):
        raise _wrong_type(value, field_type, path)
    text = value.replace("\r", "").replace("\n", "")
    good = re.match(r"[A-Za-z0-9+/]*", text)
    assert good is not None
    padding = text[good.end() :]
    if (padding and padding not in {"=", "=="}) or len(text) % 4:
        offset = len(value) if not padding or padding in {"=", "=="} else value.index(padding[0])
        raise _MismatchError(f"illegal base64 data at input byte {offset}")
    return base64.b64encode(base64.b64decode(text)).decode()


_CATEGORIES: Mapping[Any, str] = {
    str: "text",
    int: "number",
    float: "decimal",
    bool: "flag",
    datetime: "time",
}
_SCALAR_READERS: Mapping[str, Callable[[Any, FieldType, str], Any]] = {
    "text": _read_text,
    "base64": _read_base64,
    "number": _read_number,
    "decimal": _read_decimal,
    "flag": _read_flag,
    "time": _read_time,
}


def _wrong_type(value: Any, field_type: FieldType, path: str) -> _MismatchError:
    names = {str: "string", bool: "bool", int: "number", float: "number", list: "array"}
    found = names.get(type(value), "object")
    if found == "number":
        found = f"number {value}"[:60]
    return _MismatchError(
        f"json: cannot unmarshal {found} into Go struct field {path[:300]} of type "
        f"{field_type.go_type}"
    )
