"""Runs the simulation twice: with healthy registries, and with three failing ones.

One hangs, one responds with 429 and a Retry-After, one flaps; all for an hour from the second one
on (in a shorter run for a quarter, from its second quarter on).
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

from sqlalchemy import Engine, text

from bench.bench_environment import PostgresFactory, ScratchPostgres
from bench.bench_report import ResultTable
from bench.scheduling.simulated_registries import Fault
from bench.scheduling.simulation import simulate
from bench.scheduling.simulation_types import (
    BIN_SECONDS,
    SimulationResult,
    SimulationScale,
    quantiles,
)
from bench.svg_chart import Panel, draw
from models.store.database.session import open_engine, upgrade_database

MAX_LATENESS_SECONDS, MAX_REQUEST_RATIO, MAX_LATENESS_CHANGE_PERCENT = 60.0, 1.05, 5.0
OUTAGE_KINDS = ("hung", "limited", "flapping")
INTERVAL = 900


def measure_simulation(table: ResultTable, scale: SimulationScale, plots: Path) -> list[Path]:
    """Run both simulations and return the files of their plots."""
    start = min(3600.0, scale.hours * 900)
    faults = tuple(Fault(kind, start, 2 * start) for kind in OUTAGE_KINDS)
    scales = [scale, replace(scale, faults=faults)]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        # Two processes fit on two cores: each waits for its database half of the time.
        normal, outage = executor.map(_run_simulation, scales)
    _report(table, "all healthy", scale, normal)
    _report(table, "three failing", scale, outage)
    _compare(table, normal, outage)
    plots.parent.mkdir(exist_ok=True)
    files = []
    for name, result in (("healthy", normal), ("outage", outage)):
        file = plots.with_name(f"{plots.name}-{name}.svg")
        file.write_text(_draw_result(result))
        files.append(file)
    return files


def _run_simulation(scale: SimulationScale) -> SimulationResult:
    with _scratch_database() as engine:
        return simulate(engine, scale)


@contextmanager
def _scratch_database() -> Iterator[Engine]:
    with ScratchPostgres() as server:
        engine = open_engine(PostgresFactory(server).create())
        upgrade_database(engine)
        with engine.begin() as connection:
            for name in ("schedule_lookup", "scheduled_tags"):
                connection.execute(text(f"ALTER TABLE {name} SET UNLOGGED"))
        yield engine
        engine.dispose()


def _report(
    table: ResultTable, name: str, scale: SimulationScale, result: SimulationResult
) -> None:
    add = table.add
    name = f"{scale.tags:,} tags, {scale.registries:,} registries, {scale.hours:g} h, {name}"
    p50, p95, p99, longest = quantiles(result.lateness, 0.5, 0.95, 0.99, 1.0)
    add(f"{name}: lateness p50", p50, "s")
    add(f"{name}: lateness p95", p95, "s", most=MAX_LATENESS_SECONDS)
    add(f"{name}: lateness p99", p99, "s")
    add(f"{name}: lateness, maximum", longest, "s")
    add(f"{name}: missed checks", result.missed_checks, "", most=0)
    add(f"{name}: fewest checks of a row", result.fewest_checks)
    add(f"{name}: most checks of a row", result.most_checks)
    add(f"{name}: requests", result.checks)
    add(
        f"{name}: requests relative to the minimum",
        result.checks / result.due_checks,
        "",
        most=MAX_REQUEST_RATIO,
    )
    add(f"{name}: duration", result.seconds / 60, "min")
    for step, seconds in result.seconds_by_step.items():
        add(f"{name}: {step}", 1e6 * seconds / result.rows, "µs a row")


def _compare(table: ResultTable, normal: SimulationResult, outage: SimulationResult) -> None:
    quantile_levels = (0.5, 0.95, 0.99)
    before, after = (
        quantiles(normal.lateness, *quantile_levels),
        quantiles(outage.lateness, *quantile_levels),
    )
    for quantile, normal_lateness, outage_lateness in zip(
        quantile_levels, before, after, strict=True
    ):
        change_percent = 100 * abs(outage_lateness / normal_lateness - 1)
        name = (
            f"healthy registries beside three failing: difference of p{100 * quantile:g} lateness"
        )
        table.add(name, change_percent, "%", most=MAX_LATENESS_CHANGE_PERCENT)
    for kind, registry in zip(OUTAGE_KINDS, outage.faulty_registries, strict=True):
        table.add(f"the {kind} registry: requests during its fault", registry.requests_in_fault)
        if kind == "limited":
            name = f"the {kind} registry: requests before the end of its Retry-After"
            table.add(name, registry.requests_before_retry_after, most=0)


def _draw_result(result: SimulationResult) -> str:
    hours = [number * BIN_SECONDS / 3600 for number in range(len(result.lateness) - 2)]
    lateness = {
        name: [
            (hour, quantiles([result.lateness[number]], quantile)[0])
            for number, hour in enumerate(hours)
            if result.lateness[number]
        ]
        for name, quantile in (("p50", 0.5), ("p95", 0.95), ("maximum", 1.0))
    }
    rate = [(hour, result.requests[number] / BIN_SECONDS) for number, hour in enumerate(hours)]
    panels = [
        Panel("Lateness, in seconds", lateness),
        Panel("Requests a second", {"all healthy registries": rate}),
    ]
    if result.faulty_registries:
        requests = {
            kind: [(hour, registry.requests_by_minute[number]) for number, hour in enumerate(hours)]
            for kind, registry in zip(OUTAGE_KINDS, result.faulty_registries, strict=True)
        }
        panels.append(Panel("Requests a minute at failing registries", requests))
    return draw(panels, x_label="hours")
