"""The table of results: medians with their targets, and the spread of the rounds."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

RESULTS_PAGE = Path(__file__).with_name("results.md")
API_PAGE = Path(__file__).with_name("results-api.md")
SCHEDULE_PAGE = Path(__file__).with_name("results-schedule.md")
SIMULATION_PAGE = Path(__file__).with_name("results-simulation.md")
PLOTS = Path(__file__).with_name("plots")


@dataclass(slots=True)
class Measure:
    """One measure with a figure of each round. Without a target it only informs."""

    name: str
    unit: str
    least: float | None = None
    most: float | None = None
    rounds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    @property
    def target(self) -> str:
        if self.least is not None and self.least == self.most:
            return f"{self.least:,.6g}"
        if self.least is not None:
            return f"≥ {self.least:,.6g}"
        return "" if self.most is None else f"≤ {self.most:,.6g}"

    @property
    def outcome(self) -> str:
        if not self.target:
            return ""
        low = self.least is not None and self.median < self.least
        high = self.most is not None and self.median > self.most
        return "missed" if low or high else "ok"

    @property
    def cells(self) -> tuple[str, ...]:
        spread = f"{format_figure(min(self.rounds))} – {format_figure(max(self.rounds))}"
        return (self.name, format_figure(self.median), self.unit, spread, self.target, self.outcome)


class ResultTable:
    """Rows in the order in which they were first measured."""

    def __init__(self) -> None:
        self.rows: dict[str, Measure] = {}

    def add(
        self,
        name: str,
        value: float,
        unit: str = "",
        *,
        least: float | None = None,
        most: float | None = None,
    ) -> None:
        """Add the figure of one round to its row."""
        row = self.rows.setdefault(name, Measure(name, unit, least, most))
        row.rounds.append(value)
        print(f"  {name}: {format_figure(value)} {unit}", flush=True)


TABLE_HEADER = ("measure", "median", "unit", "rounds", "target", "")


def format_figure(value: float) -> str:
    """Format a figure: integers from 100 on, else two decimals."""
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.2f}"


def render(rows: Sequence[Measure]) -> str:
    """Render a table that is readable as text and as Markdown."""
    lines = [TABLE_HEADER, *(row.cells for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(TABLE_HEADER))]
    rule = tuple("-" * width for width in widths)
    return "\n".join(
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in (TABLE_HEADER, rule, *lines[1:])
    )


def write_page(
    table: ResultTable,
    command: str,
    rounds: int,
    page: Path = RESULTS_PAGE,
    plots: Sequence[Path] = (),
) -> None:
    """Write the results of one run as a page, with date, machine and plots."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    machine = (
        f"{os.cpu_count()} cores of {_processor()}, {memory:.0f} GiB, "
        f"{platform.freedesktop_os_release().get('PRETTY_NAME', platform.system())}, "
        f"CPython {platform.python_version()}"
    )
    text = (
        "# Results\n\n"
        f"- {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {_commit()}\n"
        f"- {machine}\n"
        f"- load average at the end: {os.getloadavg()[0]:.1f}\n"
        f"- `{command}`, {rounds} rounds; medians, and the minimum and maximum of the rounds\n\n"
        f"{render(list(table.rows.values()))}\n\n"
        + "".join(f"![{plot.stem}](plots/{plot.name})\n\n" for plot in plots)
        + "[README.md](README.md) explains how each figure is measured.\n"
    )
    page.write_text(text)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _commit() -> str:
    completed = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], check=False, capture_output=True, text=True
    )
    return completed.stdout.strip() or "unknown"
