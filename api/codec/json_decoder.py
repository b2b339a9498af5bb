"""JSON text → plain data, as Go reads it but within bounds.

Doubled keys are allowed, the last one wins; whoever wants to know of them asks `pairs_of`. Text
that no database takes (NUL, lone surrogates, broken UTF-8) becomes U+FFFD, as in Go.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, NoReturn

from models.api_errors import BadRequestError
from models.oci import storable_text

MOST_DEPTH = 64
MOST_VALUES = 250_000
_LONGEST_NUMBER = 64
# Strings, and all else that gives a document no shape. Possessive: each character is read once.
_SHAPELESS = re.compile(r'(?:"(?:[^"\\]++|\\.)*+"?|[^"\[\]{},:]++)++', re.DOTALL)


class Doubled(dict[str, Any]):
    """An object whose text has a key twice; `pairs` are all of them, in order."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs


def pairs_of(value: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    """Keys and values in the order of the document, doubled ones included."""
    return value.pairs if isinstance(value, Doubled) else value.items()


def build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A plain dict where no key is doubled."""
    found = dict(pairs)
    return found if len(found) == len(pairs) else Doubled(pairs)


def load_json(body: bytes) -> Any:
    """Any JSON value. BadRequestError with Go's kind of text where there is none."""
    text = body.decode("utf-8", "replace")
    if not text.strip(" \t\r\n"):
        raise BadRequestError("unexpected end of JSON input")
    if text.startswith("\ufeff"):
        raise BadRequestError("invalid character 'ï' looking for beginning of value")
    _check_shape(text)
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise BadRequestError(_describe(error, text)) from None
    except (ValueError, RecursionError, MemoryError):
        raise BadRequestError("a value of the document is out of bounds") from None
    return storable_tree(value) if "\\u" in text else value


def storable_tree(value: Any) -> Any:
    """A loaded document with storable text in all its strings, those of its keys too."""
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, list):
        return [storable_tree(item) for item in value]
    if isinstance(value, dict):
        return build_object(
            [(storable_text(key), storable_tree(item)) for key, item in pairs_of(value)]
        )
    return value


def read_number(digits: str) -> int | float:
    """An integer where it fits 64 bits, else a float. BadRequestError where it fits neither."""
    if len(digits) > _LONGEST_NUMBER:
        raise BadRequestError("a number of the document is out of bounds")
    if digits.lstrip("+-").isdigit() and -(2**63) <= (whole := int(digits)) < 2**63:
        return whole
    number = float(digits)
    if number in {float("inf"), float("-inf")}:
        raise BadRequestError("a number of the document is out of bounds")
    return number


def _check_shape(text: str) -> None:
    """A linear scan before the recursive parser: depth and number of values."""
    marks = _SHAPELESS.sub("", text)
    if len(marks) - marks.count("]") - marks.count("}") > MOST_VALUES:
        raise BadRequestError(f"the document has more than {MOST_VALUES} values")
    if marks.count("[") + marks.count("{") <= MOST_DEPTH:
        return
    depth = 0
    for mark in marks:
        if mark in "[{":
            depth += 1
            if depth > MOST_DEPTH:
                raise BadRequestError(f"the document is nested deeper than {MOST_DEPTH}")
        elif mark in "]}":
            depth -= 1


def _describe(error: json.JSONDecodeError, text: str) -> str:
    if error.pos >= len(text) or error.msg.startswith("Unterminated"):
        return "unexpected end of JSON input"
    return f"invalid character {text[error.pos]!r} at offset {error.pos}"


def _refuse_constant(name: str) -> NoReturn:
    raise BadRequestError(f"invalid character {name[0]!r} looking for beginning of value")


_DECODER = json.JSONDecoder(
    object_pairs_hook=build_object,
    parse_constant=_refuse_constant,
    parse_int=read_number,
    parse_float=read_number,
)
