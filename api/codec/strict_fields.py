"""A plain object against its resource: which fields nobody knows, and which hold the wrong thing.

The fields are those of the pydantic resources, under their wire names. Go's rules, not pydantic's:
`null` is absent, absent is zero, and no text is taken for a number (`api.md` B1.1, C6, C11).
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

from api.codec.json_decoder import MOST_DEPTH, pairs_of
from models.api_errors import BadRequestError
from models.errors import ContentError
from models.images.docker_metadata import parse_time, read_metadata
from models.oci import storable_text
from models.resources.image import Image, ImageSignature
from models.resources.meta import ObjectMeta, Secret
from models.resources.wire import Wire

MOST_FINDINGS = 100
LONGEST_PATH = 200
# Known to Kubernetes, of no use to us: dropped without a word.
_BESIDE: Mapping[type[Wire], frozenset[str]] = {
    ObjectMeta: frozenset({"selfLink", "deletionGracePeriodSeconds"}),
}
_BASE64 = frozenset(
    {(ImageSignature, "content"), (Image, "dockerImageSignatures"), (Secret, "data")}
)
_TYPE_META = frozenset({"kind", "apiVersion"})
_NO_METADATA_VERSION = (
    'Image in version "v1" cannot be handled as a Image: no kind "DockerImage" is registered for '
    'version "image.openshift.io/{}" in scheme'
)


@dataclass(frozen=True, slots=True)
class Shape:
    """What a field may hold: `sort` is text, base64, number, decimal, flag, time, free (any value),
    open (an object of any keys), list or map (of `item`), or object (of `model`).
    """

    sort: str
    item: Shape | None = None
    model: type[Wire] | None = None

    @property
    def name(self) -> str:
        """The type as Go would name it in a message."""
        if self.model is not None:
            return f"v1.{self.model.__name__}"
        if self.item is not None:
            return f"{'[]' if self.sort == 'list' else 'map[string]'}{self.item.name}"
        return _GO_NAMES.get(self.sort, "object")


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
class Field:
    """A field of a resource; `required` ones get Go's zero value where they are missing."""

    shape: Shape
    required: bool


@lru_cache(maxsize=256)
def fields_of(model: type[Wire]) -> Mapping[str, Field]:
    """The fields of a resource by their wire names."""
    return {
        alias: Field(
            _shape_of(field.annotation, is_base64=(model, alias) in _BASE64), field.is_required()
        )
        for name, field in model.model_fields.items()
        for alias in [field.alias or name]
    }


