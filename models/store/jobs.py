"""Jobs: created on the counter, claimed by one worker, finished by the attempt that holds them.

The row is the truth. A lease that ran out frees a job for the next worker, and the number of the
attempt keeps the former one from writing.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, and_, func, or_, select, tuple_, update
from sqlalchemy.orm import Session

from models.errors import JobCancelledError, LeaseLostError, NotFoundError, status_of
from models.jobs import Job, JobRequest, JobResult, JobState
from models.store.bulk import insert_into
from models.store.job_rows import JOB_COLUMNS, build_job, request_values, result_document
from models.store.tables.jobs import JobRow

_JOBS = select(*JOB_COLUMNS)
_OPEN = (JobState.QUEUED.value, JobState.RUNNING.value)


def create_job(session: Session, request: JobRequest, *, now: datetime) -> Job:
    """Put a job on record; or, where the request allows it, the equal one that is still queued."""
    values = {"id": uuid4(), "state": JobState.QUEUED.value, "created": now}
    values |= request_values(request)
    if request.coalesce:
        values["dedupe"] = _dedupe_key(values)
    statement = insert_into(session, JobRow).values(**values).on_conflict_do_nothing()
    added = session.connection().execute(statement.returning(JobRow.id)).scalar_one_or_none()
    if added is None:
        queued = _JOBS.where(JobRow.dedupe == values["dedupe"])
        found = session.execute(queued.with_for_update()).one_or_none()
        if found is None:  # it left the queue in this very moment
            return create_job(session, request, now=now)
        return build_job(found)
    return Job(id=added, request=request, state=JobState.QUEUED, created=now)


def claim_job(
    session: Session, job_id: UUID, *, worker: str, now: datetime, lease: timedelta
) -> Job | None:
    """Take a job that is queued, or whose lease has run out; None when there is nothing to do."""
    lapsed = and_(JobRow.state == JobState.RUNNING.value, JobRow.leased_until <= now)
    free = or_(JobRow.state == JobState.QUEUED.value, lapsed)
    stopped = update(JobRow).where(JobRow.id == job_id, lapsed, JobRow.cancel_asked)
    session.connection().execute(stopped.values(**_cancelled(now)))
    claim = (
        update(JobRow)
        .where(JobRow.id == job_id, free)
        .values(
            state=JobState.RUNNING.value,
            attempt=JobRow.attempt + 1,
            worker=worker,
            started=func.coalesce(JobRow.started, now),
            leased_until=now + lease,
            dedupe=None,
        )
    )
    row = session.connection().execute(claim.returning(*JOB_COLUMNS)).one_or_none()
    return None if row is None else build_job(row)


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
    """Keep a job for another lease and tell its progress; whether somebody asked it to stop."""
    renewal = (
        update(JobRow)
        .where(JobRow.id == job_id, JobRow.attempt == attempt)
        .where(JobRow.state == JobState.RUNNING.value)
        .values(done=done, total=total, leased_until=now + lease)
    )
    asked: bool | None = (
        session.connection().execute(renewal.returning(JobRow.cancel_asked)).scalar_one_or_none()
    )
    if asked is None:
        raise LeaseLostError
    return asked


def finish_job(
    session: Session,
    job: Job,
    *,
    state: JobState,
    result: JobResult,
    with_errors: bool,
    answer: bytes | None,
    now: datetime,
) -> None:
    """Write a job's end, in the transaction of what it did. LeaseLostError: it is not ours."""
    _leave(
        session,
        job,
        state=state.value,
        with_errors=with_errors,
        result=result_document(result),
        answer=answer,
        finished=now,
        leased_until=None,
        dedupe=None,
    )


def release_job(session: Session, job: Job, *, now: datetime) -> None:
    """Put a job back on the counter, as a worker that stops does. LeaseLostError: not ours."""
    _leave(session, job, state=JobState.QUEUED.value, leased_until=None, worker="", knocked_at=now)


