"""Prints the schedule: the state of each tag, why, and when it is checked next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from cli.rendering.formatting import (
    format_age,
    format_clock,
    format_count,
    format_duration,
    format_until,
)
from cli.rendering.output import Cell, print_columns, print_names
from cli.rendering.table_output import PrintOptions, print_documents
from models.resources.schedule import ScheduledTag, ScheduledTagStatus
from models.streams.schedule.check_interval import parse_interval

SYNC_GROUP = "sync.tagstream.io"
MIN_SHOWN_WAIT_SECONDS = 2  # shorter waits are not shown
_STYLES = {
    "Pending": "dim",
    "Checking": "cyan",
    "Unchanged": "green",
    "Updated": "green",
    "Deferred": "yellow",
    "RateLimited": "yellow",
    "CircuitOpen": "red",
    "Suspended": "dim",
}
_FAILURE_STYLE = "red"  # any other reason is that of a failure


def print_schedule(tags: Sequence[ScheduledTag], print_options: PrintOptions) -> int:
    """Print the schedule in the requested format and return the number of rows."""
    match print_options.style:
        case "name":
            print_names(f"scheduledtag.{SYNC_GROUP}/{each.metadata.name}" for each in tags)
        case "json" | "yaml":
            wires = [each.wire() for each in tags]
            print_documents("ScheduledTag", wires, print_options, version=f"{SYNC_GROUP}/v1")
        case _ if tags:
            header = ["NAME", "REGISTRY", "INTERVAL", "LAST-CHECK", "NEXT-CHECK"]
            header += ["OUTCOME", "REASON", "FAILURES"]
            if print_options.wide:
                header.append("MESSAGE")
            if print_options.all_namespaces:
                header = ["NAMESPACE", *header]
            print_columns(header, [_row(each, print_options) for each in tags])
    return len(tags)


def _row(tag: ScheduledTag, print_options: PrintOptions) -> list[Cell]:
    spec, status = tag.spec, tag.status
    row: list[Cell] = [
        (tag.metadata.name, "bold"),
        spec.registry,
        _format_interval(tag),
        (format_age(status.last_check_time, print_options.now) or "never", "dim"),
        (format_until(status.next_check_time, print_options.now) or "-", "dim"),
        (status.outcome or "-", "red" if status.outcome == "failed" else "dim"),
        (status.reason, _STYLES.get(status.reason, _FAILURE_STYLE)),
        (str(status.consecutive_failures), "red" if status.consecutive_failures else "dim"),
    ]
    if print_options.all_namespaces:
        row.insert(0, tag.metadata.namespace)
    return [*row, status.message] if print_options.wide else row


def _format_interval(tag: ScheduledTag) -> str:
    """Format the interval in its largest unit; `-` for a tag that is only retried."""
    return format_duration(parse_interval(tag.spec.interval)) if tag.spec.interval else "-"


def print_reasons(tags: Sequence[ScheduledTag], now: datetime) -> None:
    """Print for each tag its state and why, in plain language."""
    print_columns(
        ("TAG", "INTERVAL", "LAST CHECK", "NEXT CHECK", "EXPLANATION"),
        [
            (
                (each.spec.tag, "bold"),
                _format_interval(each),
                (format_age(each.status.last_check_time, now) or "never", "dim"),
                (format_until(each.status.next_check_time, now) or "-", "dim"),
                (explain_reason(each, now), _STYLES.get(each.status.reason, _FAILURE_STYLE)),
            )
            for each in tags
        ],
    )


def summarize_schedule(tags: Sequence[ScheduledTag], now: datetime) -> str:
    """Summarize the schedule of a stream's tags in one line."""
    parts = [format_count(sum(each.spec.scheduled for each in tags), "tag")]
    retried = sum(not each.spec.scheduled for each in tags)
    if retried:
        parts.append(f"{retried} more to retry")
    times = [each.status.next_check_time for each in tags]
    next_checks = [time for time in times if time is not None]
    if next_checks:
        parts.append(f"next check {format_until(min(next_checks), now)}")
    return ", ".join(parts)


