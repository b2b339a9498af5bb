"""The Table row of a ScheduledTag."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from api.printers.age_format import format_short, parse_time

NONE, NEVER = "<none>", "<never>"


def scheduled_tag_cells(tag: Mapping[str, Any], now: datetime) -> list[Any]:
    """Return the cells of a tag: name, registry, interval, checks, outcome, failures, reason."""
    metadata = tag.get("metadata") or {}
    spec, status = tag.get("spec") or {}, tag.get("status") or {}
    checked = parse_time(status.get("lastCheckTime"))
    next_check = parse_time(status.get("nextCheckTime"))
    return [
        metadata.get("name", ""),
        spec.get("registry", ""),
        spec.get("interval") or NONE,
        NEVER if checked is None else f"{format_short(now - checked)} ago",
        NONE if next_check is None else f"in {format_short(max(next_check - now, timedelta()))}",
        status.get("outcome") or NONE,
        status.get("reason", ""),
        int(status.get("consecutiveFailures") or 0),
        status.get("message", ""),
    ]
