"""Jobs: created on the counter, claimed by one worker, finished by the attempt that holds them.

The row is the truth. A lease that ran out frees a job for the next worker, and the number of the
attempt keeps the former one from writing. Whatever clients can see of it is a change; the counter
of changes is locked before any job's row.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import and_, delete, func, or_, select, tuple_, update
from sqlalchemy.orm import Session

from models.errors import (
    AlreadyExistsError,
    LeaseLostError,
    NotFoundError,
)
from models.job_resource import view_job
from models.job_types import Job, JobRequest, JobResult, JobState
from models.store.access.namespace_store import ensure_namespace
from models.store.changes.change_log import Change, Verb, lock_counter, record_changes
from models.store.changes.object_snapshots import Key, count_objects
from models.store.database.bulk_statements import in_chunks, insert_into, table_of
from models.store.jobs.job_mapping import (
    JOB_COLUMNS,
    KIND,
    add_child,
    build_job,
    cancelled_values,
    dedupe_key,
    outcome_of_children,
    request_values,
    result_document,
)
from models.store.jobs.reimport_children import cancel_queued
from models.store.tables.jobs import JobRow

SYNC_GROUP = "sync.tagstream.io"
_JOBS = select(*JOB_COLUMNS)
_OPEN = (JobState.QUEUED, JobState.RUNNING)


def create_job(session: Session, request: JobRequest, *, now: datetime) -> Job:
    """Put a job on record; or, where the request allows it, the equal one that is still queued.

    AlreadyExistsError where another job of the namespace has the name that was asked for.
    """
    ensure_namespace(session, request.namespace, now=now)
    lock_counter(session)
    job_id = uuid4()
    values: dict[str, Any] = {"id": job_id, "state": JobState.QUEUED.value, "created": now}
    values |= request_values(request)
    values["name"] = request.name or str(job_id)
    if request.coalesce:
        values["dedupe"] = dedupe_key(values)
        queued = session.execute(_JOBS.where(JobRow.dedupe == values["dedupe"])).one_or_none()
        if queued is not None:
            return build_job(queued)
    statement = insert_into(session, JobRow).values(**values).on_conflict_do_nothing()
    added = session.connection().execute(statement.returning(JobRow.id)).scalar_one_or_none()
    if added is None:
        raise AlreadyExistsError(resource="importjobs", name=values["name"], group=SYNC_GROUP)
    change = Change(KIND, values["name"], Verb.ADDED, request.namespace)
    return _write(session, job_id, [change], {}, now=now)


def claim_job(
    session: Session,
    job_id: UUID,
    *,
    worker: str,
    now: datetime,
    lease: timedelta,
    most_attempts: int = 0,
) -> Job | None:
    """Take a job that is queued, or whose lease has run out; None when there is nothing to do.

    One whose workers died `most_attempts` times (0: however often) is left for the sweep to end.
    """
    seen = load_job(session, job_id)
    if seen is None or not _is_free(seen, now):
        return None
    job = _hold(session, job_id)
    if job is None or not _is_free(job, now):
        return None
    if most_attempts and job.state is JobState.RUNNING and job.attempt >= most_attempts:
        return None
    if job.state is JobState.RUNNING and job.cancel_asked:
        _change(session, job, cancelled_values(now), now=now)
        return None
    claimed = {
        "state": JobState.RUNNING.value,
        "attempt": job.attempt + 1,
        "worker": worker,
        "started": job.started or now,
        "leased_until": now + lease,
        "dedupe": None,
    }
    return _change(session, job, claimed, now=now)


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
    seen = load_job(session, job_id)
    if seen is not None and (seen.done, seen.total) == (done, total):
        # Nothing that clients see: the other writers need not wait.
        renewal = (
            update(JobRow)
            .where(JobRow.id == job_id, JobRow.attempt == attempt)
            .where(JobRow.state == JobState.RUNNING.value)
            .values(leased_until=now + lease)
            .returning(JobRow.cancel_asked)
        )
        asked: bool | None = session.connection().execute(renewal).scalar_one_or_none()
        if asked is None:
            raise LeaseLostError
        return asked
    job = _hold(session, job_id)
    if job is None or job.attempt != attempt or job.state is not JobState.RUNNING:
        raise LeaseLostError
    told = {"done": done, "total": total, "leased_until": now + lease}
    return _change(session, job, told, now=now).cancel_asked


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
    end: dict[str, Any] = {
        "state": state.value,
        "with_errors": with_errors,
        "result": result_document(result),
        "answer": answer,
        "finished": now,
        "leased_until": None,
        "dedupe": None,
    }
    if state is JobState.SUCCEEDED:  # the progress told last is as old as a heartbeat
        end["done"] = end["total"] = result.imported + result.failed
    _change(session, _ours(session, job), end, now=now)


def release_job(session: Session, job: Job, *, now: datetime) -> None:
    """Put a job back on the counter, as a worker that stops does. LeaseLostError: not ours."""
    back = {"state": JobState.QUEUED.value, "leased_until": None, "worker": "", "knocked_at": now}
    _change(session, _ours(session, job), back, now=now)


def load_job(session: Session, job_id: UUID) -> Job | None:
    """The job as it stands."""
    row = session.execute(_JOBS.where(JobRow.id == job_id)).one_or_none()
    return None if row is None else build_job(row)


def find_job(
    session: Session, namespace: str, name: str, *, for_update: bool = False
) -> Job | None:
    """The job of that name; `for_update` keeps other writers waiting, of whatever."""
    wanted = _JOBS.where(JobRow.namespace == namespace, JobRow.name == name)
    if for_update:
        lock_counter(session)
        wanted = wanted.with_for_update()
    row = session.execute(wanted).one_or_none()
    return None if row is None else build_job(row)


def forget_job(session: Session, job_id: UUID, *, now: datetime) -> int:
    """Take a job off the record; the version of the deletion, 0: there is none.

    A worker that carries it finds its lease lost.
    """
    job = _hold(session, job_id)
    if job is None:
        return 0
    session.connection().execute(delete(JobRow).where(JobRow.id == job_id))
    before = view_job(job).wire()
    change = Change(KIND, job.request.name, Verb.DELETED, job.request.namespace, before)
    return record_changes(session, [change], now=now)


def page_jobs(
    session: Session,
    *,
    namespace: str | None = None,
    parent: UUID | None = None,
    stream: str | None = None,
    limit: int,
    after: Key | None = None,
) -> list[Job]:
    """A page of jobs in the order of namespace and name; `after` is the last one seen."""
    wanted = _JOBS.order_by(JobRow.namespace, JobRow.name).limit(limit)
    if namespace is not None:
        wanted = wanted.where(JobRow.namespace == namespace)
    if parent is not None:
        wanted = wanted.where(JobRow.parent == parent)
    if stream is not None:
        wanted = wanted.where(JobRow.stream == stream)
    if after is not None:
        same = and_(JobRow.namespace == after[0], JobRow.name > after[1])
        wanted = wanted.where(or_(JobRow.namespace > after[0], same))
    return [build_job(row) for row in session.execute(wanted)]


def count_jobs(session: Session, *, namespace: str | None = None, after: Key | None = None) -> int:
    """How many jobs lie behind `after`."""
    return count_objects(session, KIND, namespace=namespace, after=after)


def load_answer(session: Session, job_id: UUID) -> bytes | None:
    """The whole answer that was kept beside the job, if it was asked for."""
    return session.scalar(select(JobRow.answer).where(JobRow.id == job_id))


def list_jobs(
    session: Session,
    *,
    namespace: str | None = None,
    state: JobState | None = None,
    stream: str | None = None,
    parts: bool = True,
    limit: int = 50,
    after: Job | None = None,
) -> list[Job]:
    """A page of jobs, newest first; `after` is the last one of the page before.

    Without `parts`, a reimport of many streams is one job.
    """
    wanted = _JOBS.order_by(JobRow.created.desc(), JobRow.id.desc()).limit(limit)
    if namespace is not None:
        wanted = wanted.where(JobRow.namespace == namespace)
    if state is not None:
        wanted = wanted.where(JobRow.state == state.value)
    if stream is not None:
        wanted = wanted.where(JobRow.stream == stream)
    if not parts:
        wanted = wanted.where(JobRow.parent.is_(None))
    if after is not None:
        wanted = wanted.where(
            tuple_(JobRow.created, JobRow.id)
            < tuple_(after.created, after.id, types=[JobRow.created.type, JobRow.id.type])
        )
    return [build_job(row) for row in session.execute(wanted)]


def ask_cancel(session: Session, job_id: UUID, *, now: datetime) -> Job:
    """End a queued job at once; let the worker of a running one hear of it at its next renewal.

    An administrator's reimport passes the wish on to its children.
    """
    job = _hold(session, job_id)
    if job is None:
        raise NotFoundError(resource="jobs", name=str(job_id), group="")
    if job.state.is_final:
        return job
    if job.request.selector is not None:
        _ask(session, JobRow.id == job_id)
        cancel_queued(session, job_id, now=now)
        _ask(session, and_(JobRow.parent == job_id, JobRow.state == JobState.RUNNING.value))
        settle_parent(session, job_id, now=now)
    elif job.state is JobState.QUEUED:
        return _change(session, job, cancelled_values(now), now=now)
    else:
        _ask(session, JobRow.id == job_id)
    asked = load_job(session, job_id)
    assert asked is not None
    return asked


def settle_parent(session: Session, job_id: UUID, *, now: datetime) -> None:
    """Bring the job that stands for others up to where its children are."""
    job = _hold(session, job_id)
    if job is None or job.state.is_final:
        return
    counted = (
        select(JobRow.state, func.count()).where(JobRow.parent == job_id).group_by(JobRow.state)
    )
    states = {JobState(state): count for state, count in session.execute(counted)}
    total = sum(states.values())
    done = sum(count for state, count in states.items() if state.is_final)
    values: dict[str, Any] = {"done": done, "total": total}
    if done == total:
        columns = (JobRow.state, JobRow.with_errors, JobRow.result)
        children = session.execute(select(*columns).where(JobRow.parent == job_id))
        values |= outcome_of_children(states, children, cancelled=job.cancel_asked)
        values |= {"started": job.started or now, "finished": now}
    elif job.state is JobState.QUEUED:
        values |= {"state": JobState.RUNNING.value, "started": now}
    _change(session, job, values, now=now)


def dropped_jobs(
    session: Session, *, now: datetime, queued_before: datetime, limit: int
) -> list[Job]:
    """Queued jobs that nobody knocked for lately, and running ones whose lease has run out."""
    forgotten = and_(
        JobRow.state == JobState.QUEUED.value,
        func.coalesce(JobRow.knocked_at, JobRow.created) <= queued_before,
        JobRow.selector.is_(None),
    )
    lapsed = and_(JobRow.state == JobState.RUNNING.value, JobRow.leased_until <= now)
    wanted = _JOBS.where(or_(forgotten, lapsed)).order_by(JobRow.created, JobRow.id)
    return [build_job(row) for row in session.execute(wanted.limit(limit))]


def mark_knocked(session: Session, *job_ids: UUID, now: datetime) -> None:
    """Note that messages for the jobs went out."""
    for some in in_chunks(job_ids):
        told = update(JobRow).where(JobRow.id.in_(some)).values(knocked_at=now)
        session.connection().execute(told)


def _hold(session: Session, job_id: UUID) -> Job | None:
    """The job, locked until the transaction ends, and the counter before it."""
    lock_counter(session)
    row = session.execute(_JOBS.where(JobRow.id == job_id).with_for_update()).one_or_none()
    return None if row is None else build_job(row)


def _ours(session: Session, job: Job) -> Job:
    held = _hold(session, job.id)
    if held is None or held.attempt != job.attempt or held.state not in _OPEN:
        raise LeaseLostError
    return held


def _change(session: Session, job: Job, values: dict[str, Any], *, now: datetime) -> Job:
    """Write to a job that is held; its parent, if it has one, hears of its end."""
    request = job.request
    before = view_job(job).wire()
    change = Change(KIND, request.name, Verb.MODIFIED, request.namespace, before)
    changed = _write(session, job.id, [change], values, now=now)
    if request.parent is not None and changed.state.is_final:
        _tell_parent(session, request.parent, changed, now=now)
    return changed


def _tell_parent(session: Session, job_id: UUID, child: Job, *, now: datetime) -> None:
    """Count one child in. All of them are looked at only when it is the last one."""
    job = _hold(session, job_id)
    if job is None or job.state is not JobState.RUNNING or job.done + 1 >= job.total:
        settle_parent(session, job_id, now=now)
    else:
        _change(session, job, add_child(job, child), now=now)


def _write(
    session: Session, job_id: UUID, changes: list[Change], values: dict[str, Any], *, now: datetime
) -> Job:
    version = record_changes(session, changes, now=now)
    table = table_of(JobRow)
    written = update(table).where(table.c.id == job_id).values(version=version, **values)
    row = session.connection().execute(written.returning(*JOB_COLUMNS)).one()
    return build_job(row)


def _ask(session: Session, which: Any) -> None:
    session.connection().execute(update(JobRow).where(which).values(cancel_asked=True))


def _is_free(job: Job, now: datetime) -> bool:
    """Whether a worker may take it. Who stands for others has nothing to carry."""
    if job.request.selector is not None:
        return False
    lapsed = job.leased_until is not None and job.leased_until <= now
    return job.state is JobState.QUEUED or (job.state is JobState.RUNNING and lapsed)
