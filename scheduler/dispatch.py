"""A tick: what is due is claimed, spread over its registries, and knocked for.

The database is the calendar, and any number of schedulers may tick. What a tick costs depends on
what is due, not on what there is. A row whose message, scheduler or worker is lost comes up again
when its lease runs out.
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
from models.job_types import Lane
from models.store.database.session import transaction
from models.store.schedule.schedule_backfill import enter_tags
from models.store.schedule.schedule_claims import (
    Claim,
    Due,
    Settled,
    claim_due,
    count_claimed,
    first_look,
    load_turns,
    put_off_checks,
    save_turns,
    sibling_turns,
)
from models.streams.registries.registry_policies import NO_POLICIES, Policies
from models.streams.schedule.check_schedule import (
    JITTER,
    Cadence,
    Decision,
    next_turn,
    turn_in_step,
)
from models.telemetry.metrics import CLAIMED, TICK
from scheduler.backpressure import Flow
from scheduler.pacing import Pace, PutOff, Spread, pack_batches, spread_due
from worker.job_queue import CHECK_TASK, moment

log = structlog.get_logger()

CLAIM = 1000
MOST_CLAIMED = 20_000
BATCH = 200
MOST_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Ticked:
    """What a tick came to, in rows: claimed, sent to workers, put off, given their first turn."""

    claimed: int = 0
    sent: int = 0
    put_off: int = 0
    placed: int = 0

    def __add__(self, other: Ticked) -> Ticked:
        return Ticked(
            self.claimed + other.claimed,
            self.sent + other.sent,
            self.put_off + other.put_off,
            self.placed + other.placed,
        )


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator says about when: intervals, leases, and the pace of each registry."""

    cadence: Cadence
    lease: timedelta
    pace_of: Callable[[str], Pace]
    flow: Flow = field(default_factory=Flow)


_FLOW = Flow()


def tick(
    engine: Engine,
    app: Celery,
    settings: Settings,
    *,
    policies: Policies = NO_POLICIES,
    clock: Callable[[], datetime] = moment,
) -> Ticked:
    """Claim and send what is due; several rounds where that is a lot, but never for long."""
    cadence = build_cadence(settings, policies)
    rules = Rules(cadence, settings.check_lease, pace_by(policies, settings), _FLOW)
    whole = Ticked()
    if not settings.scheduled_imports:
        return whole
    began = time.monotonic()
    while time.monotonic() - began < MOST_SECONDS:
        now = clock()
        with transaction(engine, write=False) as session:
            first = first_look(session)
            if not whole.claimed:
                rules.flow.look(count_claimed(session, now=now))
        if first is None or first > now:
            break
        with transaction(engine) as session:
            batch, batches, round_ = claim_round(session, rules, now=now)
        for ids in batches:
            send_batch(app, batch, ids, expires=settings.check_lease)
        whole += round_
        if round_.claimed < CLAIM:
            break
    TICK.observe(time.monotonic() - began)
    CLAIMED.inc(whole.claimed)
    if whole.claimed:
        log.debug("tick.finished", claimed=whole.claimed, sent=whole.sent, put_off=whole.put_off)
    return whole


def pace_by(policies: Policies, settings: Settings) -> Callable[[str], Pace]:
    """The pace of each registry: what its Registry object says, else the settings."""

    def pace(host: str) -> Pace:
        policy = policies.policy(host)
        rate = settings.registry_rate if policy.rate is None else policy.rate
        return Pace(rate, policy.suspended)

    return pace


def claim_round(
    session: Session, rules: Rules, *, now: datetime, limit: int = CLAIM
) -> tuple[UUID, list[list[int]], Ticked]:
    """One claim, spread: its id, the batches of row ids that go out, and what became of it."""
    claimed = count_claimed(session, now=now)
    room = MOST_CLAIMED - sum(claimed.values())
    claim = claim_due(
        session,
        now=now,
        until=now + rules.lease,
        limit=max(0, min(limit, room)),
    )
    fresh = [row for row in claim.rows if row.fresh]
    ready = [row for row in claim.rows if not row.fresh]
    paced = {row.host for row in ready if rules.pace_of(row.host).rate > 0}
    spread = spread_due(
        ready,
        now=now,
        pace_of=rules.pace_of,
        turns=load_turns(session, paced),
        claimed=claimed,
        flow=rules.flow,
    )
    rules.flow.fell_short(spread.full)
    save_turns(session, spread.turns)
    put_off = [_put_off(put, now=now) for put in spread.later]
    put_off += _first_turns(session, fresh, rules.cadence, now=now)
    put_off_checks(session, claim.batch, put_off)
    batches = pack_batches(spread.go, most=BATCH)
    return claim.batch, batches, _count(claim, spread, fresh)


def send_batch(app: Celery, batch: UUID, ids: Iterable[int], *, expires: timedelta) -> bool:
    """Knock for a batch of checks. False, and a log line, when the broker is away."""
    arguments: list[Any] = [str(batch), list(ids)]
    try:
        app.send_task(
            CHECK_TASK,
            args=arguments,
            queue=Lane.SCHEDULED.value,
            expires=expires.total_seconds(),
            retry=False,
        )
    except (OperationalError, *app.connection_for_write().connection_errors) as error:
        log.warning("check.knock_failed", error=type(error).__name__)
        return False
    return True


def _first_turns(
    session: Session, fresh: list[Due], cadence: Cadence, *, now: datetime
) -> list[Settled]:
    """Turns for rows that have none yet, in step with whoever follows the same source."""
    if any(not row.key for row in fresh):  # from before there was a calendar
        enter_tags(session, [row.id for row in fresh if not row.key], now=now)
        fresh = [row for row in fresh if row.key]
    siblings = sibling_turns(session, {row.key for row in fresh})
    found: list[Settled] = []
    for row in fresh:
        interval = cadence.interval(row.asked, row.host)
        looked = row.checked or now
        due = max(now, next_turn(row.key, looked, looked, interval))
        sibling = siblings.get(row.key)
        if sibling is not None:
            least = due - timedelta(seconds=2 * JITTER * interval)
            due = turn_in_step(row.key, sibling, not_before=least, interval=interval) or due
        found.append(Settled(row.id, due, due, row.decision or Decision.NEW, decided=now))
    return found


def _put_off(put: PutOff, *, now: datetime) -> Settled:
    row = put.row
    return Settled(
        row.id,
        row.due,
        put.until,
        put.decision,
        decided=now,
        reason=put.reason,
        message=put.message,
    )


def _count(claim: Claim, spread: Spread, fresh: list[Due]) -> Ticked:
    return Ticked(len(claim.rows), len(spread.go), len(spread.later), len(fresh))
