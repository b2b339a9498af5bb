"""Hours of a schedule in minutes: a clock of ours, and registries that exist on paper.

    python -m bench --only simulation [--tags 1000000] [--registries 2000] [--hours 4]

The rows are in a real PostgreSQL, and every step that they take is the product's own: `claim_round`
with its spreading, `take_checks`, `keep_checks`, `is_same`, `must_wait`, `wait_for`,
`next_turn`, `retry_turn`, `settle_checks`, `put_off_checks`. Only moments and answers are made up.
Workers have as many threads as real ones, and each look costs its process some time. What they
know of a registry they share, as they do by way of Redis.
"""

from __future__ import annotations

import heapq
import itertools
import time
from array import array
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from sqlalchemy import Engine

from bench.scheduling.schedule_rows import BASE, KNOWN, Agenda, fill_agenda, host_of
from bench.scheduling.simulated_registries import LATENCY, Known, Registry, Trouble
from models.errors import TagstreamError
from models.store.database.session import transaction
from models.store.schedule.schedule_claims import (
    Check,
    Settled,
    count_claimed,
    keep_checks,
    put_off_checks,
    settle_checks,
    take_checks,
)
from models.streams.schedule.check_schedule import (
    Cadence,
    Decision,
    again_after,
    next_turn,
    retry_turn,
)
from scheduler.dispatch import CLAIM, Rules, claim_round
from scheduler.pacing import Pace
from worker.checks.check_batch import FLUSH_AFTER, is_same, must_wait, wait_for
from worker.registry.tag_check import Checked

SAME = Checked(KNOWN, unchanged=True)
LEASE = timedelta(seconds=30)
STEP = 60  # seconds of a bin of the plots
SHOW = 900.0  # simulated seconds after which one is told how far it is
LATE = 60.0  # a turn that comes later than that after the longest interval is lost