def sift(value: Any, model: type[Wire]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """`value` without what `model` does not know, and what was found, in document order.

    Findings are `unknown field "spec.foo"` and `duplicate field "spec"`, each once.
    """
    sieve = _Sieve()
    kept = sieve.object(value, Shape("object", model=model), "")
    return kept, tuple(sieve.findings)


def conform(value: Mapping[str, Any], model: type[Wire]) -> dict[str, Any]:
    """`value` as `model` can take it. BadRequestError naming the first field that it cannot be."""
    version = str(value.get("apiVersion") or "v1").rpartition("/")[2][:50]
    where = f'{model.__name__} in version "{version}" cannot be handled as a {model.__name__}: '
    try:
        found = _conform(value, Shape("object", model=model), model.__name__)
    except _MismatchError as error:
        raise BadRequestError(where + error.text) from None
    assert isinstance(found, dict)
    return found


class _MismatchError(BadRequestError):
    """The second half of the message."""


class _Sieve:
    def __init__(self) -> None:
        self.findings: dict[str, None] = {}  # a set that keeps its order

    def object(self, value: dict[str, Any], shape: Shape, path: str) -> dict[str, Any]:
        assert shape.model is not None
        known = fields_of(shape.model)
        beside = _BESIDE.get(shape.model, frozenset())
        if not path or "metadata" in known:
            beside |= _TYPE_META
        kept: dict[str, Any] = {}
        seen = set()
        for key, item in pairs_of(value):
            here = f"{path}.{key}" if path else key
            if key not in known and key not in beside:
                self._find("unknown", here)
                continue
            if key in seen:
                self._find("duplicate", here)
            seen.add(key)
            if key in known:
                kept[key] = self._sift(item, known[key].shape, here)
            elif key in _TYPE_META:
                kept[key] = item
        return kept

    def _sift(self, value: Any, shape: Shape, path: str) -> Any:
        if isinstance(value, dict) and shape.sort == "object":
            return self.object(value, shape, path)
        if isinstance(value, list) and shape.sort == "list":
            assert shape.item is not None
            return [
                self._sift(item, shape.item, f"{path}[{position}]")
                for position, item in enumerate(value)
            ]
        if isinstance(value, dict) and shape.sort == "map":
            return self._map(value, shape, path)
        return _plain(value)

    def _map(self, value: dict[str, Any], shape: Shape, path: str) -> dict[str, Any]:
        assert shape.item is not None
        kept: dict[str, Any] = {}
        for key, item in pairs_of(value):
            here = f"{path}.{key}"
            if key in kept:
                self._find("duplicate", here)
            kept[key] = self._sift(item, shape.item, here)
        return kept

    def _find(self, what: str, path: str) -> None:
        if len(self.findings) < MOST_FINDINGS:
            shown = path if len(path) <= LONGEST_PATH else path[:LONGEST_PATH] + "..."
            self.findings[f'{what} field "{shown}"'] = None


def _plain(value: Any, depth: int = 2 * MOST_DEPTH) -> Any:
    """A copy with doubled keys settled (the last one won) and with text that can be stored.

    Patches may add their depth to the object's, so twice the depth of a document is allowed.
    """
    if isinstance(value, str):
        return storable_text(value)
    if not isinstance(value, dict | list):
        return value
    if depth <= 0:
        raise BadRequestError(f"the object is nested deeper than {2 * MOST_DEPTH}")
    if isinstance(value, list):
        return [_plain(item, depth - 1) for item in value]
    return {storable_text(key): _plain(item, depth - 1) for key, item in value.items()}


def _shape_of(annotation: Any, *, is_base64: bool) -> Shape:
    """From a pydantic annotation; an Optional is what it may hold beside None."""
    arguments = [each for each in get_args(annotation) if each is not NoneType]
    origin = get_origin(annotation)
    if origin is list:
        return Shape("list", _shape_of(arguments[0], is_base64=is_base64))
    if origin is dict:
        if arguments[1] is Any:
            return Shape("open")
        return Shape("map", _shape_of(arguments[1], is_base64=is_base64))
    if isinstance(annotation, type) and origin is None:
        if issubclass(annotation, Wire):
            return Shape("object", model=annotation)
        if annotation is str and is_base64:
            return Shape("base64")
        return Shape(_SORTS[annotation])
    if annotation is Any:
        return Shape("free")
    if arguments and isinstance(arguments[0], str):  # a Literal
        return Shape("text")
    return _shape_of(arguments[0], is_base64=is_base64)  # Optional, Annotated


def _conform(value: Any, shape: Shape, path: str) -> Any:
    if shape.sort in _SCALARS:
        return _SCALARS[shape.sort](value, shape, path)
    if shape.sort == "free":
        return _plain(value)
    if shape.sort == "list":
        if not isinstance(value, list):
            raise _wrong_type(value, shape, path)
        assert shape.item is not None
        return [_element(item, shape.item, path) for item in value]
    if not isinstance(value, dict):
        raise _wrong_type(value, shape, path)
    if shape.sort == "open":
        return _plain(value)
    if shape.sort == "map":
        assert shape.item is not None
        return {storable_text(key): _element(item, shape.item, path) for key, item in value.items()}
    assert shape.model is not None
    return _object(value, shape.model, path)


def _element(value: Any, shape: Shape, path: str) -> Any:
    """Of a list or a map, where null is the zero value."""
    return _zero(shape, path) if value is None else _conform(value, shape, path)


def _object(value: Mapping[str, Any], model: type[Wire], path: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, field in fields_of(model).items():
        item, here = value.get(key), f"{path}.{key}"
        if item is not None:
            item = _conform(item, field.shape, here)
        elif field.required:
            item = _zero(field.shape, here)
        if item is not None:
            found[key] = item
    return _image(found, path) if model is Image else found


def _image(found: dict[str, Any], path: str) -> dict[str, Any]:
    """`dockerImageMetadata` of its one known version, in the one shape it is shown in (B1.2)."""
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
        found.pop("dockerImageMetadata", None)  # the resource's own default
    return found


def _zero(shape: Shape, path: str) -> Any:
    """Go's zero value of a field that has to be there."""
    if shape.sort == "object":
        assert shape.model is not None
        return _object({}, shape.model, path)
    if shape.sort == "time":
        raise _MismatchError(f"{path}: a time is missing")
    return {
        "number": 0,
        "decimal": 0.0,
        "flag": False,
        "list": [],
        "map": {},
        "open": {},
        "free": None,
    }.get(shape.sort, "")


def _read_text(value: Any, shape: Shape, path: str) -> str:
    if not isinstance(value, str):
        raise _wrong_type(value, shape, path)
    return storable_text(value)


def _read_number(value: Any, shape: Shape, path: str) -> int:
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise _wrong_type(value, shape, path)
    return value


def _read_decimal(value: Any, shape: Shape, path: str) -> float:
    if type(value) is not int and type(value) is not float:
        raise _wrong_type(value, shape, path)
    return float(value)


def _read_flag(value: Any, shape: Shape, path: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong_type(value, shape, path)
    return value


def _read_time(value: Any, shape: Shape, path: str) -> str | None:
    """RFC 3339; the year 1 is how Go writes no time at all."""
    if not isinstance(value, str):
        raise _wrong_type(value, shape, path)
    try:
        moment = parse_time(value)
    except ContentError as error:
        raise _MismatchError(error.text) from None
    if moment is None:
        raise _MismatchError(f'parsing time "" as "2006-01-02T15:04:05Z07:00": {path} is empty')
    return None if moment.startswith("0001-01-01T00:00:00") else moment


def _read_base64(value: Any, shape: Shape, path: str) -> str:
    """Standard base64 as Go decodes it, in its one canonical form."""
    if not isinstance(value, str):
        raise _wrong_type(value, shape, path)
    text = value.replace("\r", "").replace("\n", "")
    good = re.match(r"[A-Za-z0-9+/]*", text)
    assert good is not None
    padding = text[good.end() :]
    if (padding and padding not in {"=", "=="}) or len(text) % 4:
        at = len(value) if not padding or padding in {"=", "=="} else value.index(padding[0])
        raise _MismatchError(f"illegal base64 data at input byte {at}")
    return base64.b64encode(base64.b64decode(text)).decode()


_SORTS: Mapping[Any, str] = {
    str: "text",
    int: "number",
    float: "decimal",
    bool: "flag",
    datetime: "time",
}
_SCALARS: Mapping[str, Callable[[Any, Shape, str], Any]] = {
    "text": _read_text,
    "base64": _read_base64,
    "number": _read_number,
    "decimal": _read_decimal,
    "flag": _read_flag,
    "time": _read_time,
}


def _wrong_type(value: Any, shape: Shape, path: str) -> _MismatchError:
    names = {str: "string", bool: "bool", int: "number", float: "number", list: "array"}
    found = names.get(type(value), "object")
    if found == "number":
        found = f"number {value}"[:60]
    return _MismatchError(
        f"json: cannot unmarshal {found} into Go struct field {path[:300]} of type {shape.name}"
    )
