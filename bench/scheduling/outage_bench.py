"""Simulated hours twice: with registries that are all well, then with three that are not.

One hangs, one answers 429 with a Retry-After that it means, one comes and goes; all for an hour,
from the second one on (or for a quarter of a shorter run, from its second quarter on).
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

from sqlalchemy import Engine, text

from bench.bench_environment import Scratch, Server
from bench.bench_report import Table
from bench.scheduling.simulated_registries import Trouble
from bench.scheduling.simulation import STEP, Scale, Story, quantiles, simulate
from bench.svg_chart import Panel, draw
from models.store.database.session import open_engine, upgrade

MOST_LATE, MOST_MORE, MOST_OFF = 60.0, 1.05, 5.0
KINDS = ("hung", "limited", "flapping")
INTERVAL = 900


def measure_simulation(table: Table, scale: Scale, plots: Path) -> list[Path]:
    """Both runs, and the files of their curves."""
    start = min(3600.0, scale.hours * 900)
    troubles = tuple(Trouble(kind, start, 2 * start) for kind in KINDS)
    scales = [scale, replace(scale, troubles=troubles)]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as both:
        calm, storm = both.map(_run, scales)  # each waits for its database half of the time
    _tell(table, "calm", scale, calm)
    _tell(table, "three in trouble", scale, storm)
    _compare(table, calm, storm)
    plots.parent.mkdir(exist_ok=True)
    files = []
    for name, story in (("calm", calm), ("trouble", storm)):
        file = plots.with_name(f"{plots.name}-{name}.svg")
        file.write_text(_curves(story))
        files.append(file)
    return files


def _run(scale: Scale) -> Story:
    with _database() as engine:
        return simulate(engine, scale)


@contextmanager
def _database() -> Iterator[Engine]:
    with Scratch() as server:
        engine = open_engine(Server(server).make())
        upgrade(engine)
        with engine.begin() as connection:
            for name in ("scheduled_places", "scheduled_tags"):
                connection.execute(text(f"ALTER TABLE {name} SET UNLOGGED"))
        yield engine
        engine.dispose()


def _tell(table: Table, name: str, scale: Scale, story: Story) -> None:
    add = table.add
    name = f"{scale.tags:,} tags, {scale.registries:,} registries, {scale.hours:g} h, {name}"
    p50, p95, p99, last = quantiles(story.late, 0.5, 0.95, 0.99, 1.0)
    add(f"{name}: lateness p50", p50, "s")
    add(f"{name}: lateness p95", p95, "s", most=MOST_LATE)
    add(f"{name}: lateness p99", p99, "s")
    add(f"{name}: lateness at most", last, "s")
    add(f"{name}: turns lost", story.lost, "", most=0)
    add(f"{name}: fewest turns of a row", story.least)
    add(f"{name}: most turns of a row", story.most)
    add(f"{name}: requests", story.looks)
    add(f"{name}: requests to the least", story.looks / story.turns, "", most=MOST_MORE)
    add(f"{name}: it took", story.seconds / 60, "min")
    for what, seconds in story.spent.items():
        add(f"{name}: {what}", 1e6 * seconds / story.rows, "µs a row")


def _compare(table: Table, calm: Story, storm: Story) -> None:
    parts = (0.5, 0.95, 0.99)
    before, after = quantiles(calm.late, *parts), quantiles(storm.late, *parts)
    for part, one, other in zip(parts, before, after, strict=True):
        off = 100 * abs(other / one - 1)
        name = (
            f"registries that are well beside three that are not: lateness p{100 * part:g} off by"
        )
        table.add(name, off, "%", most=MOST_OFF)
    for kind, registry in zip(KINDS, storm.troubled, strict=True):
        table.add(f"the {kind} registry: requests in its trouble", registry.troubled)
        if kind == "limited":
            name = f"the {kind} registry: requests before the end of its Retry-After"
            table.add(name, registry.too_soon, most=0)


def _curves(story: Story) -> str:
    hours = [number * STEP / 3600 for number in range(len(story.late) - 2)]
    late = {
        name: [
            (hour, quantiles([story.late[number]], part)[0])
            for number, hour in enumerate(hours)
            if story.late[number]
        ]
        for name, part in (("p50", 0.5), ("p95", 0.95), ("at most", 1.0))
    }
    rate = [(hour, story.requests[number] / STEP) for number, hour in enumerate(hours)]
    panels = [
        Panel("Lateness, in seconds", late),
        Panel("Requests a second", {"all registries that are well": rate}),
    ]
    if story.troubled:
        asked = {
            kind: [(hour, registry.minutes[number]) for number, hour in enumerate(hours)]
            for kind, registry in zip(KINDS, story.troubled, strict=True)
        }
        panels.append(Panel("Requests a minute at registries in trouble", asked))
    return draw(panels, across="hours")
