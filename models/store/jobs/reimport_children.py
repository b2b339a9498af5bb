"""The jobs that an administrator's reimport is made of: many rows in few statements.

A reimport of thousands of streams is put on record, and called off, in one transaction; the
counter of changes is held no longer than that takes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from models.job_resource import view_job
from models.job_types import Asker, Job, JobRequest, JobState, Lane
from models.resources.imports import ImageStreamImport
from models.store.changes.change_log import Change, Verb, lock_counter, record_changes
from models.store.database.bulk_statements import in_chunks, insert_rows, table_of
from models.store.jobs.job_mapping import (
    JOB_COLUMNS,
    KIND,
    build_job,
    cancelled_values,
    request_values,
)
from models.store.tables.jobs import JobRow

STEP = 250


def create_children(
    session: Session,
    parent: Job,
    requests: Iterable[ImageStreamImport],
    *,
    max_tags: int,
    now: datetime,
) -> list[Job]:
    """A queued job for each of the requests, all of them parts of `parent`."""
    children: list[Job] = []
    for some in in_chunks(requests, STEP):
        fresh = [
            Job(uuid4(), _part_of(parent, request, max_tags), JobState.QUEUED, now)
            for request in some
        ]
        changes = [Change(KIND, str(job.id), Verb.ADDED, job.request.namespace) for job in fresh]
        first = record_changes(session, changes, now=now)
        jobs = [replace(job, version=first + place) for place, job in enumerate(fresh)]
        rows = [
            {
                **request_values(job.request),
                "id": job.id,
                "name": str(job.id),
                "state": job.state.value,
                "created": now,
                "version": job.version,
            }
            for job in jobs
        ]
        insert_rows(session, JobRow, rows)
        children.extend(jobs)
    return children


def _part_of(parent: Job, request: ImageStreamImport, max_tags: int) -> JobRequest:
    return JobRequest(
        request,
        asker=Asker.ADMINISTRATOR,
        lane=Lane.BULK,
        user=parent.request.user,
        max_tags=max_tags,
        parent=parent.id,
    )


def cancel_queued(session: Session, parent: UUID, *, now: datetime) -> int:
    """End those jobs of a reimport that no worker has taken yet; how many."""
    table = table_of(JobRow)
    ended = (
        update(table)
        .where(table.c.id == bindparam("its_id", type_=table.c.id.type))
        .values(version=bindparam("its_version"), **cancelled_values(now))
    )
    waiting = (
        select(*JOB_COLUMNS)
        .where(JobRow.parent == parent, JobRow.state == JobState.QUEUED.value)
        .order_by(JobRow.id)
        .limit(STEP)
        .with_for_update()
    )
    lock_counter(session)
    count = 0
    while rows := session.execute(waiting).all():
        jobs = [build_job(row) for row in rows]
        first = record_changes(session, [_modified(job) for job in jobs], now=now)
        values = [
            {"its_id": job.id, "its_version": first + place} for place, job in enumerate(jobs)
        ]
        session.connection().execute(ended, values)
        count += len(jobs)
    return count


def _modified(job: Job) -> Change:
    before = view_job(job).wire()
    return Change(
        KIND, job.request.name or str(job.id), Verb.MODIFIED, job.request.namespace, before
    )
