"""The quota of one credential scope: how much is used, and when the next request may be sent.

Pure computation, without I/O. Two bounds hold at once (registry-17.1, registry-17.2):

1. Within any window of the registry's length we send no more than its limit, whether the registry
   counts in fixed windows, sliding windows or a token bucket: our own window slides over what was
   sent.
2. We send no more than the registry last reported as remaining, less what was sent since, because
   other clients may use the same quota.

Scheduled and bulk requests leave a reserve to interactive ones, and scheduled checks are spread
evenly, so that part of the quota always becomes free soon (registry-17.3). All times are seconds of
one clock, that of the store that holds the state.

Example: a limit of 100 requests a minute. The window is divided into 240 buckets of 0.25 s; a
request is counted in the bucket of its send time and becomes free one window and the slack of 0.3 s
(60 / 200) after the end of that bucket, because it may reach the registry late. The reserve is 3
requests (3 %), so scheduled checks are (60.3 + 0.25) / 97 = 0.62 s apart. Bulk fetches stop when 5
requests (5 %) remain.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from itertools import accumulate

from worker.registry.limits.quotas.head_cost import MIN_AGREEING_RESPONSES, HeadCost
from worker.registry.limits.rate_limit_headers import ReportedQuota

BUCKETS = 240
MAX_SLACK_SECONDS = 0.5  # the longest time that a request is assumed to take to the registry
SLACK_DIVISOR = 200
RESERVE_PERCENT = 3
MIN_RESERVE = 2
MAX_PROBES = 4
MAX_HORIZON_SECONDS = 1.0  # how far ahead requests without a user reserve a send time
_PROBE_DIVISOR = 20
_MAX_REQUEST_SECONDS = 60.0  # the deadline of every counted request
_MAX_INTERVALS_AHEAD = 1  # how far checks may be ahead of even spacing
_AHEAD_DIVISOR = 4  # scheduled fetches may be a quarter of a window ahead
INTERACTIVE = "interactive"
SCHEDULED = "scheduled"


@dataclass(slots=True)
class Quota:
    """The state of one quota, made of plain numbers, so that it can be shared as JSON.

    `counts` are the requests of each bucket. `reported_remaining` is what the registry last
    reported as remaining, at `reported_at`, in the response to the request that was sent at
    `reported_send_time`. `recent` are the requests that it may not have counted then: (send time,
    time of the response or 0, remainder in the response or -1). `uncounted` requests were in flight
    at `uncounted_at`, when the quota was discovered. `unreported_counts` are the responses without
    quota headers of each kind, `probes` (period, number of probes) of each kind.
    """

    limit: int = 0
    window: float = 0.0
    counts: dict[int, int] = field(default_factory=dict)
    recent: list[tuple[float, float, int]] = field(default_factory=list)
    reported_remaining: int = 0
    reported_at: float = 0.0
    reported_send_time: float = 0.0
    reset_at: float = 0.0
    uncounted: int = 0
    uncounted_at: float = 0.0
    next_scheduled_time: float = 0.0
    unreported_counts: dict[str, int] = field(default_factory=dict)
    head_cost: HeadCost = field(default_factory=HeadCost)
    probes: dict[str, tuple[int, int]] = field(default_factory=dict)

    # derived values

    @property
    def slack(self) -> float:
        return min(MAX_SLACK_SECONDS, self.window / SLACK_DIVISOR)

    @property
    def span(self) -> float:
        """For how many seconds a request counts."""
        return self.window + self.slack

    @property
    def interactive_reserve(self) -> int:
        """How many requests only interactive ones may use (registry-17.3)."""
        return min(max(MIN_RESERVE, self.limit * RESERVE_PERCENT // 100), self.limit // 2)

    @property
    def scheduled_interval(self) -> float:
        """The seconds between two scheduled checks that are spread evenly."""
        return (self.span + self._bucket_seconds) / max(1, self.limit - self.interactive_reserve)

    @property
    def horizon(self) -> float:
        return max(2 * self.scheduled_interval, min(MAX_HORIZON_SECONDS, self.window / 30))

    @property
    def low_watermark(self) -> int:
        """The remainder at which scheduled and bulk GETs of manifests stop (registry-17.4)."""
        return min(max(5, math.ceil(0.05 * self.limit)), self.limit // 2)

    def is_uncounted(self, kind: str) -> bool:
        """Return whether a kind of request has shown to be free (registry-17.5)."""
        return self.unreported_counts.get(kind, 0) >= MIN_AGREEING_RESPONSES or (
            kind == "head" and self.head_cost.is_free
        )

    def remaining(self, now: float) -> int:
        """Return an estimate of how many requests may still be sent now."""
        return max(0, min(self.limit - self._used(now), self._remaining_at(now)))

    def is_expired(self, now: float) -> bool:
        """Return whether nothing in the state counts any longer."""
        return not self.limit or now > max(
            self.reported_at + self.span, self.reset_at, *(each[0] for each in self.recent[-1:])
        )

    # requests and responses

    def next_send_time(self, kind: str, priority: str, now: float, weight: int = 1) -> float:
        """Return the first time, now or later, at which one more request may be sent.

        `weight` is the number of requests that it counts as. A time is admissible if both bounds
        hold then, and at every later time for which requests are already reserved: a request that
        is inserted before them is in their windows too.

        Example: an interactive request under a limit of 2 a minute, after requests at 0 s and 50 s.
        At 55 s the window still holds both; at 60.55 s the first one has become free (bucket end
        0.25 s, window 60 s, slack 0.3 s).
        """
        if not self.limit or self.is_uncounted(kind):
            return now
        start = now
        if priority == SCHEDULED and not self._may_probe(kind, now):
            ahead = 0.0 if kind == "head" else self.window / _AHEAD_DIVISOR
            start = max(now, self.next_scheduled_time - ahead)
        max_requests, min_remaining = self._bounds(kind, priority)
        keys = sorted(self.counts)
        sums = [0, *accumulate(self.counts[key] for key in keys)]
        for send_time in self._candidate_times(start, priority):
            later_times = [
                key * self._bucket_seconds
                for key in keys[bisect_right(keys, self._bucket_of(send_time)) :]
            ]
            if all(
                sums[bisect_right(keys, self._bucket_of(time))]
                - sums[bisect_left(keys, self._first_bucket_of(time))]
                <= max_requests - weight
                and self._remaining_at(time, priority) >= min_remaining + weight
                for time in (send_time, *later_times)
            ):
                return send_time
        return max(start, self.reported_at + self.span, now + self.scheduled_interval)

    def take(self, kind: str, priority: str, send_time: float, now: float, weight: int = 1) -> None:
        """Count a request that will be sent at `send_time`."""
        if not self.limit or self.is_uncounted(kind):
            return
        self.add(send_time, weight)
        if kind != "head":
            self.head_cost.baseline = None
        if priority != SCHEDULED:
            return
        period, probed = self._probe_period(now), self.probes.get(kind, (0, 0))
        self.probes[kind] = (period, probed[1] + 1 if probed[0] == period else 1)
        self.next_scheduled_time = (
            max(
                self.next_scheduled_time, send_time - _MAX_INTERVALS_AHEAD * self.scheduled_interval
            )
            + weight * self.scheduled_interval
        )

    def add(self, send_time: float, weight: int = 1) -> None:
        """Count `weight` requests that were sent at `send_time`."""
        bucket = self._bucket_of(send_time)
        self.counts[bucket] = self.counts.get(bucket, 0) + weight
        self.recent.extend([(send_time, 0.0, -1)] * weight)

    def cancel(self, send_time: float) -> None:
        """Remove a request that was counted but never sent."""
        bucket = self._bucket_of(send_time)
        if bucket in self.counts:
            self.counts[bucket] -= 1
            if not self.counts[bucket]:
                del self.counts[bucket]
        if (send_time, 0.0, -1) in self.recent:
            self.recent.remove((send_time, 0.0, -1))

    def complete(self, send_time: float, now: float, remaining: int = -1) -> float:
        """Record the end of a request; return the send time under which it counts from now on.

        Until now the request may have been on its way to the registry. One that took longer than
        the slack is therefore counted as sent now: the registry may have counted it at any time
        until now, so it becomes free later.
        """
        if now - send_time > self.slack:
            self.cancel(send_time)
            self.add(now)
            send_time = now
        if (send_time, 0.0, -1) in self.recent:
            position = self.recent.index((send_time, 0.0, -1))
            self.recent[position] = (send_time, max(now, send_time), remaining)
        return send_time

    def observe_response(
        self,
        reported: ReportedQuota | None,
        kind: str,
        *,
        send_time: float | None,
        now: float,
        reports_quota: bool,
        started_at: float | None = None,
    ) -> None:
        """Record what the response to a request reports of the quota.

        `reports_quota` is True for responses that have quota headers if any have. `send_time` is
        the time under which the request was counted; None where it was not counted, and then
        `started_at` is the time at which it was sent.
        """
        if reported is None:
            if reports_quota:
                self.unreported_counts[kind] = self.unreported_counts.get(kind, 0) + 1
            return
        self.unreported_counts.pop(kind, None)
        self._adopt_limit(reported, now)
        if kind == "head":
            self.head_cost.learn(reported.remaining, now, interval=self.scheduled_interval)
        if send_time is not None:
            started_at = send_time
        elif not self.is_uncounted(kind):
            self.add(now)
            self.uncounted = max(0, self.uncounted - 1)
            send_time = now
        counted_time = (
            now if send_time is None else self.complete(send_time, now, reported.remaining)
        )
        if counted_time >= self.reported_send_time:
            self._adopt_report(
                reported, counted_time, now if started_at is None else started_at, now
            )
        self._drop_old_buckets(now)

    def expect_uncounted(self, count: int, now: float) -> None:
        """Record that `count` requests are in flight that were sent before the quota was known."""
        self.uncounted, self.uncounted_at = count, now

    def mark_exhausted(self, now: float, wait: float | None) -> None:
        """Record a 429: nothing remains, until `wait` seconds have passed (registry-17.2)."""
        self.reported_remaining, self.reported_at, self.reported_send_time = 0, now, now
        self.recent = []
        if wait is not None:
            self.reset_at = now + wait

    # internals

    @property
    def _bucket_seconds(self) -> float:
        return self.window / BUCKETS

    def _bucket_of(self, time: float) -> int:
        return math.floor(time / self._bucket_seconds)

    def _first_bucket_of(self, window_end: float) -> int:
        """Return the first bucket that counts in the window that ends at `window_end`."""
        return math.floor((window_end - self.span) / self._bucket_seconds)

    def _bounds(self, kind: str, priority: str) -> tuple[int, int]:
        """Return the most requests in a window, and the least remainder that must be left.

        Interactive requests may use everything, others leave the reserve or the low watermark.
        """
        if priority == INTERACTIVE:
            return self.limit, 0
        half_reserve = self.interactive_reserve // 2
        if kind == "head":
            return self.limit - self.interactive_reserve, half_reserve
        if kind == "get" and not self.head_cost.is_counted:
            return self.limit, self.low_watermark
        return self.limit - half_reserve, half_reserve

    def _candidate_times(self, start: float, priority: str) -> list[float]:
        """Return `start` and all later times at which part of the quota may become free."""
        ends = [(key + 1) * self._bucket_seconds + self.span for key in self.counts]
        ends += [self.reset_at, self.reported_at + self.span]
        if priority == INTERACTIVE:
            ends.append(self.reported_at + self.window / _PROBE_DIVISOR)
        return [start, *sorted({end for end in ends if end > start})]

    def _used(self, now: float) -> int:
        first, last = self._first_bucket_of(now), self._bucket_of(now)
        return sum(number for key, number in self.counts.items() if first <= key <= last)

    def _remaining_at(self, time: float, priority: str = "") -> int:
        """Return what remains at `time` by the registry's last report and our requests since.

        Of what the registry had counted, our own requests become free with time. What others used
        becomes free only when the registry reports it, at its reset, or after a window
        (registry-17.2). An interactive request may be sent after a twentieth of the window even
        where nothing remains, because its response brings a new report.
        """
        if time >= self.reported_at + self.span:
            return self.limit
        since = self.uncounted + sum(each[0] <= time for each in self.recent)
        first, first_counted = self._first_bucket_of(self.reported_at), self._first_bucket_of(time)
        before = self._bucket_of(self.reported_send_time - self.slack)
        freed_requests = sum(
            number
            for key, number in self.counts.items()
            if first <= key < min(first_counted, before)
        )
        remaining = self.reported_remaining - since + freed_requests
        if self.reset_at and time >= self.reset_at:
            later = sum(self.reset_at <= each[0] <= time for each in self.recent)
            remaining = max(remaining, self.limit - later)
        if priority == INTERACTIVE and time >= self.reported_at + self.window / _PROBE_DIVISOR:
            remaining = max(remaining, 1)
        return remaining

    def _adopt_report(
        self, reported: ReportedQuota, send_time: float, started_at: float, now: float
    ) -> None:
        """Adopt the reported remainder.

        It includes the requests that had ended, or were sent earlier than the slack, before the
        reporting request started; all others stay in `recent` and are subtracted from it.
        """
        own_entry = (send_time, max(now, send_time), reported.remaining)
        is_counted = own_entry in self.recent
        if is_counted:
            self.recent.remove(own_entry)
        self.recent = [
            each
            for each in self.recent
            if each[0] > started_at - self.slack and not (each[1] and each[1] <= started_at)
        ]
        if is_counted:
            self.recent.append(own_entry)
        self.reported_remaining, self.reported_send_time, self.reported_at = (
            reported.remaining + is_counted,
            send_time,
            now,
        )
        self.reset_at = now + reported.reset if reported.reset else 0.0
        if started_at > self.uncounted_at + _MAX_REQUEST_SECONDS:
            self.uncounted = 0
        if all(each[1] for each in self.recent):
            # All responses are here, and the lowest remainder includes all of the requests.
            lowest = min([reported.remaining, *(each[2] for each in self.recent if each[2] >= 0)])
            self.reported_remaining = lowest - sum(each[2] < 0 for each in self.recent)
            self.recent = []

    def _probe_period(self, now: float) -> int:
        return math.floor(now / (4 * self.span if self.head_cost.is_counted else self.span / 8))

    def _may_probe(self, kind: str, now: float) -> bool:
        """Return whether a request may be sent ahead of even spacing, to learn what its kind costs.

        At most 4 in a period. GETs of manifests are no probes: they are what quotas count.
        """
        if kind == "get":
            return False
        period, probed = self.probes.get(kind, (0, 0))
        return period != self._probe_period(now) or probed < MAX_PROBES

    def _adopt_limit(self, reported: ReportedQuota, now: float) -> None:
        window = reported.period or max(self.window, reported.wait)
        self.limit = reported.limit or max(self.limit, reported.remaining + 1)
        if window == self.window:
            return
        old_bucket_seconds, counts = self._bucket_seconds, self.counts
        self.window, self.counts = window, {}
        for key, number in counts.items():
            bucket = self._bucket_of(
                min((key + 1) * old_bucket_seconds, max(now, key * old_bucket_seconds))
            )
            self.counts[bucket] = self.counts.get(bucket, 0) + number
        self.next_scheduled_time = min(self.next_scheduled_time, now + self.scheduled_interval)

    def _drop_old_buckets(self, now: float) -> None:
        first = self._first_bucket_of(now) - BUCKETS
        if len(self.counts) > 2 * BUCKETS or any(key < first for key in self.counts):
            self.counts = {key: number for key, number in self.counts.items() if key >= first}
