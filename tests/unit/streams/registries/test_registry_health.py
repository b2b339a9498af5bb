"""Registry status merged from reports of several workers (scheduling-9.3, scheduling-9.4)."""

from datetime import UTC, datetime, timedelta

import pytest

from models.streams.registries.registry_health import (
    HealthReport,
    build_health_report,
    merge_health_reports,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def report(*, ago=0.0, before=None, **fields):
    at = NOW - timedelta(seconds=ago)
    fields = {"in_flight": 1, "limit": 8, "waiting": 0, "breaker": "closed", **fields}
    return HealthReport(build_health_report(fields, now=at, before=before), at)


def merge(*reports):
    return merge_health_reports(reports, now=NOW)


def test_merge_of_no_reports_is_unknown():
    status = merge()
    assert (status.health, status.last_report_time) == ("Unknown", None)
    [condition] = status.conditions
    assert (condition["type"], condition["status"]) == ("Healthy", "Unknown")


def test_merge_sums_numbers_and_takes_worst_state():
    status = merge(
        report(in_flight=2, waiting=1),
        report(
            in_flight=3, breaker="open", seconds_until_probe=20.0, last_error="no answer", ago=5
        ),
        report(breaker="half-open", seconds_until_probe=90.0),
    )
    assert (
        status.requests_in_flight,
        status.requests_queued,
        status.concurrency,
    ) == (6, 1, 24)
    assert status.health == "Unreachable"
    circuit_breaker = status.circuit_breaker
    assert (circuit_breaker.state, circuit_breaker.open_until_time) == (
        "Open",
        NOW + timedelta(seconds=15),
    )
    assert status.last_error == "no answer"
    assert (status.conditions[0]["status"], status.conditions[0]["message"]) == (
        "False",
        "no answer",
    )


def test_merge_takes_only_error_of_report_older_than_a_minute():
    status = merge(report(ago=61, last_error="was unavailable"))
    assert (status.health, status.requests_in_flight) == ("Unknown", 0)
    assert status.circuit_breaker is None
    assert status.last_error == "was unavailable"
    assert status.last_report_time == NOW - timedelta(seconds=61)
    assert (
        merge(report(ago=61, breaker="open", seconds_until_probe=500.0), report()).health
        == "Healthy"
    )


@pytest.mark.parametrize(
    ("fields", "health"),
    [
        ({"cooldowns": [("x", 30.0)]}, "RateLimited"),
        ({"quotas": [("", 100, 5, 60.0)]}, "RateLimited"),
        ({"quotas": [("", 100, 6, 60.0)]}, "Healthy"),
        ({"cooldowns": [("x", 0.0)]}, "Healthy"),
    ],
)
def test_cooldown_or_low_quota_is_rate_limited(fields, health):
    assert merge(report(**fields)).health == health


def test_merge_drops_expired_cooldowns_and_quotas():
    status = merge(report(ago=40, cooldowns=[("x", 30.0)], quotas=[("", 100, 0, 30.0)]))
    assert (status.health, status.cooldown_end_time, status.quotas) == ("Healthy", None, [])


def test_merge_lists_quota_of_each_credential_without_naming_it():
    status = merge(
        report(quotas=[("", 100, 50, 600.0), ("id-of-a-secret", 200, 150, 600.0)]),
        report(quotas=[("", 100, 48, 600.0)], ago=3),
    )
    found = {each.credential: each.remaining for each in status.quotas}
    assert found.pop("anonymous") == 48
    ((name, remaining),) = found.items()
    assert (len(name), remaining) == (8, 150)
    assert "secret" not in str(status.wire())


def test_condition_keeps_time_of_last_transition():
    first = report(ago=50)
    second = report(ago=10, before=first.document)
    third = report(before=second.document, breaker="open", seconds_until_probe=30.0)
    assert merge(second).conditions[0]["lastTransitionTime"] == "2026-01-02T03:03:15Z"
    assert merge(third).conditions[0]["lastTransitionTime"] == "2026-01-02T03:04:05Z"
