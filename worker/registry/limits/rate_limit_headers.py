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
_PERIOD = re.compile(r";\s*w=(\d{1,10})\b", re.ASCII)
_PAIRS = re.compile(r"\b(limit|remaining|reset|r|t|q|w)=(\d{1,10})\b", re.ASCII)
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
    """How many requests are left, of how many (0: not said), and for how many seconds.

    `period` is the length of the registry's window, `reset` when it begins anew; 0: not said.
    """

    limit: int
    remaining: int
    window: float = 0.0
    period: float = 0.0
    reset: float = 0.0

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
        if b"ratelimit" in name or name == b"retry-after":
            found.setdefault(name.decode("latin-1"), value.decode("latin-1").strip())
    if not found:
        return None
    return Said(
        retry_after=parse_retry_after(found.get("retry-after"), now=now),
        allowed=_parse_allowed(found, now=now),
    )


def _parse_allowed(headers: dict[str, str], *, now: float) -> Allowed | None:
    """Docker Hub's `97;w=21600`, the IETF drafts in their three forms, and `X-…` with Unix time."""
    policy = _PERIOD.search(headers.get("ratelimit-policy", ""))
    for prefix in ("", "x-"):
        remaining = _WINDOWED.fullmatch(headers.get(f"{prefix}ratelimit-remaining", ""))
        if remaining is None:
            continue
        limit = _WINDOWED.match(headers.get(f"{prefix}ratelimit-limit", ""))
        written = _PERIOD.search(headers.get(f"{prefix}ratelimit-limit", "")) or policy
        period = float(remaining.group(2) or (written.group(1) if written else 0) or 0)
        reset = _seconds_until(headers.get(f"{prefix}ratelimit-reset", ""), now=now)
        return _allowed(
            int(limit.group(1)) if limit else 0, int(remaining.group(1)), period=period, reset=reset
        )
    structured = headers.get("ratelimit", "")
    if structured and len(structured) <= _LONGEST_VALUE:
        return _parse_structured(structured, headers.get("ratelimit-policy", ""), now=now)
    return None


def _parse_structured(text: str, policy: str, *, now: float) -> Allowed | None:
    """`limit=100, remaining=50, reset=5`, and `"name";r=50;t=5` with `"name";q=100;w=60`."""
    found: dict[str, str] = dict(_PAIRS.findall(text))
    more: dict[str, str] = dict(_PAIRS.findall(policy[:_LONGEST_VALUE]))
    remaining = found.get("remaining", found.get("r"))
    if remaining is None:
        return None
    bare = _DIGITS.match(policy)
    limit = found.get("limit") or more.get("q") or (bare.group() if bare else "0")
    reset = _seconds_until(found.get("reset", found.get("t", "")), now=now)
    return _allowed(int(limit), int(remaining), period=float(more.get("w", 0)), reset=reset)


def _allowed(limit: int, remaining: int, *, period: float, reset: float | None) -> Allowed:
    window = period if reset is None else reset
    return Allowed(
        limit=limit,
        remaining=remaining,
        window=min(max(window, 0.0), LONGEST_WAIT),
        period=min(period, LONGEST_WAIT),
        reset=min(max(reset or 0.0, 0.0), LONGEST_WAIT),
    )


def _seconds_until(text: str, *, now: float) -> float | None:
    """Seconds as such, or until a moment of Unix time."""
    if _DIGITS.fullmatch(text) is None:
        return None
    seconds = float(text)
    return seconds - now if seconds > _UNIX_TIME else seconds
