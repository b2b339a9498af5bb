"""Parsing of `Retry-After` and rate-limit headers (registry-16.1, registry-16.2).

The values are used to slow down, never to speed up; what cannot be parsed is ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

MIN_RETRY_AFTER_SECONDS = 1.0
MAX_RETRY_AFTER_SECONDS = 6 * 3600.0
DEFAULT_WINDOW_SECONDS = 60.0
_MIN_UNIX_TIME = 1_000_000_000
_DIGITS = re.compile(r"\d{1,10}", re.ASCII)
_WINDOWED = re.compile(r"(\d{1,10})(?:\s*;\s*w=(\d{1,10}))?", re.ASCII)
_WINDOW_PARAMETER = re.compile(r";\s*w=(\d{1,10})\b", re.ASCII)
_PARAMETERS = re.compile(r"\b(limit|remaining|reset|r|t|q|w)=(\d{1,10})\b", re.ASCII)
_MAX_VALUE_LENGTH = 100


def parse_retry_after(text: str | None, *, now: float) -> float | None:
    """Return the seconds to wait, from 1 s to 6 h, or None for no usable value (registry-16.1).

    `now` is Unix time. Numbers above 10^9 are Unix time, other texts are HTTP dates (RFC 9110
    10.2.3); a time in the past is ignored.
    """
    if text is None or len(text) > _MAX_VALUE_LENGTH:
        return None
    text = text.strip()
    if _DIGITS.fullmatch(text):
        seconds = float(text)
        seconds -= now if seconds > _MIN_UNIX_TIME else 0.0
    else:
        try:
            date = parsedate_to_datetime(text)
            date = date if date.tzinfo else date.replace(tzinfo=UTC)
            seconds = date.timestamp() - now
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
    if seconds < 0:
        return None
    return min(max(seconds, MIN_RETRY_AFTER_SECONDS), MAX_RETRY_AFTER_SECONDS)


@dataclass(frozen=True, slots=True)
class ReportedQuota:
    """A quota as a response reports it: `remaining` of `limit` requests (0 if not reported).

    `window` is the number of seconds until the quota recovers, as far as reported. `period` is the
    length of the registry's window and `reset` the time until it starts again, both in seconds, 0
    if not reported.
    """

    limit: int
    remaining: int
    window: float = 0.0
    period: float = 0.0
    reset: float = 0.0

    @property
    def is_low(self) -> bool:
        """Whether so little remains that GETs of manifests should wait (registry-17.4)."""
        return self.remaining <= max(5.0, 0.05 * self.limit)

    @property
    def wait(self) -> float:
        """An estimate of the seconds until more remains, from 1 s to 6 h."""
        return min(
            max(self.window or DEFAULT_WINDOW_SECONDS, MIN_RETRY_AFTER_SECONDS),
            MAX_RETRY_AFTER_SECONDS,
        )


@dataclass(frozen=True, slots=True)
class LimitHeaders:
    """The rate-limit headers of one response."""

    retry_after: float | None
    quota: ReportedQuota | None


def parse_limit_headers(
    headers: Iterable[tuple[bytes, bytes]], *, now: float
) -> LimitHeaders | None:
    """Return the rate-limit headers of a response, or None without any; `headers` in raw form.

    One pass over the raw names: this runs for every response, and nearly all have none.
    """
    found: dict[str, str] = {}
    for raw_name, value in headers:
        name = raw_name.lower()
        if b"ratelimit" in name or name == b"retry-after":
            found.setdefault(name.decode("latin-1"), value.decode("latin-1").strip())
    if not found:
        return None
    return LimitHeaders(
        retry_after=parse_retry_after(found.get("retry-after"), now=now),
        quota=_parse_quota(found, now=now),
    )


def _parse_quota(headers: dict[str, str], *, now: float) -> ReportedQuota | None:
    """Parse Docker Hub's `97;w=21600`, the three forms of the IETF drafts, and `X-RateLimit-*`."""
    policy = _WINDOW_PARAMETER.search(headers.get("ratelimit-policy", ""))
    for prefix in ("", "x-"):
        remaining = _WINDOWED.fullmatch(headers.get(f"{prefix}ratelimit-remaining", ""))
        if remaining is None:
            continue
        limit = _WINDOWED.match(headers.get(f"{prefix}ratelimit-limit", ""))
        window_parameter = (
            _WINDOW_PARAMETER.search(headers.get(f"{prefix}ratelimit-limit", "")) or policy
        )
        period = float(
            remaining.group(2) or (window_parameter.group(1) if window_parameter else 0) or 0
        )
        reset = _seconds_until(headers.get(f"{prefix}ratelimit-reset", ""), now=now)
        return _build_quota(
            int(limit.group(1)) if limit else 0, int(remaining.group(1)), period=period, reset=reset
        )
    structured = headers.get("ratelimit", "")
    if structured and len(structured) <= _MAX_VALUE_LENGTH:
        return _parse_structured(structured, headers.get("ratelimit-policy", ""), now=now)
    return None


def _parse_structured(text: str, policy: str, *, now: float) -> ReportedQuota | None:
    """Parse `limit=100, remaining=50, reset=5`, and `"name";r=50;t=5` with `"name";q=100;w=60`."""
    parameters: dict[str, str] = dict(_PARAMETERS.findall(text))
    policy_parameters: dict[str, str] = dict(_PARAMETERS.findall(policy[:_MAX_VALUE_LENGTH]))
    remaining = parameters.get("remaining", parameters.get("r"))
    if remaining is None:
        return None
    bare = _DIGITS.match(policy)
    limit = parameters.get("limit") or policy_parameters.get("q") or (bare.group() if bare else "0")
    reset = _seconds_until(parameters.get("reset", parameters.get("t", "")), now=now)
    return _build_quota(
        int(limit), int(remaining), period=float(policy_parameters.get("w", 0)), reset=reset
    )


def _build_quota(
    limit: int, remaining: int, *, period: float, reset: float | None
) -> ReportedQuota:
    window = period if reset is None else reset
    return ReportedQuota(
        limit=limit,
        remaining=remaining,
        window=min(max(window, 0.0), MAX_RETRY_AFTER_SECONDS),
        period=min(period, MAX_RETRY_AFTER_SECONDS),
        reset=min(max(reset or 0.0, 0.0), MAX_RETRY_AFTER_SECONDS),
    )


def _seconds_until(text: str, *, now: float) -> float | None:
    """Return the seconds until a reset, which is given in seconds or as Unix time."""
    if _DIGITS.fullmatch(text) is None:
        return None
    seconds = float(text)
    return seconds - now if seconds > _MIN_UNIX_TIME else seconds
