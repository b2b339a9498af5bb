"""Annotations that set a tag's check interval or suspend its checks (scheduling-2.1,
scheduling-2.2).
"""

from __future__ import annotations

from models.durations import INVALID_DURATION, parse_duration
from models.resources.stream import ImageStream, TagReference

INTERVAL_ANNOTATION = "sync.tagstream.io/interval"
SUSPEND_ANNOTATION = "sync.tagstream.io/suspend"
_MAX_INTERVAL_SECONDS = 10**9  # above any ceiling, and more would not fit into the column


def parse_interval(text: str) -> int:
    """Parse `15m`, `1h30m`, `90s`, `PT15M` or plain seconds into whole seconds.

    Raises ValueError for any other text, fractions and 0. The operator's bounds are not applied
    here.
    """
    seconds = 0.0 if "." in text else parse_duration(text)
    if seconds <= 0 or not seconds.is_integer():
        raise ValueError(INVALID_DURATION)
    return min(int(seconds), _MAX_INTERVAL_SECONDS)


def parse_bool(text: str) -> bool:
    """Parse `true` and `false`. Raises ValueError for any other text."""
    if text not in {"true", "false"}:
        raise ValueError('must be "true" or "false"')
    return text == "true"


def requested_interval(stream: ImageStream, tag: TagReference) -> int | None:
    """Return the interval in seconds that the tag's annotation, or else the stream's, requests, or
    None.
    """
    for found in (tag.annotations or {}, stream.metadata.annotations):
        if INTERVAL_ANNOTATION in found:
            try:
                return parse_interval(found[INTERVAL_ANNOTATION])
            except ValueError:
                continue
    return None


def is_suspended(stream: ImageStream, tag: TagReference) -> bool:
    """Return whether the tag's annotation, or else the stream's, suspends checks."""
    for found in (tag.annotations or {}, stream.metadata.annotations):
        if SUSPEND_ANNOTATION in found:
            try:
                return parse_bool(found[SUSPEND_ANNOTATION])
            except ValueError:
                continue
    return False
