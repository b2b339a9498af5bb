"""The row of a Registry: what it is allowed, and how it is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from api.printers.age_format import format_age

NONE = "<none>"


def registry_cells(registry: Mapping[str, Any], now: datetime) -> list[Any]:
    """Name, host, health, rate, in flight, quota, tags, breaker, age, last error."""
    metadata = registry.get("metadata") or {}
    spec, status = registry.get("spec") or {}, registry.get("status") or {}
    circuit_breaker = status.get("circuitBreaker") or {}
    return [
        metadata.get("name", ""),
        spec.get("host", ""),
        status.get("health", ""),
        _format_rate(spec, status),
        _format_requests(status),
        _format_quota(status),
        _format_tag_counts(status),
        circuit_breaker.get("state") or NONE,
        format_age(metadata.get("creationTimestamp"), now),
        status.get("lastError", ""),
    ]


def _format_rate(spec: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    """Scheduled checks a second, or why there are none."""
    for flag in ("blocked", "suspended"):
        if spec.get(flag):
            return flag
    rate = status.get("rate")
    if rate is None:
        return NONE
    return f"{rate:g}/s" if rate else "unlimited"


def _format_requests(status: Mapping[str, Any]) -> str:
    """Return the requests in flight, and how many may be."""
    concurrency = status.get("concurrency")
    return f"{status.get('requestsInFlight') or 0}/{concurrency}" if concurrency else NONE


def _format_quota(status: Mapping[str, Any]) -> str:
    """Of the quota that is the nearest to its end."""
    quotas = status.get("quotas") or ()
    if not quotas:
        return NONE
    least = min(quotas, key=lambda quota: quota["remaining"] / max(1, quota["limit"]))
    return f"{least['remaining']}/{least['limit']}"


def _format_tag_counts(status: Mapping[str, Any]) -> str:
    scheduled, overdue = status.get("tagsScheduled") or 0, status.get("tagsOverdue") or 0
    return f"{scheduled} ({overdue} overdue)" if overdue else str(scheduled)
