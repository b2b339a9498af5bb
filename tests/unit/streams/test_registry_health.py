"""What several workers tell of a registry, as one status."""

from datetime import UTC, datetime, timedelta

import pytest

from models.streams.registries.registry_health import Report, make_report, merge_reports

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def report(*, ago=0.0, before=None, **told):
    at = NOW - timedelta(seconds=ago)
    told = {"in_flight": 1, "limit": 8, "waiting": 0, "breaker": "closed", **told}
    return Report(make_report(told, now=at, before=before), at)


def merge(*reports):
    return merge_reports(reports, now=NOW)


def test_nobody_tells_anything():
    status = merge()
    assert (status.health, status.last_seen) == ("Unknown", None)
    [condition] = status.conditions
    assert (condition["type"], condition["status"]) == ("Healthy", "Unknown")


def test_numbers_add_up_and_the_worst_counts():
    status = merge(
        report(in_flight=2, waiting=1),
        report(in_flight=3, breaker="open", rest=20.0, last_error="no answer", ago=5),
        report(breaker="half-open", rest=90.0),
    )
    assert (status.in_flight, status.waiting, status.limit) == (6, 1, 24)
    assert status.health == "Down"
    assert (status.breaker.state, status.breaker.until) == ("open", NOW + timedelta(seconds=15))
    assert status.last_error == "no answer"
    assert (status.conditions[0]["status"], status.conditions[0]["message"]) == (
        "False",
        "no answer",
    )


def test_what_is_older_than_a_minute_says_nothing_but_its_error():
    status = merge(report(ago=61, last_error="was away"))
    assert (status.health, status.in_flight, status.breaker) == ("Unknown", 0, None)
    assert status.last_error == "was away"
    assert status.last_seen == NOW - timedelta(seconds=61)
    assert merge(report(ago=61, breaker="open", rest=500.0), report()).health == "Healthy"


@pytest.mark.parametrize(
    ("told", "health"),
    [
        ({"gates": [("x", 30.0)]}, "Limited"),
        ({"quotas": [("", 100, 5, 60.0)]}, "Limited"),
        ({"quotas": [("", 100, 6, 60.0)]}, "Healthy"),
        ({"gates": [("x", 0.0)]}, "Healthy"),
    ],
)
def test_refusals_and_low_quotas_limit_a_registry(told, health):
    assert merge(report(**told)).health == health


def test_what_is_over_by_now_counts_no_more():
    status = merge(report(ago=40, gates=[("x", 30.0)], quotas=[("", 100, 0, 30.0)]))
    assert (status.health, status.limited_until, status.quotas) == ("Healthy", None, [])


def test_quotas_are_told_once_for_each_credential_and_name_none():
    status = merge(
        report(quotas=[("", 100, 50, 600.0), ("id-of-a-secret", 200, 150, 600.0)]),
        report(quotas=[("", 100, 48, 600.0)], ago=3),
    )
    found = {each.credential: each.remaining for each in status.quotas}
    assert found.pop("anonymous") == 48
    ((name, left),) = found.items()
    assert (len(name), left) == (8, 150)
    assert "secret" not in str(status.wire())


def test_a_condition_remembers_since_when_it_holds():
    first = report(ago=50)
    second = report(ago=10, before=first.document)
    third = report(before=second.document, breaker="open", rest=30.0)
    assert merge(second).conditions[0]["lastTransitionTime"] == "2026-01-02T03:03:15Z"
    assert merge(third).conditions[0]["lastTransitionTime"] == "2026-01-02T03:04:05Z"
