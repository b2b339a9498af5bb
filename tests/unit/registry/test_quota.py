"""The law of quotas: no registry ever refuses, whichever way it counts."""

import heapq
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakeregistry.quotas import FixedWindow, SlidingWindow, TokenBucket
from worker.registry.limits.quota import Quota, pack_quota, unpack_quota
from worker.registry.limits.rate_limit_headers import Allowed

LANES = ["interactive", "scheduled", "bulk"]
KINDS = ["head", "get", "other"]


def learnt(limit=100, window=60.0, *, remaining=None, now=1000.0, **how):
    quota = Quota()
    said = Allowed(limit, limit - 1 if remaining is None else remaining, window, window)
    quota.hear(said, how.pop("kind", "get"), sent=None, now=now, is_plain=True)
    return quota


def go(quota, now, lane="scheduled", kind="head"):
    """Take the next turn; its moment."""
    moment = quota.place(kind, lane, now)
    quota.take(kind, lane, moment, now)
    return moment


class World:
    """A quota, a registry that counts every request, and a network that takes its time."""

    def __init__(self, meter, quota):
        self.meter = meter
        self.quota = quota
        self.events = []
        self.order = 0
        self.admitted = []
        self.refused = 0

    def later(self, when, what):
        self.order += 1
        heapq.heappush(self.events, (when, self.order, what))

    def send(self, moment, kind, there, back):
        self.later(moment + there, lambda now: self.arrive(now, moment, kind, back))

    def arrive(self, now, moment, kind, back):
        admitted, left, _ = self.meter.admit(now)
        if admitted:
            self.admitted.append(now)
        self.refused += not admitted
        said = Allowed(self.meter.limit, left, self.meter.window, self.meter.window)
        self.later(
            now + back,
            lambda end: self.quota.hear(said, kind, sent=moment, now=end, is_plain=True),
        )

    def run(self, until):
        while self.events and self.events[0][0] <= until:
            when, _, what = heapq.heappop(self.events)
            what(when)


METERS = [
    lambda limit, window: FixedWindow(limit, window, phase=0.3 * window),
    SlidingWindow,
    TokenBucket,
]

asks = st.lists(
    st.tuples(
        st.floats(0, 20),
        st.sampled_from(LANES),
        st.sampled_from(KINDS),
        st.integers(1, 12),
        st.floats(0, 0.2),
        st.floats(0, 2),
    ),
    max_size=40,
)


@pytest.mark.parametrize("meter", METERS, ids=["fixed", "sliding", "bucket"])
@given(asks=asks, limit=st.integers(1, 60), window=st.sampled_from([10.0, 60.0, 3600.0]))
@settings(max_examples=60, deadline=None)
def test_no_registry_refuses_whichever_way_it_counts(meter, asks, limit, window):
    world = World(meter(limit, window), learnt(limit, window, now=1000.0 - 2 * window))
    now = 1000.0
    for pause, lane, kind, times, there, back in asks:
        now += pause * window / 60
        world.run(now)
        for _ in range(times):
            if world.quota.is_free(kind):
                continue
            moment = world.quota.place(kind, lane, now)
            if moment - now <= window / 2:
                world.quota.take(kind, lane, moment, now)
                world.send(moment, kind, there * min(1, window / 200), back)
    world.run(float("inf"))
    assert world.refused == 0


@given(asks=asks, limit=st.integers(1, 60))
@settings(max_examples=60, deadline=None)
def test_within_any_window_there_are_never_more_than_the_limit(asks, limit):
    quota = learnt(limit, 60.0, now=800.0)
    now, sent = 1000.0, []
    for pause, lane, kind, times, _, _ in asks:
        now += pause
        counted = "get" if kind == "head" else kind  # heads that change nothing would be free
        for _ in range(times):
            moment = now = go(quota, now, lane, counted)
            sent.append(moment)
            said = Allowed(limit, limit, 60, 60)
            quota.hear(said, counted, sent=moment, now=moment, is_plain=True)
    sent.sort()
    for last, moment in enumerate(sent):
        assert sum(moment - 60 <= each for each in sent[: last + 1]) <= limit


@pytest.mark.parametrize("meter", METERS, ids=["fixed", "sliding", "bucket"])
def test_checks_alone_use_nearly_all_of_the_quota_evenly(meter):
    """A hundred a minute, always somebody who wants to: 95 at least, and no long gaps."""
    world = World(meter(100, 60.0), learnt(100, 60.0, now=1000.0))
    now = 1000.0
    while now < 1300.0:
        world.run(now)
        moment = world.quota.place("head", "scheduled", now)
        if moment - now <= 1.0:
            world.quota.take("head", "scheduled", moment, now)
            world.send(moment, "head", 0.02, 0.02)
        else:
            now = moment - 0.5
    assert not world.refused
    for begin in range(1070, 1230, 7):
        used = [each for each in world.admitted if begin <= each < begin + 60]
        assert len(used) >= 95
        gaps = [after - before for before, after in pairwise(used)]
        assert max(gaps) < 3


