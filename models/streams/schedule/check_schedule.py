"""Which tags are looked at again by the clock, and when (`import.md` 7.1, B26).

The interval is the least time between two looks, but for the jitter of a tenth. The jitter of a
turn depends on what is looked at and when alone, so tags that follow the same source in step stay
in step, and one request serves them all.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from zlib import crc32

from models.errors import InvalidReferenceError
from models.reference import Reference
from models.resources.stream import ImageStream, NamedTagEventList, TagReference
from models.streams.imports.import_outcome import Target
from models.streams.imports.import_plan import preference_of
from models.streams.imports.import_trigger import is_importable
from models.streams.schedule.check_interval import INTERVAL, SUSPEND, is_suspended, wished_interval

JITTER = 0.1
FIRST_RETRY = 60.0  # seconds; doubled with each failure, up to LONGEST_RETRY intervals
LONGEST_RETRY = 8
HOUR = 3600.0
WEEK = 7 * 24 * HOUR
_MOST_DOUBLINGS = 16


class Decision(StrEnum):
    """The last thing that was decided about a tag in the calendar."""

    NEW = "new"
    SAME = "same"
    MOVED = "moved"
    FAILED = "failed"
    WAITED = "waited"
    LIMITED = "limited"
    DOWN = "down"
    SUSPENDED = "suspended"


class Again(StrEnum):
    """When a failure is worth another look (`registry.md` 4.3)."""

    SOON = "soon"
    AT_THE_INTERVAL = "at the interval"
    WITH_OTHER_RIGHTS = "with other rights"
    HOURLY = "hourly"
    WEEKLY = "weekly"


@dataclass(frozen=True, slots=True)
class Cadence:
    """The operator's word on intervals, in seconds: where none is asked for, least and most.

    `of_host` is what a registry's own object says, None where it says nothing. `mark` tells two
    of them apart, 0 where nobody has to.
    """

    default: int = 900
    floor: int = 60
    ceiling: int = 7 * 24 * 3600
    of_host: Callable[[str], int | None] = field(default=lambda _host: None, compare=False)
    mark: int = 0

    def interval(self, asked: int | None, host: str = "") -> int:
        """The interval of a tag of that registry that asks for so many seconds (None: for none)."""
        if asked is None:
            return self.of_host(host) or self.default
        return max(self.floor, min(self.ceiling, asked))


@dataclass(frozen=True, slots=True)
class Wish:
    """What the calendar is to hold of a tag: what to look at, and how often that is asked for."""

    host: str
    key: str
    source: str
    insecure: bool = False
    suspended: bool = False
    asked: int | None = None


@dataclass(frozen=True, slots=True)
class ScheduledTag:
    """A row of the calendar, to look at. `interval` is in seconds, `waited` too."""

    namespace: str
    stream: str
    tag: str
    host: str
    source: str
    scheduled: bool
    suspended: bool
    asked: int | None
    interval: int
    due: datetime | None
    next_look: datetime | None
    checked: datetime | None
    failures: int
    decision: str
    reason: str
    message: str
    decided: datetime | None
    waited: int


def scheduled_tags(stream: ImageStream) -> list[TagReference]:
    """The spec tags that are due for a look by the clock, in name order."""
    histories = {history.tag: history for history in stream.status.tags}
    return [tag for tag in stream.spec.tags if is_scheduled(tag, histories.get(tag.name))]


def is_scheduled(tag: TagReference, history: NamedTagEventList | None) -> bool:
    """Whether a tag is looked at again; a digest that was imported cannot change (Q53)."""
    if not tag.import_policy.scheduled or not is_importable(tag) or tag.from_ is None:
        return False
    try:
        reference = Reference.parse(tag.from_.name)
    except InvalidReferenceError:
        return False
    return not (reference.id and _is_imported(tag, history))


def _is_imported(tag: TagReference, history: NamedTagEventList | None) -> bool:
    if history is None or not history.items or tag.generation is None:
        return False
    return history.items[0].generation >= tag.generation


def with_next_generation(stream: ImageStream, tags: Collection[str] | None = None) -> ImageStream:
    """A local copy on which scheduled tags (all, or those) are due (7.4 step 4); never stored."""
    due = {tag.name for tag in scheduled_tags(stream)} if tags is None else set(tags)
    generation = stream.metadata.generation + 1
    bumped = [
        tag.replace(generation=generation) if tag.name in due else tag for tag in stream.spec.tags
    ]
    return stream.replace(spec=stream.spec.replace(tags=bumped))


def calendar_changes(old: ImageStream | None, new: ImageStream) -> dict[str, Wish | None]:
    """What the calendar has to learn when a stream is written: by tag, its wish, or None for none.

    A tag that nothing was changed about is not there; neither is one that was never scheduled.
    """
    before = {} if old is None else _everything(old)
    after = _everything(new)
    as_before = old is not None and _asked_of(old) == _asked_of(new)
    found: dict[str, Wish | None] = {}
    for name, (tag, history) in after.items():
        was, was_history = before.pop(name, (None, None))
        if was is not None and as_before and _says_the_same(was, was_history, tag, history):
            continue
        wish = wish_of(new, tag, history)
        known = None if was is None or old is None else wish_of(old, was, was_history)
        if wish != known or (wish is None and was is not None and _differs(was, tag)):
            found[name] = wish
    found.update(dict.fromkeys(before))
    return found


def wish_of(
    stream: ImageStream, tag: TagReference, history: NamedTagEventList | None
) -> Wish | None:
    """What the calendar is to hold of a spec tag; None where the clock does not look at it."""
    if not is_scheduled(tag, history):
        return None
    return place_of(stream, tag)


def place_of(stream: ImageStream, tag: TagReference) -> Wish | None:
    """The calendar's view of any importable tag; None where its source cannot be read."""
    written = tag.from_.name if tag.from_ is not None else ""
    try:
        reference = Reference.parse(written)
    except InvalidReferenceError:
        return None
    policy = tag.import_policy
    target = Target(
        reference,
        import_mode=policy.import_mode,
        prefer=preference_of({} if reference.id else tag.annotations or {}),
    )
    key = target.key()
    return Wish(
        host=key.partition("/")[0],
        key=key,
        source=written,
        insecure=policy.insecure,
        suspended=is_suspended(stream, tag),
        asked=wished_interval(stream, tag),
    )


