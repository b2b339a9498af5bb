"""Measures a tick: a thousand due rows among ever more that are not due.

Everything is the scheduler's own code with a simulated clock. The due times of all rows are spread
evenly over a period, so the next thousand comes due at each tick. The claim of a tick is settled
after the next one, which is not timed, so there is always an open claim.
"""

from __future__ import annotations

import gc
import statistics
import time
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Engine

from bench.bench_environment import DatabaseFactory
from bench.bench_report import ResultTable
from bench.scheduling.schedule_rows import BASE, ScheduleSize, fill_schedule
from models.store.database.session import open_engine, transaction, upgrade_database
from models.store.schedule.claimed_checks import SettledCheck, claim_checks, settle_checks
from models.streams.schedule.check_schedule import Cadence, ScheduleReason
from scheduler.dispatch import DispatchConfig, claim_round
from scheduler.pacing import CheckRatePolicy

SCHEDULE_SIZES = (10_000, 100_000, 1_000_000)
DUE_ROWS = 1_000
REGISTRY_COUNT = 2_000
REGISTRY_RATE = 50.0
TICK_LEASE = timedelta(seconds=30)
MAX_TICK_MS = 100.0
MAX_TICK_RATIO = 2.0  # of the median on the largest schedule to that on the smallest


def measure_ticks(
    table: ResultTable,
    databases: dict[str, DatabaseFactory],
    *,
    sizes: tuple[int, ...] = SCHEDULE_SIZES,
    ticks: int = 120,
) -> None:
    """Measure ticks on each kind of database and each size of the schedule."""
    for kind, factory in databases.items():
        medians = []
        for size in sizes:
            engine = open_engine(factory.create())
            upgrade_database(engine)
            fill_schedule(
                engine, ScheduleSize(size, REGISTRY_COUNT, spread_seconds=size / DUE_ROWS)
            )
            tick_times, settle_times = run_ticks(engine, size, ticks)
            engine.dispose()
            medians.append(statistics.median(tick_times))
            name = f"a tick, {DUE_ROWS:,} due of {size:,}, {kind}"
            table.add(f"{name}: p50", 1000 * medians[-1], "ms")
            p99 = 1000 * statistics.quantiles(tick_times, n=100)[98]
            table.add(f"{name}: p99", p99, "ms", most=MAX_TICK_MS)
            settle_ms = 1000 * statistics.median(settle_times)
            table.add(f"{name}: worker claim and settle", settle_ms, "ms")
        ratio = medians[-1] / medians[0]
        name = f"… p50 of {sizes[-1]:,} relative to {sizes[0]:,} ({kind})"
        table.add(name, ratio, "", most=MAX_TICK_RATIO)


def run_ticks(engine: Engine, size: int, ticks: int) -> tuple[list[float], list[float]]:
    """Return the seconds of each tick, and of each claim and settle of a worker, with commits."""
    rules = DispatchConfig(Cadence(), TICK_LEASE, lambda _host: CheckRatePolicy(REGISTRY_RATE))
    period = timedelta(seconds=size / DUE_ROWS)
    tick_times: list[float] = []
    settle_times: list[float] = []
    outstanding: tuple[UUID, list[int]] | None = None
    gc.freeze()  # as a worker does after its start-up
    for number in range(ticks + 5):
        now = BASE + timedelta(seconds=number + 1 - 0.0005)
        started = time.perf_counter()
        with transaction(engine) as session:
            claim_id, batches, claimed = claim_round(session, rules, now=now)
        tick_times.append(time.perf_counter() - started)
        assert claimed.sent == DUE_ROWS, claimed
        if outstanding is not None:
            started = time.perf_counter()
            _claim_and_settle(engine, *outstanding, now=now, period=period)
            settle_times.append(time.perf_counter() - started)
        outstanding = claim_id, [each for ids in batches for each in ids]
    return tick_times[5:], settle_times[5:]


def _claim_and_settle(
    engine: Engine, claim_id: UUID, ids: list[int], *, now: datetime, period: timedelta
) -> None:
    """Claim and settle checks as a worker does, in one go."""
    with transaction(engine) as session:
        checks = claim_checks(session, claim_id, ids, worker="w", now=now, until=now + TICK_LEASE)
    settled = [
        SettledCheck(
            check.id,
            check.due_at + period,
            check.due_at + period,
            ScheduleReason.UNCHANGED,
            now,
            last_check_at=now,
        )
        for check in checks
    ]
    with transaction(engine) as session:
        settle_checks(session, claim_id, settled)
