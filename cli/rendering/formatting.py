"""Numbers, times and digests as people read them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from models.errors import UsageError

if TYPE_CHECKING:
    from models.resources.image import Image

_SHORT = 12
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def short_digest(digest: str) -> str:
    """As much of a digest as tells images apart at a glance."""
    algorithm, colon, encoded = digest.partition(":")
    return f"{algorithm}{colon}{encoded[:_SHORT]}"


def format_size(size: int) -> str:
    """Bytes in decimal units, as registries count them."""
    if size < 1000:
        return f"{size} B"
    value = float(size)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 999.5:
            return f"{value:.1f} {unit}" if value < 99.95 else f"{value:.0f} {unit}"
    return f"{value / 1000:.1f} TB"


def format_age(moment: datetime | None, now: datetime) -> str:
    """How long ago, in the largest unit that fits."""
    if moment is None:
        return ""
    seconds = max(0, int((now - moment).total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit} ago"
    return f"{seconds}s ago"


def format_ahead(moment: datetime | None, now: datetime) -> str:
    """How long until then, in the largest unit that fits."""
    if moment is None:
        return ""
    seconds = int((moment - now).total_seconds())
    if seconds < 1:
        return "now"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"in {seconds // size}{unit}"
    return f"in {seconds}s"


def format_span(seconds: int) -> str:
    """`15m`, `1h30m`, `90s`: an interval as annotations write it."""
    parts = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m"), (1, "s")):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def format_clock(moment: datetime, now: datetime) -> str:
    """The time in UTC, and the date where it is another day."""
    then = moment.astimezone(UTC)
    if then.date() == now.astimezone(UTC).date():
        return f"{then:%H:%M:%S}Z"
    return f"{then:%Y-%m-%d %H:%M}Z"


def format_moment(moment: datetime | None) -> str:
    """Date and time, in UTC."""
    return "" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"


def parse_moment(text: str, now: datetime) -> datetime:
    """A date, a date with a time (UTC unless it says otherwise), or `90m`, `2h`, `3d` ago."""
    ago = re.fullmatch(r"(\d{1,6})([smhdw])(?: ago)?", text.strip(), re.ASCII)
    try:
        if ago is not None:
            return now - timedelta(**{_UNITS[ago.group(2)]: int(ago.group(1))})
        moment = datetime.fromisoformat(text.strip())
        zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return zoned.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"{text!r} is not a time; write 2026-03-03T14:05 (UTC), 2026-03-03, or 2h for "
            "two hours ago"
        ) from error


def count_of(number: int, noun: str, plural: str = "") -> str:
    """`1 tag`, `3 tags`, `2 registries`."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def platforms_of(image: Image) -> list[str]:
    """The platforms that an image runs on; entries that are no platform (attestations) left out."""
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
    """Whether a machine could be that; `unknown/unknown` marks attestations."""
    return bool(architecture) and "unknown" not in {os, architecture}


def format_platform(os: str, architecture: str, variant: str) -> str:
    """`linux/arm64/v8`."""
    return "/".join(part for part in (os, architecture, variant) if part)


def list_some(words: Iterable[str], most: int = 4) -> str:
    """The first few of them, and how many more there are."""
    every = list(words)
    rest = len(every) - most
    return ", ".join(every[:most]) + (f" +{rest}" if rest > 0 else "")
