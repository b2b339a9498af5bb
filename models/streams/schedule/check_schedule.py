"""Which tags are checked by the schedule, and when (scheduling-1.1, scheduling-2.4).

The interval is the least time between two checks, apart from a jitter of one tenth. The jitter
depends only on the source and the due time, so tags that follow the same source with the same
interval stay due at the same time, and one request serves them all.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from zlib import crc32

from models.errors import InvalidReferenceError
from models.reference import Reference
from models.resources.stream import ImageStream, NamedTagEventList, TagReference
from models.streams.imports.import_outcome import ImportTarget
from models.streams.imports.import_plan import parse_platform_preference
from models.streams.imports.import_trigger import is_importable
from models.streams.schedule.check_interval import (
    INTERVAL_ANNOTATION,
    SUSPEND_ANNOTATION,
    is_suspended,
    requested_interval,
)

JITTER_RATIO = 0.1
FIRST_RETRY_SECONDS = 60.0  # doubled with each failure, up to MAX_RETRY_INTERVALS intervals
MAX_RETRY_INTERVALS = 8
HOUR_SECONDS = 3600.0
WEEK_SECONDS = 7 * 24 * HOUR_SECONDS
_MAX_DOUBLINGS = 16


class ScheduleReason(StrEnum):
    """The present state of a tag of the schedule, the `reason` of its status.

    A tag whose check failed has the reason of the error, such as NotFound; `FAILED` where the error
    has none.
    """

    PENDING = "Pending"  # not checked since it was scheduled, or since its spec changed
    CHECKING = "Checking"  # a scheduler or worker has claimed it; never stored
    UNCHANGED = "Unchanged"
    UPDATED = "Updated"
    FAILED = "Failed"
    DEFERRED = "Deferred"  # by the limits of its registry, or as its worker stopped
    RATE_LIMITED = "RateLimited"  # by the registry (429)
    CIRCUIT_OPEN = "CircuitOpen"  # the registry does not respond
    SUSPENDED = "Suspended"  # by an annotation, or by the Registry object


class RetryClass(StrEnum):
    """When a failed check is repeated (scheduling-7.1)."""

    SOON = "soon"
    AT_INTERVAL = "at the interval"
    ON_CREDENTIAL_CHANGE = "when the credential changes"
    HOURLY = "hourly"
    WEEKLY = "weekly"


@dataclass(frozen=True, slots=True)
class Cadence:
    """The operator's intervals in seconds: default, minimum and maximum (scheduling-2.1).

    `host_interval` returns the interval of a registry's own object, or None. `fingerprint` tells
    two values apart in the database; 0 where they are not compared.
    """

    default: int = 900
    floor: int = 60
    ceiling: int = 7 * 24 * 3600
    host_interval: Callable[[str], int | None] = field(default=lambda _host: None, compare=False)
    fingerprint: int = 0

    def interval(self, requested: int | None, host: str = "") -> int:
        """Return the interval in seconds of a tag of that registry; `requested` is its
        annotation's, or None.
        """
        if requested is None:
            return self.host_interval(host) or self.default
        return max(self.floor, min(self.ceiling, requested))


@dataclass(frozen=True, slots=True)
class DesiredCheck:
    """The check that the schedule is to hold for a tag, and the interval requested for it."""

    host: str
    key: str
    source: str
    insecure: bool = False
    suspended: bool = False
    requested_interval: int | None = None


@dataclass(frozen=True, slots=True)
class TagSchedule:
    """A row of the schedule as it is shown; `interval` and `wait_seconds` are in seconds.

    `last_outcome` is that of the last check, empty before the first; `reason` is the present state.
    """

    namespace: str
    stream: str
    tag: str
    host: str
    source: str
    scheduled: bool
    suspended: bool
    requested_interval: int | None
    interval: int
    due_at: datetime | None
    next_check_at: datetime | None
    last_check_at: datetime | None
    consecutive_failures: int
    last_outcome: str
    reason: str
    message: str
    last_transition_at: datetime | None
    wait_seconds: int


def scheduled_tags(stream: ImageStream) -> list[TagReference]:
    """Return the spec tags that the schedule checks, in order of name."""
    histories = {history.tag: history for history in stream.status.tags}
    return [tag for tag in stream.spec.tags if is_scheduled(tag, histories.get(tag.name))]


def is_scheduled(tag: TagReference, history: NamedTagEventList | None) -> bool:
    """Return whether the schedule checks a tag; an imported digest never changes.

    The rule is scheduling-1.1.
    """
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
    """Return a copy of the stream on which scheduled tags (all, or those) are due; it is never
    stored.

    The generation is that of scheduling-1.5.
    """
    due = {tag.name for tag in scheduled_tags(stream)} if tags is None else set(tags)
    generation = stream.metadata.generation + 1
    bumped = [
        tag.replace(generation=generation) if tag.name in due else tag for tag in stream.spec.tags
    ]
    return stream.replace(spec=stream.spec.replace(tags=bumped))


def schedule_changes(old: ImageStream | None, new: ImageStream) -> dict[str, DesiredCheck | None]:
    """Return what changes in the schedule when a stream is written: by tag, its check, or None for
    none.

    Tags whose check is unchanged, and those that were never scheduled, are left out
    (scheduling-1.3).
    """
    before = {} if old is None else _tags_with_history(old)
    after = _tags_with_history(new)
    is_annotation_unchanged = old is not None and _schedule_annotations(
        old
    ) == _schedule_annotations(new)
    changes: dict[str, DesiredCheck | None] = {}
    for name, (tag, history) in after.items():
        old_tag, old_history = before.pop(name, (None, None))
        if (
            old_tag is not None
            and is_annotation_unchanged
            and _is_schedule_unchanged(old_tag, old_history, tag, history)
        ):
            continue
        desired = desired_check(new, tag, history)
        old_desired = (
            None if old_tag is None or old is None else desired_check(old, old_tag, old_history)
        )
        if desired != old_desired or (
            desired is None and old_tag is not None and _is_source_changed(old_tag, tag)
        ):
            changes[name] = desired
    changes.update(dict.fromkeys(before))
    return changes


def desired_check(
    stream: ImageStream, tag: TagReference, history: NamedTagEventList | None
) -> DesiredCheck | None:
    """Return the check that the schedule is to hold for a spec tag; None if it is not scheduled."""
    if not is_scheduled(tag, history):
        return None
    return build_desired_check(stream, tag)


def build_desired_check(stream: ImageStream, tag: TagReference) -> DesiredCheck | None:
    """Build the check of any importable tag; None where its source cannot be parsed."""
    pull_spec = tag.from_.name if tag.from_ is not None else ""
    try:
        reference = Reference.parse(pull_spec)
    except InvalidReferenceError:
        return None
    policy = tag.import_policy
    target = ImportTarget(
        reference,
        import_mode=policy.import_mode,
        platform_preference=parse_platform_preference(
            {} if reference.id else tag.annotations or {}
        ),
    )
    key = target.key()
    return DesiredCheck(
        host=key.partition("/")[0],
        key=key,
        source=pull_spec,
        insecure=policy.insecure,
        suspended=is_suspended(stream, tag),
        requested_interval=requested_interval(stream, tag),
    )


def _tags_with_history(
    stream: ImageStream,
) -> dict[str, tuple[TagReference, NamedTagEventList | None]]:
    histories = {history.tag: history for history in stream.status.tags}
    return {tag.name: (tag, histories.get(tag.name)) for tag in stream.spec.tags}


def _schedule_annotations(stream: ImageStream) -> tuple[str | None, str | None]:
    """Return the annotations of a stream that concern the schedule."""
    annotations = stream.metadata.annotations
    return annotations.get(INTERVAL_ANNOTATION), annotations.get(SUSPEND_ANNOTATION)


def _is_schedule_unchanged(
    old_tag: TagReference,
    old_history: NamedTagEventList | None,
    tag: TagReference,
    history: NamedTagEventList | None,
) -> bool:
    """Return whether two states of a tag give the same check; fast, as there may be ten thousand
    tags.
    """
    if old_tag is tag:
        is_equal = True
    elif _is_source_changed(old_tag, tag) or old_tag.annotations != tag.annotations:
        return False
    else:
        is_equal = old_tag.generation == tag.generation
    if is_equal and old_history is history:
        return True
    # Whether the tag was imported matters only if its source is a digest.
    return not tag.import_policy.scheduled or (tag.from_ is not None and "@" not in tag.from_.name)


def _is_source_changed(old_tag: TagReference, tag: TagReference) -> bool:
    return (
        old_tag.from_ != tag.from_
        or old_tag.import_policy != tag.import_policy
        or old_tag.reference != tag.reference
    )


def next_due_time(key: str, due: datetime, checked: datetime, interval: float) -> datetime:
    """Return the due time after `due`, which was checked at `checked` (scheduling-2.4).

    Due times follow each other at the interval ±10 %, whenever the checks ran, so they do not
    drift. The next one is never sooner than nine tenths of the interval after a check that ran
    late. Example with interval 900 s and due time 12:00: checked at 12:01, the next is between
    12:13:30 and 12:16:30; checked at 12:10, it is at 12:23:30 or later.
    """
    due_time = due + timedelta(seconds=interval * (1 + _jitter(key, due) * JITTER_RATIO))
    return max(due_time, checked + timedelta(seconds=interval * (1 - JITTER_RATIO)))


def aligned_due_time(
    key: str, sibling: datetime, *, not_before: datetime, interval: float
) -> datetime | None:
    """Return the first due time, not before `not_before`, of another tag with the same source and
    interval.

    Tags that are aligned share one request (scheduling-2.5). Returns None where the other tag is
    too far behind, or is checked less often.
    """
    latest = not_before + timedelta(seconds=interval * (1 + JITTER_RATIO))
    for _ in range(3):
        if sibling >= not_before:
            return sibling if sibling <= latest else None
        sibling = next_due_time(key, sibling, sibling, interval)
    return None


def retry_due_time(
    key: str, retry_class: RetryClass, *, consecutive_failures: int, now: datetime, interval: float
) -> datetime:
    """Return when to check again after that many failures in a row (scheduling-7.2).

    Example for class soon and interval 900 s: about 60 s, 120 s, 240 s ... up to 7200 s, each ±50
    %.
    """
    if retry_class is RetryClass.SOON:
        doublings = min(max(consecutive_failures - 1, 0), _MAX_DOUBLINGS)
        wait = min(MAX_RETRY_INTERVALS * interval, FIRST_RETRY_SECONDS * 2**doublings)
        return now + timedelta(seconds=wait * (1 + _jitter(key, now) * 0.5))
    min_interval = {RetryClass.HOURLY: HOUR_SECONDS, RetryClass.WEEKLY: WEEK_SECONDS}.get(
        retry_class, 0.0
    )
    return next_due_time(key, now, now, max(interval, min_interval))


def _jitter(key: str, at: datetime) -> float:
    """Return a number from -1 to 1, evenly distributed; equal for equal source and due time."""
    return crc32(f"{key} {at.timestamp():.3f}".encode()) / 0x7FFFFFFF - 1.0


_HOURLY_CODES = ("tls.untrusted", "policy.", "notfound.tag_unreadable")
_CREDENTIAL_CODES = ("auth.",)
_SOON_CODES = ("net.", "http.5xx", "ratelimit.", "circuit.", "protocol.digest_mismatch", "deadline")


def classify_failure(code: str) -> RetryClass:
    """Return when a failure with that code is checked again (scheduling-7.1, registry-14.8).

    An unknown code is checked again at the interval.
    """
    if code == "http.legal":
        return RetryClass.WEEKLY
    if code.startswith(_HOURLY_CODES):
        return RetryClass.HOURLY
    if code.startswith(_CREDENTIAL_CODES):
        return RetryClass.ON_CREDENTIAL_CHANGE
    if code.startswith(_SOON_CODES):
        return RetryClass.SOON
    return RetryClass.AT_INTERVAL
