"""A quota is never exceeded, whatever algorithm the registry uses to limit requests."""

import heapq
import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakeregistry.quotas import FixedWindow, SlidingWindow, TokenBucket
from worker.registry.limits.quotas.quota import Quota
from worker.registry.limits.quotas.quota_json import (
    QUOTA_FORMAT_VERSION,
    format_quota,
    parse_quota,
)
from worker.registry.limits.rate_limit_headers import ReportedQuota

PRIORITIES = ["interactive", "scheduled", "bulk"]
KINDS = ["head", "get", "other"]


def learned_quota(limit=100, window=60.0, *, remaining=None, now=1000.0, **options):
    quota = Quota()
    report = ReportedQuota(limit, limit - 1 if remaining is None else remaining, window, window)
    quota.observe_response(
        report, options.pop("kind", "get"), send_time=None, now=now, reports_quota=True
    )
    return quota


def take_next(quota, now, priority="scheduled", kind="head"):
    """Take the next request from the quota and return its send time."""
    send_time = quota.next_send_time(kind, priority, now)
    quota.take(kind, priority, send_time, now)
    return send_time


class QuotaSimulation:
    """A quota, a registry that counts every request, and a network with latency."""

    def __init__(self, meter, quota):
        self.meter = meter
        self.quota = quota
        self.events = []
        self.order = 0
        self.admitted = []
        self.refused = 0

    def schedule(self, when, callback):
        self.order += 1
        heapq.heappush(self.events, (when, self.order, callback))

    def send(self, send_time, kind, delay_to_registry, delay_back):
        self.schedule(
            send_time + delay_to_registry,
            lambda now: self.receive(now, send_time, kind, delay_back),
        )

    def receive(self, now, send_time, kind, delay_back):
        admitted, left, _ = self.meter.admit(now)
        if admitted:
            self.admitted.append(now)
        self.refused += not admitted
        report = ReportedQuota(self.meter.limit, left, self.meter.window, self.meter.window)
        self.schedule(
            now + delay_back,
            lambda end: self.quota.observe_response(
                report, kind, send_time=send_time, now=end, reports_quota=True
            ),
        )

    def run(self, until):
        while self.events and self.events[0][0] <= until:
            when, _, callback = heapq.heappop(self.events)
            callback(when)


METERS = [
    lambda limit, window: FixedWindow(limit, window, phase=0.3 * window),
    SlidingWindow,
    TokenBucket,
]

arrivals = st.lists(
    st.tuples(
        st.floats(0, 20),
        st.sampled_from(PRIORITIES),
        st.sampled_from(KINDS),
        st.integers(1, 12),
        st.floats(0, 0.2),
        st.floats(0, 2),
    ),
    max_size=40,
)


@pytest.mark.parametrize("meter", METERS, ids=["fixed", "sliding", "bucket"])
@given(arrivals=arrivals, limit=st.integers(1, 60), window=st.sampled_from([10.0, 60.0, 3600.0]))
@settings(max_examples=60, deadline=None)
def test_quota_is_never_exceeded_with_any_meter(meter, arrivals, limit, window):
    simulation = QuotaSimulation(
        meter(limit, window), learned_quota(limit, window, now=1000.0 - 2 * window)
    )
    now = 1000.0
    for pause, priority, kind, times, delay_to_registry, delay_back in arrivals:
        now += pause * window / 60
        simulation.run(now)
        for _ in range(times):
            if simulation.quota.is_uncounted(kind):
                continue
            send_time = simulation.quota.next_send_time(kind, priority, now)
            if send_time - now <= window / 2:
                simulation.quota.take(kind, priority, send_time, now)
                simulation.send(
                    send_time, kind, delay_to_registry * min(1, window / 200), delay_back
                )
    simulation.run(float("inf"))
    assert simulation.refused == 0


@given(arrivals=arrivals, limit=st.integers(1, 60))
@settings(max_examples=60, deadline=None)
def test_quota_admits_at_most_limit_in_any_window(arrivals, limit):
    quota = learned_quota(limit, 60.0, now=800.0)
    now, sent = 1000.0, []
    for pause, priority, kind, times, _, _ in arrivals:
        now += pause
        counted = (
            "get" if kind == "head" else kind
        )  # heads that leave the quota unchanged would be uncounted
        for _ in range(times):
            send_time = now = take_next(quota, now, priority, counted)
            sent.append(send_time)
            report = ReportedQuota(limit, limit, 60, 60)
            quota.observe_response(
                report, counted, send_time=send_time, now=send_time, reports_quota=True
            )
    sent.sort()
    for last, send_time in enumerate(sent):
        assert sum(send_time - 60 <= each for each in sent[: last + 1]) <= limit


@pytest.mark.parametrize("meter", METERS, ids=["fixed", "sliding", "bucket"])
def test_checks_use_most_of_quota_evenly(meter):
    """Of 100 requests a minute, with constant demand, at least 95 are used, without long gaps."""
    simulation = QuotaSimulation(meter(100, 60.0), learned_quota(100, 60.0, now=1000.0))
    now = 1000.0
    while now < 1300.0:
        simulation.run(now)
        send_time = simulation.quota.next_send_time("head", "scheduled", now)
        if send_time - now <= 1.0:
            simulation.quota.take("head", "scheduled", send_time, now)
            simulation.send(send_time, "head", 0.02, 0.02)
        else:
            now = send_time - 0.5
    assert not simulation.refused
    for begin in range(1070, 1230, 7):
        used = [each for each in simulation.admitted if begin <= each < begin + 60]
        assert len(used) >= 95
        gaps = [after - before for before, after in pairwise(used)]
        assert max(gaps) < 3


