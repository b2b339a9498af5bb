"""How many requests this process may have in flight at a registry: alone, or beside others.

The budget adapts (`registry.md` 4.4): it starts low, grows by one with fifty clean answers, and
halves when the registry is in pain. `LocalSlots` keeps it for one process, `shares.RedisSlots`
shares it among processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from worker.registry.clock import SYSTEM_CLOCK, Clock
from worker.registry.limits.quota_store import LocalShelf, Shelf

CLEAN_TO_GROW = 50
RESERVE_PART = 16
START = 8
MOST = 16


class Load(Protocol):
    """What a share has to know of its registry."""

    @property
    def in_flight(self) -> int: ...

    @property
    def waiting(self) -> int: ...

    @property
    def started(self) -> int:
        """How many requests there have been."""

    @property
    def persons(self) -> int:
        """For how many of those in flight and waiting a person waits."""

    @property
    def hurries(self) -> bool:
        """Whether people wait, and none of them has a slot."""

    def admit(self) -> None:
        """There may be room now."""

    def rest(self, seconds: float, text: str) -> None:
        """Another process found the registry down; ask nothing for so long."""

    def heed(self, note: str, seconds: float) -> None:
        """Another process learnt of a limit; see `notices`."""

    def notes(self) -> Mapping[str, float]:
        """What others should know, and for how many seconds."""


class Share(Protocol):
    """This process's part of one registry's budget. Reading it costs nothing.

    `allowed` may be in flight, of which what nobody waits for leaves `reserve` alone; `part` is
    ours of the rate, and `members` is with how many we share.
    """

    allowed: int
    members: int

    @property
    def reserve(self) -> int: ...

    @property
    def part(self) -> float: ...

    def resize(self, budget: Budget) -> None:
        """The operator has changed the budget."""

    def tell(self, note: str, seconds: float) -> None:
        """Let all who share the registry know."""

    def clean(self) -> None:
        """An answer without complaint."""

    def overloaded(self) -> None:
        """429, 503 or a timeout: the registry wants less of us."""

    def press(self) -> None:
        """Somebody waits because `allowed` is used up."""

    def opened(self, seconds: float, text: str) -> None:
        """The registry is down; whoever shares it need not find out by themselves."""

    def closed(self) -> None:
        """It is back."""


class Slots(Protocol):
    """Where shares and quotas come from."""

    shelf: Shelf

    def share(self, host: str, budget: Budget, load: Load) -> Share:
        """This process's share of the budget of `host`."""

    async def close(self) -> None:
        """Give everything back."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Requests in flight at one registry: at first, and at most."""

    start: int = START
    most: int = MOST

    @property
    def first(self) -> int:
        return max(1, min(self.start, self.most))


def reserve_of(limit: int) -> int:
    """How many of the requests in flight are kept for people."""
    return max(1, limit // RESERVE_PART) if limit > 1 else 0


class LocalShare:
    """One process has the whole budget."""

    part = 1.0

    def __init__(self, budget: Budget, load: Load) -> None:
        self.allowed = budget.first
        self.members = 1
        self._budget = budget
        self._load = load
        self._clean = 0
        self._excused = 0

    @property
    def reserve(self) -> int:
        return reserve_of(self.allowed)

    def resize(self, budget: Budget) -> None:
        if budget.first != self._budget.first:
            self.allowed = budget.first
        self.allowed = min(self.allowed, budget.most)
        self._budget = budget
        self._load.admit()

    def tell(self, note: str, seconds: float) -> None:
        """There is nobody to tell."""

    def clean(self) -> None:
        if self._excused:
            self._excused -= 1
        self._clean += 1
        if self._clean >= CLEAN_TO_GROW:
            self._clean = 0
            if self.allowed < self._budget.most:
                self.allowed += 1
                self._load.admit()

    def overloaded(self) -> None:
        """Halve, once for everything that was in flight: a burst of complaints is one complaint."""
        self._clean = 0
        if min(self._excused, self._load.in_flight):
            self._excused -= 1
            return
        self.allowed = max(1, self.allowed // 2)
        self._excused = max(0, self._load.in_flight - 1)

    def press(self) -> None:
        """There is nobody to ask for more."""

    def opened(self, seconds: float, text: str) -> None:
        """There is nobody to tell."""

    def closed(self) -> None:
        """There is nobody to tell."""


class LocalSlots:
    """Budgets of a process that shares its registries with nobody."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self.shelf: Shelf = LocalShelf(clock)

    def share(self, host: str, budget: Budget, load: Load) -> LocalShare:  # noqa: ARG002
        return LocalShare(budget, load)

    async def close(self) -> None:
        """Nothing was leased."""
