"""What of an import people should hear of, beside what the stream itself tells.

Told are changes only: a tag that moved while nobody looked, the first of several failures, the
end of them; and lists of tags that were not believed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from models.job_types import TargetResult
from models.resources.stream import ImageStream, NamedTagEventList
from models.streams.imports.apply_import import ImportResult
from models.streams.imports.tag_list_guard import INCOMPLETE, SeenList
from models.streams.tags.tag_conditions import IMPORT_SUCCESS, steady_text

NORMAL, WARNING = "Normal", "Warning"
TAG_MOVED = "TagMoved"
FAILED, RECOVERED = "ImportFailed", "ImportRecovered"
LIST_INCOMPLETE, LIST_SHRUNK = "TagListIncomplete", "TagListShrunk"
MOST_OF_A_KIND = 20


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to tell of a stream, in the words of a Kubernetes Event."""

    type: str
    reason: str
    message: str


def list_notices(
    old: ImageStream | None, applied: ImportResult, *, by_schedule: bool
) -> list[Notice]:
    """What to tell of an import, as a stream that was `old` before; nothing for an unchanged one.

    Of many tags that fare alike the first are named, and the others counted.
    """
    found = [_of_list(seen) for seen in applied.lists if seen.problem]
    if applied.changed and applied.stream is not None:
        found += _of_tags(old, applied.stream, applied.targets, by_schedule=by_schedule)
    return list(_bounded(found))


def _of_list(seen: SeenList) -> Notice:
    where = f"the repository {seen.repository}"
    reason = LIST_INCOMPLETE if seen.problem == INCOMPLETE else LIST_SHRUNK
    return Notice(WARNING, reason, f"{where}: {steady_text(seen.error().text)}")


def _of_tags(
    old: ImageStream | None,
    new: ImageStream,
    targets: Iterable[TargetResult],
    *,
    by_schedule: bool,
) -> Iterator[Notice]:
    before = {} if old is None else {history.tag: history for history in old.status.tags}
    after = {history.tag: history for history in new.status.tags}
    for target in targets:
        was, became = before.get(target.to), after.get(target.to)
        failed = _has_failed(was)
        if not target.to:
            continue
        if not target.image:
            if _has_failed(became) and not failed:
                yield Notice(WARNING, FAILED, _failure(target))
            continue
        if failed:
            text = f"tag {target.to} is imported again from {target.source}"
            yield Notice(NORMAL, RECOVERED, text)
        image = was.items[0].image if was is not None and was.items else ""
        if by_schedule and image and image != target.image:
            text = f"tag {target.to} moved from {image} to {target.image} ({target.source})"
            yield Notice(NORMAL, TAG_MOVED, text)


def _failure(target: TargetResult) -> str:
    said = steady_text(target.message)
    return f"tag {target.to} could not be imported from {target.source}: {said}"


def _has_failed(history: NamedTagEventList | None) -> bool:
    return history is not None and any(
        condition.type == IMPORT_SUCCESS and condition.status == "False"
        for condition in history.conditions
    )


def _bounded(notices: list[Notice]) -> Iterator[Notice]:
    for reason, group in groupby(sorted(notices, key=attrgetter("reason")), attrgetter("reason")):
        alike = list(group)
        yield from alike[:MOST_OF_A_KIND]
        left = len(alike) - MOST_OF_A_KIND
        if left > 0:
            told = f"the same of {left} more tags in the same import"
            yield Notice(alike[0].type, reason, told)
