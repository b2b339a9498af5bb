"""The tick of the scheduler: claims due rows, paces them by registry, publishes batches of checks.

The schedule is in the database, and any number of schedulers may tick. The cost of a tick depends
on the due rows, not on all rows. A row whose message, scheduler or worker is lost is due again when
its lease expires (scheduling-3.3).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from celery import Celery
from kombu.exceptions import OperationalError
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from models.config.import_config import build_cadence
from models.config.settings import Settings
from models.job_types import Priority
from models.store.database.session import transaction
from models.store.schedule.claimed_checks import SettledCheck, defer_checks
from models.store.schedule.schedule_backfill import complete_migrated_rows
from models.store.schedule.schedule_claims import (
    DueTag,
    ScheduleClaim,
    claim_due,
    count_claimed,
    load_next_check_time,
    load_next_send_times,
    load_sibling_due_times,
    save_next_send_times,
)
from models.streams.registries.registry_policies import NO_POLICIES, RegistryPolicies
from models.streams.schedule.check_schedule import (
    JITTER_RATIO,
    Cadence,
    ScheduleReason,
    aligned_due_time,
    next_due_time,
)
from models.telemetry.metrics import CLAIMED_TAGS, DISPATCH_DURATION_SECONDS
from scheduler.backpressure import ClaimLimiter
from scheduler.pacing import (
    CheckRatePolicy,
    DispatchPlan,
    PostponedCheck,
    pack_batches,
    plan_dispatch,
)
from worker.job_queue import CHECK_TASK, precise_utc_now

log = structlog.get_logger()

CLAIM_LIMIT = 1000  # rows that one statement claims
MAX_CLAIMED = 20_000  # rows of all registries
CHECK_BATCH_SIZE = 200
MAX_TICK_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class TickResult:
    """Rows of a tick: claimed, sent to workers, deferred, given their first due time."""

    claimed: int = 0
    sent: int = 0
    deferred: int = 0
    first_scheduled: int = 0

    def __add__(self, other: TickResult) -> TickResult:
        return TickResult(
            self.claimed + other.claimed,
            self.sent + other.sent,
            self.deferred + other.deferred,
            self.first_scheduled + other.first_scheduled,
        )


@dataclass(frozen=True, slots=True)
class DispatchConfig:
    """The operator's choices for dispatch: intervals, lease, the rate of each registry."""

    cadence: Cadence
    lease: timedelta
    rate_policy_of: Callable[[str], CheckRatePolicy]
    claim_limiter: ClaimLimiter = field(default_factory=ClaimLimiter)


_CLAIM_LIMITER = ClaimLimiter()


def tick(
    engine: Engine,
    app: Celery,
    settings: Settings,
    *,
    policies: RegistryPolicies = NO_POLICIES,
    clock: Callable[[], datetime] = precise_utc_now,
) -> TickResult:
    """Claim and publish what is due, in rounds of 1,000 rows, for 2 s at most (scheduling-3.1).

    Claims nothing while scheduled imports are switched off (scheduling-1.6).
    """
    cadence = build_cadence(settings, policies)
    config = DispatchConfig(
        cadence, settings.check_lease, rate_policy_lookup(policies, settings), _CLAIM_LIMITER
    )
    total = TickResult()
    if not settings.scheduled_imports:
        return total
    started = time.monotonic()
    while time.monotonic() - started < MAX_TICK_SECONDS:
        now = clock()
        with transaction(engine, write=False) as session:
            first_due = load_next_check_time(session)
            if not total.claimed:
                config.claim_limiter.adjust(count_claimed(session, now=now))
        if first_due is None or first_due > now:
            break
        with transaction(engine) as session:
            batch_id, batches, round_result = claim_round(session, config, now=now)
        for ids in batches:
            publish_batch(app, batch_id, ids, expires=settings.check_lease)
        total += round_result
        if round_result.claimed < CLAIM_LIMIT:
            break
    DISPATCH_DURATION_SECONDS.observe(time.monotonic() - started)
    CLAIMED_TAGS.inc(total.claimed)
    if total.claimed:
        log.debug("tick.finished", claimed=total.claimed, sent=total.sent, deferred=total.deferred)
    return total


