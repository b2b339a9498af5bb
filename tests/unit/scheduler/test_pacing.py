"""Tests of pacing and backpressure: how due checks are spread over the rate of registries."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.store.schedule.schedule_claims import DueTag
from models.streams.schedule.check_schedule import ScheduleReason
from scheduler.backpressure import (
    DRAIN_TIME,
    GROWTH_FACTOR,
    MAX_CLAIMED_PER_REGISTRY,
    MAX_WAIT,
    MIN_CLAIMED_PER_REGISTRY,
    ClaimLimiter,
)
from scheduler.pacing import (
    DISPATCH_HORIZON,
    RESERVED_SEND_TIME_REASON,
    CheckRatePolicy,
    pack_batches,
    plan_dispatch,
)

NOW = datetime(2026, 3, 3, 14, 5, tzinfo=UTC)


def due(number, *, host="quay.io", key=None, reason="Unchanged", error_code=""):
    return DueTag(
        id=number,
        host=host,
        key=key or f"{host}/a/b {number}",
        scheduled=True,
        requested_interval=None,
        needs_due_time=False,
        due_at=NOW - timedelta(seconds=1),
        last_check_at=None,
        reason=reason,
        error_code=error_code,
        message="",
    )


def plan(rows, *, rate=0.0, suspended=False, next_send_times=None, claimed=None):
    return plan_dispatch(
        rows,
        now=NOW,
        rate_policy_of=lambda _host: CheckRatePolicy(rate, suspended),
        next_send_times=next_send_times or {},
        claimed=claimed or {},
    )


def test_plan_dispatch_without_rate_sends_everything():
    rows = [due(number) for number in range(MIN_CLAIMED_PER_REGISTRY)]
    found = plan(rows)
    assert (found.send, found.postponed, found.next_send_times) == (rows, [], {})


@given(
    rate=st.floats(0.1, 500),
    count=st.integers(0, 300),
    delay=st.floats(-10, 100),
)
def test_plan_dispatch_never_exceeds_the_rate(rate, count, delay):
    next_free = NOW + timedelta(seconds=delay)
    found = plan(
        [due(number) for number in range(count)], rate=rate, next_send_times={"quay.io": next_free}
    )
    starts = [NOW] * len(found.send) + [postponed.not_before for postponed in found.postponed]
    horizon = DISPATCH_HORIZON.total_seconds()
    assert len(found.send) <= max(0.0, horizon - max(0.0, delay)) * rate + 1.01
    for postponed in found.postponed:
        before = sum(1 for start in starts if start <= postponed.not_before)
        left = (postponed.not_before - max(next_free, NOW)).total_seconds()
        assert before <= left * rate + 2
    assert [postponed.row.id for postponed in found.postponed] == sorted(
        postponed.row.id for postponed in found.postponed
    )


def test_plan_dispatch_sends_row_at_its_reserved_send_time():
    reserved = due(1, reason=ScheduleReason.DEFERRED, error_code=RESERVED_SEND_TIME_REASON)
    found = plan([reserved], rate=1.0, next_send_times={"quay.io": NOW + timedelta(hours=1)})
    assert found.send == [reserved]


def test_plan_dispatch_counts_tags_of_one_source_once():
    rows = [due(number, key="quay.io/a/b t") for number in range(300)]
    found = plan(rows, rate=0.1)
    assert len(found.send) == 300
    assert found.next_send_times == {"quay.io": NOW + timedelta(seconds=10)}


def test_plan_dispatch_limits_claimed_checks_of_a_registry():
    rows = [due(number) for number in range(10)]
    found = plan(rows, claimed={"quay.io": MIN_CLAIMED_PER_REGISTRY - 3})
    assert (len(found.send), len(found.postponed)) == (3, 7)
    assert {postponed.reason for postponed in found.postponed} == {ScheduleReason.DEFERRED}
    assert all(postponed.not_before > NOW for postponed in found.postponed)


def test_plan_dispatch_keeps_registries_independent():
    backlog = [due(number) for number in range(1000)]
    other = due(1001, host="docker.io")
    found = plan([*backlog, other], rate=1.0, claimed={"quay.io": MIN_CLAIMED_PER_REGISTRY})
    assert other in found.send


def test_plan_dispatch_sends_nothing_to_suspended_registry():
    found = plan([due(1)], suspended=True)
    [postponed] = found.postponed
    assert (found.send, postponed.reason) == ([], ScheduleReason.SUSPENDED)
    assert "quay.io" in postponed.message


@given(
    rows=st.lists(
        st.builds(
            lambda number, host, key: due(number, host=host, key=f"{host}/{key}"),
            st.integers(0, 10_000),
            st.sampled_from(["a.io", "b.io", "c.io"]),
            st.sampled_from("abcdefg"),
        ),
        unique_by=lambda row: row.id,
        max_size=80,
    ),
    max_size=st.integers(1, 20),
)
def test_pack_batches_holds_each_row_once_and_keeps_shared_checks_together(rows, max_size):
    batches = pack_batches(rows, max_size=max_size)
    assert sorted(each for batch in batches for each in batch) == sorted(row.id for row in rows)
    batch_of = {each: number for number, batch in enumerate(batches) for each in batch}
    by_key = {}
    for row in rows:
        by_key.setdefault(row.key, set()).add(batch_of[row.id])
    assert all(len(found) == 1 for found in by_key.values())
    assert all(batch for batch in batches)


@pytest.mark.parametrize("count", [1, 199, 200, 201, 1000])
def test_pack_batches_makes_no_more_batches_than_needed(count):
    batches = pack_batches([due(number) for number in range(count)], max_size=200)
    assert max(map(len, batches)) <= 200
    assert len(batches) == -(-count // 200)


def test_claim_limiter_raises_limit_of_healthy_registry_only():
    limiter = ClaimLimiter()
    limits = []
    for _ in range(6):
        limiter.mark_saturated(["good.io", "hung.io"])
        limiter.adjust({"hung.io": limiter.limit("hung.io")})
        limits.append(limiter.limit("good.io"))
    assert limits[:2] == [GROWTH_FACTOR * MIN_CLAIMED_PER_REGISTRY, MAX_CLAIMED_PER_REGISTRY]
    assert limits[-1] == MAX_CLAIMED_PER_REGISTRY
    assert limiter.limit("hung.io") == MIN_CLAIMED_PER_REGISTRY


def test_claim_limiter_lowers_limit_of_hanging_registry():
    limiter = ClaimLimiter()
    for _ in range(4):
        limiter.mark_saturated(["a.io"])
        limiter.adjust({})
    for _ in range(5):
        limiter.adjust({"a.io": limiter.limit("a.io")})
    assert limiter.limit("a.io") == MIN_CLAIMED_PER_REGISTRY


def test_claim_limiter_keeps_limit_that_is_not_saturated():
    limiter = ClaimLimiter()
    for _ in range(5):
        limiter.adjust({"a.io": 3})
    assert limiter.limit("a.io") == MIN_CLAIMED_PER_REGISTRY


def test_claim_limiter_reserves_retry_times_in_sequence():
    limiter = ClaimLimiter()
    times = [limiter.reserve_retry_time("a.io", NOW) for _ in range(2 * MIN_CLAIMED_PER_REGISTRY)]
    assert times == sorted(set(times))
    assert times[0] == NOW + DRAIN_TIME
    assert times[MIN_CLAIMED_PER_REGISTRY] - times[0] == pytest.approx(
        DRAIN_TIME, abs=timedelta(seconds=0.01)
    )
    assert limiter.reserve_retry_time("b.io", NOW) == NOW + DRAIN_TIME
    later = times[-1] + timedelta(seconds=1)
    assert limiter.reserve_retry_time("a.io", later) == later + DRAIN_TIME


def test_claim_limiter_bounds_the_wait_of_a_retry_time():
    limiter = ClaimLimiter()
    for _ in range(100 * MIN_CLAIMED_PER_REGISTRY):
        last = limiter.reserve_retry_time("a.io", NOW)
    assert last == NOW + MAX_WAIT


def test_claim_limiter_with_higher_limit_reserves_closer_retry_times():
    limiter = ClaimLimiter()
    limiter.mark_saturated(["a.io"])
    limiter.adjust({})
    times = [limiter.reserve_retry_time("a.io", NOW) for _ in range(3)]
    assert times[2] - times[1] == DRAIN_TIME / (GROWTH_FACTOR * MIN_CLAIMED_PER_REGISTRY)
