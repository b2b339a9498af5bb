"""Bytes of a patch → JSON values, as strict as Go reads them, and never deeper than we can follow.

Only ValueError leaves this module; who calls says what was being read.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

MAX_DEPTH = 100


def decode_json(body: bytes) -> Any:
    """The value that the bytes hold; the last of members with one name wins.

    ValueError where they hold none, or one that is deeper than `MAX_DEPTH`.
    """
    text = body.decode("utf-8", "replace")
    if not text.strip():
        raise ValueError("unexpected end of JSON input")
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_parse_float)
    except RecursionError:
        raise ValueError("exceeded max depth") from None
    check_depth(value)
    return _mend(value) if "\\u" in text else value


def check_depth(value: Any, most: int = MAX_DEPTH) -> None:
    """ValueError where objects and lists stand more than `most` deep inside each other."""
    level = [value]
    for _ in range(most + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise ValueError("exceeded max depth")


def describe_json(value: Any) -> str:
    """A value's type, as Go's decoder names it."""
    if isinstance(value, bool):
        return "bool"
    names = ((dict, "object"), (list, "array"), (str, "string"), (int | float, "number"))
    return next((name for kind, name in names if isinstance(value, kind)), "null")


def same_json(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON: true is not 1, but 1 is 1.0."""
    if one is other:
        return True
    if isinstance(one, bool) or isinstance(other, bool):
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_json(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_json, one, other))
    return bool(one == other)


def _mend(value: Any) -> Any:
    """Halves of surrogate pairs become the replacement character: they have no bytes."""
    if isinstance(value, str):
        return (
            value
            if value.isascii()
            else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        )
    if isinstance(value, list):
        return [_mend(item) for item in value]
    if isinstance(value, dict):
        return {_mend(key): _mend(item) for key, item in value.items()}
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"invalid character '{name[0]}' looking for beginning of value")


def _parse_float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"cannot unmarshal number {text[:20]} into Go value of type float64")
    return number
