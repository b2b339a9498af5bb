"""The Table row of an Event, as `kubectl get events` prints it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from api.printers.age_format import format_age


def event_cells(event: Mapping[str, Any], now: datetime) -> list[Any]:
    """Return the cells of an event: last seen, type, reason, object and message.

    The cells between and after them are those of priority 1, which only `-o wide` shows.
    """
    involved = event.get("involvedObject") or {}
    source = event.get("source") or {}
    reporters = [source.get("component", ""), source.get("host", "")]
    first = str(event.get("firstTimestamp") or "")
    last = str(event.get("lastTimestamp") or first)
    return [
        format_age(last, now),
        event.get("type", ""),
        event.get("reason", ""),
        f"{str(involved.get('kind', '')).lower()}/{involved.get('name', '')}",
        involved.get("fieldPath", ""),
        ", ".join(text for text in reporters if text),
        str(event.get("message", "")).strip(),
        format_age(first, now),
        int(event.get("count") or 1),
        event.get("metadata", {}).get("name", ""),
    ]
