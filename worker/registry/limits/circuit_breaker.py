"""When to leave a registry alone because it is down, and how often to try again anyway.

`registry.md` 4.4: only transient failures count. Refusals, missing images and broken content are
answers, and an answer shows that the registry is there.
"""

from __future__ import annotations

FAILURES_TO_OPEN = 8
LEAST_OUTCOMES = 20
FIRST_REST = 30.0
LONGEST_REST = 900.0
WINDOW = 60.0
_PARTS = 12


class Tally:
    """Two counts over the last minute, in steps of five seconds: all, and some of them."""

    __slots__ = ("_all", "_some", "_step")

    def __init__(self) -> None:
        self._all = [0] * _PARTS
        self._some = [0] * _PARTS
        self._step = 0

    def add(self, now: float, *, some: bool = False, every: bool = True) -> None:
        step = int(now * _PARTS / WINDOW)
        if step != self._step:
            self._forget(step)
        self._all[step % _PARTS] += every
        self._some[step % _PARTS] += some

    def totals(self, now: float) -> tuple[int, int]:
        """Everything that was added within the last minute, and the part of it."""
        self._forget(int(now * _PARTS / WINDOW))
        return sum(self._all), sum(self._some)

    def clear(self) -> None:
        self._all = [0] * _PARTS
        self._some = [0] * _PARTS

    def _forget(self, step: int) -> None:
        for old in range(self._step + 1, min(step, self._step + _PARTS) + 1):
            self._all[old % _PARTS] = 0
            self._some[old % _PARTS] = 0
        self._step = step


class Breaker:
    """Closed, open until a moment, or half-open with one probe on its way."""

    __slots__ = ("_failures", "_probing", "_rest", "_tally", "until")

    def __init__(self) -> None:
        self.until: float | None = None
        self._failures = 0
        self._probing = False
        self._rest = FIRST_REST
        self._tally = Tally()

    def refuses(self, now: float) -> bool:
        """Whether a request may not go out now."""
        return self.until is not None and (self._probing or now < self.until)

    def begin(self) -> bool:
        """Whether the request that goes out now, where none is refused, is the probe."""
        self._probing = self.until is not None
        return self._probing

    def abandon(self) -> None:
        """The probe ended without a word about the registry: the next request probes."""
        self._probing = False

    def answered(self, now: float) -> bool:
        """The registry is there. True where that closed the breaker."""
        if self.until is None:
            self._failures = 0
            self._tally.add(now)
            return False
        if not self._probing and now < self.until:
            return False  # an answer to a question from before
        self.until, self._failures, self._rest, self._probing = None, 0, FIRST_REST, False
        self._tally.clear()
        return True

    def failed(self, now: float) -> bool:
        """A transient failure. True where that opened the breaker, or opened it again."""
        if self.until is not None:
            if not self._probing:
                return False
            self._rest = min(self._rest * 2, LONGEST_REST)
            self._open(now + self._rest)
            return True
        self._failures += 1
        self._tally.add(now, some=True)
        outcomes, bad = self._tally.totals(now)
        many = outcomes >= LEAST_OUTCOMES and bad * 2 >= outcomes
        if self._failures < FAILURES_TO_OPEN and not many:
            return False
        self._open(now + self._rest)
        return True

    def adopt(self, until: float) -> None:
        """Another process found the registry down."""
        if self.until is None or (not self._probing and self.until < until):
            self._open(until)

    def _open(self, until: float) -> None:
        self.until, self._probing = until, False
