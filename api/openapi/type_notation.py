"""The short notation for types of fields, and the OpenAPI schema of each type.

`string bool int32 int64 double time bytes object any`; `@Name` another type; `[]T` a list of T;
`mapT` an object whose members are T; `null|T` T or null.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Schema = dict[str, Any]

_PLAIN: dict[str, Schema] = {
    "string": {"type": "string"},
    "bool": {"type": "boolean"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "double": {"type": "number", "format": "double"},
    "time": {"type": "string", "format": "date-time"},
    "bytes": {"type": "string", "format": "byte"},
    "object": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    "any": {"x-kubernetes-preserve-unknown-fields": True},
}


def build_type(notation: str, refer: Callable[[str], str]) -> Schema:
    """Return the schema of a type; `refer` returns the `$ref` of another type by its name."""
    if notation.startswith("null|"):
        return build_type(notation[5:], refer) | {"nullable": True}
    if notation.startswith("[]"):
        return {"type": "array", "items": build_type(notation[2:], refer)}
    if notation.startswith("map"):
        return {"type": "object", "additionalProperties": build_type(notation[3:], refer)}
    if notation.startswith("@"):
        return {"$ref": refer(notation[1:])}
    return dict(_PLAIN[notation])


def build_property(notation: str, text: str, refer: Callable[[str], str]) -> Schema:
    """Return the schema of a field with its description.

    OpenAPI 3.0 ignores what stands beside a `$ref`, so a reference is wrapped in `allOf`.
    """
    schema = build_type(notation, refer)
    reference = schema.pop("$ref", None)
    if reference is not None:
        schema = {"allOf": [{"$ref": reference}], "default": {}} | schema
        if schema.get("nullable"):
            del schema["default"]
    return {"description": text, **schema} if text else schema
