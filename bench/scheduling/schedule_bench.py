"""Measures the schedule part by part: checks, ticks, a day, detection latency, the simulation."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from bench.bench_environment import DatabaseFactory
from bench.bench_report import PLOTS, ResultTable
from bench.scheduling.check_bench import measure_checks
from bench.scheduling.day_bench import measure_day
from bench.scheduling.latency_bench import measure_detection_latency
from bench.scheduling.outage_bench import measure_simulation
from bench.scheduling.simulation_types import SimulationScale
from bench.scheduling.tick_bench import measure_ticks

SCHEDULE_PARTS = ("checks", "tick", "day", "latency", "simulation")


def measure_schedule(
    table: ResultTable,
    databases: dict[str, DatabaseFactory],
    work_dir: Path,
    *,
    parts: Collection[str],
    rounds: int,
    scale: SimulationScale,
    plots: str,
) -> list[Path]:
    """Run these parts and return the files of their plots.

    Long parts run only once, whatever the number of rounds.
    """
    server = databases["PostgreSQL"]
    for _ in range(rounds):
        if "checks" in parts:
            measure_checks(table, server, work_dir)
    if "tick" in parts:
        measure_ticks(table, databases)
    if "day" in parts:
        measure_day(table, server, work_dir)
    if "latency" in parts:
        measure_detection_latency(table, server, work_dir)
    if "simulation" in parts:
        return measure_simulation(table, scale, PLOTS / plots)
    return []
