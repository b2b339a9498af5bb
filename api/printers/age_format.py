"""Ages in the two formats that clients print (api-13.7, api-13.8)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_MINUTE = 60
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR
_YEAR_HOURS = 365 * 24


def parse_time(text: str | None) -> datetime | None:
    """Return the time of a wire object's timestamp; None if it is missing or malformed."""
    if not text:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def format_ago(text: str | None, now: datetime) -> str:
    """Return `3 minutes ago`, or nothing if there is no time."""
    time = parse_time(text)
    return "" if time is None else f"{format_long(now - time)} ago"


def format_age(text: str | None, now: datetime) -> str:
    """Return `3m12s`, the age of core kinds; `<unknown>` if there is no time."""
    time = parse_time(text)
    return "<unknown>" if time is None else format_short(now - time)


def format_long(span: timedelta) -> str:
    """Return the age of image kinds: hours are rounded half up, larger units are rounded down."""
    seconds = int(span.total_seconds())
    if seconds < _HOUR:
        return _format_below_an_hour(seconds)
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


def _format_below_an_hour(seconds: int) -> str:
    if seconds < 1:
        return "Less than a second"
    if seconds < _MINUTE:
        return "1 second" if seconds == 1 else f"{seconds} seconds"
    minutes = seconds // _MINUTE
    return "About a minute" if minutes == 1 else f"{minutes} minutes"


def format_short(span: timedelta) -> str:
    """Return the age of core kinds: two units if the first is small, else one."""
    total = span.total_seconds()
    if total <= -2:
        return "<invalid>"  # kubectl accepts a clock that is less than two seconds ahead
    seconds = max(0, int(total))
    if seconds < 2 * _MINUTE:
        return f"{seconds}s"
    minutes, hours, days = seconds // _MINUTE, seconds // _HOUR, seconds // _DAY
    if minutes < 10:
        return _format_two_units(minutes, "m", seconds % _MINUTE, "s")
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return _format_two_units(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _format_two_units(days, "d", hours % 24, "h")
    years = days // 365
    if years < 2:
        return f"{days}d"
    return _format_two_units(years, "y", days % 365, "d") if years < 8 else f"{years}y"


def _format_two_units(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"
