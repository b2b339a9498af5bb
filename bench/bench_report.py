"""The table: what was measured beside what was wished for, and how far the rounds lie apart."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

PAGE = Path(__file__).with_name("results.md")
API_PAGE = Path(__file__).with_name("results-api.md")
SCHEDULE_PAGE = Path(__file__).with_name("results-schedule.md")
SIMULATION_PAGE = Path(__file__).with_name("results-simulation.md")
PLOTS = Path(__file__).with_name("plots")


@dataclass(slots=True)
class Row:
    """One measure; `rounds` holds a figure from each round. Without a target it only informs."""

    name: str
    unit: str
    least: float | None = None
    most: float | None = None
    rounds: list[float] = field(default_factory=list)

    @property
    def figure(self) -> float:
        return statistics.median(self.rounds)

    @property
    def target(self) -> str:
        if self.least is not None and self.least == self.most:
            return f"{self.least:,.6g}"
        if self.least is not None:
            return f"≥ {self.least:,.6g}"
        return "" if self.most is None else f"≤ {self.most:,.6g}"

    @property
    def verdict(self) -> str:
        if not self.target:
            return ""
        low = self.least is not None and self.figure < self.least
        high = self.most is not None and self.figure > self.most
        return "missed" if low or high else "ok"

    @property
    def cells(self) -> tuple[str, ...]:
        spread = f"{shown(min(self.rounds))} – {shown(max(self.rounds))}"
        return (self.name, shown(self.figure), self.unit, spread, self.target, self.verdict)


class Table:
    """Rows in the order in which they were first measured."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}

    def add(
        self,
        name: str,
        value: float,
        unit: str = "",
        *,
        least: float | None = None,
        most: float | None = None,
    ) -> None:
        """A figure of one round."""
        row = self.rows.setdefault(name, Row(name, unit, least, most))
        row.rounds.append(value)
        print(f"  {name}: {shown(value)} {unit}", flush=True)


HEAD = ("measure", "median", "unit", "rounds", "target", "")


def shown(value: float) -> str:
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.2f}"


def render(rows: Sequence[Row]) -> str:
    """A table that reads well as text and as Markdown."""
    lines = [HEAD, *(row.cells for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(HEAD))]
    rule = tuple("-" * width for width in widths)
    return "\n".join(
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in (HEAD, rule, *lines[1:])
    )


def write_page(
    table: Table, command: str, rounds: int, page: Path = PAGE, plots: Sequence[Path] = ()
) -> None:
    """The results of one run, with when and where, and its curves."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    machine = (
        f"{os.cpu_count()} cores of {_processor()}, {memory:.0f} GiB, "
        f"{platform.freedesktop_os_release().get('PRETTY_NAME', platform.system())}, "
        f"CPython {platform.python_version()}"
    )
    text = (
        "# What was measured\n\n"
        f"- {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {_commit()}\n"
        f"- {machine}\n"
        f"- load average at the end: {os.getloadavg()[0]:.1f}\n"
        f"- `{command}`, {rounds} rounds; medians, and the least and most of the rounds\n\n"
        f"{render(list(table.rows.values()))}\n\n"
        + "".join(f"![{plot.stem}](plots/{plot.name})\n\n" for plot in plots)
        + "[README.md](README.md) says how each figure comes about.\n"
    )
    page.write_text(text)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _commit() -> str:
    told = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], check=False, capture_output=True, text=True
    )
    return told.stdout.strip() or "unknown"
