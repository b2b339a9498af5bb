"""When a scheduled tag is looked at: intervals, turns, retries, the calendar's wishes."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.resources.stream import ImageStream
from models.streams.schedule.check_schedule import (
    Again,
    Cadence,
    again_after,
    calendar_changes,
    next_turn,
    retry_turn,
    turn_in_step,
    with_next_generation,
)

NOW = datetime(2026, 3, 3, 14, 5, tzinfo=UTC)
moments = st.datetimes(
    datetime(2020, 1, 1),
    datetime(2040, 1, 1),
    timezones=st.just(UTC),
)
intervals = st.integers(1, 7 * 24 * 3600)


def stream(*tags, annotations=None, generation=1, history=()):
    """A stream of `name, source[, scheduled[, policy]]` tags."""
    return ImageStream.model_validate(
        {
            "metadata": {
                "name": "s",
                "namespace": "ns",
                "generation": generation,
                "annotations": annotations or {},
            },
            "spec": {
                "tags": [
                    {
                        "name": name,
                        "from": {"kind": "DockerImage", "name": source},
                        "generation": 1,
                        "annotations": notes,
                        "importPolicy": {"scheduled": True},
                    }
                    for name, source, notes in tags
                ]
            },
            "status": {
                "tags": [
                    {
                        "tag": tag,
                        "items": [
                            {
                                "created": "2026-01-01T00:00:00Z",
                                "dockerImageReference": "x@sha256:1",
                                "image": "sha256:1",
                                "generation": generation,
                            }
                        ],
                    }
                    for tag in history
                ]
            },
        }
    )


@given(key=st.text(max_size=20), due=moments, late=st.floats(0, 1e6), interval=intervals)
def test_a_turn_is_never_sooner_than_nine_tenths_of_the_interval_after_a_look(
    key, due, late, interval
):
    looked = due + timedelta(seconds=late)
    turn = next_turn(key, due, looked, interval)
    assert (turn - looked).total_seconds() >= 0.9 * interval - 1e-3
    assert (turn - looked).total_seconds() <= 1.1 * interval + 1e-3


@given(key=st.text(max_size=20), interval=st.integers(60, 86400))
def test_turns_do_not_drift_when_looks_come_a_little_late(key, interval):
    due = NOW
    for _ in range(200):
        due = next_turn(key, due, due + timedelta(seconds=0.02 * interval), interval)
    mean = (due - NOW).total_seconds() / 200
    assert 0.96 * interval <= mean <= 1.06 * interval


def test_jitter_spreads_what_came_due_together():
    turns = {next_turn(f"quay.io/a/b {number}", NOW, NOW, 900) for number in range(1000)}
    waits = sorted((turn - NOW).total_seconds() for turn in turns)
    assert len(turns) > 990
    assert waits[0] < 0.92 * 900
    assert waits[-1] > 1.08 * 900
    assert 890 < sum(waits) / len(waits) < 910


@given(due=moments, interval=intervals, late=st.floats(0, 0.5))
def test_who_follows_the_same_source_stays_in_step(due, interval, late):
    looked = due + timedelta(seconds=late * interval)
    assert next_turn("k", due, looked, interval) == next_turn("k", due, looked, interval)


@given(due=moments, interval=intervals, ahead=st.floats(0, 3))
def test_a_newcomer_falls_in_step_with_the_others(due, interval, ahead):
    least = due + timedelta(seconds=ahead * interval)
    found = turn_in_step("k", due, not_before=least, interval=interval)
    turns = [due]
    for _ in range(3):
        turns.append(next_turn("k", turns[-1], turns[-1], interval))
    assert found is None or (found in turns and found >= least)
    assert found is not None or least > turns[2]


@given(due=moments, interval=intervals, ahead=st.floats(1.2, 1000))
def test_nobody_falls_in_step_with_who_looks_more_seldom(due, interval, ahead):
    seldom = due + timedelta(seconds=ahead * interval)
    assert turn_in_step("k", seldom, not_before=due, interval=interval) is None


@given(asked=st.none() | st.integers(1, 10**9), floor=intervals, more=intervals)
def test_an_interval_stays_within_the_operators_bounds(asked, floor, more):
    cadence = Cadence(default=floor, floor=floor, ceiling=floor + more)
    assert floor <= cadence.interval(asked) <= floor + more
    if asked is not None and floor <= asked <= floor + more:
        assert cadence.interval(asked) == asked


@given(failures=st.integers(1, 10**6), interval=intervals, now=moments)
def test_a_retry_comes_soon_at_first_and_never_later_than_twelve_intervals(failures, interval, now):
    turn = retry_turn("k", Again.SOON, failures=failures, now=now, interval=interval)
    wait = (turn - now).total_seconds()
    full = min(8 * interval, 60 * 2 ** min(failures - 1, 16))
    assert 0.5 * full - 1e-3 <= wait <= 1.5 * full + 1e-3


@pytest.mark.parametrize(
    ("code", "again"),
    [
        ("net.refused", Again.SOON),
        ("http.5xx", Again.SOON),
        ("ratelimit.quota", Again.SOON),
        ("circuit.open", Again.SOON),
        ("notfound.tag", Again.AT_THE_INTERVAL),
        ("auth.required", Again.WITH_OTHER_RIGHTS),
        ("content.invalid", Again.AT_THE_INTERVAL),
        ("tls.untrusted", Again.HOURLY),
        ("policy.address", Again.HOURLY),
        ("http.legal", Again.WEEKLY),
        ("", Again.AT_THE_INTERVAL),
    ],
)
def test_how_soon_a_failure_is_looked_at_again_depends_on_what_it_was(code, again):
    assert again_after(code) is again


def test_what_is_hopeless_for_now_is_looked_at_hourly_or_weekly():
    hourly = retry_turn("k", Again.HOURLY, failures=1, now=NOW, interval=900)
    weekly = retry_turn("k", Again.WEEKLY, failures=1, now=NOW, interval=900)
    assert 3240 <= (hourly - NOW).total_seconds() <= 3960
    assert 0.9 <= (weekly - NOW).total_seconds() / (7 * 86400) <= 1.1


def test_the_calendar_learns_of_a_new_scheduled_tag():
    found = calendar_changes(None, stream(("t", "quay.io/a/b:t", {})))
    assert found["t"].host == "quay.io"
    assert found["t"].key.startswith("quay.io/a/b t ")


def test_an_import_that_moves_a_generation_is_no_news_to_the_calendar():
    old = stream(("t", "quay.io/a/b:t", {}))
    new = with_next_generation(old)
    assert new.spec.tags != old.spec.tags
    assert calendar_changes(old, new) == {}


@pytest.mark.parametrize(
    "other",
    [
        stream(("t", "quay.io/a/b:u", {})),
        stream(("t", "quay.io/a/b:t", {"sync.tagstream.io/interval": "1h"})),
        stream(("t", "quay.io/a/b:t", {"sync.tagstream.io/suspend": "true"})),
        stream(("t", "quay.io/a/b:t", {"importer.image.openshift.io/prefer-arch": "arm64"})),
        stream(("t", "quay.io/a/b:t", {}), annotations={"sync.tagstream.io/interval": "1h"}),
    ],
)
def test_whatever_changes_a_wish_reaches_the_calendar(other):
    old = stream(("t", "quay.io/a/b:t", {}))
    assert list(calendar_changes(old, other)) == ["t"]
    assert calendar_changes(other, other) == {}


def test_a_tag_that_goes_takes_its_row_with_it():
    old = stream(("t", "quay.io/a/b:t", {}), ("u", "quay.io/a/b:u", {}))
    assert calendar_changes(old, stream(("u", "quay.io/a/b:u", {}))) == {"t": None}


def test_a_digest_that_was_imported_needs_no_more_looks():
    digest = "quay.io/a/b@sha256:" + "1" * 64
    old = stream(("t", digest, {}))
    assert "t" in calendar_changes(None, old)
    assert calendar_changes(old, stream(("t", digest, {}), history=["t"])) == {"t": None}


def test_what_cannot_be_read_is_not_scheduled():
    assert calendar_changes(None, stream(("t", "quay.io/A/b:t", {}))) == {}
