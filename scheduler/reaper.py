"""What fell is picked up: queued jobs that nobody heard of, running jobs that nobody carries.

And what nobody needs any more is put away: changes that no watcher may still ask for, and
yesterday's Events.

The row is the truth and a message only knocks, so knocking once too often costs one look.
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
from models.store.changes.change_log import forget_changes, stale_changes
from models.store.database.session import transaction
from models.store.events.event_store import has_stale_events, prune_events
from models.store.jobs.job_store import dropped_jobs, finish_job, settle_parent
from models.store.jobs.reimport_store import stuck_reimports
from models.store.registries.registry_store import discover_registries, unknown_hosts
from models.store.schedule.clock_skew import notice_cadence, notice_clock
from models.streams.registries.registry_policies import NO_POLICIES, Policies
from models.streams.schedule.check_schedule import Cadence
from worker.job_queue import knock_all, utc_now

log = structlog.get_logger()

MOST_AT_ONCE = 500
MOST_ROUNDS = 20


@dataclass(frozen=True, slots=True)
class Swept:
    """How many jobs were knocked for again, and how many were given up."""

    knocked: int = 0
    given_up: int = 0


def sweep_jobs(
    engine: Engine, app: Celery, settings: Settings, *, policies: Policies = NO_POLICIES
) -> Swept:
    """Knock for every dropped job; one whose workers died too often ends as failed."""
    now = utc_now()
    with transaction(engine, write=False) as session:
        dropped = dropped_jobs(
            session, now=now, queued_before=now - settings.sweep_interval, limit=MOST_AT_ONCE
        )
        stuck = stuck_reimports(session)
    lost = [job for job in dropped if job.attempt >= settings.job_attempts]
    alive = [job for job in dropped if job.attempt < settings.job_attempts]
    given_up = sum(1 for job in lost if _give_up(engine, job, now=now))
    # With the broker away no knock is heard: the next sweep will do.
    knocked = knock_all(engine, app, alive)
    if stuck:
        with transaction(engine) as session:
            for job_id in stuck:
                settle_parent(session, job_id, now=now)
    prune_log(engine, now=now)
    prune_told(engine, now=now)
    find_registries(engine, now=now)
    mind_clock(engine, build_cadence(settings, policies), now=now)
    if dropped:
        log.info("sweep.finished", knocked=knocked, given_up=given_up)
    return Swept(knocked, given_up)


def prune_log(engine: Engine, *, now: datetime) -> int:
    """Forget old changes; how many. Who only looks, and finds none, keeps no writer waiting."""
    with transaction(engine, write=False) as session:
        stale = stale_changes(session, now=now)
    if not stale:
        return 0
    with transaction(engine) as session:
        gone = forget_changes(session, stale)
    log.info("changes.pruned", changes=gone)
    return gone


def prune_told(engine: Engine, *, now: datetime) -> int:
    """Forget old Events, and those that are too many; how many."""
    with transaction(engine, write=False) as session:
        if not has_stale_events(session, now=now):
            return 0
    gone = 0
    for _ in range(MOST_ROUNDS):
        with transaction(engine) as session:
            some = prune_events(session, now=now)
        gone += some
        if not some:
            break
    log.info("events.pruned", events=gone)
    return gone


def find_registries(engine: Engine, *, now: datetime) -> int:
    """Make an object for each registry that tags follow and that has none; how many."""
    with transaction(engine, write=False) as session:
        unknown = unknown_hosts(session, limit=1)
    if not unknown:
        return 0
    with transaction(engine) as session:
        return discover_registries(session, now=now, limit=MOST_AT_ONCE)


def mind_clock(engine: Engine, cadence: Cadence, *, now: datetime) -> int:
    """Note the time, and call turns back that were planned by a clock that went ahead, or by
    intervals that are not the operator's any more.
    """
    with transaction(engine) as session:
        called = notice_clock(session, cadence=cadence, now=now)
        moved = notice_cadence(session, cadence=cadence, now=now)
    if moved:
        log.info("schedule.intervals_changed", turns=moved)
    if called:
        log.warning("schedule.clock_set_back", turns=called)
    return called


def _give_up(engine: Engine, job: Job, *, now: datetime) -> bool:
    """False where somebody else took or finished the job meanwhile."""
    error = TagstreamError(
        f"the worker died {job.attempt} times while it carried this job, so it is not tried "
        "again; look at the worker's log for what it died of, then import again",
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
                answer=None,
                now=now,
            )
    except LeaseLostError:
        return False
    return True
