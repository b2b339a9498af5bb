"""Updates of the schedule in the transaction that writes a stream or the result of an import.

Writers decide what is checked; the scheduler decides when. A writer that changes a row takes it
from the worker that may be checking it: the result of that check is discarded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, bindparam, delete, select, update
from sqlalchemy.orm import Session

from models.job_types import TargetOutcome, TargetResult
from models.resources.stream import ImageStream
from models.store.database.bulk_statements import AnyRow, in_chunks, insert_into, table_of
from models.store.schedule.schedule_claims import load_sibling_due_times
from models.store.schedule.schedule_locks import lock_schedule_rows
from models.store.tables.schedule import ScheduledTagRow
from models.store.tables.streams import StreamRow
from models.streams.schedule.check_schedule import (
    JITTER_RATIO,
    Cadence,
    DesiredCheck,
    RetryClass,
    ScheduleReason,
    aligned_due_time,
    build_desired_check,
    classify_failure,
    next_due_time,
    retry_due_time,
    schedule_changes,
)

_TABLE = table_of(ScheduledTagRow)
MAX_CHECK_MESSAGE_LENGTH = 512
_SELECT_STREAM_ROWS = (
    select(
        ScheduledTagRow.id,
        ScheduledTagRow.tag,
        ScheduledTagRow.host,
        ScheduledTagRow.key,
        ScheduledTagRow.scheduled,
        ScheduledTagRow.suspended,
        ScheduledTagRow.requested_interval,
        ScheduledTagRow.needs_due_time,
        ScheduledTagRow.due_at,
        ScheduledTagRow.consecutive_failures,
        ScheduledTagRow.reason,
        ScheduledTagRow.last_transition_at,
    )
    .where(ScheduledTagRow.stream_id == bindparam("its_stream"))
    .order_by(ScheduledTagRow.id)
)
_SETTLE = (
    update(_TABLE)
    .where(_TABLE.c.id == bindparam("its_id"))
    .values(
        {
            name: bindparam(name, type_=_TABLE.c[name].type)
            for name in (
                "needs_due_time",
                "due_at",
                "next_check_at",
                "last_check_at",
                "consecutive_failures",
                "last_outcome",
                "reason",
                "error_code",
                "message",
                "last_transition_at",
                "wait_seconds",
                "batch",
                "worker",
            )
        }
    )
)


def save_schedule(
    session: Session,
    stream_id: int,
    old: ImageStream | None,
    new: ImageStream,
    *,
    now: datetime,
) -> None:
    """Update the schedule for a written stream: usually nothing changes (scheduling-1.2)."""
    changes = schedule_changes(old, new)
    if old is not None:
        lock_schedule_rows(session, old.metadata.namespace, old.metadata.name, changes)
    removed = [tag for tag, desired in changes.items() if desired is None]
    for tags in in_chunks(removed):
        is_removed = and_(ScheduledTagRow.stream_id == stream_id, ScheduledTagRow.tag.in_(tags))
        session.connection().execute(delete(ScheduledTagRow).where(is_removed))
    desired_checks = {tag: desired for tag, desired in changes.items() if desired is not None}
    if not desired_checks:
        return
    metadata = new.metadata
    stream_values = {
        "stream_id": stream_id,
        "namespace": metadata.namespace,
        "stream": metadata.name,
    }
    rows = [
        {**stream_values, **new_row_values(tag, desired, now=now, scheduled=True)}
        for tag, desired in desired_checks.items()
    ]
    insert = insert_into(session, ScheduledTagRow)
    updated_columns = (
        "host",
        "key",
        "source",
        "insecure",
        "scheduled",
        "suspended",
        "requested_interval",
        "needs_due_time",
        "next_check_at",
        "reason",
        "message",
        "last_transition_at",
        "batch",
        "worker",
    )
    upsert = insert.on_conflict_do_update(
        index_elements=[ScheduledTagRow.stream_id, ScheduledTagRow.tag],
        set_={name: insert.excluded[name] for name in updated_columns},
    )
    session.connection().execute(upsert, rows)


def new_row_values(
    tag: str, desired: DesiredCheck, *, now: datetime, scheduled: bool
) -> dict[str, Any]:
    """Return a row without a due time: the scheduler sets that at its next tick."""
    return {
        "tag": tag,
        "host": desired.host,
        "key": desired.key,
        "source": desired.source,
        "insecure": desired.insecure,
        "scheduled": scheduled,
        "suspended": desired.suspended,
        "requested_interval": desired.requested_interval,
        "needs_due_time": True,
        "due_at": None,
        "next_check_at": None if desired.suspended else now,
        "last_check_at": None,
        "consecutive_failures": 0,
        "last_outcome": "",
        "reason": ScheduleReason.SUSPENDED if desired.suspended else ScheduleReason.PENDING,
        "error_code": "",
        "message": "",
        "last_transition_at": now,
        "wait_seconds": 0,
        "etag": "",
        "batch": None,
        "worker": "",
    }


def settle_import(
    session: Session,
    stream: ImageStream,
    targets: Iterable[TargetResult],
    *,
    cadence: Cadence,
    now: datetime,
    wait_seconds: Mapping[str, int] | None = None,
) -> None:
    """Record how an import of a stream ended, tag by tag: it counts as a check (scheduling-2.6).

    A tag that is not scheduled, and whose import failed in a way that may pass, is retried too
    (scheduling-1.4). `wait_seconds` is how long a check waited for its registry, by tag. The
    caller has locked the rows before it recorded the change.
    """
    results = {target.to: target for target in targets if target.to}
    if not results:
        return
    metadata = stream.metadata
    is_stream = and_(StreamRow.namespace == metadata.namespace, StreamRow.name == metadata.name)
    stream_id = session.connection().execute(select(StreamRow.id).where(is_stream)).scalar()
    if stream_id is None:
        return
    rows = session.connection().execute(_SELECT_STREAM_ROWS, {"its_stream": stream_id}).all()
    stored_rows = {row.tag: row for row in rows}
    matched = [(stored_rows[tag], target) for tag, target in results.items() if tag in stored_rows]
    finished_ids = [
        row.id for row, target in matched if not row.scheduled and not _may_recover(target)
    ]
    for ids in in_chunks(finished_ids):
        session.connection().execute(delete(ScheduledTagRow).where(ScheduledTagRow.id.in_(ids)))
    wait_seconds = wait_seconds or {}
    keys = {
        row.key for row, target in matched if row.needs_due_time and row.scheduled and target.image
    }
    siblings = load_sibling_due_times(session, keys)
    values = [
        {
            "its_id": row.id,
            **_settled_values(
                row,
                target,
                cadence=cadence,
                now=now,
                wait_seconds=wait_seconds.get(row.tag, 0),
                sibling=siblings.get(row.key) if row.needs_due_time else None,
            ),
        }
        for row, target in matched
        if row.scheduled or _may_recover(target)
    ]
    if values:
        session.connection().execute(_SETTLE, values)
    new_failures = {
        tag: result
        for tag, result in results.items()
        if tag not in stored_rows and _may_recover(result)
    }
    if new_failures:
        _insert_failed(session, stream_id, stream, new_failures, cadence=cadence, now=now)


def _may_recover(target: TargetResult) -> bool:
    """Return whether a target may succeed later without an edit of its spec."""
    if target.image:
        return False
    return classify_failure(target.code) in {RetryClass.SOON, RetryClass.ON_CREDENTIAL_CHANGE}


def _settled_values(
    row: AnyRow,
    target: TargetResult,
    *,
    cadence: Cadence,
    now: datetime,
    wait_seconds: int,
    sibling: datetime | None,
) -> dict[str, Any]:
    """Return the columns of a row whose tag was just imported."""
    interval = cadence.interval(row.requested_interval, row.host)
    consecutive_failures = 0 if target.image else row.consecutive_failures + 1
    retry_class = classify_failure(target.code)
    if target.image:
        # A due time that has passed is the base of the next one, so that due times do not drift.
        # One still ahead is dropped: this import took its place, and the base is now.
        due_time = row.due_at if row.due_at is not None and row.due_at <= now else now
        due_at: datetime | None = next_due_time(row.key, due_time, now, interval)
        if sibling is not None:
            not_before = now + timedelta(seconds=interval * (1 - JITTER_RATIO))
            aligned = aligned_due_time(row.key, sibling, not_before=not_before, interval=interval)
            due_at = aligned or due_at
        is_unchanged = target.outcome is TargetOutcome.UNCHANGED
        reason: str = ScheduleReason.UNCHANGED if is_unchanged else ScheduleReason.UPDATED
    else:
        reason = target.reason or ScheduleReason.FAILED
        due_at = retry_due_time(
            row.key,
            retry_class,
            consecutive_failures=consecutive_failures,
            now=now,
            interval=interval,
        )
        if not row.scheduled and retry_class is not RetryClass.SOON:
            due_at = None  # until the credentials change
    if row.suspended:
        due_at = None
    return {
        "needs_due_time": False,
        "due_at": due_at,
        "next_check_at": due_at,
        "last_check_at": now,
        "consecutive_failures": consecutive_failures,
        "last_outcome": target.outcome,
        "reason": reason,
        "error_code": target.code if not target.image else "",
        "message": target.message[:MAX_CHECK_MESSAGE_LENGTH],
        "last_transition_at": row.last_transition_at if reason == row.reason else now,
        "wait_seconds": wait_seconds,
        "batch": None,
        "worker": "",
    }


def _insert_failed(
    session: Session,
    stream_id: int,
    stream: ImageStream,
    results: Mapping[str, TargetResult],
    *,
    cadence: Cadence,
    now: datetime,
) -> None:
    """Insert rows for tags that are not scheduled and whose import failed for now."""
    metadata = stream.metadata
    rows: list[dict[str, Any]] = []
    for tag in stream.spec.tags:
        target = results.get(tag.name)
        desired = build_desired_check(stream, tag) if target is not None else None
        if target is None or desired is None:
            continue
        retry_class = classify_failure(target.code)
        retry_time = retry_due_time(
            desired.key,
            retry_class,
            consecutive_failures=1,
            now=now,
            interval=cadence.interval(None, desired.host),
        )
        due_at = retry_time if retry_class is RetryClass.SOON else None
        rows.append(
            {
                **new_row_values(tag.name, desired, now=now, scheduled=False),
                "stream_id": stream_id,
                "namespace": metadata.namespace,
                "stream": metadata.name,
                "suspended": False,
                "needs_due_time": False,
                "due_at": due_at,
                "next_check_at": due_at,
                "last_check_at": now,
                "consecutive_failures": 1,
                "last_outcome": TargetOutcome.FAILED,
                "reason": target.reason or ScheduleReason.FAILED,
                "error_code": target.code,
                "message": target.message[:MAX_CHECK_MESSAGE_LENGTH],
            }
        )
    if rows:
        statement = insert_into(session, ScheduledTagRow).on_conflict_do_nothing()
        session.connection().execute(statement, rows)
