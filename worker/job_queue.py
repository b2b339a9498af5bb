"""The job queue: commits a job row, then publishes its id as a Celery message.

The row is authoritative (scheduling-10.1). The reaper publishes a lost message again; a message
that is delivered twice finds the job already started.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import takewhile
from uuid import UUID

import structlog
from celery import Celery
from kombu.exceptions import OperationalError
from sqlalchemy import Engine

from models.errors import NotFoundError
from models.job_types import Job, JobRequest, Priority
from models.store.database.session import transaction
from models.store.jobs.job_store import create_job, load_job, mark_published, request_cancel

log = structlog.get_logger()

IMPORT_TASK = "tagstream.import"
CHECK_TASK = "tagstream.check"
SWEEP_TASK = "tagstream.sweep"
TICK_TASK = "tagstream.tick"
QUEUES = tuple(priority.value for priority in Priority)
CONTROL_QUEUE = "control"  # ticks and sweeps
MIN_POLL_SECONDS = 0.01
MAX_POLL_SECONDS = 0.25


def enqueue(engine: Engine, app: Celery, request: JobRequest) -> Job:
    """Create a job and publish it: the row is committed before the message is sent.

    An unavailable broker is no error: the reaper publishes the job later (scheduling-10.1).
    """
    with transaction(engine) as session:
        job = create_job(session, request, now=utc_now())
    publish(engine, app, job)
    return job


def publish(engine: Engine, app: Celery, job: Job) -> bool:
    """Send the job's id to its queue. Return False, and log it, if the broker is unavailable."""
    return publish_all(engine, app, [job]) == 1


def _send(app: Celery, job: Job) -> bool:
    try:
        app.send_task(
            IMPORT_TASK,
            args=[str(job.id)],
            task_id=f"{job.id}-{job.attempt}",
            queue=job.request.priority.value,
            retry=False,
        )
    except (OperationalError, *app.connection_for_write().connection_errors) as error:
        log.warning("job.publish_failed", job=str(job.id), error=type(error).__name__)
        return False
    return True


def publish_all(engine: Engine, app: Celery, jobs: Sequence[Job]) -> int:
    """Publish jobs up to the first that the broker does not take; return how many were sent.

    When they were published is written in one transaction, after the messages.
    """
    published = list(takewhile(lambda job: _send(app, job), jobs))
    if published:
        with transaction(engine) as session:
            mark_published(session, *(job.id for job in published), now=utc_now())
    return len(published)


def wait_for_job(
    engine: Engine,
    job_id: UUID,
    *,
    within: float,
    watch: Callable[[Job], None] = lambda _job: None,
) -> Job:
    """Wait for a job's end and return it, or return it as it is after `within` seconds.

    `watch` is called with every state that is read meanwhile. Raises NotFoundError.
    """
    deadline = time.monotonic() + within
    poll_seconds = MIN_POLL_SECONDS
    while True:
        job = load_existing_job(engine, job_id)
        watch(job)
        remaining = deadline - time.monotonic()
        if job.state.is_final or remaining <= 0:
            return job
        time.sleep(min(poll_seconds, remaining))
        poll_seconds = min(poll_seconds * 1.5, MAX_POLL_SECONDS)


def cancel_job(engine: Engine, job_id: UUID) -> Job:
    """Cancel a job: a queued one at once, a running one at its next heartbeat (scheduling-10.2).

    Return the job as it is then. Raises NotFoundError.
    """
    with transaction(engine) as session:
        return request_cancel(session, job_id, now=utc_now())


def load_existing_job(engine: Engine, job_id: UUID) -> Job:
    """Load a job. Raises NotFoundError if there is none with this id."""
    with transaction(engine, write=False) as session:
        job = load_job(session, job_id)
    if job is None:
        raise NotFoundError(resource="jobs", name=str(job_id), group="")
    return job


def utc_now() -> datetime:
    """Return the current UTC time in whole seconds, as stored times of jobs and objects are."""
    return datetime.now(UTC).replace(microsecond=0)


def precise_utc_now() -> datetime:
    """Return the current UTC time in microseconds, as due times of the schedule are."""
    return datetime.now(UTC)
