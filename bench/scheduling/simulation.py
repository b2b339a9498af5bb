"""Simulates hours of a schedule in minutes, with a simulated clock and simulated registries.

    python -m bench --only simulation [--tags 1000000] [--registries 2000] [--hours 4]

The rows are in a real PostgreSQL, and every step is the product's own: `claim_round` with its
pacing, `claim_checks`, `renew_checks`, `is_unchanged`, `must_postpone`, `postpone_check`,
`next_due_time`, `retry_due_time`, `settle_checks`, `defer_checks`. Only times and responses are
made up. Workers have as many threads as real ones, and each check costs its process some time. They
share their knowledge of a registry, as real workers do through Redis.
"""

from __future__ import annotations

import heapq
import itertools
import time
from array import array
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from sqlalchemy import Engine

from bench.scheduling.schedule_rows import BASE, KNOWN_DIGEST, fill_schedule, host_of
from bench.scheduling.simulated_registries import (
    LATENCY_SECONDS,
    RegistryState,
    SimulatedRegistry,
)
from bench.scheduling.simulation_types import BIN_SECONDS, SimulationResult, SimulationScale
from models.errors import TagstreamError
from models.store.database.session import transaction
from models.store.schedule.claimed_checks import (
    ClaimedCheck,
    SettledCheck,
    claim_checks,
    defer_checks,
    renew_checks,
    settle_checks,
)
from models.store.schedule.schedule_claims import count_claimed
from models.streams.schedule.check_schedule import (
    Cadence,
    ScheduleReason,
    classify_failure,
    next_due_time,
    retry_due_time,
)
from scheduler.dispatch import CLAIM_LIMIT, DispatchConfig, claim_round
from scheduler.pacing import CheckRatePolicy
from worker.checks.check_batch import (
    FLUSH_INTERVAL_SECONDS,
    is_unchanged,
    must_postpone,
    postpone_check,
)
from worker.registry.tag_check import TagCheckResult

UNCHANGED = TagCheckResult(KNOWN_DIGEST, unchanged=True)
SIMULATED_LEASE = timedelta(seconds=30)
PROGRESS_INTERVAL_SECONDS = 900.0  # simulated time between two lines of progress
# A check that comes later than this after the longest interval counts as missed.
MAX_EXTRA_LATENESS_SECONDS = 60.0


@dataclass(slots=True)
class _QueuedBatch:
    """A message in the queue, and then its checks that are not finished."""

    claim: UUID
    ids: list[int]
    worker: int = -1
    open_checks: int = 0


