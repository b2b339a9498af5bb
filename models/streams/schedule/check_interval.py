"""What annotations ask of the schedule: how often, and whether at all."""

from __future__ import annotations

import re

from models.resources.stream import ImageStream, TagReference

INTERVAL = "sync.tagstream.io/interval"
SUSPEND = "sync.tagstream.io/suspend"
_PARTS = re.compile(r"(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,9})s)?", re.ASCII)
_UNITS = (86400, 3600, 60, 1)
_LONGEST = 10**9  # seconds; more is no other wish, and fits into no column


def parse_interval(text: str) -> int:
    """Seconds, from `15m`, `1h30m`, `90s` or plain seconds. ValueError for anything else.

    What the operator bounds an interval by is no matter of this.
    """
    text = text.strip()
    if text.isascii() and text.isdigit() and len(text) <= 9:
        seconds = int(text)
    else:
        found = _PARTS.fullmatch(text)
        seconds = 0
        if found is not None:
            parts = zip(found.groups(), _UNITS, strict=True)
            seconds = sum(int(count) * unit for count, unit in parts if count)
    if seconds <= 0:
        raise ValueError("must be a duration such as 15m, 1h30m, 90s, or a number of seconds")
    return min(seconds, _LONGEST)


def parse_switch(text: str) -> bool:
    """ValueError for anything but `true` and `false`."""
    if text not in {"true", "false"}:
        raise ValueError('must be "true" or "false"')
    return text == "true"


def wished_interval(stream: ImageStream, tag: TagReference) -> int | None:
    """The interval in seconds that the tag's annotation, or else the stream's, asks for."""
    for said in (tag.annotations or {}, stream.metadata.annotations):
        if INTERVAL in said:
            try:
                return parse_interval(said[INTERVAL])
            except ValueError:
                continue
    return None


def is_suspended(stream: ImageStream, tag: TagReference) -> bool:
    """Whether the tag's annotation, or else the stream's, asks for a rest."""
    for said in (tag.annotations or {}, stream.metadata.annotations):
        if SUSPEND in said:
            try:
                return parse_switch(said[SUSPEND])
            except ValueError:
                continue
    return False
