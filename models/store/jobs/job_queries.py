"""Queries of jobs: pages for clients, and the jobs that the reaper has to publish again."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import and_, func, or_, select, tuple_
from sqlalchemy.orm import Session

from models.job_types import Job, JobState
from models.store.changes.object_snapshots import ObjectKey, count_objects
from models.store.jobs.job_mapping import JOB_KIND, SELECT_JOBS, build_job
from models.store.tables.jobs import JobRow


def list_jobs_by_name(
    session: Session,
    *,
    namespace: str | None = None,
    parent: UUID | None = None,
    stream: str | None = None,
    limit: int,
    after: ObjectKey | None = None,
) -> list[Job]:
    """Return a page of jobs in the order of namespace and name; `after` is the last one seen."""
    query = SELECT_JOBS.order_by(JobRow.namespace, JobRow.name).limit(limit)
    if namespace is not None:
        query = query.where(JobRow.namespace == namespace)
    if parent is not None:
        query = query.where(JobRow.parent == parent)
    if stream is not None:
        query = query.where(JobRow.stream == stream)
    if after is not None:
        is_later_in_namespace = and_(JobRow.namespace == after[0], JobRow.name > after[1])
        query = query.where(or_(JobRow.namespace > after[0], is_later_in_namespace))
    return [build_job(row) for row in session.execute(query)]


def count_jobs(
    session: Session, *, namespace: str | None = None, after: ObjectKey | None = None
) -> int:
    """Count the jobs after the key `after`."""
    return count_objects(session, JOB_KIND, namespace=namespace, after=after)


def load_job_response(session: Session, job_id: UUID) -> bytes | None:
    """Return the complete ImageStreamImport response stored with the job, if it was requested."""
    return session.scalar(select(JobRow.response).where(JobRow.id == job_id))


def list_jobs(
    session: Session,
    *,
    namespace: str | None = None,
    state: JobState | None = None,
    stream: str | None = None,
    include_children: bool = True,
    limit: int = 50,
    after: Job | None = None,
) -> list[Job]:
    """Return a page of jobs, newest first; `after` is the last one of the page before.

    Without `include_children`, a reimport of many streams is one job.
    """
    query = SELECT_JOBS.order_by(JobRow.created_at.desc(), JobRow.id.desc()).limit(limit)
    if namespace is not None:
        query = query.where(JobRow.namespace == namespace)
    if state is not None:
        query = query.where(JobRow.state == state.value)
    if stream is not None:
        query = query.where(JobRow.stream == stream)
    if not include_children:
        query = query.where(JobRow.parent.is_(None))
    if after is not None:
        query = query.where(
            tuple_(JobRow.created_at, JobRow.id)
            < tuple_(after.created, after.id, types=[JobRow.created_at.type, JobRow.id.type])
        )
    return [build_job(row) for row in session.execute(query)]


def list_abandoned_jobs(
    session: Session, *, now: datetime, published_before: datetime, limit: int
) -> list[Job]:
    """Return the jobs that the reaper has to publish again, oldest first.

    Those are queued jobs last published before `published_before`, and running jobs whose lease has
    expired. A parent job is never published.
    """
    is_unpublished = and_(
        JobRow.state == JobState.QUEUED.value,
        func.coalesce(JobRow.published_at, JobRow.created_at) <= published_before,
        JobRow.selector.is_(None),
    )
    is_lease_expired = and_(JobRow.state == JobState.RUNNING.value, JobRow.leased_until <= now)
    query = SELECT_JOBS.where(or_(is_unpublished, is_lease_expired)).order_by(
        JobRow.created_at, JobRow.id
    )
    return [build_job(row) for row in session.execute(query.limit(limit))]
