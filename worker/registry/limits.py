"""What registries say of their limits: `Retry-After`, rate-limit headers (`registry.md` 4.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

LONGEST_WAIT = 6 * 3600.0
_SHORTEST_WAIT = 1.0
_UNIX_TIME = 1_000_000_000
_WINDOWED = re.compile(r"(\d{1,9})(?:;w=(\d{1,9}))?", re.ASCII)


def parse_retry_after(text: str | None, *, now: float) -> float | None:
    """Seconds to wait, between 1 s and 6 h; None where nothing usable was said.

    `now` is Unix time. Numbers above 10^9 are taken for Unix time, other texts for HTTP dates.
    """
    if text is None:
        return None
    text = text.strip()
    if re.fullmatch(r"\d{1,10}", text, re.ASCII):
        seconds = float(text)
        if seconds > _UNIX_TIME:
            seconds -= now
    else:
        try:
            moment = parsedate_to_datetime(text)
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = moment.timestamp() - now
    if seconds < 0:
        return None
    return min(max(seconds, _SHORTEST_WAIT), LONGEST_WAIT)


@dataclass(frozen=True, slots=True)
class Allowed:
    """How many requests are left of how many, in a window of seconds (0: not said)."""

    limit: int
    remaining: int
    window: float = 0.0

    @property
    def is_low(self) -> bool:
        """Whether the rest is to be kept for those who really need it."""
        return self.remaining <= max(5, self.limit * 0.05)


_NAMES = (
    ("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"),
    ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"),
)


def parse_allowed(headers: Mapping[str, str], *, now: float) -> Allowed | None:
    """What the headers say is left, or None. Malformed headers say nothing."""
    for limit_name, remaining_name, reset_name in _NAMES:
        remaining = _WINDOWED.fullmatch(headers.get(remaining_name, "").strip())
        if remaining is None:
            continue
        limit = _WINDOWED.fullmatch(headers.get(limit_name, "").strip())
        reset = re.fullmatch(r"\d{1,10}", headers.get(reset_name, "").strip(), re.ASCII)
        window = float(remaining.group(2) or 0)
        if reset is not None and not window:
            window = float(reset.group())
            window = max(window - now, 0.0) if window > _UNIX_TIME else window
        left = int(remaining.group(1))
        return Allowed(int(limit.group(1)) if limit else left, left, min(window, LONGEST_WAIT))
    return None
