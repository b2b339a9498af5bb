"""Jobs: created in the queue, claimed by one worker, finished by the attempt that holds the lease.

The row is authoritative. When a lease expires, the next worker may claim the job, and the attempt
number keeps the former worker from writing (fencing). Whatever clients can see of a job is recorded
as a change. The version sequence is locked before any job row.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import and_, delete, func, select, update
from sqlalchemy.orm import Session

from models.errors import (
    AlreadyExistsError,
    LeaseLostError,
    NotFoundError,
)
from models.job_resource import build_import_job
from models.job_types import Job, JobRequest, JobResult, JobState
from models.store.access.namespace_store import ensure_namespace
from models.store.changes.change_log import Change, Verb, lock_version_sequence, record_changes
from models.store.database.bulk_statements import in_chunks, insert_into, table_of
from models.store.jobs.job_mapping import (
    JOB_COLUMNS,
    JOB_KIND,
    SELECT_JOBS,
    add_child_values,
    build_job,
    cancelled_values,
    dedupe_key,
    final_parent_values,
    request_values,
    result_document,
)
from models.store.jobs.reimport_children import cancel_queued
from models.store.tables.jobs import JobRow

SYNC_GROUP = "sync.tagstream.io"
_UNFINISHED = (JobState.QUEUED, JobState.RUNNING)


def create_job(session: Session, request: JobRequest, *, now: datetime) -> Job:
    """Create a job, or return the equal one that is still queued (scheduling-10.4).

    The latter only if the request allows it (`coalesce`). Raise AlreadyExistsError when another job
    of the namespace has the requested name.
    """
    ensure_namespace(session, request.namespace, now=now)
    lock_version_sequence(session)
    job_id = uuid4()
    values: dict[str, Any] = {"id": job_id, "state": JobState.QUEUED.value, "created_at": now}
    values |= request_values(request)
    values["name"] = request.name or str(job_id)
    if request.coalesce:
        values["dedupe_key"] = dedupe_key(values)
        queued = session.execute(
            SELECT_JOBS.where(JobRow.dedupe_key == values["dedupe_key"])
        ).one_or_none()
        if queued is not None:
            return build_job(queued)
    statement = insert_into(session, JobRow).values(**values).on_conflict_do_nothing()
    inserted_id = session.connection().execute(statement.returning(JobRow.id)).scalar_one_or_none()
    if inserted_id is None:
        raise AlreadyExistsError(resource="importjobs", name=values["name"], group=SYNC_GROUP)
    change = Change(JOB_KIND, values["name"], Verb.ADDED, request.namespace)
    return _write_job(session, job_id, [change], {}, now=now)


def claim_job(
    session: Session,
    job_id: UUID,
    *,
    worker: str,
    now: datetime,
    lease: timedelta,
    max_attempts: int = 0,
) -> Job | None:
    """Claim a job that is queued, or whose lease has expired (scheduling-10.5).

    Return None when there is nothing to do. A job whose workers died `max_attempts` times (0: no
    limit) is left for the reaper to fail. The check runs once without a lock, so that a message
    that is delivered twice does not queue up behind the writers.
    """
    unlocked = load_job(session, job_id)
    if unlocked is None or not _is_claimable(unlocked, now):
        return None
    job = _lock_job(session, job_id)
    if job is None or not _is_claimable(job, now):
        return None
    if max_attempts and job.state is JobState.RUNNING and job.attempt >= max_attempts:
        return None
    if job.state is JobState.RUNNING and job.cancel_requested:
        _update_job(session, job, cancelled_values(now), now=now)
        return None
    values = {
        "state": JobState.RUNNING.value,
        "attempt": job.attempt + 1,
        "worker": worker,
        "started_at": job.started or now,
        "leased_until": now + lease,
        "dedupe_key": None,
    }
    return _update_job(session, job, values, now=now)


def renew_job(
    session: Session,
    job_id: UUID,
    attempt: int,
    *,
    done: int,
    total: int,
    now: datetime,
    lease: timedelta,
) -> bool:
    """Renew the lease of a job and save its progress; return whether it is to be cancelled.

    Raise LeaseLostError when another attempt holds the job, or it is no longer running. A renewal
    without progress changes nothing that clients see, so it does not lock the version sequence.
    """
    unlocked = load_job(session, job_id)
    if unlocked is not None and (unlocked.done, unlocked.total) == (done, total):
        # Nothing that clients see, so the version sequence need not be locked.
        statement = (
            update(JobRow)
            .where(JobRow.id == job_id, JobRow.attempt == attempt)
            .where(JobRow.state == JobState.RUNNING.value)
            .values(leased_until=now + lease)
            .returning(JobRow.cancel_requested)
        )
        cancel_requested: bool | None = session.connection().execute(statement).scalar_one_or_none()
        if cancel_requested is None:
            raise LeaseLostError
        return cancel_requested
    job = _lock_job(session, job_id)
    if job is None or job.attempt != attempt or job.state is not JobState.RUNNING:
        raise LeaseLostError
    values = {"done": done, "total": total, "leased_until": now + lease}
    return _update_job(session, job, values, now=now).cancel_requested


def finish_job(
    session: Session,
    job: Job,
    *,
    state: JobState,
    result: JobResult,
    with_errors: bool,
    response: bytes | None,
    now: datetime,
) -> None:
    """Save how a job ended, in the transaction of what it did.

    Raise LeaseLostError when the job belongs to another attempt.
    """
    values: dict[str, Any] = {
        "state": state.value,
        "with_errors": with_errors,
        "result": result_document(result),
        "response": response,
        "finished_at": now,
        "leased_until": None,
        "dedupe_key": None,
    }
    if state is not JobState.CANCELLED and result.error is None:
        # The import ran to its end; the saved progress is as old as the last heartbeat.
        values["done"] = values["total"] = result.tags_imported + result.tags_failed
    _update_job(session, _lock_own_job(session, job), values, now=now)


def release_job(session: Session, job: Job, *, now: datetime) -> None:
    """Return a job to the queue, as a worker that stops does.

    Raise LeaseLostError when the job belongs to another attempt.
    """
    values = {
        "state": JobState.QUEUED.value,
        "leased_until": None,
        "worker": "",
        "published_at": now,
    }
    _update_job(session, _lock_own_job(session, job), values, now=now)


def load_job(session: Session, job_id: UUID) -> Job | None:
    """Return the job in its current state."""
    row = session.execute(SELECT_JOBS.where(JobRow.id == job_id)).one_or_none()
    return None if row is None else build_job(row)


def load_job_by_name(
    session: Session, namespace: str, name: str, *, for_update: bool = False
) -> Job | None:
    """Return the job of that name; with `for_update`, block every other writer of changes."""
    query = SELECT_JOBS.where(JobRow.namespace == namespace, JobRow.name == name)
    if for_update:
        lock_version_sequence(session)
        query = query.with_for_update()
    row = session.execute(query).one_or_none()
    return None if row is None else build_job(row)


def delete_job(session: Session, job_id: UUID, *, now: datetime) -> int:
    """Delete a job; return the version of the deletion, 0 if there is no such job.

    A worker that runs the job loses its lease.
    """
    job = _lock_job(session, job_id)
    if job is None:
        return 0
    session.connection().execute(delete(JobRow).where(JobRow.id == job_id))
    before = build_import_job(job).wire()
    change = Change(JOB_KIND, job.request.name, Verb.DELETED, job.request.namespace, before)
    return record_changes(session, [change], now=now)


def request_cancel(session: Session, job_id: UUID, *, now: datetime) -> Job:
    """Cancel a queued job at once; let the worker of a running one learn it at its next renewal.

    A reimport passes the request on to its children. Raise NotFoundError when there is no such job.
    """
    job = _lock_job(session, job_id)
    if job is None:
        raise NotFoundError(resource="jobs", name=str(job_id), group="")
    if job.state.is_final:
        return job
    if job.request.selector is not None:
        _mark_cancel_requested(session, JobRow.id == job_id)
        cancel_queued(session, job_id, now=now)
        _mark_cancel_requested(
            session, and_(JobRow.parent == job_id, JobRow.state == JobState.RUNNING.value)
        )
        update_parent(session, job_id, now=now)
    elif job.state is JobState.QUEUED:
        return _update_job(session, job, cancelled_values(now), now=now)
    else:
        _mark_cancel_requested(session, JobRow.id == job_id)
    updated = load_job(session, job_id)
    assert updated is not None
    return updated


def update_parent(session: Session, job_id: UUID, *, now: datetime) -> None:
    """Update a parent job from the states of its children."""
    job = _lock_job(session, job_id)
    if job is None or job.state.is_final:
        return
    query = select(JobRow.state, func.count()).where(JobRow.parent == job_id).group_by(JobRow.state)
    states = {JobState(state): count for state, count in session.execute(query)}
    total = sum(states.values())
    done = sum(count for state, count in states.items() if state.is_final)
    values: dict[str, Any] = {"done": done, "total": total}
    if done == total:
        columns = (JobRow.state, JobRow.with_errors, JobRow.result)
        children = session.execute(select(*columns).where(JobRow.parent == job_id))
        values |= final_parent_values(states, children, cancelled=job.cancel_requested)
        values |= {"started_at": job.started or now, "finished_at": now}
    elif job.state is JobState.QUEUED:
        values |= {"state": JobState.RUNNING.value, "started_at": now}
    _update_job(session, job, values, now=now)


def mark_published(session: Session, *job_ids: UUID, now: datetime) -> None:
    """Record that messages for the jobs were published at `now`."""
    for chunk in in_chunks(job_ids):
        statement = update(JobRow).where(JobRow.id.in_(chunk)).values(published_at=now)
        session.connection().execute(statement)


def _lock_job(session: Session, job_id: UUID) -> Job | None:
    """Lock the version sequence, then the job, until the transaction ends; return the job."""
    lock_version_sequence(session)
    row = session.execute(SELECT_JOBS.where(JobRow.id == job_id).with_for_update()).one_or_none()
    return None if row is None else build_job(row)


def _lock_own_job(session: Session, job: Job) -> Job:
    locked = _lock_job(session, job.id)
    if locked is None or locked.attempt != job.attempt or locked.state not in _UNFINISHED:
        raise LeaseLostError
    return locked


def _update_job(session: Session, job: Job, values: dict[str, Any], *, now: datetime) -> Job:
    """Update a job that is locked; report its end to its parent, if it has one."""
    request = job.request
    before = build_import_job(job).wire()
    change = Change(JOB_KIND, request.name, Verb.MODIFIED, request.namespace, before)
    updated = _write_job(session, job.id, [change], values, now=now)
    if request.parent is not None and updated.state.is_final:
        _report_to_parent(session, request.parent, updated, now=now)
    return updated


def _report_to_parent(session: Session, job_id: UUID, child: Job, *, now: datetime) -> None:
    """Add one child's result to the parent. All children are read only when it is the last one."""
    job = _lock_job(session, job_id)
    if job is None or job.state is not JobState.RUNNING or job.done + 1 >= job.total:
        update_parent(session, job_id, now=now)
    else:
        _update_job(session, job, add_child_values(job, child), now=now)


def _write_job(
    session: Session, job_id: UUID, changes: list[Change], values: dict[str, Any], *, now: datetime
) -> Job:
    version = record_changes(session, changes, now=now)
    table = table_of(JobRow)
    statement = update(table).where(table.c.id == job_id).values(version=version, **values)
    row = session.connection().execute(statement.returning(*JOB_COLUMNS)).one()
    return build_job(row)


def _mark_cancel_requested(session: Session, condition: Any) -> None:
    session.connection().execute(update(JobRow).where(condition).values(cancel_requested=True))


def _is_claimable(job: Job, now: datetime) -> bool:
    """Return whether a worker may run the job. A parent job has nothing to run."""
    if job.request.selector is not None:
        return False
    is_lease_expired = job.leased_until is not None and job.leased_until <= now
    return job.state is JobState.QUEUED or (job.state is JobState.RUNNING and is_lease_expired)
