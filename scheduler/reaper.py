"""The reaper: publishes lost jobs again, ends exhausted ones, and deletes what has expired.

Lost are queued jobs whose message is gone, and running jobs whose lease has expired. Deleted are
changes that no watch may start from any more, and old Events. The job row is authoritative, so a
message too many costs one query (scheduling-11.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import structlog
from celery import Celery
from sqlalchemy import Engine

from models.config.import_config import build_cadence
from models.config.settings import Settings
from models.errors import LeaseLostError, TagstreamError, status_of
from models.job_types import Job, JobResult, JobState
from models.store.changes.change_pruning import delete_changes, find_stale_changes
from models.store.database.session import transaction
from models.store.events.event_store import has_stale_events, prune_events
from models.store.jobs.job_queries import list_abandoned_jobs
from models.store.jobs.job_store import finish_job, update_parent
from models.store.jobs.reimport_store import list_stuck_reimports
from models.store.registries.registry_store import (
    create_discovered_registries,
    list_undiscovered_hosts,
)
from models.store.schedule.clock_skew import handle_clock_change, handle_interval_change
from models.streams.registries.registry_policies import NO_POLICIES, RegistryPolicies
from models.streams.schedule.check_schedule import Cadence
from worker.job_queue import publish_all, utc_now

log = structlog.get_logger()

MAX_ROWS_PER_SWEEP = 500
MAX_PRUNE_ROUNDS = 20


@dataclass(frozen=True, slots=True)
class SweepResult:
    """How many jobs were published again, and how many were ended as failed."""

    published: int = 0
    failed: int = 0


def sweep_jobs(
    engine: Engine, app: Celery, settings: Settings, *, policies: RegistryPolicies = NO_POLICIES
) -> SweepResult:
    """Publish every lost job again, and run the other periodic maintenance (scheduling-11.1).

    A job whose worker died too often ends as failed with `job.worker_lost`.
    """
    now = utc_now()
    with transaction(engine, write=False) as session:
        orphaned = list_abandoned_jobs(
            session,
            now=now,
            published_before=now - settings.reaper_interval,
            limit=MAX_ROWS_PER_SWEEP,
        )
        stuck = list_stuck_reimports(session)
    exhausted = [job for job in orphaned if job.attempt >= settings.job_attempts]
    retryable = [job for job in orphaned if job.attempt < settings.job_attempts]
    failed = sum(1 for job in exhausted if _fail_job(engine, job, now=now))
    # If the broker is unavailable, nothing is published: the next sweep tries again.
    published = publish_all(engine, app, retryable)
    if stuck:
        with transaction(engine) as session:
            for job_id in stuck:
                update_parent(session, job_id, now=now)
    prune_changes(engine, now=now)
    prune_old_events(engine, now=now)
    discover_unknown_registries(engine, now=now)
    correct_schedule(engine, build_cadence(settings, policies), now=now)
    if orphaned:
        log.info("sweep.finished", published=published, failed=failed)
    return SweepResult(published, failed)


def prune_changes(engine: Engine, *, now: datetime) -> int:
    """Delete old changes; return how many.

    Reads first, so that a sweep without stale changes blocks no writer.
    """
    with transaction(engine, write=False) as session:
        stale = find_stale_changes(session, now=now)
    if not stale:
        return 0
    with transaction(engine) as session:
        pruned = delete_changes(session, stale)
    log.info("changes.pruned", changes=pruned)
    return pruned


def prune_old_events(engine: Engine, *, now: datetime) -> int:
    """Delete old Events, and those beyond the limit; return how many."""
    with transaction(engine, write=False) as session:
        if not has_stale_events(session, now=now):
            return 0
    pruned = 0
    for _ in range(MAX_PRUNE_ROUNDS):
        with transaction(engine) as session:
            batch_pruned = prune_events(session, now=now)
        pruned += batch_pruned
        if not batch_pruned:
            break
    log.info("events.pruned", events=pruned)
    return pruned


def discover_unknown_registries(engine: Engine, *, now: datetime) -> int:
    """Create a Registry object for each registry that has rows and no object; return how many.

    (scheduling-9.2) Reads first, so that a sweep without new registries blocks no writer.
    """
    with transaction(engine, write=False) as session:
        unknown = list_undiscovered_hosts(session, limit=1)
    if not unknown:
        return 0
    with transaction(engine) as session:
        return create_discovered_registries(session, now=now, limit=MAX_ROWS_PER_SWEEP)


def correct_schedule(engine: Engine, cadence: Cadence, *, now: datetime) -> int:
    """Correct due times after a clock that ran ahead, and after changed intervals.

    Return how many rows the clock affected (scheduling-2.7, scheduling-2.8).
    """
    with transaction(engine) as session:
        corrected = handle_clock_change(session, cadence=cadence, now=now)
        rescheduled = handle_interval_change(session, cadence=cadence, now=now)
    if rescheduled:
        log.info("schedule.intervals_changed", rows=rescheduled)
    if corrected:
        log.warning("schedule.clock_set_back", rows=corrected)
    return corrected


def _fail_job(engine: Engine, job: Job, *, now: datetime) -> bool:
    """End a job as failed. Return False if it was claimed or finished meanwhile."""
    error = TagstreamError(
        f"the worker died {job.attempt} times while it ran this job, so the job is not tried "
        "again; find the cause in the worker's log, then import again",
        code="job.worker_lost",
    )
    try:
        with transaction(engine) as session:
            finish_job(
                session,
                job,
                state=JobState.FAILED,
                result=JobResult(error=status_of(error)),
                with_errors=True,
                response=None,
                now=now,
            )
    except LeaseLostError:
        return False
    return True
