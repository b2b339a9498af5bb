"""Conversion of a schedule row to the ScheduledTag that clients read."""

from __future__ import annotations

from datetime import datetime

from models.resources.meta import ObjectMeta
from models.resources.schedule import ScheduledTag, ScheduledTagSpec, ScheduledTagStatus
from models.store.schedule.schedule_list import ScheduleListEntry
from models.streams.schedule.check_schedule import ScheduleReason


def build_scheduled_tag(entry: ScheduleListEntry, now: datetime) -> ScheduledTag:
    """Build the ScheduledTag of a row, with its stream's labels, uid and age (scheduling-9.1)."""
    row = entry.schedule
    lateness_seconds = 0
    if row.due_at is not None and not row.suspended:
        lateness_seconds = max(0, int((now - row.due_at).total_seconds()))
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
            scheduled=row.scheduled,
            suspended=row.suspended,
        ),
        status=ScheduledTagStatus(
            outcome=row.last_outcome,
            reason=ScheduleReason.CHECKING.value if entry.is_claimed else row.reason,
            message=row.message,
            scheduled_time=row.due_at,
            next_check_time=None if entry.is_claimed else row.next_check_at,
            last_check_time=row.last_check_at,
            last_transition_time=row.last_transition_at,
            consecutive_failures=row.consecutive_failures,
            wait_duration=format_interval(row.wait_seconds) if row.wait_seconds else "",
            lateness=format_interval(lateness_seconds) if lateness_seconds else "",
        ),
    )


def format_interval(seconds: int) -> str:
    """Format seconds as Go prints a duration, such as `15m0s`."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest}s"
    if minutes or hours:
        text = f"{minutes}m{text}"
    return f"{hours}h{text}" if hours else text
