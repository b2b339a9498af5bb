"""What a tick costs: a thousand rows have come due, out of ever more that have not.

Everything is the scheduler's own, with a clock of ours: of the rows, whose turns lie evenly over a
period, the next thousand comes due at each tick. What a tick has claimed is settled, without being
timed, after the next one, so there is always a claim in somebody's hands.
"""

from __future__ import annotations

import gc
import statistics
import time
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Engine

from bench.bench_environment import Databases
from bench.bench_report import Table
from bench.scheduling.schedule_rows import BASE, Agenda, fill_agenda
from models.store.database.session import open_engine, transaction, upgrade
from models.store.schedule.schedule_claims import Settled, settle_checks, take_checks
from models.streams.schedule.check_schedule import Cadence, Decision
from scheduler.dispatch import Rules, claim_round
from scheduler.pacing import Pace

SIZES = (10_000, 100_000, 1_000_000)
DUE = 1_000
REGISTRIES = 2_000
RATE = 50.0
LEASE = timedelta(seconds=30)
MOST_MS = 100.0
FLATTEST = 2.0  # times the median of the smallest


def measure_ticks(
    table: Table,
    databases: dict[str, Databases],
    *,
    sizes: tuple[int, ...] = SIZES,
    ticks: int = 120,
) -> None:
    for kind, maker in databases.items():
        medians = []
        for size in sizes:
            engine = open_engine(maker.make())
            upgrade(engine)
            fill_agenda(engine, Agenda(size, REGISTRIES, within=size / DUE))
            times, rest = run_ticks(engine, size, ticks)
            engine.dispose()
            medians.append(statistics.median(times))
            name = f"a tick, {DUE:,} due of {size:,}, {kind}"
            table.add(f"{name}: p50", 1000 * medians[-1], "ms")
            p99 = 1000 * statistics.quantiles(times, n=100)[98]
            table.add(f"{name}: p99", p99, "ms", most=MOST_MS)
            table.add(f"{name}: taken and settled", 1000 * statistics.median(rest), "ms")
        flat = medians[-1] / medians[0]
        name = f"… p50 of {sizes[-1]:,} to {sizes[0]:,} ({kind})"
        table.add(name, flat, "", most=FLATTEST)


def run_ticks(engine: Engine, size: int, ticks: int) -> tuple[list[float], list[float]]:
    """The seconds that each tick took, and each take and settle, their commits included."""
    rules = Rules(Cadence(), LEASE, lambda _host: Pace(RATE))
    period = timedelta(seconds=size / DUE)
    times: list[float] = []
    rest: list[float] = []
    held: tuple[UUID, list[int]] | None = None
    gc.freeze()  # as a worker does when it has started
    for number in range(ticks + 5):
        now = BASE + timedelta(seconds=number + 1 - 0.0005)
        began = time.perf_counter()
        with transaction(engine) as session:
            batch, batches, ticked = claim_round(session, rules, now=now)
        times.append(time.perf_counter() - began)
        assert ticked.sent == DUE, ticked
        if held is not None:
            began = time.perf_counter()
            _carry(engine, *held, now=now, period=period)
            rest.append(time.perf_counter() - began)
        held = batch, [each for ids in batches for each in ids]
    return times[5:], rest[5:]


def _carry(
    engine: Engine, batch: UUID, ids: list[int], *, now: datetime, period: timedelta
) -> None:
    """What a worker does with a claim, in one go."""
    with transaction(engine) as session:
        checks = take_checks(session, batch, ids, worker="w", now=now, until=now + LEASE)
    settled = [
        Settled(check.id, check.due + period, check.due + period, Decision.SAME, now, checked=now)
        for check in checks
    ]
    with transaction(engine) as session:
        settle_checks(session, batch, settled)
