"""Decoding of JSON into plain data, as Go decodes it but with bounded size and depth.

Duplicate keys are allowed and the last one wins; `key_value_pairs` returns all of them. Text that
databases do not accept (NUL, lone surrogates, invalid UTF-8) becomes U+FFFD, as in Go.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, NoReturn

from models.api_errors import BadRequestError
from models.oci import storable_text

MAX_JSON_DEPTH = 64
MAX_JSON_VALUES = 250_000
_MAX_NUMBER_LENGTH = 64
# Everything but brackets, braces, colons and commas, strings as a whole: what is left shows the
# structure. Possessive quantifiers: each character is matched once, so the scan is linear.
_NON_STRUCTURAL = re.compile(r'(?:"(?:[^"\\]++|\\.)*+"?|[^"\[\]{},:]++)++', re.DOTALL)


class DictWithDuplicates(dict[str, Any]):
    """An object whose text has a key more than once; `pairs` are all of them, in order."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs


def key_value_pairs(value: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    """Return keys and values in document order, including duplicates."""
    return value.pairs if isinstance(value, DictWithDuplicates) else value.items()


def build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a plain dict if no key is duplicated, else a DictWithDuplicates."""
    unique = dict(pairs)
    return unique if len(unique) == len(pairs) else DictWithDuplicates(pairs)


def parse_json(body: bytes) -> Any:
    """Return any JSON value. Raises BadRequestError, with a text like Go's, for invalid JSON."""
    text = body.decode("utf-8", "replace")
    if not text.strip(" \t\r\n"):
        raise BadRequestError("unexpected end of JSON input")
    if text.startswith("\ufeff"):
        raise BadRequestError("invalid character 'ï' looking for beginning of value")
    _check_size(text)
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise BadRequestError(_describe_error(error, text)) from None
    except (ValueError, RecursionError, MemoryError):
        raise BadRequestError("a value of the document is too large or nested too deep") from None
    return storable_tree(value) if "\\u" in text else value


def storable_tree(value: Any) -> Any:
    """Return a decoded document with storable text in all its strings and keys."""
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, list):
        return [storable_tree(item) for item in value]
    if isinstance(value, dict):
        return build_object(
            [(storable_text(key), storable_tree(item)) for key, item in key_value_pairs(value)]
        )
    return value


def parse_number(digits: str) -> int | float:
    """Return an integer if it fits 64 bits, else a float. Raises BadRequestError if too large."""
    if len(digits) > _MAX_NUMBER_LENGTH:
        raise BadRequestError("a number of the document is out of bounds")
    if digits.lstrip("+-").isdigit() and -(2**63) <= (whole := int(digits)) < 2**63:
        return whole
    number = float(digits)
    if number in {float("inf"), float("-inf")}:
        raise BadRequestError("a number of the document is out of bounds")
    return number


def _check_size(text: str) -> None:
    """Check depth and number of values in a linear scan, before the recursive parser runs."""
    marks = _NON_STRUCTURAL.sub("", text)
    if len(marks) - marks.count("]") - marks.count("}") > MAX_JSON_VALUES:
        raise BadRequestError(f"the document has more than {MAX_JSON_VALUES} values")
    if marks.count("[") + marks.count("{") <= MAX_JSON_DEPTH:
        return
    depth = 0
    for mark in marks:
        if mark in "[{":
            depth += 1
            if depth > MAX_JSON_DEPTH:
                raise BadRequestError(f"the document is nested deeper than {MAX_JSON_DEPTH}")
        elif mark in "]}":
            depth -= 1


def _describe_error(error: json.JSONDecodeError, text: str) -> str:
    if error.pos >= len(text) or error.msg.startswith("Unterminated"):
        return "unexpected end of JSON input"
    return f"invalid character {text[error.pos]!r} at offset {error.pos}"


def _refuse_constant(name: str) -> NoReturn:
    raise BadRequestError(f"invalid character {name[0]!r} looking for beginning of value")


_DECODER = json.JSONDecoder(
    object_pairs_hook=build_object,
    parse_constant=_refuse_constant,
    parse_int=parse_number,
    parse_float=parse_number,
)
