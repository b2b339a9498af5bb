"""The Table row of an ImportJob."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from api.printers.age_format import format_short, parse_time

NONE = "<none>"


def import_job_cells(job: Mapping[str, Any], now: datetime) -> list[Any]:
    """Return the cells of a job: name, stream, state, progress, counts, duration, age, reason."""
    metadata = job.get("metadata") or {}
    spec, status = job.get("spec") or {}, job.get("status") or {}
    created = parse_time(metadata.get("creationTimestamp"))
    started = parse_time(status.get("startTime"))
    ended = parse_time(status.get("completionTime")) or now
    return [
        metadata.get("name", ""),
        spec.get("stream") or NONE,
        status.get("state", ""),
        _format_progress(status),
        sum(_count(status, name) for name in ("tagsNew", "tagsUpdated", "tagsUnchanged")),
        _count(status, "tagsFailed"),
        "" if started is None else format_short(ended - started),
        "<unknown>" if created is None else f"{format_short(now - created)} ago",
        status.get("reason", ""),
    ]


def _format_progress(status: Mapping[str, Any]) -> str:
    """Return the progress in percent: of the tags, or of the jobs of a reimport."""
    for unit in ("tags", "jobs"):
        total = _count(status, f"{unit}Total")
        if total:
            return f"{100 * _count(status, f'{unit}Completed') // total}%"
    return ""


def _count(status: Mapping[str, Any], name: str) -> int:
    return int(status.get(name) or 0)
