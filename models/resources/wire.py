"""How a wire object reads and prints itself: camelCase keys, and which keys appear when empty.

`api.md` B1.1 says for each field whether it is *always* present or *omitted* when empty. Here a
field is omitted when empty unless it carries `ALWAYS`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, PlainSerializer
from pydantic.alias_generators import to_camel


class _Always:
    """Marks a field whose key is printed even when its value is empty."""

    __slots__ = ()


ALWAYS = _Always()


def to_utc_seconds(moment: datetime) -> datetime:
    """UTC, cut (not rounded) to whole seconds, as every timestamp on the wire."""
    if moment.tzinfo is UTC and not moment.microsecond:
        return moment
    if moment.tzinfo is None:
        raise ValueError("timestamps need a time zone")
    return moment.astimezone(UTC).replace(microsecond=0)


def format_time(moment: datetime) -> str:
    """RFC 3339 in UTC with second precision: `2026-01-02T03:04:05Z`."""
    return f"{to_utc_seconds(moment).isoformat()[:19]}Z"


Time = Annotated[
    datetime,
    AfterValidator(to_utc_seconds),
    PlainSerializer(format_time, return_type=str, when_used="json"),
]


class Wire(BaseModel):
    """A part of a wire object. Unknown keys are ignored, values are frozen."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore"
    )

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields exchanged (values are taken as they are)."""
        return self.model_copy(update=changes)

    def wire(self) -> dict[str, Any]:
        """The JSON object as clients see it, presence rules applied."""
        printed: dict[str, Any] = {}
        values = self.__dict__
        for name, key, always in _fields_of(type(self)):
            value = print_value(values[name])
            if always or value:
                printed[key] = value
        return printed


@cache
def _fields_of(kind: type[Wire]) -> tuple[tuple[str, str, bool], ...]:
    """Name, key, and whether it is printed even when it is empty."""
    return tuple(
        (name, field.alias or name, any(isinstance(mark, _Always) for mark in field.metadata))
        for name, field in kind.model_fields.items()
    )


def print_value(value: Any) -> Any:
    """A field's value as plain JSON data."""
    if type(value) in _PLAIN:
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


_PLAIN = frozenset({str, int, bool, float, type(None)})


def is_empty(value: Any) -> bool:
    """What Go's `omitempty` leaves out: null, false, zero, and empty text, lists and maps."""
    return value is None or value is False or value == 0 or value in ("", [], {})