def rate_policy_lookup(
    policies: RegistryPolicies, settings: Settings
) -> Callable[[str], CheckRatePolicy]:
    """Return a lookup of each registry's rate: from its Registry object, else the settings."""

    def rate_policy(host: str) -> CheckRatePolicy:
        policy = policies.policy(host)
        rate = settings.registry_rate if policy.rate is None else policy.rate
        return CheckRatePolicy(rate, policy.suspended)

    return rate_policy


def claim_round(
    session: Session, config: DispatchConfig, *, now: datetime, limit: int = CLAIM_LIMIT
) -> tuple[UUID, list[list[int]], TickResult]:
    """Claim up to `limit` due rows, and defer those that their registries cannot take yet.

    Return the claim's id, the batches of row ids to publish, and the counts. New rows get their
    first due time and are deferred to it.
    """
    claimed = count_claimed(session, now=now)
    available = MAX_CLAIMED - sum(claimed.values())
    claim = claim_due(
        session,
        now=now,
        until=now + config.lease,
        limit=max(0, min(limit, available)),
    )
    unscheduled = [row for row in claim.rows if row.needs_due_time]
    ready = [row for row in claim.rows if not row.needs_due_time]
    rate_limited = {row.host for row in ready if config.rate_policy_of(row.host).rate > 0}
    plan = plan_dispatch(
        ready,
        now=now,
        rate_policy_of=config.rate_policy_of,
        next_send_times=load_next_send_times(session, rate_limited),
        claimed=claimed,
        claim_limiter=config.claim_limiter,
    )
    config.claim_limiter.mark_saturated(plan.saturated)
    save_next_send_times(session, plan.next_send_times)
    postponed = [_settle_postponed(item, now=now) for item in plan.postponed]
    postponed += _first_due_times(session, unscheduled, config.cadence, now=now)
    defer_checks(session, claim.batch, postponed)
    batches = pack_batches(plan.send, max_size=CHECK_BATCH_SIZE)
    return claim.batch, batches, _tick_result(claim, plan, unscheduled)


def publish_batch(app: Celery, batch_id: UUID, ids: Iterable[int], *, expires: timedelta) -> bool:
    """Publish a batch of checks; the message expires with the lease (scheduling-3.4).

    Return False, and log it, if the broker is unavailable: then the rows are due again when their
    lease expires.
    """
    arguments: list[Any] = [str(batch_id), list(ids)]
    try:
        app.send_task(
            CHECK_TASK,
            args=arguments,
            queue=Priority.SCHEDULED.value,
            expires=expires.total_seconds(),
            retry=False,
        )
    except (OperationalError, *app.connection_for_write().connection_errors) as error:
        log.warning("checks.publish_failed", error=type(error).__name__)
        return False
    return True


def _first_due_times(
    session: Session, unscheduled: list[DueTag], cadence: Cadence, *, now: datetime
) -> list[SettledCheck]:
    """Give new rows a due time, if possible one of a row with the same key (scheduling-2.5)."""
    if any(not row.key for row in unscheduled):  # from before there was a schedule
        complete_migrated_rows(session, [row.id for row in unscheduled if not row.key], now=now)
        unscheduled = [row for row in unscheduled if row.key]
    siblings = load_sibling_due_times(session, {row.key for row in unscheduled})
    found: list[SettledCheck] = []
    for row in unscheduled:
        interval = cadence.interval(row.requested_interval, row.host)
        last_checked = row.last_check_at or now
        due_time = max(now, next_due_time(row.key, last_checked, last_checked, interval))
        sibling = siblings.get(row.key)
        if sibling is not None:
            earliest = due_time - timedelta(seconds=2 * JITTER_RATIO * interval)
            due_time = (
                aligned_due_time(row.key, sibling, not_before=earliest, interval=interval)
                or due_time
            )
        found.append(
            SettledCheck(
                row.id,
                due_time,
                due_time,
                row.reason or ScheduleReason.PENDING,
                last_transition_at=now,
            )
        )
    return found


def _settle_postponed(postponed: PostponedCheck, *, now: datetime) -> SettledCheck:
    row = postponed.row
    return SettledCheck(
        row.id,
        row.due_at,
        postponed.not_before,
        postponed.reason,
        last_transition_at=now,
        error_code=postponed.error_code,
        message=postponed.message,
    )


def _tick_result(claim: ScheduleClaim, plan: DispatchPlan, unscheduled: list[DueTag]) -> TickResult:
    return TickResult(len(claim.rows), len(plan.send), len(plan.postponed), len(unscheduled))
