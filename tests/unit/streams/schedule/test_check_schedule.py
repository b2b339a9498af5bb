"""Due times, retries and changes of the schedule (scheduling-2.4, scheduling-7.2)."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.resources.stream import ImageStream
from models.streams.schedule.check_schedule import (
    Cadence,
    RetryClass,
    aligned_due_time,
    classify_failure,
    next_due_time,
    retry_due_time,
    schedule_changes,
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
    """Return a stream of scheduled tags, each (name, source, annotations)."""
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
                        "annotations": tag_annotations,
                        "importPolicy": {"scheduled": True},
                    }
                    for name, source, tag_annotations in tags
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
def test_next_due_time_is_within_a_tenth_of_interval_after_check(key, due, late, interval):
    checked = due + timedelta(seconds=late)
    due_time = next_due_time(key, due, checked, interval)
    assert (due_time - checked).total_seconds() >= 0.9 * interval - 1e-3
    assert (due_time - checked).total_seconds() <= 1.1 * interval + 1e-3


@given(key=st.text(max_size=20), interval=st.integers(60, 86400))
def test_next_due_time_does_not_drift_when_checks_are_late(key, interval):
    due = NOW
    for _ in range(200):
        due = next_due_time(key, due, due + timedelta(seconds=0.02 * interval), interval)
    mean = (due - NOW).total_seconds() / 200
    assert 0.96 * interval <= mean <= 1.06 * interval


def test_next_due_time_jitter_spreads_tags_due_together():
    due_times = {next_due_time(f"quay.io/a/b {number}", NOW, NOW, 900) for number in range(1000)}
    waits = sorted((due_time - NOW).total_seconds() for due_time in due_times)
    assert len(due_times) > 990
    assert waits[0] < 0.92 * 900
    assert waits[-1] > 1.08 * 900
    assert 890 < sum(waits) / len(waits) < 910


@given(due=moments, interval=intervals, late=st.floats(0, 0.5))
def test_next_due_time_is_equal_for_equal_key(due, interval, late):
    checked = due + timedelta(seconds=late * interval)
    assert next_due_time("k", due, checked, interval) == next_due_time("k", due, checked, interval)


@given(due=moments, interval=intervals, ahead=st.floats(0, 3))
def test_aligned_due_time_joins_later_due_times_of_source(due, interval, ahead):
    earliest = due + timedelta(seconds=ahead * interval)
    found = aligned_due_time("k", due, not_before=earliest, interval=interval)
    due_times = [due]
    for _ in range(3):
        due_times.append(next_due_time("k", due_times[-1], due_times[-1], interval))
    assert found is None or (found in due_times and found >= earliest)
    assert found is not None or earliest > due_times[2]


@given(due=moments, interval=intervals, ahead=st.floats(1.2, 1000))
def test_aligned_due_time_ignores_source_with_longer_interval(due, interval, ahead):
    later = due + timedelta(seconds=ahead * interval)
    assert aligned_due_time("k", later, not_before=due, interval=interval) is None


@given(requested=st.none() | st.integers(1, 10**9), floor=intervals, more=intervals)
def test_cadence_interval_stays_within_floor_and_ceiling(requested, floor, more):
    cadence = Cadence(default=floor, floor=floor, ceiling=floor + more)
    assert floor <= cadence.interval(requested) <= floor + more
    if requested is not None and floor <= requested <= floor + more:
        assert cadence.interval(requested) == requested


@given(failures=st.integers(1, 10**6), interval=intervals, now=moments)
def test_retry_due_time_backs_off_up_to_twelve_intervals(failures, interval, now):
    due_time = retry_due_time(
        "k", RetryClass.SOON, consecutive_failures=failures, now=now, interval=interval
    )
    wait = (due_time - now).total_seconds()
    full = min(8 * interval, 60 * 2 ** min(failures - 1, 16))
    assert 0.5 * full - 1e-3 <= wait <= 1.5 * full + 1e-3


@pytest.mark.parametrize(
    ("code", "again"),
    [
        ("net.refused", RetryClass.SOON),
        ("http.5xx", RetryClass.SOON),
        ("ratelimit.quota", RetryClass.SOON),
        ("circuit.open", RetryClass.SOON),
        ("notfound.tag", RetryClass.AT_INTERVAL),
        ("auth.required", RetryClass.ON_CREDENTIAL_CHANGE),
        ("content.invalid", RetryClass.AT_INTERVAL),
        ("tls.untrusted", RetryClass.HOURLY),
        ("policy.address", RetryClass.HOURLY),
        ("http.legal", RetryClass.WEEKLY),
        ("", RetryClass.AT_INTERVAL),
    ],
)
def test_classify_failure_maps_error_code_to_retry_class(code, again):
    assert classify_failure(code) is again


def test_retry_due_time_of_lasting_failure_is_hourly_or_weekly():
    hourly = retry_due_time("k", RetryClass.HOURLY, consecutive_failures=1, now=NOW, interval=900)
    weekly = retry_due_time("k", RetryClass.WEEKLY, consecutive_failures=1, now=NOW, interval=900)
    assert 3240 <= (hourly - NOW).total_seconds() <= 3960
    assert 0.9 <= (weekly - NOW).total_seconds() / (7 * 86400) <= 1.1


def test_schedule_changes_include_new_scheduled_tag():
    found = schedule_changes(None, stream(("t", "quay.io/a/b:t", {})))
    assert found["t"].host == "quay.io"
    assert found["t"].key.startswith("quay.io/a/b t ")


def test_schedule_changes_ignore_next_generation():
    old = stream(("t", "quay.io/a/b:t", {}))
    new = with_next_generation(old)
    assert new.spec.tags != old.spec.tags
    assert schedule_changes(old, new) == {}


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
def test_schedule_changes_include_changed_source_or_annotation(other):
    old = stream(("t", "quay.io/a/b:t", {}))
    assert list(schedule_changes(old, other)) == ["t"]
    assert schedule_changes(other, other) == {}


def test_schedule_changes_remove_deleted_tag():
    old = stream(("t", "quay.io/a/b:t", {}), ("u", "quay.io/a/b:u", {}))
    assert schedule_changes(old, stream(("u", "quay.io/a/b:u", {}))) == {"t": None}


def test_schedule_changes_remove_imported_digest():
    digest = "quay.io/a/b@sha256:" + "1" * 64
    old = stream(("t", digest, {}))
    assert "t" in schedule_changes(None, old)
    assert schedule_changes(old, stream(("t", digest, {}), history=["t"])) == {"t": None}


def test_schedule_changes_ignore_invalid_source():
    assert schedule_changes(None, stream(("t", "quay.io/A/b:t", {}))) == {}