def _everything(
    stream: ImageStream,
) -> dict[str, tuple[TagReference, NamedTagEventList | None]]:
    histories = {history.tag: history for history in stream.status.tags}
    return {tag.name: (tag, histories.get(tag.name)) for tag in stream.spec.tags}


def _asked_of(stream: ImageStream) -> tuple[str | None, str | None]:
    """What a stream's annotations say to the calendar."""
    annotations = stream.metadata.annotations
    return annotations.get(INTERVAL), annotations.get(SUSPEND)


def _says_the_same(
    was: TagReference,
    was_history: NamedTagEventList | None,
    tag: TagReference,
    history: NamedTagEventList | None,
) -> bool:
    """Whether the calendar cannot tell two tags apart; quick, as there may be ten thousand."""
    if was is tag:
        alike = True
    elif _differs(was, tag) or was.annotations != tag.annotations:
        return False
    else:
        alike = was.generation == tag.generation
    if alike and was_history is history:
        return True
    # Only of a digest it matters whether it was imported.
    return not tag.import_policy.scheduled or (tag.from_ is not None and "@" not in tag.from_.name)


def _differs(was: TagReference, tag: TagReference) -> bool:
    return (
        was.from_ != tag.from_
        or was.import_policy != tag.import_policy
        or was.reference != tag.reference
    )


def next_turn(key: str, due: datetime, checked: datetime, interval: float) -> datetime:
    """When the turn after `due` is, which was looked at `checked`.

    Turns follow each other at the interval, give or take a tenth, wherever the looks fell; but
    never sooner than nine tenths of it after a look that came late.
    """
    turn = due + timedelta(seconds=interval * (1 + _sway(key, due) * JITTER))
    return max(turn, checked + timedelta(seconds=interval * (1 - JITTER)))


def turn_in_step(
    key: str, sibling: datetime, *, not_before: datetime, interval: float
) -> datetime | None:
    """The first late enough turn of somebody else who looks at the same at the same interval.

    None where the other one is too far behind to go by, or looks more seldom.
    """
    latest = not_before + timedelta(seconds=interval * (1 + JITTER))
    for _ in range(3):
        if sibling >= not_before:
            return sibling if sibling <= latest else None
        sibling = next_turn(key, sibling, sibling, interval)
    return None


def retry_turn(
    key: str, again: Again, *, failures: int, now: datetime, interval: float
) -> datetime:
    """When to look again after the `failures`-th failure in a row (1: the first)."""
    if again is Again.SOON:
        doublings = min(max(failures - 1, 0), _MOST_DOUBLINGS)
        wait = min(LONGEST_RETRY * interval, FIRST_RETRY * 2**doublings)
        return now + timedelta(seconds=wait * (1 + _sway(key, now) * 0.5))
    least = {Again.HOURLY: HOUR, Again.WEEKLY: WEEK}.get(again, 0.0)
    return next_turn(key, now, now, max(interval, least))


def _sway(key: str, at: datetime) -> float:
    """From -1 to 1, evenly; the same for the same turn of the same source."""
    return crc32(f"{key} {at.timestamp():.3f}".encode()) / 0x7FFFFFFF - 1.0


_HOURLY = ("tls.untrusted", "policy.", "notfound.tag_unreadable")
_OTHER_RIGHTS = ("auth.",)
_SOON = ("net.", "http.5xx", "ratelimit.", "circuit.", "protocol.digest_mismatch", "deadline")


def again_after(code: str) -> Again:
    """When a failure with that code is worth another look; what is not known, at the interval."""
    if code == "http.legal":
        return Again.WEEKLY
    if code.startswith(_HOURLY):
        return Again.HOURLY
    if code.startswith(_OTHER_RIGHTS):
        return Again.WITH_OTHER_RIGHTS
    if code.startswith(_SOON):
        return Again.SOON
    return Again.AT_THE_INTERVAL


def bounded(interval: int, cadence: Cadence) -> Iterator[str]:
    """What to tell of an interval that was asked for and is out of bounds."""
    if interval < cadence.floor:
        yield f"an interval of {interval} s is asked for; the least that is allowed is taken"
    elif interval > cadence.ceiling:
        yield f"an interval of {interval} s is asked for; the most that is allowed is taken"
