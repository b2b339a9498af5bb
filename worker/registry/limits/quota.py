"""A registry's quota: what of it is used, and when the next request may go. The law, and no more.

`registry.md` 4.1 and 4.4. Two things are kept at once. Within any window of the registry's length
we send no more than its limit, whether it counts in fixed windows, sliding ones or drops of a
bucket: a window of our own slides over what was sent. And we send no more than it last said was
left, for others may draw on the same quota.

What nobody waits for leaves a reserve to people, and goes evenly, so that there is always
something that becomes free soon. Moments are seconds of one clock, that of whoever keeps the state.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_left, bisect_right
from dataclasses import asdict, dataclass, field
from itertools import accumulate

from worker.registry.limits.rate_limit_headers import Allowed

PARTS = 240
LONGEST_SLACK = 0.5  # what a request may take to get there, for all that we know
SLACK_PART = 200
RESERVED = 3  # per cent
LEAST_RESERVE = 2
ENOUGH = 3  # answers that agree
TRIES = 4
HORIZON = 1.0  # so far ahead work of the background takes its turn
_PROBE_PART = 20
_LONGEST = 60.0  # no request takes longer
_AHEAD = 1  # turn that checks may be ahead of even spacing
_AHEAD_PART = 4  # of a window, which fetching may be
PERSON = "interactive"
CALENDAR = "scheduled"


@dataclass(slots=True)
class Quota:
    """What is known of one quota; plain numbers, so that it travels as JSON.

    `counts` are requests by the part of the window they fell into; `told` is what the registry last
    said was left, when (`at`), to the request of which moment (`sent`), and `recent` are the
    moments of requests that it may not have counted then.
    """

    limit: int = 0
    window: float = 0.0
    counts: dict[int, int] = field(default_factory=dict)
    recent: list[tuple[float, float, int]] = field(default_factory=list)
    told: int = 0
    at: float = 0.0
    sent: float = 0.0
    reset: float = 0.0
    expected: int = 0
    expected_at: float = 0.0
    turn: float = 0.0
    bare: dict[str, int] = field(default_factory=dict)
    heads: int = 0
    heads_cost: bool = False
    seen: tuple[int, float, int] | None = None
    tries: dict[str, tuple[int, int]] = field(default_factory=dict)

    # what it comes to

    @property
    def slack(self) -> float:
        return min(LONGEST_SLACK, self.window / SLACK_PART)

    @property
    def span(self) -> float:
        """For how long a request counts."""
        return self.window + self.slack

    @property
    def reserve(self) -> int:
        """What only people may use."""
        return min(max(LEAST_RESERVE, self.limit * RESERVED // 100), self.limit // 2)

    @property
    def gap(self) -> float:
        """Between two checks that go evenly."""
        return (self.span + self._width) / max(1, self.limit - self.reserve)

    @property
    def horizon(self) -> float:
        return max(2 * self.gap, min(HORIZON, self.window / 30))

    @property
    def low(self) -> int:
        """At this rest, fetching in the background stops (`registry.md` 4.1)."""
        return min(max(5, math.ceil(0.05 * self.limit)), self.limit // 2)

    def is_free(self, kind: str) -> bool:
        """Whether requests of a kind have shown that they are not counted."""
        return self.bare.get(kind, 0) >= ENOUGH or (kind == "head" and self.heads >= ENOUGH)

    def left(self, now: float) -> int:
        """An estimate of what may still be sent at the moment."""
        return max(0, min(self.limit - self._used(now), self._rest(now)))

    def is_over(self, now: float) -> bool:
        """Whether all of it is history."""
        return not self.limit or now > max(
            self.at + self.span, self.reset, *(each[0] for each in self.recent[-1:])
        )

    # the law

    def place(self, kind: str, lane: str, now: float, weight: int = 1) -> float:
        """The first moment, now or later, at which one more request may go."""
        if not self.limit or self.is_free(kind):
            return now
        start = now
        if lane == CALENDAR and not self._may_try(kind, now):
            ahead = 0.0 if kind == "head" else self.window / _AHEAD_PART
            start = max(now, self.turn - ahead)
        most, floor = self._bounds(kind, lane)
        keys = sorted(self.counts)
        sums = [0, *accumulate(self.counts[key] for key in keys)]
        for moment in self._moments(start, lane):
            later = [key * self._width for key in keys[bisect_right(keys, self._part(moment)) :]]
            if all(
                sums[bisect_right(keys, self._part(at))] - sums[bisect_left(keys, self._first(at))]
                <= most - weight
                and self._rest(at, lane) >= floor + weight
                for at in (moment, *later)
            ):
                return moment
        return max(start, self.at + self.span, now + self.gap)

    def take(self, kind: str, lane: str, moment: float, now: float, weight: int = 1) -> None:
        """A request goes at `moment`."""
        if not self.limit or self.is_free(kind):
            return
        self.add(moment, weight)
        if kind != "head":
            self.seen = None
        if lane != CALENDAR:
            return
        period, tried = self._period(now), self.tries.get(kind, (0, 0))
        self.tries[kind] = (period, tried[1] + 1 if tried[0] == period else 1)
        self.turn = max(self.turn, moment - _AHEAD * self.gap) + weight * self.gap

    def add(self, moment: float, weight: int = 1) -> None:
        """Count a request."""
        part = self._part(moment)
        self.counts[part] = self.counts.get(part, 0) + weight
        self.recent.extend([(moment, 0.0, -1)] * weight)

    def give_back(self, moment: float) -> None:
        """A request that was counted was never sent."""
        part = self._part(moment)
        if part in self.counts:
            self.counts[part] -= 1
            if not self.counts[part]:
                del self.counts[part]
        if (moment, 0.0, -1) in self.recent:
            self.recent.remove((moment, 0.0, -1))

    def settle(self, moment: float, now: float, told: int = -1) -> float:
        """An answer, or none, came at last; the moment for which the request counts from now on.

        Until now it may have been on its way.
        """
        if now - moment > self.slack:
            self.give_back(moment)
            self.add(now)
            moment = now
        if (moment, 0.0, -1) in self.recent:
            at = self.recent.index((moment, 0.0, -1))
            self.recent[at] = (moment, max(now, moment), told)
        return moment

    def hear(
        self,
        said: Allowed | None,
        kind: str,
        *,
        sent: float | None,
        now: float,
        is_plain: bool,
        began: float | None = None,
    ) -> None:
        """What an answer says of the quota; `is_plain` where it is one that would say it.

        `sent` is the moment for which the request was counted; None where it was not, then it
        `began` at that moment.
        """
        if said is None:
            if is_plain:
                self.bare[kind] = self.bare.get(kind, 0) + 1
            return
        self.bare.pop(kind, None)
        self._resize(said, now)
        if kind == "head":
            self._learn_heads(said.remaining, now)
        if sent is not None:
            began = sent
        elif not self.is_free(kind):
            self.add(now)
            self.expected = max(0, self.expected - 1)
            sent = now
        moment = now if sent is None else self.settle(sent, now, said.remaining)
        if moment >= self.sent:
            self._believe(said, moment, now if began is None else began, now)
        self._forget(now)

    def expect(self, number: int, now: float) -> None:
        """So many are on their way that nobody counted."""
        self.expected, self.expected_at = number, now

    def refuse(self, now: float, wait: float | None) -> None:
        """A 429: nothing is left, whatever we thought."""
        self.told, self.at, self.sent = 0, now, now
        self.recent = []
        if wait is not None:
            self.reset = now + wait

    # details

    @property
    def _width(self) -> float:
        return self.window / PARTS

    def _part(self, moment: float) -> int:
        return math.floor(moment / self._width)

    def _first(self, moment: float) -> int:
        """The first part that counts in the window that ends at `moment`."""
        return math.floor((moment - self.span) / self._width)

    def _bounds(self, kind: str, lane: str) -> tuple[int, int]:
        """How many may go within a window, and what must remain of what the registry told."""
        if lane == PERSON:
            return self.limit, 0
        small = self.reserve // 2
        if kind == "head":
            return self.limit - self.reserve, small
        if kind == "get" and not self.heads_cost:
            return self.limit, self.low
        return self.limit - small, small

    def _moments(self, start: float, lane: str) -> list[float]:
        """When more may become free, from `start` on."""
        ends = [(key + 1) * self._width + self.span for key in self.counts]
        ends += [self.reset, self.at + self.span]
        if lane == PERSON:
            ends.append(self.at + self.window / _PROBE_PART)
        return [start, *sorted({end for end in ends if end > start})]

    def _used(self, now: float) -> int:
        first, last = self._first(now), self._part(now)
        return sum(number for key, number in self.counts.items() if first <= key <= last)

    def _rest(self, moment: float, lane: str = "") -> int:
        """What is left by the registry's own account, and by what we did since.

        Of what it counted, our own part becomes free with time; what others used may not, before
        the registry says so or a window has passed.
        """
        if moment >= self.at + self.span:
            return self.limit
        since = self.expected + sum(each[0] <= moment for each in self.recent)
        first, freed = self._first(self.at), self._first(moment)
        before = self._part(self.sent - self.slack)
        back = sum(
            number for key, number in self.counts.items() if first <= key < min(freed, before)
        )
        rest = self.told - since + back
        if self.reset and moment >= self.reset:
            later = sum(self.reset <= each[0] <= moment for each in self.recent)
            rest = max(rest, self.limit - later)
        if lane == PERSON and moment >= self.at + self.window / _PROBE_PART:
            rest = max(rest, 1)
        return rest

    def _believe(self, said: Allowed, moment: float, began: float, now: float) -> None:
        """Take over what is left. What had ended, or gone out before this request, is in it."""
        own = (moment, max(now, moment), said.remaining)
        counted = own in self.recent
        if counted:
            self.recent.remove(own)
        self.recent = [
            each
            for each in self.recent
            if each[0] > began - self.slack and not (each[1] and each[1] <= began)
        ]
        if counted:
            self.recent.append(own)
        self.told, self.sent, self.at = said.remaining + counted, moment, now
        self.reset = now + said.reset if said.reset else 0.0
        if began > self.expected_at + _LONGEST:
            self.expected = 0
        if all(each[1] for each in self.recent):
            # Whichever came last, its answer, the lowest, knows of all of them.
            lowest = min([said.remaining, *(each[2] for each in self.recent if each[2] >= 0)])
            self.told = lowest - sum(each[2] < 0 for each in self.recent)
            self.recent = []

    def _period(self, now: float) -> int:
        return math.floor(now / (4 * self.span if self.heads_cost else self.span / 8))

    def _may_try(self, kind: str, now: float) -> bool:
        """Whether to find out what a request of this kind costs, without waiting for a turn."""
        if kind == "get":
            return False
        period, tried = self.tries.get(kind, (0, 0))
        return period != self._period(now) or tried < TRIES

    def _learn_heads(self, remaining: int, now: float) -> None:
        """Heads are free where several change nothing, too quickly for anything to grow back."""
        if self.seen is None or remaining > self.seen[0]:
            self.seen = (remaining, now, 0)
            return
        before, since, number = self.seen
        fell = before - remaining
        if now - since < self.gap / 2:
            if fell:
                self.heads, self.heads_cost = 0, True
                self.seen = (remaining, now, 0)
                return
            self.heads = max(self.heads, number + 1)
            self.heads_cost = self.heads_cost and self.heads < ENOUGH
            self.seen = (before, since, number + 1)
        elif self.heads >= ENOUGH and fell < max(ENOUGH, number + 1):
            self.seen = (before, since, number + 1)
        else:
            self.heads_cost = self.heads_cost or self.heads >= ENOUGH
            self.heads = 0
            self.seen = (remaining, now, 0)

    def _resize(self, said: Allowed, now: float) -> None:
        window = said.period or max(self.window, said.wait)
        self.limit = said.limit or max(self.limit, said.remaining + 1)
        if window == self.window:
            return
        old, counts = self._width, self.counts
        self.window, self.counts = window, {}
        for key, number in counts.items():
            part = self._part(min((key + 1) * old, max(now, key * old)))
            self.counts[part] = self.counts.get(part, 0) + number
        self.turn = min(self.turn, now + self.gap)

    def _forget(self, now: float) -> None:
        first = self._first(now) - PARTS
        if len(self.counts) > 2 * PARTS or any(key < first for key in self.counts):
            self.counts = {key: number for key, number in self.counts.items() if key >= first}


def pack_quota(quota: Quota) -> str:
    """The state as JSON."""
    return json.dumps(asdict(quota), separators=(",", ":"))


def unpack_quota(text: str) -> Quota:
    """The state that `pack_quota` wrote; ValueError where it is none."""
    said = json.loads(text)
    try:
        quota = Quota(**said)
        quota.counts = {int(key): int(number) for key, number in quota.counts.items()}
        quota.recent = [
            (float(moment), float(ended), int(told)) for moment, ended, told in quota.recent
        ]
        quota.tries = {kind: (int(a), int(b)) for kind, (a, b) in quota.tries.items()}
        if quota.seen is not None:
            remaining, since, number = quota.seen
            quota.seen = (int(remaining), float(since), int(number))
    except (TypeError, AttributeError) as error:
        raise ValueError("not a quota") from error
    return quota
