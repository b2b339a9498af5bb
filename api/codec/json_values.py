"""JSON values: the names of their types, and their equality."""

from __future__ import annotations

from typing import Any


def json_type_name(value: Any) -> str:
    """Return the type of a value as Go's decoder names it."""
    if isinstance(value, bool):
        return "bool"
    names = ((dict, "object"), (list, "array"), (str, "string"), (int | float, "number"))
    return next((name for kind, name in names if isinstance(value, kind)), "null")


def json_equal(one: Any, other: Any) -> bool:
    """Return whether two values are the same JSON: true is not 1, but 1 is 1.0."""
    if one is other:
        return True
    if isinstance(one, bool) or isinstance(other, bool):
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(json_equal(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(json_equal, one, other))
    return bool(one == other)
