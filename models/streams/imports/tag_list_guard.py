"""Acceptance of tag lists: one that is truncated, or suddenly much shorter, is not accepted.

Nothing is imported from a list that is not accepted, so it changes no tag (registry-5.10,
registry-5.11, scheduling-8.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from models.errors import ContentError

MIN_MISSING_TAGS = 10
SHRINK_FACTOR = 2  # less than one half
SHRINK_CONFIRMATION_DELAY = timedelta(minutes=10)
INCOMPLETE, SHRUNK = "content.incomplete_list", "content.shrunk_list"


@dataclass(frozen=True, slots=True)
class KnownTagList:
    """The number of tags in the last accepted list, as one credential scope sees the repository.

    `shrunk` and `shrunk_at` describe the lists since then that were not accepted: their size, if
    all have the same, and when the first of them was read.
    """

    tags: int
    shrunk: int | None = None
    shrunk_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ObservedTagList:
    """A tag list that was read.

    `problem` is the error code of a list that is not accepted, else empty. `before` is the number
    of tags in the last accepted list, `reason` why the list is incomplete.
    """

    repository: str
    credential_scope: str
    tags: int
    problem: str = ""
    reason: str = ""
    before: int = 0

    def error(self) -> ContentError:
        """Return the error of an import that has no other list."""
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


def evaluate_tag_list(
    seen: ObservedTagList, known: KnownTagList | None, *, now: datetime, interactive: bool
) -> ObservedTagList:
    """Return the list with its `problem` filled in.

    A list that lost more than half of its tags, and ten at least, is not accepted at first. It is
    accepted if a user imports again (`interactive`), or if a list of the same size is read ten
    minutes later (scheduling-8.2).
    """
    if seen.reason:
        return _with_problem(seen, INCOMPLETE, known)
    if known is None or not _is_sudden_shrink(known.tags, seen.tags):
        return seen
    if known.shrunk_at is not None:
        confirmed = known.shrunk == seen.tags and now - known.shrunk_at >= SHRINK_CONFIRMATION_DELAY
        if interactive or confirmed:
            return seen
    return _with_problem(seen, SHRUNK, known)


def next_known_list(
    known: KnownTagList | None, seen: ObservedTagList, *, now: datetime
) -> KnownTagList | None:
    """Return the list to store for the next comparison; None where nothing changes."""
    if seen.problem == INCOMPLETE:
        return None
    if seen.problem == SHRUNK:
        if known is None or known.shrunk == seen.tags:
            return None
        return KnownTagList(known.tags, seen.tags, now)
    updated = KnownTagList(seen.tags)
    return None if updated == known else updated


def _is_sudden_shrink(before: int, now: int) -> bool:
    return before - now >= MIN_MISSING_TAGS and now * SHRINK_FACTOR < before


def _with_problem(
    seen: ObservedTagList, problem: str, known: KnownTagList | None
) -> ObservedTagList:
    before = known.tags if known is not None else 0
    return ObservedTagList(
        seen.repository, seen.credential_scope, seen.tags, problem, seen.reason, before
    )
