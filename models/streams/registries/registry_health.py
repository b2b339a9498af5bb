"""Health of a registry: the reports of several workers, merged into one status. Pure.

A report is a plain document, as the store keeps it: its times are absolute, and it names no
credential. A report that its worker has not renewed for a minute says nothing about the present
(scheduling-9.3, scheduling-9.4).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from models.resources.registries import RegistryCircuitBreaker, RegistryQuota, RegistryStatus
from models.resources.wire import format_time

REPORT_TTL = timedelta(seconds=60)
REPORT_RETENTION = timedelta(hours=1)  # what is older is dropped
ANONYMOUS = "anonymous"
MAX_ERROR_LENGTH = 1024
MAX_WAIT_SECONDS = 7 * 86400.0
HEALTHY, RATE_LIMITED = "Healthy", "RateLimited"
UNREACHABLE, UNKNOWN = "Unreachable", "Unknown"
CLOSED, HALF_OPEN, OPEN = "Closed", "HalfOpen", "Open"
_CIRCUIT_STATES = {"closed": CLOSED, "half-open": HALF_OPEN, "open": OPEN}
_SEVERITY = {CLOSED: 0, HALF_OPEN: 1, OPEN: 2}
_REASONS = {
    HEALTHY: ("Responding", "the registry responds"),
    RATE_LIMITED: ("RateLimited", "the registry limits requests, or its quota is nearly used up"),
    UNREACHABLE: ("NotResponding", "the registry does not respond"),
    UNKNOWN: ("NoRecentReport", "no worker has reported on the registry in the last minute"),
}


@dataclass(frozen=True, slots=True)
class HealthReport:
    """The report of one worker about a registry, and when it was written."""

    document: Mapping[str, Any]
    updated: datetime


def build_health_report(
    snapshot: Mapping[str, Any], *, now: datetime, before: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Build a worker's report from a snapshot of its `HostHealth`.

    `before` is the worker's previous report; from it comes the time since which the health is the
    same.
    """
    circuit_state = _CIRCUIT_STATES[str(snapshot.get("breaker") or "closed")]
    cooldowns = [
        float(remaining_seconds)
        for _, remaining_seconds in snapshot.get("cooldowns") or ()
        if remaining_seconds > 0
    ]
    quotas = [
        {
            "credential": _credential_label(credential_scope),
            "limit": int(limit),
            "remaining": max(0, int(remaining)),
            "resetTime": _time_after(now, seconds_left),
        }
        for credential_scope, limit, remaining, seconds_left in snapshot.get("quotas") or ()
    ]
    is_quota_low = any(
        _is_quota_low(limit, remaining) for _, limit, remaining, _ in snapshot.get("quotas") or ()
    )
    health = RATE_LIMITED if cooldowns or is_quota_low else HEALTHY
    if circuit_state != CLOSED:
        health = UNREACHABLE
    is_unchanged = before is not None and before.get("health") == health
    return {
        "health": health,
        "since": before["since"] if is_unchanged and before is not None else now.isoformat(),
        "requestsInFlight": int(snapshot.get("in_flight") or 0),
        "requestsQueued": int(snapshot.get("waiting") or 0),
        "concurrency": int(snapshot.get("limit") or 0),
        "circuitState": circuit_state,
        "openUntilTime": None
        if circuit_state == CLOSED
        else _time_after(now, snapshot.get("seconds_until_probe") or 0.0),
        "cooldownEndTime": _time_after(now, max(cooldowns)) if cooldowns else None,
        "quotas": quotas,
        "lastError": str(snapshot.get("last_error") or "")[:MAX_ERROR_LENGTH],
    }


