"""The small notation in which types of fields are written, and the schema each one becomes.

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


def build_type(written: str, refer: Callable[[str], str]) -> Schema:
    """The schema of a type; `refer` gives the `$ref` of another type by its name."""
    if written.startswith("null|"):
        return build_type(written[5:], refer) | {"nullable": True}
    if written.startswith("[]"):
        return {"type": "array", "items": build_type(written[2:], refer)}
    if written.startswith("map"):
        return {"type": "object", "additionalProperties": build_type(written[3:], refer)}
    if written.startswith("@"):
        return {"$ref": refer(written[1:])}
    return dict(_PLAIN[written])


def build_property(written: str, text: str, refer: Callable[[str], str]) -> Schema:
    """The schema of a field with its description; a reference cannot stand beside one."""
    schema = build_type(written, refer)
    reference = schema.pop("$ref", None)
    if reference is not None:
        schema = {"allOf": [{"$ref": reference}], "default": {}} | schema
        if schema.get("nullable"):
            del schema["default"]
    return {"description": text, **schema} if text else schema
