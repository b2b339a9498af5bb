"""Tests of the CLI texts that explain the schedule of a tag."""

from datetime import UTC, datetime, timedelta

import pytest

from cli.rendering.formatting import format_clock, format_duration, format_until
from cli.rendering.schedule_output import explain_reason, summarize_schedule
from models.resources.schedule import ScheduledTag, ScheduledTagSpec, ScheduledTagStatus

NOW = datetime(2026, 3, 4, 14, 2, 11, tzinfo=UTC)


def ahead(seconds):
    return NOW + timedelta(seconds=seconds)


def tag(reason="Unchanged", *, scheduled=True, suspended=False, **status):
    spec = ScheduledTagSpec(stream="app", tag="1", scheduled=scheduled, suspended=suspended)
    return ScheduledTag(spec=spec, status=ScheduledTagStatus(reason=reason, **status))


SNAPSHOT = [
    (
        tag("Pending", next_check_time=NOW),
        "pending: not checked since the tag or its interval changed; first due time is being set",
    ),
    (
        tag("Pending", scheduled_time=ahead(190)),
        "pending: not checked since the tag or its interval changed; next due at 14:05:21Z (in 3m)",
    ),
    (
        tag("Checking", scheduled_time=ahead(-3)),
        "being checked now; was due at 14:02:08Z (3s ago)",
    ),
    (
        tag("Unchanged", last_check_time=ahead(-180), scheduled_time=ahead(720)),
        "unchanged at 13:59:11Z (3m ago); next due at 14:14:11Z (in 12m)",
    ),
    (
        tag(
            "Unchanged", last_check_time=ahead(-180), scheduled_time=ahead(-5), wait_duration="43s"
        ),
        (
            "unchanged at 13:59:11Z (3m ago), after waiting 43s for the registry; "
            "due since 14:02:06Z (5s ago)"
        ),
    ),
    (
        tag("Updated", last_check_time=ahead(-1), scheduled_time=ahead(900)),
        "updated at 14:02:10Z (1s ago); next due at 14:17:11Z (in 15m)",
    ),
    (
        tag(
            "NotFound",
            consecutive_failures=1,
            outcome="failed",
            message="no such host",
            next_check_time=ahead(60),
        ),
        "failed: no such host (NotFound); next check at 14:03:11Z (in 1m)",
    ),
    (
        tag("Unauthorized", consecutive_failures=3, outcome="failed", message="denied"),
        (
            "failed 3 times in a row: denied (Unauthorized); "
            "not retried until the tag or a pull secret changes"
        ),
    ),
    (
        tag("Deferred", message="waits for the rate", lateness="43s", next_check_time=ahead(4)),
        (
            "deferred by the registry's limits, late by 43s; waits for the rate; "
            "next check at 14:02:15Z (in 4s)"
        ),
    ),
    (
        tag("RateLimited", message="answered 429", next_check_time=ahead(86400)),
        (
            "rate limited by the registry (429): "
            "no request before 2026-03-05 14:02Z (in 1d); answered 429"
        ),
    ),
    (
        tag("CircuitOpen", message="its last 5 requests failed", next_check_time=ahead(25)),
        (
            "the registry is unavailable, its circuit breaker is open: "
            "its last 5 requests failed; next check at 14:02:36Z (in 25s)"
        ),
    ),
    (
        tag("Suspended", suspended=True),
        "suspended by annotation: not checked until it is removed",
    ),
    (
        tag("Suspended", message="by its Registry object", next_check_time=ahead(60)),
        "suspended: by its Registry object; next check at 14:03:11Z (in 1m)",
    ),
    (tag("Another", message="a reason of a newer server"), "Another; a reason of a newer server"),
]


@pytest.mark.parametrize(("scheduled_tag", "text"), SNAPSHOT)
def test_explain_reason_states_reason_and_next_check(scheduled_tag, text):
    assert explain_reason(scheduled_tag, NOW) == text


def test_summarize_schedule_counts_tags_retries_and_next_check():
    tags = [
        tag(next_check_time=ahead(120)),
        tag(),
        tag("Failed", scheduled=False, next_check_time=ahead(60)),
    ]
    assert summarize_schedule(tags, NOW) == "2 tags, 1 more to retry, next check in 1m"
    assert summarize_schedule([tag()], NOW) == "1 tag"


@pytest.mark.parametrize(
    ("seconds", "text"), [(5400, "1h30m"), (90, "1m30s"), (86400, "1d"), (0, "0s")]
)
def test_format_duration_uses_annotation_notation(seconds, text):
    assert format_duration(seconds) == text


def test_format_until_uses_largest_unit():
    texts = [format_until(ahead(each), NOW) for each in (-5, 0, 59, 60, 7300, 90000)]
    assert texts == ["now", "now", "in 59s", "in 1m", "in 2h", "in 1d"]
    assert format_until(None, NOW) == ""
    assert format_clock(ahead(86400), NOW) == "2026-03-05 14:02Z"