def merge_health_reports(reports: Iterable[HealthReport], *, now: datetime) -> RegistryStatus:
    """Merge the reports of all workers into one status; Unknown where no report is recent
    (scheduling-9.3).
    """
    known = sorted(reports, key=lambda report: report.updated, reverse=True)
    seen = known[0].updated if known else None
    error = next((str(each.document["lastError"]) for each in known if _has_error(each)), "")
    fresh = [report for report in known if report.updated >= now - REPORT_TTL]
    if not fresh:
        since = known[0].updated + REPORT_TTL if known else None
        return RegistryStatus(
            last_error=error,
            last_report_time=seen,
            conditions=[_build_condition(UNKNOWN, "", since)],
        )
    documents = [report.document for report in fresh]
    circuit_breaker = _merge_circuit_breakers(documents, now)
    quotas = _merge_quotas(documents, now)
    cooldown_end = max(_parse_times(documents, "cooldownEndTime"), default=now)
    health = HEALTHY
    if circuit_breaker.state != CLOSED:
        health = UNREACHABLE
    elif cooldown_end > now or any(_is_quota_low(each.limit, each.remaining) for each in quotas):
        health = RATE_LIMITED
    since = min(
        _parse_times([each for each in documents if each["health"] == health], "since"), default=now
    )
    return RegistryStatus(
        health=health,
        requests_in_flight=sum(each["requestsInFlight"] for each in documents),
        requests_queued=sum(each["requestsQueued"] for each in documents),
        concurrency=sum(each["concurrency"] for each in documents),
        circuit_breaker=circuit_breaker,
        quotas=quotas,
        cooldown_end_time=cooldown_end if cooldown_end > now else None,
        last_error=error,
        last_report_time=seen,
        conditions=[_build_condition(health, error if health == UNREACHABLE else "", since)],
    )


def _merge_circuit_breakers(
    documents: Sequence[Mapping[str, Any]], now: datetime
) -> RegistryCircuitBreaker:
    """Return the worst state: a worker that finds a registry unreachable stops requesting."""
    state = max((str(each["circuitState"]) for each in documents), key=_SEVERITY.__getitem__)
    in_state = [each for each in documents if each["circuitState"] == state]
    until = max(_parse_times(in_state, "openUntilTime"), default=now)
    return RegistryCircuitBreaker(state=state, open_until_time=until if until > now else None)


def _merge_quotas(documents: Sequence[Mapping[str, Any]], now: datetime) -> list[RegistryQuota]:
    """Return, for each credential, the smallest remainder of a window that has not ended."""
    found: dict[str, RegistryQuota] = {}
    for document in documents:
        for each in document["quotas"]:
            reset_time = datetime.fromisoformat(each["resetTime"])
            lowest = found.get(each["credential"])
            if reset_time > now and (lowest is None or each["remaining"] < lowest.remaining):
                found[each["credential"]] = RegistryQuota(
                    credential=each["credential"],
                    limit=each["limit"],
                    remaining=each["remaining"],
                    reset_time=reset_time,
                )
    return [found[name] for name in sorted(found)]


def _is_quota_low(limit: float, remaining: float) -> bool:
    """Return whether workers delay manifest requests until the window ends (registry-17.4)."""
    return remaining <= max(5.0, 0.05 * limit)


def _build_condition(health: str, error: str, since: datetime | None) -> dict[str, Any]:
    """Build the condition `Healthy`, for `kubectl wait --for=condition=Healthy`."""
    reason, message = _REASONS[health]
    condition = {
        "type": HEALTHY,
        "status": {HEALTHY: "True", UNKNOWN: "Unknown"}.get(health, "False"),
        "reason": reason,
        "message": error or message,
    }
    return condition if since is None else condition | {"lastTransitionTime": format_time(since)}


def _credential_label(credential_scope: str) -> str:
    """Return a text that identifies a credential without disclosing it: every user may read the
    status.
    """
    if credential_scope in {"", ANONYMOUS}:
        return ANONYMOUS
    return sha256(credential_scope.encode("utf-8", "replace")).hexdigest()[:8]


def _time_after(now: datetime, seconds: float) -> str:
    return (now + timedelta(seconds=max(0.0, min(float(seconds), MAX_WAIT_SECONDS)))).isoformat()


def _parse_times(documents: Iterable[Mapping[str, Any]], key: str) -> list[datetime]:
    return [datetime.fromisoformat(each[key]) for each in documents if each.get(key)]


def _has_error(report: HealthReport) -> bool:
    return bool(report.document.get("lastError"))