@dataclass(frozen=True, slots=True)
class Scale:
    """What is simulated. `followers` rows share each source."""

    tags: int = 100_000
    registries: int = 200
    hours: float = 4.0
    followers: int = 2
    workers: int = 2
    threads: int = 8
    tick: float = 2.0
    cost: float = 0.0004  # seconds of a worker process for each look
    rate: float = 50.0
    troubles: tuple[Trouble, ...] = ()  # of the first registries

    @property
    def agenda(self) -> Agenda:
        within = float(Cadence().default)
        return Agenda(self.tags, self.registries, within, self.tags // self.followers, known=True)


@dataclass(slots=True)
class Story:
    """What came of it. Lateness is in seconds; `troubled` registries are counted by themselves."""

    late: list[Counter[float]] = field(default_factory=list)  # rows by lateness, minute by minute
    requests: list[int] = field(default_factory=list)  # at registries without trouble, likewise
    looks: int = 0  # all of them
    turns: int = 0  # turns of their sources that had come
    lost: int = 0
    least: int = 0
    most: int = 0
    troubled: list[Registry] = field(default_factory=list)
    seconds: float = 0.0
    rows: int = 0
    spent: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class _Batch:
    """A message in the queue, and then the looks of it that are not over."""

    claim: UUID
    ids: list[int]
    worker: int = -1
    open: int = 0


class Simulation:
    """One run. Events are in a heap, by their moments in seconds from `BASE` on."""

    def __init__(self, engine: Engine, scale: Scale) -> None:
        self._engine = engine
        self._scale = scale
        self._story = Story()
        self._cadence = Cadence()
        self._rules = Rules(self._cadence, LEASE, lambda _host: Pace(scale.rate))
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._numbers = itertools.count()
        self._queue: deque[_Batch] = deque()
        self._free = [scale.threads] * scale.workers
        self._ready = [0.0] * scale.workers  # until when a worker's processor is taken
        self._held: list[set[int]] = [set() for _ in range(scale.workers)]
        self._last = array("d", [0.0]) * (scale.tags + 1)
        self._counts = array("H", [0]) * (scale.tags + 1)
        self._registries = {
            host_of(number): Registry(trouble) for number, trouble in enumerate(scale.troubles)
        }
        self._known = {host: Known(registry) for host, registry in self._registries.items()}
        self._end = scale.hours * 3600

    def run(self) -> Story:
        """Everything up to the end, and what is out then."""
        began = time.perf_counter()
        story = self._story
        steps = int(self._end / STEP) + 2
        story.requests, story.late = [0] * steps, [Counter() for _ in range(steps)]
        self._later(self._scale.tick, self._tick)
        self._later(LEASE.total_seconds() / 3, self._keep)
        shown = 0.0
        while self._events:
            now, _, act = heapq.heappop(self._events)
            act(now)
            if now >= shown + SHOW:
                shown = now
                name = "in trouble" if self._registries else "calm"
                seconds = time.perf_counter() - began
                print(f"  {name}: {now / 3600:.2f} h after {seconds:.0f} s", flush=True)
        story.seconds = time.perf_counter() - began
        story.troubled = list(self._registries.values())
        self._count_turns()
        return story

    def _later(self, at: float, act: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (at, next(self._numbers), act))

    # -- the scheduler --

    def _tick(self, now: float) -> None:
        began = time.perf_counter()
        with transaction(self._engine, write=False) as session:
            self._rules.flow.look(count_claimed(session, now=_moment(now)))
        while True:
            with transaction(self._engine) as session:
                claim, batches, ticked = claim_round(session, self._rules, now=_moment(now))
            self._queue.extend(_Batch(claim, ids) for ids in batches)
            self._story.rows += ticked.claimed
            if ticked.claimed < CLAIM:
                break
        self._spend("claim", began)
        self._start(now)
        if now + self._scale.tick <= self._end:
            self._later(now + self._scale.tick, self._tick)

    # -- workers --

    def _start(self, now: float) -> None:
        """Every free thread takes a batch; those of one claim are taken together."""
        begun: dict[tuple[UUID, int], list[_Batch]] = {}
        while self._queue and any(self._free):
            batch = self._queue.popleft()
            batch.worker = max(range(len(self._free)), key=self._free.__getitem__)
            self._free[batch.worker] -= 1
            begun.setdefault((batch.claim, batch.worker), []).append(batch)
        for (claim, worker), batches in begun.items():
            self._carry(claim, worker, batches, now)

    def _carry(self, claim: UUID, worker: int, batches: Sequence[_Batch], now: float) -> None:
        began = time.perf_counter()
        batch_of = {each: batch for batch in batches for each in batch.ids}
        with transaction(self._engine) as session:
            checks = take_checks(
                session,
                claim,
                list(batch_of),
                worker=f"w{worker}",
                now=_moment(now),
                until=_moment(now) + LEASE,
            )
        self._spend("take", began)
        plain: dict[str, list[Check]] = {}
        troubled: dict[str, list[Check]] = {}
        for check in checks:
            into = troubled if check.host in self._registries else plain
            into.setdefault(check.source, []).append(check)
        self._held[worker].update(check.id for check in checks)
        for batch in batches:
            batch.open = 1
        for some in _handfuls(list(plain.values()), max(1, int(FLUSH_AFTER / self._scale.cost))):
            self._ready[worker] = max(self._ready[worker], now) + self._scale.cost * len(some)
            over = self._ready[worker] + LATENCY
            self._story.requests[self._step_of(over)] += len(some)
            self._story.looks += len(some)
            same = list(itertools.chain.from_iterable(some))
            self._later(over, partial(self._settle, claim, worker, same, None))
        over = max(self._ready[worker], now) + LATENCY
        for batch in batches:
            self._later(over, partial(self._leave, batch))
        for mine in troubled.values():
            batch = batch_of[mine[0].id]
            batch.open += 1
            look = self._known[mine[0].host].look(now)
            self._step(now, look, None, partial(self._end_one, batch, mine))

    def _step(
        self,
        now: float,
        look: Generator[float, float, TagstreamError | None],
        sent: float | None,
        done: Callable[[float, TagstreamError | None], None],
    ) -> None:
        """Let a look at a registry in trouble go on."""
        try:
            until = next(look) if sent is None else look.send(sent)
        except StopIteration as end:
            error: TagstreamError | None = end.value
            self._later(now, lambda at: done(at, error))
            return
        self._later(until, lambda at: self._step(at, look, at, done))

    def _end_one(
        self, batch: _Batch, checks: Sequence[Check], now: float, error: TagstreamError | None
    ) -> None:
        self._settle(batch.claim, batch.worker, checks, error, now)
        self._leave(batch, now)

    def _leave(self, batch: _Batch, now: float) -> None:
        batch.open -= 1
        if not batch.open:
            self._free[batch.worker] += 1
            self._start(now)

    def _settle(
        self,
        claim: UUID,
        worker: int,
        checks: Sequence[Check],
        error: TagstreamError | None,
        now: float,
    ) -> None:
        """As `worker.checks.check_batch` does it; a failure is settled, nothing is fetched."""
        if not checks:
            return
        began = time.perf_counter()
        at = _moment(now)
        settled, later = [], []
        for check in checks:
            interval = self._cadence.interval(check.asked)
            if error is not None and must_wait(check, error, at, interval):
                later.append(wait_for(check, error, now=at))
                continue
            settled.append(_settled(check, error, at, interval))
            self._note(check, now, in_trouble=check.host in self._registries)
        self._spend("decide", began)
        began = time.perf_counter()
        with transaction(self._engine) as session:
            done = settle_checks(session, claim, settled)
            done += put_off_checks(session, claim, later)
        assert done == len(checks), "rows were taken from a worker that lives"
        self._held[worker].difference_update(check.id for check in checks)
        self._spend("settle", began)

    def _keep(self, now: float) -> None:
        """Renew the leases of what is out, as `worker.checks.lease_renewer` does."""
        for worker, ids in enumerate(self._held):
            if ids:
                with transaction(self._engine) as session:
                    until = _moment(now) + LEASE
                    keep_checks(session, f"w{worker}", sorted(ids), until=until)
        if now < self._end or any(self._held):
            self._later(now + LEASE.total_seconds() / 3, self._keep)

    # -- the story --

    def _note(self, check: Check, now: float, *, in_trouble: bool) -> None:
        self._counts[check.id] += 1
        if in_trouble:
            return
        story = self._story
        late = round(now - (check.due - BASE).total_seconds(), 2)
        story.late[self._step_of(now)][late] += 1
        last = self._last[check.id]
        longest = self._cadence.default * 1.1 + LATE
        story.lost += bool(last) and now - last > longest
        self._last[check.id] = now

    def _step_of(self, now: float) -> int:
        return min(int(now / STEP), len(self._story.late) - 1)

    def _count_turns(self) -> None:
        """The least and most turns of a row of a registry without trouble, and all its sources'."""
        scale, story = self._scale, self._story
        sources = scale.tags // scale.followers
        well = [
            number
            for number in range(scale.tags)
            if number % sources % scale.registries >= len(scale.troubles)
        ]
        counts = [self._counts[number + 1] for number in well]
        story.least, story.most = min(counts), max(counts)
        story.turns = sum(self._counts[number + 1] for number in well if number < sources)

    def _spend(self, what: str, began: float) -> None:
        spent = self._story.spent
        spent[what] = spent.get(what, 0.0) + time.perf_counter() - began


def _handfuls(looks: Sequence[list[Check]], most: int) -> Iterator[Sequence[list[Check]]]:
    for start in range(0, len(looks), most):
        yield looks[start : start + most]


def _settled(check: Check, error: TagstreamError | None, now: datetime, interval: float) -> Settled:
    waited = max(0, int((now - check.due).total_seconds()))
    if error is None:
        assert is_same(replace(check, failures=0), SAME)
        due = next_turn(check.key, check.due, now, interval)
        return Settled(check.id, due, due, Decision.SAME, now, checked=now, waited=waited)
    failures = check.failures + 1
    again = again_after(error.code)
    due = retry_turn(check.key, again, failures=failures, now=now, interval=interval)
    return Settled(
        check.id,
        due,
        due,
        Decision.FAILED,
        now,
        checked=now,
        failures=failures,
        reason=error.code,
        message=error.message,
        waited=waited,
    )


def _moment(seconds: float) -> datetime:
    return BASE + timedelta(seconds=seconds)


def simulate(engine: Engine, scale: Scale) -> Story:
    """Fill an empty database, and let the hours pass."""
    fill_agenda(engine, scale.agenda)
    return Simulation(engine, scale).run()


def quantiles(counts: Iterable[Counter[float]], *parts: float) -> list[float]:
    """The values that so much of everything that was counted lies below."""
    whole: Counter[float] = Counter()
    for each in counts:
        whole.update(each)
    total, seen = whole.total(), 0
    found: list[float] = []
    for value, count in sorted(whole.items()):
        seen += count
        while len(found) < len(parts) and seen >= parts[len(found)] * total:
            found.append(value)
    return found