def test_a_person_finds_a_place_while_checks_use_all_they_may():
    quota = learnt(100, 60.0)
    now = 1000.0
    while now < 1200.0:
        now = go(quota, now)
        said = Allowed(100, max(0, quota.left(now)), 60, 60)
        quota.hear(said, "head", sent=now, now=now, is_plain=True)
    for _ in range(3):
        assert go(quota, now, "interactive", "get") - now < 2


def test_checks_leave_a_reserve_that_people_may_use():
    quota = learnt(10, 60.0, now=900.0)
    now = 1000.0
    for _ in range(8):
        assert quota.place("head", "bulk", now) == now
        quota.take("head", "bulk", now, now)
    assert quota.place("head", "bulk", now) > now + 50
    assert go(quota, now, "interactive", "get") == now


def test_what_others_use_of_it_is_left_to_them():
    quota = learnt(100, 60.0, remaining=4)
    assert go(quota, 1000.0, "interactive", "get") == 1000.0
    for _ in range(3):
        assert go(quota, 1000.0, "interactive", "get") == 1000.0
    assert quota.place("get", "interactive", 1000.0) > 1000.0


def test_requests_from_before_the_first_answer_count_when_theirs_comes():
    quota = learnt(10, 60.0, remaining=9)
    quota.hear(Allowed(10, 8, 60, 60), "head", sent=None, now=1000.1, is_plain=True)
    quota.hear(Allowed(10, 7, 60, 60), "head", sent=None, now=1000.2, is_plain=True)
    assert quota.left(1000.3) == 7
    assert sum(quota.counts.values()) == 3


def test_heads_that_change_nothing_are_free_and_such_that_do_are_not():
    free, costly = learnt(100, 21600.0), learnt(100, 21600.0)
    for number in range(6):
        now = 1000.0 + number
        for quota, left in ((free, 99), (costly, 98 - number)):
            moment = quota.place("head", "scheduled", now)
            assert moment == now or number >= 4
            quota.take("head", "scheduled", now, now)
            said = Allowed(100, left, 21600, 21600)
            quota.hear(said, "head", sent=now, now=now, is_plain=True)
    assert free.is_free("head")
    assert not costly.is_free("head")
    assert costly.heads_cost


def test_heads_are_not_taken_for_free_because_a_quota_grows_back():
    quota = learnt(100, 60.0)
    for number in range(50):
        now = 1000.0 + number
        quota.hear(Allowed(100, 99, 60, 60), "head", sent=None, now=now, is_plain=True)
    assert not quota.is_free("head")


def test_what_answers_without_headers_is_free():
    quota = learnt()
    for _ in range(3):
        assert not quota.is_free("other")
        quota.hear(None, "other", sent=None, now=1000.0, is_plain=True)
    assert quota.is_free("other")
    quota.hear(Allowed(100, 90, 60, 60), "other", sent=None, now=1000.0, is_plain=True)
    assert not quota.is_free("other")


def test_a_refusal_leaves_nothing_until_its_time_is_over():
    quota = learnt(100, 60.0, remaining=90)
    quota.refuse(1000.0, 30.0)
    assert quota.place("head", "scheduled", 1001.0) >= 1030.0


def test_a_request_that_was_never_sent_counts_for_nobody():
    quota = learnt(4, 60.0, now=900.0)
    taken = [go(quota, 1000.0, "interactive") for _ in range(4)]
    assert quota.place("get", "interactive", 1000.0) > 1050
    quota.give_back(taken[0])
    assert quota.place("get", "interactive", 1000.0) == 1000.0


@given(asks=asks)
@settings(max_examples=30, deadline=None)
def test_a_state_survives_the_way_to_redis_and_back(asks):
    quota, now = learnt(), 1000.0
    for pause, lane, kind, _, _, back in asks:
        now += pause
        moment = go(quota, now, lane, kind)
        quota.hear(Allowed(100, 50, 60, 60), kind, sent=moment, now=now + back, is_plain=True)
    assert unpack_quota(pack_quota(quota)) == quota


@pytest.mark.parametrize("text", ["", "[]", "{", '{"x":1}', '{"counts":[1]}', "null", "1"])
def test_a_state_that_somebody_broke_is_none(text):
    with pytest.raises(ValueError):
        unpack_quota(text)
