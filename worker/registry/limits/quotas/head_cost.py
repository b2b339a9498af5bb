"""Whether HEAD requests count against a quota, learnt from what the registry reports."""

from __future__ import annotations

from dataclasses import dataclass

MIN_AGREEING_RESPONSES = 3


@dataclass(slots=True)
class HeadCost:
    """What is known of the cost of HEAD requests under one quota (registry-17.5).

    `free_count` is the longest run of HEADs that left the remainder unchanged, `is_counted` is True
    after one that reduced it. `baseline` is the start of the current run: the remainder, when it
    was reported, and how many HEADs followed.
    """

    free_count: int = 0
    is_counted: bool = False
    baseline: tuple[int, float, int] | None = None

    @property
    def is_free(self) -> bool:
        """Whether enough responses agree that HEADs are free."""
        return self.free_count >= MIN_AGREEING_RESPONSES

    def learn(self, remaining: int, now: float, *, interval: float) -> None:
        """Learn from the remainder that the response to a HEAD reported.

        HEADs are free where several leave the remainder unchanged within half of `interval`, the
        seconds in which one request becomes free again. After a longer time an unchanged remainder
        proves nothing, because a request may have become free meanwhile.

        Example: the remainders 99, 99, 99, 99 within a second show that HEADs are free; 99, 98 show
        that they are counted.
        """
        if self.baseline is None or remaining > self.baseline[0]:
            self.baseline = (remaining, now, 0)
            return
        start, since, number = self.baseline
        used = start - remaining
        if now - since < interval / 2:
            if used:
                self.free_count, self.is_counted = 0, True
                self.baseline = (remaining, now, 0)
                return
            self.free_count = max(self.free_count, number + 1)
            self.is_counted = self.is_counted and not self.is_free
            self.baseline = (start, since, number + 1)
        elif self.is_free and used < max(MIN_AGREEING_RESPONSES, number + 1):
            self.baseline = (start, since, number + 1)
        else:
            self.is_counted = self.is_counted or self.is_free
            self.free_count = 0
            self.baseline = (remaining, now, 0)
