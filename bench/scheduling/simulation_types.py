"""The size of a simulation, its result, and quantiles of the result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from bench.scheduling.schedule_rows import ScheduleSize
from bench.scheduling.simulated_registries import Fault, SimulatedRegistry
from models.streams.schedule.check_schedule import Cadence

BIN_SECONDS = 60  # bin of the plots


@dataclass(frozen=True, slots=True)
class SimulationScale:
    """The size of a simulation; `followers` rows share each source."""

    tags: int = 100_000
    registries: int = 200
    hours: float = 4.0
    followers: int = 2
    workers: int = 2
    threads: int = 8
    tick: float = 2.0
    check_cost_seconds: float = 0.0004  # CPU time of a worker process for each check
    rate: float = 50.0
    faults: tuple[Fault, ...] = ()  # of the first registries

    @property
    def schedule_size(self) -> ScheduleSize:
        spread_seconds = float(Cadence().default)
        return ScheduleSize(
            self.tags, self.registries, spread_seconds, self.tags // self.followers, with_tags=True
        )


@dataclass(slots=True)
class SimulationResult:
    """The result of a run. Lateness is in seconds; failing registries are counted separately."""

    # A Counter for each minute: lateness -> number of rows. Healthy registries only.
    lateness: list[Counter[float]] = field(default_factory=list)
    requests: list[int] = field(default_factory=list)  # by minute, at healthy registries
    checks: int = 0  # the sum of `requests`
    due_checks: int = 0  # due times of their sources: the minimum of requests
    missed_checks: int = 0
    fewest_checks: int = 0
    most_checks: int = 0
    faulty_registries: list[SimulatedRegistry] = field(default_factory=list)
    seconds: float = 0.0
    rows: int = 0
    seconds_by_step: dict[str, float] = field(default_factory=dict)


def quantiles(counts: Iterable[Counter[float]], *levels: float) -> list[float]:
    """Return the values below which these fractions of all counted values lie."""
    total_counts: Counter[float] = Counter()
    for each in counts:
        total_counts.update(each)
    total, seen = total_counts.total(), 0
    values: list[float] = []
    for value, count in sorted(total_counts.items()):
        seen += count
        while len(values) < len(levels) and seen >= levels[len(values)] * total:
            values.append(value)
    return values
