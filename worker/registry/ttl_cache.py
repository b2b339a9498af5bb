"""What was found out about strangers, kept for a while and never too much of it."""

from __future__ import annotations

from collections import OrderedDict

from worker.registry.clock import Clock

MOST_KEPT = 10_000


class Remembered:
    """Texts by key that fade after `seconds`; where there are too many, the oldest go first."""

    def __init__(self, clock: Clock, *, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._kept: OrderedDict[str, tuple[float, str]] = OrderedDict()

    def put(self, key: str, text: str = "") -> None:
        self._kept.pop(key, None)
        self._kept[key] = (self._clock.now() + self._seconds, text)
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)

    def get(self, key: str) -> str | None:
        until, text = self._kept.get(key, (0.0, ""))
        return text if until > self._clock.now() else None
