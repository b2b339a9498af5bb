"""How many requests this process may have in flight at a registry: alone, or beside others.

The budget adapts (`registry.md` 4.4): it starts low, grows by one with fifty clean answers, and
halves when the registry is in pain. `LocalSlots` keeps it for one process; `worker.registry.leases`
shares it among processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

CLEAN_TO_GROW = 50
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

    def admit(self) -> None:
        """There may be room now."""

    def rest(self, seconds: float, text: str) -> None:
        """Another process found the registry down; ask nothing for so long."""


class Share(Protocol):
    """This process's part of one registry's budget. Reading `allowed` costs nothing."""

    allowed: int

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
    """Where shares come from."""

    def share(self, host: str, load: Load) -> Share:
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


class LocalShare:
    """One process has the whole budget."""

    def __init__(self, budget: Budget, load: Load) -> None:
        self.allowed = budget.first
        self._most = budget.most
        self._load = load
        self._clean = 0
        self._excused = 0

    def clean(self) -> None:
        if self._excused:
            self._excused -= 1
        self._clean += 1
        if self._clean >= CLEAN_TO_GROW:
            self._clean = 0
            if self.allowed < self._most:
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

    def __init__(self, budget: Budget = Budget()) -> None:
        self._budget = budget

    def share(self, host: str, load: Load) -> LocalShare:  # noqa: ARG002 - the protocol's
        return LocalShare(self._budget, load)

    async def close(self) -> None:
        """Nothing was leased."""
