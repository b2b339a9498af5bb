"""Base class of wire objects: camelCase keys, and rules for which keys are written when empty.

api-18.1 says for each field whether it is *always* present or *omitted* when empty. Here a field is
omitted when empty unless it is annotated with `ALWAYS` (api-18.2, api-18.3).
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, PlainSerializer
from pydantic.alias_generators import to_camel


class _AlwaysPresent:
    """Marks a field whose key is written even when its value is empty."""

    __slots__ = ()


ALWAYS = _AlwaysPresent()


def to_utc_seconds(time: datetime) -> datetime:
    """Convert to UTC and truncate (not round) to whole seconds, as in every timestamp on the wire.

    Raises ValueError for a time without time zone.
    """
    if time.tzinfo is UTC and not time.microsecond:
        return time
    if time.tzinfo is None:
        raise ValueError("timestamps need a time zone")
    return time.astimezone(UTC).replace(microsecond=0)


def format_time(time: datetime) -> str:
    """Format as RFC 3339 in UTC with whole seconds: `2026-01-02T03:04:05Z`."""
    return f"{to_utc_seconds(time).isoformat()[:19]}Z"


Time = Annotated[
    datetime,
    AfterValidator(to_utc_seconds),
    PlainSerializer(format_time, return_type=str, when_used="json"),
]


class Wire(BaseModel):
    """A part of a wire object. Unknown keys are ignored; values are frozen."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore"
    )

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields replaced. The new values are not validated."""
        return self.model_copy(update=changes)

    def wire(self) -> dict[str, Any]:
        """Return the JSON object that clients see, without keys that are omitted when empty."""
        printed: dict[str, Any] = {}
        values = self.__dict__
        for name, key, always in _fields_of(type(self)):
            value = print_value(values[name])
            if always or value:
                printed[key] = value
        return printed


@cache
def _fields_of(kind: type[Wire]) -> tuple[tuple[str, str, bool], ...]:
    """Return name, key, and whether the key is written when empty, for each field of a type."""
    return tuple(
        (
            name,
            field.alias or name,
            any(isinstance(mark, _AlwaysPresent) for mark in field.metadata),
        )
        for name, field in kind.model_fields.items()
    )


def print_value(value: Any) -> Any:
    """Convert a field's value to plain JSON data."""
    if type(value) in _PLAIN_TYPES:
        return value
    if isinstance(value, Wire):
        return value.wire()
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, list | tuple):
        return [print_value(item) for item in value]
    if isinstance(value, dict):
        return {key: print_value(item) for key, item in value.items()}
    return value


_PLAIN_TYPES = frozenset({str, int, bool, float, type(None)})


def is_empty(value: Any) -> bool:
    """Return whether Go's `omitempty` omits a value: null, false, zero, empty text, list or map."""
    return value is None or value is False or value == 0 or value in ("", [], {})