def load_job(session: Session, job_id: UUID) -> Job | None:
    """The job as it stands."""
    row = session.execute(_JOBS.where(JobRow.id == job_id)).one_or_none()
    return None if row is None else build_job(row)


def load_answer(session: Session, job_id: UUID) -> bytes | None:
    """The whole answer that was kept beside the job, if it was asked for."""
    return session.scalar(select(JobRow.answer).where(JobRow.id == job_id))


def list_jobs(
    session: Session,
    *,
    namespace: str | None = None,
    state: JobState | None = None,
    stream: str | None = None,
    limit: int = 50,
    after: Job | None = None,
) -> list[Job]:
    """A page of jobs, newest first; `after` is the last one of the page before."""
    wanted = _JOBS.order_by(JobRow.created.desc(), JobRow.id.desc()).limit(limit)
    if namespace is not None:
        wanted = wanted.where(JobRow.namespace == namespace)
    if state is not None:
        wanted = wanted.where(JobRow.state == state.value)
    if stream is not None:
        wanted = wanted.where(JobRow.stream == stream)
    if after is not None:
        wanted = wanted.where(
            tuple_(JobRow.created, JobRow.id)
            < tuple_(after.created, after.id, types=[JobRow.created.type, JobRow.id.type])
        )
    return [build_job(row) for row in session.execute(wanted)]


def ask_cancel(session: Session, job_id: UUID, *, now: datetime) -> Job:
    """End a queued job at once; let the worker of a running one hear of it at its next renewal."""
    connection = session.connection()
    mine = update(JobRow).where(JobRow.id == job_id)
    queued = mine.where(JobRow.state == JobState.QUEUED.value).values(**_cancelled(now))
    if connection.execute(queued).rowcount == 0:
        running = mine.where(JobRow.state == JobState.RUNNING.value)
        connection.execute(running.values(cancel_asked=True))
    job = load_job(session, job_id)
    if job is None:
        raise NotFoundError(resource="jobs", name=str(job_id), group="")
    return job


def dropped_jobs(
    session: Session, *, now: datetime, queued_before: datetime, limit: int
) -> list[Job]:
    """Queued jobs that nobody knocked for lately, and running ones whose lease has run out."""
    forgotten = and_(
        JobRow.state == JobState.QUEUED.value,
        func.coalesce(JobRow.knocked_at, JobRow.created) <= queued_before,
    )
    lapsed = and_(JobRow.state == JobState.RUNNING.value, JobRow.leased_until <= now)
    wanted = _JOBS.where(or_(forgotten, lapsed)).order_by(JobRow.created, JobRow.id)
    return [build_job(row) for row in session.execute(wanted.limit(limit))]


def mark_knocked(session: Session, job_id: UUID, *, now: datetime) -> None:
    """Note that a message for the job went out."""
    session.connection().execute(update(JobRow).where(JobRow.id == job_id).values(knocked_at=now))


def _leave(session: Session, job: Job, **values: Any) -> None:
    mine: ColumnElement[bool] = and_(JobRow.id == job.id, JobRow.attempt == job.attempt)
    statement = update(JobRow).where(mine, JobRow.state.in_(_OPEN)).values(**values)
    if session.connection().execute(statement).rowcount != 1:
        raise LeaseLostError


def _cancelled(now: datetime) -> dict[str, Any]:
    return {
        "state": JobState.CANCELLED.value,
        "with_errors": True,
        "result": result_document(JobResult(error=status_of(JobCancelledError()))),
        "finished": now,
        "leased_until": None,
        "dedupe": None,
    }


def _dedupe_key(values: dict[str, Any]) -> str:
    """What a job asks for, and by whom: equal keys are equal wishes."""
    asked = {
        name: values[name]
        for name in ("namespace", "stream", "lane", "asker", "asked_by", "request", "max_tags")
    }
    asked["wants_answer"] = values["wants_answer"]
    text = json.dumps(asked, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
