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
    breaker = status.get("breaker") or {}
    return [
        metadata.get("name", ""),
        spec.get("host", ""),
        status.get("health", ""),
        _rate(spec, status),
        f"{status.get('inFlight') or 0}/{status['limit']}" if status.get("limit") else NONE,
        _quota(status),
        _tags(status),
        breaker.get("state") or NONE,
        format_age(metadata.get("creationTimestamp"), now),
        status.get("lastError", ""),
    ]


def _rate(spec: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    """Scheduled checks a second, or why there are none."""
    for word in ("blocked", "suspended"):
        if spec.get(word):
            return word
    rate = status.get("rate")
    if rate is None:
        return NONE
    return f"{rate:g}/s" if rate else "unlimited"


def _quota(status: Mapping[str, Any]) -> str:
    """Of the quota that is the nearest to its end."""
    quotas = status.get("quotas") or ()
    if not quotas:
        return NONE
    least = min(quotas, key=lambda quota: quota["remaining"] / max(1, quota["limit"]))
    return f"{least['remaining']}/{least['limit']}"


def _tags(status: Mapping[str, Any]) -> str:
    followed, pending = status.get("tagsFollowed") or 0, status.get("tagsPending") or 0
    return f"{followed} ({pending} due)" if pending else str(followed)
