"""The calendar in words: why a tag is where it is, and when it is looked at next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from cli.rendering.formatting import count_of, format_age, format_ahead, format_clock, format_span
from cli.rendering.output import Cell, print_columns, print_names
from cli.rendering.table_output import Look, print_documents
from models.resources.schedule import ScheduledTag, ScheduledTagStatus

SYNC_GROUP = "sync.tagstream.io"
LONG_WAIT = 2  # seconds; what is shorter is no wait
_STYLES = {
    "same": "green",
    "moved": "green",
    "failed": "red",
    "down": "red",
    "waited": "yellow",
    "limited": "yellow",
    "checking": "cyan",
}


def print_schedule(tags: Sequence[ScheduledTag], look: Look) -> int:
    """The calendar in the form that was asked for; how many rows."""
    match look.style:
        case "name":
            print_names(f"scheduledtag.{SYNC_GROUP}/{each.metadata.name}" for each in tags)
        case "json" | "yaml":
            wires = [each.wire() for each in tags]
            print_documents("ScheduledTag", wires, look, version=f"{SYNC_GROUP}/v1")
        case _ if tags:
            header = ["NAME", "REGISTRY", "INTERVAL", "LAST-CHECK", "NEXT", "DECISION", "FAILURES"]
            if look.wide:
                header += ["REASON", "MESSAGE"]
            if look.everywhere:
                header = ["NAMESPACE", *header]
            print_columns(header, [_row(each, look) for each in tags])
    return len(tags)


def _row(tag: ScheduledTag, look: Look) -> list[Cell]:
    spec, status = tag.spec, tag.status
    row: list[Cell] = [
        (tag.metadata.name, "bold"),
        spec.registry,
        format_span(spec.interval_seconds) if spec.scheduled else "-",
        (format_age(status.checked, look.now) or "never", "dim"),
        (format_ahead(status.next_look, look.now) or "-", "dim"),
        (status.decision, _STYLES.get(status.decision, "dim")),
        (str(status.failures), "red" if status.failures else "dim"),
    ]
    if look.everywhere:
        row.insert(0, tag.metadata.namespace)
    return [*row, status.reason, status.message] if look.wide else row


def print_reasons(tags: Sequence[ScheduledTag], now: datetime) -> None:
    """For each tag, what was decided last, and why, in words."""
    print_columns(
        ("TAG", "EVERY", "LAST CHECK", "NEXT", "WHY"),
        [
            (
                (each.spec.tag, "bold"),
                format_span(each.spec.interval_seconds) if each.spec.scheduled else "-",
                (format_age(each.status.checked, now) or "never", "dim"),
                (format_ahead(each.status.next_look, now) or "-", "dim"),
                (explain(each, now), _STYLES.get(each.status.decision, "dim")),
            )
            for each in tags
        ],
    )


def summarize(tags: Sequence[ScheduledTag], now: datetime) -> str:
    """A stream's tags in the calendar, in one line."""
    parts = [count_of(sum(each.spec.scheduled for each in tags), "tag")]
    retried = sum(not each.spec.scheduled for each in tags)
    if retried:
        parts.append(f"{retried} more tried again")
    coming = [each.status.next_look for each in tags if each.status.next_look is not None]
    if coming:
        parts.append(f"next look {format_ahead(min(coming), now)}")
    return ", ".join(parts)


def explain(tag: ScheduledTag, now: datetime) -> str:
    """What was decided about a tag last, why, and what comes of it."""
    say = _SAYINGS.get(tag.status.decision)
    if tag.spec.suspended:
        return "suspended by annotation: not looked at until that is gone"
    if say is None:
        return "; ".join(filter(None, (tag.status.decision, tag.status.message)))
    return "; ".join(part for part in say(tag.status, now) if part)


def _new(status: ScheduledTagStatus, now: datetime) -> Iterator[str]:
    yield "new: not looked at yet"
    yield _turn(status, now)


def _checking(status: ScheduledTagStatus, now: datetime) -> Iterator[str]:
    yield "being checked now"
    if status.due is not None:
        yield f"its turn was at {_at(status.due, now)}"


def _same(status: ScheduledTagStatus, now: datetime) -> Iterator[str]:
    yield f"same as before at {_at(status.decided, now)}{_waited(status)}"
    yield _turn(status, now)


def _moved(status: ScheduledTagStatus, now: datetime) -> Iterator[str]:
    yield f"moved, and imported at {_at(status.decided, now)}{_waited(status)}"
    yield _turn(status, now)


def _failed(status: ScheduledTagStatus, now: datetime) -> Iterator[str]:
    often = "" if status.failures < 2 else f" {count_of(status.failures, 'time')} in a row"
    yield f"failed{often}: {_cause(status)}"
    if status.next_look is None:
        yield "not tried again until the tag or a pull secret changes"
    else:
        yield f"tried again at {_at(status.next_look, now)}"


def _standing(status: ScheduledTagStatus, now: datetime) -> Iterator[str]:
    spent = _lateness(status)
    yield f"waits for the registry's budget{f' for {spent} now' if spent else ''}"
    yield _cause(status)
    yield _asked(status, now)


def _limited(status: ScheduledTagStatus, now: datetime) -> Iterator[str]:
    until = f"nothing is asked before {_at(status.next_look, now)}" if status.next_look else ""
    yield f"the registry wants less of us (429): {until or 'nothing is asked yet'}"
    yield _cause(status)


def _down(status: ScheduledTagStatus, now: datetime) -> Iterator[str]:
    yield f"the registry does not answer, its breaker is open: {_cause(status)}"
    yield _asked(status, now)


def _suspended(status: ScheduledTagStatus, now: datetime) -> Iterator[str]:
    yield f"suspended: {status.message}" if status.message else "suspended"
    yield _asked(status, now)


_SAYINGS: dict[str, Callable[[ScheduledTagStatus, datetime], Iterator[str]]] = {
    "new": _new,
    "checking": _checking,
    "same": _same,
    "moved": _moved,
    "failed": _failed,
    "waited": _standing,
    "limited": _limited,
    "down": _down,
    "suspended": _suspended,
}


def _turn(status: ScheduledTagStatus, now: datetime) -> str:
    if status.due is None:
        return "its first turn is being set" if status.next_look else ""
    if status.due <= now:
        return f"due since {_at(status.due, now)}"
    return f"not due until {_at(status.due, now)}"


def _asked(status: ScheduledTagStatus, now: datetime) -> str:
    if status.next_look is None:
        return ""
    return f"asked again at {_at(status.next_look, now)}"


def _at(moment: datetime | None, now: datetime) -> str:
    """`14:05:11Z (in 3m)`."""
    if moment is None:
        return "some time"
    relative = format_ahead(moment, now) if moment > now else format_age(moment, now)
    return f"{format_clock(moment, now)} ({relative})"


def _cause(status: ScheduledTagStatus) -> str:
    code = f" ({status.reason})" if status.reason else ""
    return f"{status.message}{code}" if status.message else status.reason


def _waited(status: ScheduledTagStatus) -> str:
    if status.waited_seconds < LONG_WAIT:
        return ""
    return f", after waiting {status.waited_seconds:,} s for the registry"


def _lateness(status: ScheduledTagStatus) -> str:
    return f"{status.lateness_seconds:,} s" if status.lateness_seconds >= LONG_WAIT else ""
