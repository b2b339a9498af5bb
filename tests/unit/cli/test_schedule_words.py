"""The calendar in words: what a person reads who asks why a tag is where it is."""

from datetime import UTC, datetime, timedelta

import pytest

from cli.rendering.formatting import format_ahead, format_clock, format_span
from cli.rendering.schedule_output import explain, summarize
from models.resources.schedule import ScheduledTag, ScheduledTagSpec, ScheduledTagStatus

NOW = datetime(2026, 3, 4, 14, 2, 11, tzinfo=UTC)


def ahead(seconds):
    return NOW + timedelta(seconds=seconds)


def tag(decision="same", *, scheduled=True, suspended=False, **status):
    spec = ScheduledTagSpec(stream="app", tag="1", scheduled=scheduled, suspended=suspended)
    return ScheduledTag(spec=spec, status=ScheduledTagStatus(decision=decision, **status))


SNAPSHOT = [
    (tag("new", next_look=NOW), "new: not looked at yet; its first turn is being set"),
    (
        tag("new", due=ahead(190)),
        "new: not looked at yet; not due until 14:05:21Z (in 3m)",
    ),
    (
        tag("checking", due=ahead(-3)),
        "being checked now; its turn was at 14:02:08Z (3s ago)",
    ),
    (
        tag("same", decided=ahead(-180), due=ahead(720)),
        "same as before at 13:59:11Z (3m ago); not due until 14:14:11Z (in 12m)",
    ),
    (
        tag("same", decided=ahead(-180), due=ahead(-5), waited_seconds=43),
        (
            "same as before at 13:59:11Z (3m ago), after waiting 43 s for the registry; "
            "due since 14:02:06Z (5s ago)"
        ),
    ),
    (
        tag("moved", decided=ahead(-1), due=ahead(900)),
        "moved, and imported at 14:02:10Z (1s ago); not due until 14:17:11Z (in 15m)",
    ),
    (
        tag("failed", failures=1, reason="net.dns", message="no such host", next_look=ahead(60)),
        "failed: no such host (net.dns); tried again at 14:03:11Z (in 1m)",
    ),
    (
        tag("failed", failures=3, reason="auth.denied", message="denied"),
        (
            "failed 3 times in a row: denied (auth.denied); "
            "not tried again until the tag or a pull secret changes"
        ),
    ),
    (
        tag("waited", message="stands in line", lateness_seconds=43, next_look=ahead(4)),
        (
            "waits for the registry's budget for 43 s now; stands in line; "
            "asked again at 14:02:15Z (in 4s)"
        ),
    ),
    (
        tag("limited", message="answered 429", next_look=ahead(86400)),
        (
            "the registry wants less of us (429): "
            "nothing is asked before 2026-03-05 14:02Z (in 1d); answered 429"
        ),
    ),
    (
        tag("down", message="its last 5 requests failed", next_look=ahead(25)),
        (
            "the registry does not answer, its breaker is open: its last 5 requests failed; "
            "asked again at 14:02:36Z (in 25s)"
        ),
    ),
    (
        tag("suspended", suspended=True),
        "suspended by annotation: not looked at until that is gone",
    ),
    (
        tag("suspended", message="by its Registry object", next_look=ahead(60)),
        "suspended: by its Registry object; asked again at 14:03:11Z (in 1m)",
    ),
    (tag("another", message="a word of a newer server"), "another; a word of a newer server"),
]


@pytest.mark.parametrize(("found", "said"), SNAPSHOT)
def test_every_decision_is_told_with_its_reason_and_what_comes_of_it(found, said):
    assert explain(found, NOW) == said


def test_a_stream_is_summed_up_in_a_line():
    tags = [tag(next_look=ahead(120)), tag(), tag("failed", scheduled=False, next_look=ahead(60))]
    assert summarize(tags, NOW) == "2 tags, 1 more tried again, next look in 1m"
    assert summarize([tag()], NOW) == "1 tag"


@pytest.mark.parametrize(
    ("seconds", "text"), [(5400, "1h30m"), (90, "1m30s"), (86400, "1d"), (0, "0s")]
)
def test_spans_read_as_annotations_write_them(seconds, text):
    assert format_span(seconds) == text


def test_what_is_to_come_is_told_in_the_largest_unit():
    said = [format_ahead(ahead(each), NOW) for each in (-5, 0, 59, 60, 7300, 90000)]
    assert said == ["now", "now", "in 59s", "in 1m", "in 2h", "in 1d"]
    assert format_ahead(None, NOW) == ""
    assert format_clock(ahead(86400), NOW) == "2026-03-05 14:02Z"
