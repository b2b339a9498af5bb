"""The child jobs of an administrator's reimport: many rows in few statements.

A reimport of thousands of streams is created, and cancelled, in one transaction; the version
sequence is locked no longer than that takes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from models.job_resource import build_import_job
from models.job_types import Job, JobRequest, JobState, JobTrigger, Priority
from models.resources.imports import ImageStreamImport
from models.store.changes.change_log import Change, Verb, lock_version_sequence, record_changes
from models.store.database.bulk_statements import in_chunks, insert_rows, table_of
from models.store.jobs.job_mapping import (
    JOB_COLUMNS,
    JOB_KIND,
    build_job,
    cancelled_values,
    request_values,
)
from models.store.tables.jobs import JobRow

CHILD_BATCH_SIZE = 250


def create_children(
    session: Session,
    parent: Job,
    requests: Iterable[ImageStreamImport],
    *,
    max_tags: int,
    now: datetime,
) -> list[Job]:
    """Create a queued job for each of the requests, all of them children of `parent`."""
    children: list[Job] = []
    for chunk in in_chunks(requests, CHILD_BATCH_SIZE):
        unversioned = [
            Job(uuid4(), _child_request(parent, request, max_tags), JobState.QUEUED, now)
            for request in chunk
        ]
        changes = [
            Change(JOB_KIND, str(job.id), Verb.ADDED, job.request.namespace) for job in unversioned
        ]
        first = record_changes(session, changes, now=now)
        jobs = [replace(job, version=first + offset) for offset, job in enumerate(unversioned)]
        rows = [
            {
                **request_values(job.request),
                "id": job.id,
                "name": str(job.id),
                "state": job.state.value,
                "created_at": now,
                "version": job.version,
            }
            for job in jobs
        ]
        insert_rows(session, JobRow, rows)
        children.extend(jobs)
    return children


def _child_request(parent: Job, request: ImageStreamImport, max_tags: int) -> JobRequest:
    return JobRequest(
        request,
        trigger=JobTrigger.ADMINISTRATOR,
        priority=Priority.BULK,
        user=parent.request.user,
        max_tags=max_tags,
        parent=parent.id,
    )


def cancel_queued(session: Session, parent: UUID, *, now: datetime) -> int:
    """Cancel the jobs of a reimport that no worker has claimed yet; return how many."""
    table = table_of(JobRow)
    statement = (
        update(table)
        .where(table.c.id == bindparam("its_id", type_=table.c.id.type))
        .values(version=bindparam("its_version"), **cancelled_values(now))
    )
    query = (
        select(*JOB_COLUMNS)
        .where(JobRow.parent == parent, JobRow.state == JobState.QUEUED.value)
        .order_by(JobRow.id)
        .limit(CHILD_BATCH_SIZE)
        .with_for_update()
    )
    lock_version_sequence(session)
    count = 0
    while rows := session.execute(query).all():
        jobs = [build_job(row) for row in rows]
        first = record_changes(session, [_modified_change(job) for job in jobs], now=now)
        values = [
            {"its_id": job.id, "its_version": first + offset} for offset, job in enumerate(jobs)
        ]
        session.connection().execute(statement, values)
        count += len(jobs)
    return count


def _modified_change(job: Job) -> Change:
    before = build_import_job(job).wire()
    return Change(
        JOB_KIND, job.request.name or str(job.id), Verb.MODIFIED, job.request.namespace, before
    )
