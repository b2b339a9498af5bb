"""The schedule, part by part: checks from end to end, ticks, a day, what moves, simulated hours."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from bench.bench_environment import Databases
from bench.bench_report import PLOTS, Table
from bench.scheduling.check_bench import measure_checks
from bench.scheduling.day_bench import measure_day
from bench.scheduling.latency_bench import measure_noticed
from bench.scheduling.outage_bench import measure_simulation
from bench.scheduling.simulation import Scale
from bench.scheduling.tick_bench import measure_ticks

SCHEDULE_PARTS = ("checks", "tick", "day", "noticed", "simulation")


def measure_schedule(
    table: Table,
    databases: dict[str, Databases],
    home: Path,
    *,
    parts: Collection[str],
    rounds: int,
    scale: Scale,
    plots: str,
) -> list[Path]:
    """Those parts; the files of their curves. What is long, and tells of spread, runs once."""
    server = databases["PostgreSQL"]
    for _ in range(rounds):
        if "checks" in parts:
            measure_checks(table, server, home)
    if "tick" in parts:
        measure_ticks(table, databases)
    if "day" in parts:
        measure_day(table, server, home)
    if "noticed" in parts:
        measure_noticed(table, server, home)
    if "simulation" in parts:
        return measure_simulation(table, scale, PLOTS / plots)
    return []
