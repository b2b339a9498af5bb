"""How a registry is: told by several workers, merged to one status. Pure.

A report is a plain document, as the store keeps it: its times are absolute, and it names no
credential. What a worker has not told again for a minute says nothing of the present.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from models.resources.registries import RegistryBreaker, RegistryQuota, RegistryStatus
from models.resources.wire import format_time

FRESH = timedelta(seconds=60)
KEPT = timedelta(hours=1)  # what is older is dropped
ANONYMOUS = "anonymous"
LONGEST_ERROR = 1024
LONGEST_WAIT = 7 * 86400.0
HEALTHY, LIMITED, DOWN, UNKNOWN = "Healthy", "Limited", "Down", "Unknown"
_SEVERITY = {"closed": 0, "half-open": 1, "open": 2}
_REASONS = {
    HEALTHY: ("Answers", "the registry answers"),
    LIMITED: ("RateLimited", "the registry limits us, or its quota is used up"),
    DOWN: ("DoesNotAnswer", "the registry does not answer"),
    UNKNOWN: ("NotAsked", "no worker has asked the registry lately"),
}


@dataclass(frozen=True, slots=True)
class Report:
    """What one worker told of a registry, and when."""

    document: Mapping[str, Any]
    updated: datetime


def make_report(
    told: Mapping[str, Any], *, now: datetime, before: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The document of what a worker tells, in the words of `HostHealth`.

    `before` is the worker's last one: it says since when the registry is as it is.
    """
    breaker = str(told.get("breaker") or "closed")
    gates = [float(left) for _, left in told.get("gates") or () if left > 0]
    quotas = [
        {
            "credential": _opaque(scope),
            "limit": int(limit),
            "remaining": max(0, int(remaining)),
            "resets": _later(now, left),
        }
        for scope, limit, remaining, left in told.get("quotas") or ()
    ]
    low = any(_is_low(limit, remaining) for _, limit, remaining, _ in told.get("quotas") or ())
    health = LIMITED if gates or low else HEALTHY
    if breaker != "closed":
        health = DOWN
    same = before is not None and before.get("health") == health
    return {
        "health": health,
        "since": before["since"] if same and before is not None else now.isoformat(),
        "inFlight": int(told.get("in_flight") or 0),
        "limit": int(told.get("limit") or 0),
        "waiting": int(told.get("waiting") or 0),
        "breaker": breaker,
        "until": None if breaker == "closed" else _later(now, told.get("rest") or 0.0),
        "limitedUntil": _later(now, max(gates)) if gates else None,
        "quotas": quotas,
        "lastError": str(told.get("last_error") or "")[:LONGEST_ERROR],
    }


def merge_reports(reports: Iterable[Report], *, now: datetime) -> RegistryStatus:
    """What all workers together say of a registry; Unknown where none did lately."""
    known = sorted(reports, key=lambda report: report.updated, reverse=True)
    seen = known[0].updated if known else None
    error = next((str(each.document["lastError"]) for each in known if _has_error(each)), "")
    fresh = [report for report in known if report.updated >= now - FRESH]
    if not fresh:
        since = known[0].updated + FRESH if known else None
        return RegistryStatus(
            last_error=error, last_seen=seen, conditions=[_condition(UNKNOWN, "", since)]
        )
    documents = [report.document for report in fresh]
    breaker = _merge_breakers(documents, now)
    quotas = _merge_quotas(documents, now)
    limited = max(_times(documents, "limitedUntil"), default=now)
    health = HEALTHY
    if breaker.state != "closed":
        health = DOWN
    elif limited > now or any(_is_low(each.limit, each.remaining) for each in quotas):
        health = LIMITED
    since = min(
        _times([each for each in documents if each["health"] == health], "since"), default=now
    )
    return RegistryStatus(
        health=health,
        in_flight=sum(each["inFlight"] for each in documents),
        waiting=sum(each["waiting"] for each in documents),
        limit=sum(each["limit"] for each in documents),
        breaker=breaker,
        quotas=quotas,
        limited_until=limited if limited > now else None,
        last_error=error,
        last_seen=seen,
        conditions=[_condition(health, error if health == DOWN else "", since)],
    )


def _merge_breakers(documents: Sequence[Mapping[str, Any]], now: datetime) -> RegistryBreaker:
    """The worst of them: one worker that finds a registry down keeps its requests away."""
    states = [str(each["breaker"]) for each in documents]
    state = max(states, key=lambda each: _SEVERITY.get(each, 0))
    until = max(
        _times([each for each in documents if each["breaker"] == state], "until"), default=now
    )
    return RegistryBreaker(state=state, until=until if until > now else None)


def _merge_quotas(documents: Sequence[Mapping[str, Any]], now: datetime) -> list[RegistryQuota]:
    """By credential, the least that is left of a window that is not over."""
    found: dict[str, RegistryQuota] = {}
    for document in documents:
        for each in document["quotas"]:
            resets = datetime.fromisoformat(each["resets"])
            least = found.get(each["credential"])
            if resets > now and (least is None or each["remaining"] < least.remaining):
                found[each["credential"]] = RegistryQuota(
                    credential=each["credential"],
                    limit=each["limit"],
                    remaining=each["remaining"],
                    resets=resets,
                )
    return [found[name] for name in sorted(found)]


def _is_low(limit: float, remaining: float) -> bool:
    """Whether workers fetch no manifests until the window is over (`registry.md` 4.1)."""
    return remaining <= max(5.0, 0.05 * limit)


def _condition(health: str, error: str, since: datetime | None) -> dict[str, Any]:
    """`Healthy`, for `kubectl wait --for=condition=Healthy`."""
    reason, message = _REASONS[health]
    condition = {
        "type": HEALTHY,
        "status": {HEALTHY: "True", UNKNOWN: "Unknown"}.get(health, "False"),
        "reason": reason,
        "message": error or message,
    }
    return condition if since is None else condition | {"lastTransitionTime": format_time(since)}


def _opaque(scope: str) -> str:
    """What stands for a credential where everybody may read it."""
    if scope in {"", ANONYMOUS}:
        return ANONYMOUS
    return sha256(scope.encode("utf-8", "replace")).hexdigest()[:8]


def _later(now: datetime, seconds: float) -> str:
    return (now + timedelta(seconds=max(0.0, min(float(seconds), LONGEST_WAIT)))).isoformat()


def _times(documents: Iterable[Mapping[str, Any]], key: str) -> list[datetime]:
    return [datetime.fromisoformat(each[key]) for each in documents if each.get(key)]


def _has_error(report: Report) -> bool:
    return bool(report.document.get("lastError"))
