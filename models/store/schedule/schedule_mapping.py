"""A row of the calendar as its ScheduledTag: the same truth, in the form that clients read."""

from __future__ import annotations

from datetime import datetime

from models.resources.meta import ObjectMeta
from models.resources.schedule import ScheduledTag, ScheduledTagSpec, ScheduledTagStatus
from models.store.schedule.schedule_list import CHECKING, Entry


def view_entry(entry: Entry, now: datetime) -> ScheduledTag:
    """The ScheduledTag of a row. It carries its stream's labels, uid and age."""
    row = entry.row
    waits = row.due is not None and not row.suspended
    late = max(0, int((now - row.due).total_seconds())) if waits and row.due is not None else 0
    return ScheduledTag(
        metadata=ObjectMeta(
            name=f"{row.stream}:{row.tag}",
            namespace=row.namespace,
            uid=entry.uid,
            creation_timestamp=entry.created,
            labels=entry.labels,
        ),
        spec=ScheduledTagSpec(
            stream=row.stream,
            tag=row.tag,
            registry=row.host,
            source=row.source,
            interval=format_interval(row.interval) if row.scheduled else "",
            interval_seconds=row.interval if row.scheduled else 0,
            scheduled=row.scheduled,
            suspended=row.suspended,
        ),
        status=ScheduledTagStatus(
            decision=CHECKING if entry.taken else row.decision,
            reason=row.reason,
            message=row.message,
            due=row.due,
            next_look=None if entry.taken else row.next_look,
            checked=row.checked,
            decided=row.decided,
            failures=row.failures,
            waited_seconds=row.waited,
            lateness_seconds=late,
        ),
    )


def format_interval(seconds: int) -> str:
    """`15m0s`, as Go prints a duration."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest}s"
    if minutes or hours:
        text = f"{minutes}m{text}"
    return f"{hours}h{text}" if hours else text
