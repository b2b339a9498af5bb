"""What registries say of their limits: `Retry-After` and rate-limit headers (`registry.md` 4.1).

What is said is used to slow down, never to speed up; what cannot be read says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

SHORTEST_WAIT = 1.0
LONGEST_WAIT = 6 * 3600.0
UNKNOWN_WINDOW = 60.0
_UNIX_TIME = 1_000_000_000
_DIGITS = re.compile(r"\d{1,10}", re.ASCII)
_WINDOWED = re.compile(r"(\d{1,10})(?:\s*;\s*w=(\d{1,10}))?", re.ASCII)
_LONGEST_VALUE = 100


def parse_retry_after(text: str | None, *, now: float) -> float | None:
    """Seconds to wait, from 1 s to 6 h; None where nothing usable was said.

    `now` is Unix time. Numbers above 10^9 are Unix time, other texts HTTP dates; what lies in the
    past is ignored.
    """
    if text is None or len(text) > _LONGEST_VALUE:
        return None
    text = text.strip()
    if _DIGITS.fullmatch(text):
        seconds = float(text)
        seconds -= now if seconds > _UNIX_TIME else 0.0
    else:
        try:
            moment = parsedate_to_datetime(text)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            seconds = moment.timestamp() - now
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
    if seconds < 0:
        return None
    return min(max(seconds, SHORTEST_WAIT), LONGEST_WAIT)


@dataclass(frozen=True, slots=True)
class Allowed:
    """How many requests are left, of how many (0: not said), and for how many seconds."""

    limit: int
    remaining: int
    window: float = 0.0

    @property
    def is_low(self) -> bool:
        """Whether manifests should wait until the window has passed (`registry.md` 4.1)."""
        return self.remaining <= max(5.0, 0.05 * self.limit)

    @property
    def wait(self) -> float:
        """An estimate of when there will be more."""
        return min(max(self.window or UNKNOWN_WINDOW, SHORTEST_WAIT), LONGEST_WAIT)


@dataclass(frozen=True, slots=True)
class Said:
    """The headers of one answer that speak of limits."""

    retry_after: float | None
    allowed: Allowed | None


def parse_limits(headers: Iterable[tuple[bytes, bytes]], *, now: float) -> Said | None:
    """What an answer says of limits, or None where it says nothing; `headers` in raw form.

    One pass over raw names: this runs for every answer, and nearly all say nothing.
    """
    found: dict[str, str] = {}
    for raw_name, value in headers:
        name = raw_name.lower()
        if b"ratelimit-" in name or name == b"retry-after":
            found.setdefault(name.decode("latin-1"), value.decode("latin-1").strip())
    if not found:
        return None
    return Said(
        retry_after=parse_retry_after(found.get("retry-after"), now=now),
        allowed=_parse_allowed(found, now=now),
    )


def _parse_allowed(headers: dict[str, str], *, now: float) -> Allowed | None:
    """Docker Hub's `97;w=21600`, the IETF draft's seconds, and `X-…` with Unix time."""
    for prefix in ("", "x-"):
        remaining = _WINDOWED.fullmatch(headers.get(f"{prefix}ratelimit-remaining", ""))
        if remaining is None:
            continue
        limit = _WINDOWED.match(headers.get(f"{prefix}ratelimit-limit", ""))
        reset = _DIGITS.fullmatch(headers.get(f"{prefix}ratelimit-reset", ""))
        if reset is not None:
            window = float(reset.group())
            window -= now if window > _UNIX_TIME else 0.0
        else:
            window = float(remaining.group(2) or (limit.group(2) if limit else 0) or 0)
        return Allowed(
            limit=int(limit.group(1)) if limit else 0,
            remaining=int(remaining.group(1)),
            window=min(max(window, 0.0), LONGEST_WAIT),
        )
    return None