def test_interactive_request_is_admitted_while_checks_use_quota():
    quota = learned_quota(100, 60.0)
    now = 1000.0
    while now < 1200.0:
        now = take_next(quota, now)
        report = ReportedQuota(100, max(0, quota.remaining(now)), 60, 60)
        quota.observe_response(report, "head", send_time=now, now=now, reports_quota=True)
    for _ in range(3):
        assert take_next(quota, now, "interactive", "get") - now < 2


def test_checks_leave_quota_reserve_for_interactive_requests():
    quota = learned_quota(10, 60.0, now=900.0)
    now = 1000.0
    for _ in range(8):
        assert quota.next_send_time("head", "bulk", now) == now
        quota.take("head", "bulk", now, now)
    assert quota.next_send_time("head", "bulk", now) > now + 50
    assert take_next(quota, now, "interactive", "get") == now


def test_quota_respects_usage_by_other_clients():
    quota = learned_quota(100, 60.0, remaining=4)
    assert take_next(quota, 1000.0, "interactive", "get") == 1000.0
    for _ in range(3):
        assert take_next(quota, 1000.0, "interactive", "get") == 1000.0
    assert quota.next_send_time("get", "interactive", 1000.0) > 1000.0


def test_requests_before_first_report_count_once_answered():
    quota = learned_quota(10, 60.0, remaining=9)
    quota.observe_response(
        ReportedQuota(10, 8, 60, 60), "head", send_time=None, now=1000.1, reports_quota=True
    )
    quota.observe_response(
        ReportedQuota(10, 7, 60, 60), "head", send_time=None, now=1000.2, reports_quota=True
    )
    assert quota.remaining(1000.3) == 7
    assert sum(quota.counts.values()) == 3


def test_quota_learns_whether_heads_are_counted():
    free, costly = learned_quota(100, 21600.0), learned_quota(100, 21600.0)
    for number in range(6):
        now = 1000.0 + number
        for quota, left in ((free, 99), (costly, 98 - number)):
            send_time = quota.next_send_time("head", "scheduled", now)
            assert send_time == now or number >= 4
            quota.take("head", "scheduled", now, now)
            report = ReportedQuota(100, left, 21600, 21600)
            quota.observe_response(report, "head", send_time=now, now=now, reports_quota=True)
    assert free.is_uncounted("head")
    assert not costly.is_uncounted("head")
    assert costly.head_cost.is_counted


def test_heads_stay_counted_while_quota_refills():
    quota = learned_quota(100, 60.0)
    for number in range(50):
        now = 1000.0 + number
        quota.observe_response(
            ReportedQuota(100, 99, 60, 60), "head", send_time=None, now=now, reports_quota=True
        )
    assert not quota.is_uncounted("head")


def test_requests_without_quota_headers_are_uncounted():
    quota = learned_quota()
    for _ in range(3):
        assert not quota.is_uncounted("other")
        quota.observe_response(None, "other", send_time=None, now=1000.0, reports_quota=True)
    assert quota.is_uncounted("other")
    quota.observe_response(
        ReportedQuota(100, 90, 60, 60), "other", send_time=None, now=1000.0, reports_quota=True
    )
    assert not quota.is_uncounted("other")


def test_exhausted_quota_admits_nothing_until_retry_time():
    quota = learned_quota(100, 60.0, remaining=90)
    quota.mark_exhausted(1000.0, 30.0)
    assert quota.next_send_time("head", "scheduled", 1001.0) >= 1030.0


def test_cancelled_request_returns_its_quota():
    quota = learned_quota(4, 60.0, now=900.0)
    taken = [take_next(quota, 1000.0, "interactive") for _ in range(4)]
    assert quota.next_send_time("get", "interactive", 1000.0) > 1050
    quota.cancel(taken[0])
    assert quota.next_send_time("get", "interactive", 1000.0) == 1000.0


@given(arrivals=arrivals)
@settings(max_examples=30, deadline=None)
def test_quota_state_round_trips_through_json(arrivals):
    quota, now = learned_quota(), 1000.0
    for pause, priority, kind, _, _, delay_back in arrivals:
        now += pause
        send_time = take_next(quota, now, priority, kind)
        quota.observe_response(
            ReportedQuota(100, 50, 60, 60),
            kind,
            send_time=send_time,
            now=now + delay_back,
            reports_quota=True,
        )
    assert parse_quota(format_quota(quota)) == quota


@pytest.mark.parametrize("text", ["", "[]", "{", '{"x":1}', '{"counts":[1]}', "null", "1"])
def test_parse_quota_rejects_malformed_state(text):
    with pytest.raises(ValueError):
        parse_quota(text)


def test_quota_format_version_belongs_to_these_field_names():
    """A change of a name needs another version, which is part of the key in Redis."""
    document = json.loads(format_quota(Quota()))
    assert QUOTA_FORMAT_VERSION == "v2"
    assert sorted(document) == [
        "counts",
        "head_cost",
        "limit",
        "next_scheduled_time",
        "probes",
        "recent",
        "reported_at",
        "reported_remaining",
        "reported_send_time",
        "reset_at",
        "uncounted",
        "uncounted_at",
        "unreported_counts",
        "window",
    ]
    assert sorted(document["head_cost"]) == ["baseline", "free_count", "is_counted"]
