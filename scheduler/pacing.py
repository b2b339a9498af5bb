"""How much of what is due fits into this tick, and when the rest is looked at.

A registry takes so many checks a second and so many at once; what does not fit gets a place in its
line, oldest first, and comes up again when that is. So a backlog is worked off at the registry's
pace, and each of its rows is touched twice, not at every tick. Pure, but for what the scheduler's
flow remembers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from models.store.schedule.schedule_claims import Due
from models.streams.schedule.check_schedule import Decision
from scheduler.backpressure import Flow

AHEAD = timedelta(seconds=2)  # what fits into the next two seconds goes out now
NEAR = timedelta(seconds=0.1)  # a line that is over by then is not worth writing down
PAUSE_WHEN_SUSPENDED = timedelta(seconds=60)
TURN = "budget.turn"  # a place in the line that the row has: it need not stand in it again


@dataclass(frozen=True, slots=True)
class Pace:
    """The operator's word on one registry: checks a second (0: as many as there are), or none."""

    rate: float = 0.0
    suspended: bool = False


@dataclass(frozen=True, slots=True)
class PutOff:
    """A row that has to wait: until when, and why."""

    row: Due
    until: datetime
    decision: Decision
    reason: str = ""
    message: str = ""


@dataclass(slots=True)
class Spread:
    """What goes out now, what waits, from when on each registry can take another check; and which
    registries had no room for all.
    """

    go: list[Due] = field(default_factory=list)
    later: list[PutOff] = field(default_factory=list)
    turns: dict[str, datetime] = field(default_factory=dict)
    full: set[str] = field(default_factory=set)


def spread_due(
    rows: Iterable[Due],
    *,
    now: datetime,
    pace_of: Callable[[str], Pace],
    turns: Mapping[str, datetime],
    claimed: Mapping[str, int],
    flow: Flow | None = None,
) -> Spread:
    """Spread claimed rows, oldest first, over what their registries can take.

    Rows that follow the same source cost one check together. `claimed` counts the rows of each
    registry that were in somebody's hands before, `flow` knows how many that may be.
    """
    flow = flow or Flow()
    found = Spread()
    by_host: dict[str, list[Due]] = {}
    for row in rows:
        by_host.setdefault(row.host, []).append(row)
    for host, mine in by_host.items():
        pace = pace_of(host)
        if pace.suspended:
            until = now + PAUSE_WHEN_SUSPENDED
            text = f"the registry {host} is suspended by its Registry object"
            found.later += [
                PutOff(row, until, Decision.SUSPENDED, "policy.suspended", text) for row in mine
            ]
            continue
        room = flow.room(host) - claimed.get(host, 0)
        line = _Line(host, pace, now=now, free=turns.get(host), room=room)
        line.admit(mine, found, flow)
        if line.free is not None and line.free > now + NEAR:
            found.turns[host] = line.free
    return found


class _Line:
    """The rows of one registry, standing in line."""

    def __init__(
        self, host: str, pace: Pace, *, now: datetime, free: datetime | None, room: int
    ) -> None:
        self.free = max(free or now, now) if pace.rate > 0 else None
        self._step = timedelta(seconds=1 / pace.rate) if pace.rate > 0 else timedelta(0)
        self._host = host
        self._now = now
        self._room = room
        self._places: dict[str, datetime] = {}

    def admit(self, rows: Sequence[Due], found: Spread, flow: Flow) -> None:
        for row in rows:
            place = self._place(row)
            if place > self._now + AHEAD:
                text = f"stands in line for the rate of {self._host}"
                found.later.append(PutOff(row, place, Decision.WAITED, TURN, text))
            elif self._room <= 0:
                found.full.add(self._host)
                text = f"waits for earlier checks at {self._host} to end"
                until = flow.line_up(self._host, self._now)
                found.later.append(PutOff(row, until, Decision.WAITED, TURN, text))
            else:
                self._room -= 1
                found.go.append(row)

    def _place(self, row: Due) -> datetime:
        """When the row's check fits in; the same for all that share it."""
        if self.free is None or (row.decision == Decision.WAITED and row.reason == TURN):
            return self._now
        place = self._places.get(row.key)
        if place is None:
            place = self._places[row.key] = self.free
            self.free += self._step
        return place


def pack_batches(rows: Sequence[Due], *, most: int) -> list[list[int]]:
    """Row ids in batches of about `most`, a registry's together, those who share a check too."""
    order = {host: place for place, host in enumerate(dict.fromkeys(row.host for row in rows))}
    batches: list[list[int]] = []
    last_key = ""
    for row in sorted(rows, key=lambda row: (order[row.host], row.key, row.id)):
        if not batches or (len(batches[-1]) >= most and row.key != last_key):
            batches.append([])
        batches[-1].append(row.id)
        last_key = row.key
    return batches