def explain_reason(tag: ScheduledTag, now: datetime) -> str:
    """Explain the state of a tag, why it is so, and what happens next."""
    if tag.spec.suspended:
        return "suspended by annotation: not checked until it is removed"
    describe = _DESCRIPTIONS.get(tag.status.reason)
    if describe is None:
        if tag.status.outcome != "failed":  # a reason of a newer server
            return "; ".join(filter(None, (tag.status.reason, tag.status.message)))
        describe = _describe_failed
    return "; ".join(part for part in describe(tag.status, now) if part)


def _describe_pending(status: ScheduledTagStatus, now: datetime) -> Iterator[str]:
    yield "pending: not checked since the tag or its interval changed"
    yield _format_due_time(status, now)


def _describe_checking(status: ScheduledTagStatus, now: datetime) -> Iterator[str]:
    yield "being checked now"
    if status.scheduled_time is not None:
        yield f"was due at {_format_time(status.scheduled_time, now)}"


def _describe_unchanged(status: ScheduledTagStatus, now: datetime) -> Iterator[str]:
    yield f"unchanged at {_format_time(status.last_check_time, now)}{_format_wait(status)}"
    yield _format_due_time(status, now)


def _describe_updated(status: ScheduledTagStatus, now: datetime) -> Iterator[str]:
    yield f"updated at {_format_time(status.last_check_time, now)}{_format_wait(status)}"
    yield _format_due_time(status, now)


def _describe_failed(status: ScheduledTagStatus, now: datetime) -> Iterator[str]:
    count = status.consecutive_failures
    times = "" if count < 2 else f" {format_count(count, 'time')} in a row"
    reason = f" ({status.reason})" if status.message else f": {status.reason}"
    yield f"failed{times}{f': {status.message}' if status.message else ''}{reason}"
    if status.next_check_time is None:
        yield "not retried until the tag or a pull secret changes"
    else:
        yield f"next check at {_format_time(status.next_check_time, now)}"


def _describe_deferred(status: ScheduledTagStatus, now: datetime) -> Iterator[str]:
    lateness = f", late by {status.lateness}" if _is_shown(status.lateness) else ""
    yield f"deferred by the registry's limits{lateness}"
    yield status.message
    yield _format_next_check(status, now)


def _describe_rate_limited(status: ScheduledTagStatus, now: datetime) -> Iterator[str]:
    until = "no request for now"
    if status.next_check_time is not None:
        until = f"no request before {_format_time(status.next_check_time, now)}"
    yield f"rate limited by the registry (429): {until}"
    yield status.message


def _describe_circuit_open(status: ScheduledTagStatus, now: datetime) -> Iterator[str]:
    yield f"the registry is unavailable, its circuit breaker is open: {status.message}"
    yield _format_next_check(status, now)


def _describe_suspended(status: ScheduledTagStatus, now: datetime) -> Iterator[str]:
    yield f"suspended: {status.message}" if status.message else "suspended"
    yield _format_next_check(status, now)


_DESCRIPTIONS: dict[str, Callable[[ScheduledTagStatus, datetime], Iterator[str]]] = {
    "Pending": _describe_pending,
    "Checking": _describe_checking,
    "Unchanged": _describe_unchanged,
    "Updated": _describe_updated,
    "Deferred": _describe_deferred,
    "RateLimited": _describe_rate_limited,
    "CircuitOpen": _describe_circuit_open,
    "Suspended": _describe_suspended,
}


def _format_due_time(status: ScheduledTagStatus, now: datetime) -> str:
    time = status.scheduled_time
    if time is None:
        return "first due time is being set" if status.next_check_time else ""
    return f"{'due since' if time <= now else 'next due at'} {_format_time(time, now)}"


def _format_next_check(status: ScheduledTagStatus, now: datetime) -> str:
    if status.next_check_time is None:
        return ""
    return f"next check at {_format_time(status.next_check_time, now)}"


def _format_time(time: datetime | None, now: datetime) -> str:
    """Format a time with its distance from now: `14:05:11Z (in 3m)`."""
    if time is None:
        return "an unknown time"
    relative = format_until(time, now) if time > now else format_age(time, now)
    return f"{format_clock(time, now)} ({relative})"


def _format_wait(status: ScheduledTagStatus) -> str:
    if not _is_shown(status.wait_duration):
        return ""
    return f", after waiting {status.wait_duration} for the registry"


def _is_shown(duration: str) -> bool:
    """Return whether a Go duration is long enough to be shown."""
    return bool(duration) and parse_interval(duration) >= MIN_SHOWN_WAIT_SECONDS
