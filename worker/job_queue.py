"""The counter: a job row first, a Celery message after; wait for the answer.

The row is the truth. A message that is lost is knocked again by the sweep, one that comes twice
finds the job already started.
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
from models.job_types import Job, JobRequest, Lane
from models.store.database.session import transaction
from models.store.jobs.job_store import ask_cancel, create_job, load_job, mark_knocked

log = structlog.get_logger()

IMPORT_TASK = "tagstream.import"
CHECK_TASK = "tagstream.check"
QUEUES = tuple(lane.value for lane in Lane)
FIRST_PAUSE = 0.01
LONGEST_PAUSE = 0.25


def enqueue(engine: Engine, app: Celery, request: JobRequest) -> Job:
    """Put a job on the counter: the row is committed before the message goes out.

    A broker that is away costs nothing but time: the sweep knocks later.
    """
    with transaction(engine) as session:
        job = create_job(session, request, now=utc_now())
    knock(engine, app, job)
    return job


def knock(engine: Engine, app: Celery, job: Job) -> bool:
    """Send the job's id to its lane. False, and a log line, when the broker is away."""
    return knock_all(engine, app, [job]) == 1


def _send(app: Celery, job: Job) -> bool:
    try:
        app.send_task(
            IMPORT_TASK,
            args=[str(job.id)],
            task_id=f"{job.id}-{job.attempt}",
            queue=job.request.lane.value,
            retry=False,
        )
    except (OperationalError, *app.connection_for_write().connection_errors) as error:
        log.warning("job.knock_failed", job=str(job.id), error=type(error).__name__)
        return False
    return True


def knock_all(engine: Engine, app: Celery, jobs: Sequence[Job]) -> int:
    """Knock for many jobs, and note it in one go. How many; fewer when the broker is away."""
    heard = list(takewhile(lambda job: _send(app, job), jobs))
    if heard:
        with transaction(engine) as session:
            mark_knocked(session, *(job.id for job in heard), now=utc_now())
    return len(heard)


def wait_for(
    engine: Engine,
    job_id: UUID,
    *,
    within: float,
    watch: Callable[[Job], None] = lambda _job: None,
) -> Job:
    """The job once it has ended, or as it stands after `within` seconds.

    `watch` is told of every state that was seen on the way.
    """
    deadline = time.monotonic() + within
    pause = FIRST_PAUSE
    while True:
        job = read_job(engine, job_id)
        watch(job)
        left = deadline - time.monotonic()
        if job.state.is_final or left <= 0:
            return job
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, LONGEST_PAUSE)


def cancel(engine: Engine, job_id: UUID) -> Job:
    """Ask a job to stop: at once when it is queued, else as soon as its worker hears of it."""
    with transaction(engine) as session:
        return ask_cancel(session, job_id, now=utc_now())


def read_job(engine: Engine, job_id: UUID) -> Job:
    """The job's row. NotFoundError where there is none."""
    with transaction(engine, write=False) as session:
        job = load_job(session, job_id)
    if job is None:
        raise NotFoundError(resource="jobs", name=str(job_id), group="")
    return job


def utc_now() -> datetime:
    """The moment, in UTC, with whole seconds as everything that is written down."""
    return datetime.now(UTC).replace(microsecond=0)


def moment() -> datetime:
    """The moment, in UTC, as fine as the calendar's turns are."""
    return datetime.now(UTC)