class Simulation:
    """One run. Events are in a heap, ordered by their time in seconds from `BASE` on."""

    def __init__(self, engine: Engine, scale: SimulationScale) -> None:
        self._engine = engine
        self._scale = scale
        self._result = SimulationResult()
        self._cadence = Cadence()
        self._rules = DispatchConfig(
            self._cadence, SIMULATED_LEASE, lambda _host: CheckRatePolicy(scale.rate)
        )
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._sequence = itertools.count()
        self._queue: deque[_QueuedBatch] = deque()
        self._free_threads = [scale.threads] * scale.workers
        self._busy_until = [0.0] * scale.workers  # until when the CPU of a worker is busy
        self._claimed: list[set[int]] = [set() for _ in range(scale.workers)]
        self._last_checked = array("d", [0.0]) * (scale.tags + 1)
        self._check_counts = array("H", [0]) * (scale.tags + 1)
        self._registries = {
            host_of(number): SimulatedRegistry(fault) for number, fault in enumerate(scale.faults)
        }
        self._registry_states = {
            host: RegistryState(registry) for host, registry in self._registries.items()
        }
        self._end = scale.hours * 3600

    def run(self) -> SimulationResult:
        """Run all events up to the end, and the checks that are open then."""
        started = time.perf_counter()
        result = self._result
        bins = int(self._end / BIN_SECONDS) + 2
        result.requests, result.lateness = [0] * bins, [Counter() for _ in range(bins)]
        self._schedule_event(self._scale.tick, self._tick)
        self._schedule_event(SIMULATED_LEASE.total_seconds() / 3, self._renew_leases)
        reported = 0.0
        while self._events:
            now, _, action = heapq.heappop(self._events)
            action(now)
            if now >= reported + PROGRESS_INTERVAL_SECONDS:
                reported = now
                name = "three failing" if self._registries else "all healthy"
                seconds = time.perf_counter() - started
                print(f"  {name}: {now / 3600:.2f} h after {seconds:.0f} s", flush=True)
        result.seconds = time.perf_counter() - started
        result.faulty_registries = list(self._registries.values())
        self._count_checks()
        return result

    def _schedule_event(self, at: float, action: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (at, next(self._sequence), action))

    # -- the scheduler --

    def _tick(self, now: float) -> None:
        started = time.perf_counter()
        with transaction(self._engine, write=False) as session:
            self._rules.claim_limiter.adjust(count_claimed(session, now=_simulated_time(now)))
        while True:
            with transaction(self._engine) as session:
                claim, batches, claimed = claim_round(
                    session, self._rules, now=_simulated_time(now)
                )
            self._queue.extend(_QueuedBatch(claim, ids) for ids in batches)
            self._result.rows += claimed.claimed
            if claimed.claimed < CLAIM_LIMIT:
                break
        self._add_time("claim", started)
        self._start_batches(now)
        if now + self._scale.tick <= self._end:
            self._schedule_event(now + self._scale.tick, self._tick)

    # -- workers --

    def _start_batches(self, now: float) -> None:
        """Give a batch to every free thread; batches of one claim are claimed together."""
        batches_by_claim: dict[tuple[UUID, int], list[_QueuedBatch]] = {}
        while self._queue and any(self._free_threads):
            batch = self._queue.popleft()
            batch.worker = max(range(len(self._free_threads)), key=self._free_threads.__getitem__)
            self._free_threads[batch.worker] -= 1
            batches_by_claim.setdefault((batch.claim, batch.worker), []).append(batch)
        for (claim, worker), batches in batches_by_claim.items():
            self._run_batches(claim, worker, batches, now)

    def _run_batches(
        self, claim: UUID, worker: int, batches: Sequence[_QueuedBatch], now: float
    ) -> None:
        started = time.perf_counter()
        batch_of = {each: batch for batch in batches for each in batch.ids}
        with transaction(self._engine) as session:
            checks = claim_checks(
                session,
                claim,
                list(batch_of),
                worker=f"w{worker}",
                now=_simulated_time(now),
                until=_simulated_time(now) + SIMULATED_LEASE,
            )
        self._add_time("worker claim", started)
        healthy: dict[str, list[ClaimedCheck]] = {}
        faulty: dict[str, list[ClaimedCheck]] = {}
        for check in checks:
            by_source = faulty if check.host in self._registries else healthy
            by_source.setdefault(check.source, []).append(check)
        self._claimed[worker].update(check.id for check in checks)
        for batch in batches:
            batch.open_checks = 1
        for group in _batched(
            list(healthy.values()),
            max(1, int(FLUSH_INTERVAL_SECONDS / self._scale.check_cost_seconds)),
        ):
            self._busy_until[worker] = max(
                self._busy_until[worker], now
            ) + self._scale.check_cost_seconds * len(group)
            end = self._busy_until[worker] + LATENCY_SECONDS
            self._result.requests[self._bin_of(end)] += len(group)
            self._result.checks += len(group)
            unchanged = list(itertools.chain.from_iterable(group))
            self._schedule_event(end, partial(self._settle, claim, worker, unchanged, None))
        end = max(self._busy_until[worker], now) + LATENCY_SECONDS
        for batch in batches:
            self._schedule_event(end, partial(self._release_batch, batch))
        for source_checks in faulty.values():
            batch = batch_of[source_checks[0].id]
            batch.open_checks += 1
            registry_check = self._registry_states[source_checks[0].host].check(now)
            self._advance_check(
                now, registry_check, None, partial(self._finish_check, batch, source_checks)
            )

    def _advance_check(
        self,
        now: float,
        registry_check: Generator[float, float, TagstreamError | None],
        resumed_at: float | None,
        on_done: Callable[[float, TagstreamError | None], None],
    ) -> None:
        """Resume the check of a failing registry."""
        try:
            resume_at = (
                next(registry_check) if resumed_at is None else registry_check.send(resumed_at)
            )
        except StopIteration as end:
            error: TagstreamError | None = end.value
            self._schedule_event(now, lambda at: on_done(at, error))
            return
        self._schedule_event(
            resume_at, lambda at: self._advance_check(at, registry_check, at, on_done)
        )

    def _finish_check(
        self,
        batch: _QueuedBatch,
        checks: Sequence[ClaimedCheck],
        now: float,
        error: TagstreamError | None,
    ) -> None:
        self._settle(batch.claim, batch.worker, checks, error, now)
        self._release_batch(batch, now)

    def _release_batch(self, batch: _QueuedBatch, now: float) -> None:
        batch.open_checks -= 1
        if not batch.open_checks:
            self._free_threads[batch.worker] += 1
            self._start_batches(now)

    def _settle(
        self,
        claim: UUID,
        worker: int,
        checks: Sequence[ClaimedCheck],
        error: TagstreamError | None,
        now: float,
    ) -> None:
        """Settle checks as `worker.checks.check_batch` does; nothing is fetched after a failure."""
        if not checks:
            return
        started = time.perf_counter()
        at = _simulated_time(now)
        settled, deferred = [], []
        for check in checks:
            interval = self._cadence.interval(check.requested_interval)
            if error is not None and must_postpone(check, error, at, interval):
                deferred.append(postpone_check(check, error, now=at))
                continue
            settled.append(_build_settled(check, error, at, interval))
            self._record_check(check, now, is_faulty=check.host in self._registries)
        self._add_time("decide", started)
        started = time.perf_counter()
        with transaction(self._engine) as session:
            done = settle_checks(session, claim, settled)
            done += defer_checks(session, claim, deferred)
        assert done == len(checks), "a live worker lost its claim of rows"
        self._claimed[worker].difference_update(check.id for check in checks)
        self._add_time("settle", started)

    def _renew_leases(self, now: float) -> None:
        """Renew the leases of open checks, as `worker.checks.lease_renewer` does."""
        for worker, ids in enumerate(self._claimed):
            if ids:
                with transaction(self._engine) as session:
                    until = _simulated_time(now) + SIMULATED_LEASE
                    renew_checks(session, f"w{worker}", sorted(ids), until=until)
        if now < self._end or any(self._claimed):
            self._schedule_event(now + SIMULATED_LEASE.total_seconds() / 3, self._renew_leases)

    # -- results --

    def _record_check(self, check: ClaimedCheck, now: float, *, is_faulty: bool) -> None:
        self._check_counts[check.id] += 1
        if is_faulty:
            return
        result = self._result
        lateness = round(now - (check.due_at - BASE).total_seconds(), 2)
        result.lateness[self._bin_of(now)][lateness] += 1
        last_checked = self._last_checked[check.id]
        max_gap = self._cadence.default * 1.1 + MAX_EXTRA_LATENESS_SECONDS
        result.missed_checks += bool(last_checked) and now - last_checked > max_gap
        self._last_checked[check.id] = now

    def _bin_of(self, now: float) -> int:
        return min(int(now / BIN_SECONDS), len(self._result.lateness) - 1)

    def _count_checks(self) -> None:
        """Count the fewest and most checks of a row at healthy registries, and those of all
        sources.
        """
        scale, result = self._scale, self._result
        sources = scale.tags // scale.followers
        healthy = [
            number
            for number in range(scale.tags)
            if number % sources % scale.registries >= len(scale.faults)
        ]
        counts = [self._check_counts[number + 1] for number in healthy]
        result.fewest_checks, result.most_checks = min(counts), max(counts)
        result.due_checks = sum(
            self._check_counts[number + 1] for number in healthy if number < sources
        )

    def _add_time(self, step: str, started: float) -> None:
        seconds_by_step = self._result.seconds_by_step
        seconds_by_step[step] = seconds_by_step.get(step, 0.0) + time.perf_counter() - started


