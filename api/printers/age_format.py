"""How long ago, in the two ways that clients print it (`api.md` C16)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_MINUTE = 60
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR
_YEAR_HOURS = 365 * 24


def parse_time(text: str | None) -> datetime | None:
    """A timestamp of a wire object; None where it is missing or is no time."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def format_ago(text: str | None, now: datetime) -> str:
    """`3 minutes ago`, or nothing where there is no time."""
    moment = parse_time(text)
    return "" if moment is None else f"{format_long(now - moment)} ago"


def format_age(text: str | None, now: datetime) -> str:
    """`3m12s`, as the core kinds print their age."""
    moment = parse_time(text)
    return "<unknown>" if moment is None else format_short(now - moment)


def format_long(span: timedelta) -> str:
    """The age of image kinds: hours are rounded half up, larger units are cut off."""
    seconds = int(span.total_seconds())
    if seconds < _HOUR:
        return _below_an_hour(seconds)
    hours = int(span.total_seconds() / _HOUR + 0.5)
    if hours == 1:
        return "About an hour"
    for limit, size, unit in (
        (48, 1, "hours"),
        (14 * 24, 24, "days"),
        (60 * 24, 7 * 24, "weeks"),
        (2 * _YEAR_HOURS, 30 * 24, "months"),
    ):
        if hours < limit:
            return f"{hours // size} {unit}"
    return f"{hours // _YEAR_HOURS} years"


def _below_an_hour(seconds: int) -> str:
    if seconds < 1:
        return "Less than a second"
    if seconds < _MINUTE:
        return "1 second" if seconds == 1 else f"{seconds} seconds"
    minutes = seconds // _MINUTE
    return "About a minute" if minutes == 1 else f"{minutes} minutes"


def format_short(span: timedelta) -> str:
    """The age of core kinds: two units where the first is small, one where it is not."""
    total = span.total_seconds()
    if total <= -2:
        return "<invalid>"  # a clock two seconds ahead is no longer bad luck
    seconds = max(0, int(total))
    if seconds < 2 * _MINUTE:
        return f"{seconds}s"
    minutes, hours, days = seconds // _MINUTE, seconds // _HOUR, seconds // _DAY
    if minutes < 10:
        return _pair(minutes, "m", seconds % _MINUTE, "s")
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return _pair(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _pair(days, "d", hours % 24, "h")
    years = days // 365
    if years < 2:
        return f"{days}d"
    return _pair(years, "y", days % 365, "d") if years < 8 else f"{years}y"


def _pair(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"
