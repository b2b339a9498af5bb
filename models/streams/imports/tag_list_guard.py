"""Whether a list of tags is to be believed: one that is cut off, or suddenly short, is not.

Nothing is imported from such a list, so nothing that is there is moved by it (`registry.md` 2.6).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from models.errors import ContentError

FEWEST_GONE = 10
SMALLEST_PART = 2  # less than one half
LOOK_AGAIN = timedelta(minutes=10)
INCOMPLETE, SHRUNK = "content.incomplete_list", "content.shrunk_list"


@dataclass(frozen=True, slots=True)
class KnownList:
    """How many tags the last list had that was believed, as one right sees the repository.

    `shrunk` and `shrunk_at` tell of the lists since that were not: their size, if they had the
    same, and when the first of them came.
    """

    tags: int
    shrunk: int | None = None
    shrunk_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SeenList:
    """A list as it came. `problem` is why it is not believed: the code of an error, or nothing.

    `before` is how many tags there were, `reason` where a list breaks off.
    """

    repository: str
    scope: str
    tags: int
    problem: str = ""
    reason: str = ""
    before: int = 0

    def error(self) -> ContentError:
        """What becomes of an import that has no other list."""
        if self.problem == INCOMPLETE:
            return ContentError(
                f"the list of tags is incomplete ({self.reason}); nothing was imported from it, "
                "try again later",
                code=INCOMPLETE,
            )
        return ContentError(
            f"the list of tags shrank suddenly, from {self.before} tags to {self.tags}; nothing "
            "was imported from it: import again to accept the shorter list",
            code=SHRUNK,
        )


def weigh_list(
    seen: SeenList, known: KnownList | None, *, now: datetime, by_person: bool
) -> SeenList:
    """The list with its verdict.

    A list that lost more than half of its tags, and ten at least, is doubted at first. It is
    believed when somebody asks once more, or when it still has that size ten minutes later.
    """
    if seen.reason:
        return _with(seen, INCOMPLETE, known)
    if known is None or not _is_sudden(known.tags, seen.tags):
        return seen
    if known.shrunk_at is not None:
        again = known.shrunk == seen.tags and now - known.shrunk_at >= LOOK_AGAIN
        if by_person or again:
            return seen
    return _with(seen, SHRUNK, known)


def next_known(known: KnownList | None, seen: SeenList, *, now: datetime) -> KnownList | None:
    """What is to be known from now on; None where that is no news."""
    if seen.problem == INCOMPLETE:
        return None
    if seen.problem == SHRUNK:
        if known is None or known.shrunk == seen.tags:
            return None
        return KnownList(known.tags, seen.tags, now)
    news = KnownList(seen.tags)
    return None if news == known else news


def _is_sudden(before: int, now: int) -> bool:
    return before - now >= FEWEST_GONE and now * SMALLEST_PART < before


def _with(seen: SeenList, problem: str, known: KnownList | None) -> SeenList:
    before = known.tags if known is not None else 0
    return SeenList(seen.repository, seen.scope, seen.tags, problem, seen.reason, before)