def _batched(
    checks: Sequence[list[ClaimedCheck]], size: int
) -> Iterator[Sequence[list[ClaimedCheck]]]:
    for start in range(0, len(checks), size):
        yield checks[start : start + size]


def _build_settled(
    check: ClaimedCheck, error: TagstreamError | None, now: datetime, interval: float
) -> SettledCheck:
    wait_seconds = max(0, int((now - check.due_at).total_seconds()))
    if error is None:
        assert is_unchanged(replace(check, consecutive_failures=0), UNCHANGED)
        due_time = next_due_time(check.key, check.due_at, now, interval)
        return SettledCheck(
            check.id,
            due_time,
            due_time,
            ScheduleReason.UNCHANGED,
            now,
            last_check_at=now,
            wait_seconds=wait_seconds,
        )
    consecutive_failures = check.consecutive_failures + 1
    retry_class = classify_failure(error.code)
    due_time = retry_due_time(
        check.key,
        retry_class,
        consecutive_failures=consecutive_failures,
        now=now,
        interval=interval,
    )
    return SettledCheck(
        check.id,
        due_time,
        due_time,
        ScheduleReason.FAILED,
        now,
        last_check_at=now,
        consecutive_failures=consecutive_failures,
        error_code=error.code,
        message=error.message,
        wait_seconds=wait_seconds,
    )


def _simulated_time(seconds: float) -> datetime:
    return BASE + timedelta(seconds=seconds)


def simulate(engine: Engine, scale: SimulationScale) -> SimulationResult:
    """Fill an empty database and run the simulation."""
    fill_schedule(engine, scale.schedule_size)
    return Simulation(engine, scale).run()
