"""The row of an Event, as `kubectl get events` prints it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from api.printers.age_format import format_age


def event_cells(event: Mapping[str, Any], now: datetime) -> list[Any]:
    """When it happened last, what, to whom, and its words; then what only a wide table shows."""
    about = event.get("involvedObject") or {}
    source = event.get("source") or {}
    told_by = [source.get("component", ""), source.get("host", "")]
    first = str(event.get("firstTimestamp") or "")
    last = str(event.get("lastTimestamp") or first)
    return [
        format_age(last, now),
        event.get("type", ""),
        event.get("reason", ""),
        f"{str(about.get('kind', '')).lower()}/{about.get('name', '')}",
        about.get("fieldPath", ""),
        ", ".join(text for text in told_by if text),
        str(event.get("message", "")).strip(),
        format_age(first, now),
        int(event.get("count") or 1),
        event.get("metadata", {}).get("name", ""),
    ]
