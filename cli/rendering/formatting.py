"""Formats numbers, times and digests for people, and parses times."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from models.durations import parse_duration
from models.errors import UsageError

if TYPE_CHECKING:
    from models.resources.image import Image

_SHORT_DIGEST_LENGTH = 12
_DURATION_UNITS = tuple("wdhmsDHMS")  # the last letter of a duration, Go or ISO 8601


def short_digest(digest: str) -> str:
    """Shorten a digest to its algorithm and first 12 hex digits."""
    algorithm, colon, encoded = digest.partition(":")
    return f"{algorithm}{colon}{encoded[:_SHORT_DIGEST_LENGTH]}"


def format_size(size: int) -> str:
    """Format bytes in decimal units, as registries do."""
    if size < 1000:
        return f"{size} B"
    value = float(size)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 999.5:
            return f"{value:.1f} {unit}" if value < 99.95 else f"{value:.0f} {unit}"
    return f"{value / 1000:.1f} TB"


def format_age(time: datetime | None, now: datetime) -> str:
    """Format how long ago a time was, in the largest unit that fits."""
    if time is None:
        return ""
    seconds = max(0, int((now - time).total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit} ago"
    return f"{seconds}s ago"


def format_until(time: datetime | None, now: datetime) -> str:
    """Format how long it is until a time, in the largest unit that fits."""
    if time is None:
        return ""
    seconds = int((time - now).total_seconds())
    if seconds < 1:
        return "now"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"in {seconds // size}{unit}"
    return f"in {seconds}s"


def format_duration(seconds: int) -> str:
    """Format seconds as annotations write an interval: `15m`, `1h30m`, `90s`."""
    parts = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m"), (1, "s")):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def format_clock(time: datetime, now: datetime) -> str:
    """Format the time of day in UTC, with the date if it is another day than `now`."""
    utc_time = time.astimezone(UTC)
    if utc_time.date() == now.astimezone(UTC).date():
        return f"{utc_time:%H:%M:%S}Z"
    return f"{utc_time:%Y-%m-%d %H:%M}Z"


def format_timestamp(time: datetime | None) -> str:
    """Format date and time in UTC."""
    return "" if time is None else f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"


def parse_time(text: str, now: datetime) -> datetime:
    """Parse a date, a date with a time (UTC unless it has an offset), or an age like `90m`, `2h`,
    `3d`.

    Raises UsageError for anything else.
    """
    age = text.strip().removesuffix(" ago")
    try:
        if age.endswith(_DURATION_UNITS):
            return now - timedelta(seconds=parse_duration(age))
        parsed = datetime.fromisoformat(text.strip())
        with_zone = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
        return with_zone.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"{text!r} is not a time; write 2026-03-03T14:05 (UTC), 2026-03-03, or 2h for "
            "two hours ago"
        ) from error


def format_count(number: int, noun: str, plural: str = "") -> str:
    """Format a number with its noun: `1 tag`, `3 tags`, `2 registries`."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def platforms_of(image: Image) -> list[str]:
    """List the platforms that an image runs on, without entries that are none (attestations)."""
    if image.docker_image_manifests:
        return [
            format_platform(each.os, each.architecture, each.variant)
            for each in image.docker_image_manifests
            if is_platform(each.os, each.architecture)
        ]
    metadata = image.docker_image_metadata
    os, architecture = str(metadata.get("Os") or ""), str(metadata.get("Architecture") or "")
    if not architecture:
        return []
    return [format_platform(os or "linux", architecture, "")]


def is_platform(os: str, architecture: str) -> bool:
    """Return whether this is a real platform; `unknown/unknown` marks attestations."""
    return bool(architecture) and "unknown" not in {os, architecture}


def format_platform(os: str, architecture: str, variant: str) -> str:
    """Format a platform: `linux/arm64/v8`."""
    return "/".join(part for part in (os, architecture, variant) if part)


def join_some(items: Iterable[str], max_items: int = 4) -> str:
    """Join the first few items and append how many more there are."""
    all_items = list(items)
    rest = len(all_items) - max_items
    return ", ".join(all_items[:max_items]) + (f" +{rest}" if rest > 0 else "")
