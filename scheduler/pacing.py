"""Decides which due rows are dispatched in this tick, and when the others are due again.

A registry has a rate (checks a second) and a limit of claimed rows. A row that exceeds the rate
gets a send time of its own, oldest rows first, and is deferred to it. So a backlog is processed at
the registry's rate, and each of its rows is claimed twice, not at every tick. Pure, but for the
state of the claim limiter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from models.store.schedule.schedule_claims import DueTag
from models.streams.schedule.check_schedule import ScheduleReason
from scheduler.backpressure import ClaimLimiter

DISPATCH_HORIZON = timedelta(seconds=2)  # rows with a send time within it are sent now
MIN_RECORDED_BACKLOG = timedelta(seconds=0.1)  # a shorter one is over before the next tick
SUSPENDED_RETRY_INTERVAL = timedelta(seconds=60)
RESERVED_SEND_TIME_REASON = "budget.turn"  # the row was deferred to a send time, and may be sent


@dataclass(frozen=True, slots=True)
class CheckRatePolicy:
    """The pacing of one registry: checks a second (0: no limit), or suspended."""

    rate: float = 0.0
    suspended: bool = False


@dataclass(frozen=True, slots=True)
class PostponedCheck:
    """A row that is deferred: until when, and why."""

    row: DueTag
    not_before: datetime
    reason: ScheduleReason
    error_code: str = ""
    message: str = ""


@dataclass(slots=True)
class DispatchPlan:
    """The rows to send now and those to defer.

    `next_send_times` is when the next check of each registry may be sent. `saturated` are the
    registries with more due rows than their claim limit allowed.
    """

    send: list[DueTag] = field(default_factory=list)
    postponed: list[PostponedCheck] = field(default_factory=list)
    next_send_times: dict[str, datetime] = field(default_factory=dict)
    saturated: set[str] = field(default_factory=set)


def plan_dispatch(
    rows: Iterable[DueTag],
    *,
    now: datetime,
    rate_policy_of: Callable[[str], CheckRatePolicy],
    next_send_times: Mapping[str, datetime],
    claimed: Mapping[str, int],
    claim_limiter: ClaimLimiter | None = None,
) -> DispatchPlan:
    """Plan which of these rows, oldest first, are sent now, within each registry's rate and limit.

    Rows with the same key share one check, hence one send time. `claimed` counts the rows of each
    registry that were claimed before, `claim_limiter` has the limits. Rows of a suspended registry
    are deferred by 60 s (scheduling-4.1, scheduling-4.3).
    """
    claim_limiter = claim_limiter or ClaimLimiter()
    plan = DispatchPlan()
    by_host: dict[str, list[DueTag]] = {}
    for row in rows:
        by_host.setdefault(row.host, []).append(row)
    for host, host_rows in by_host.items():
        rate_policy = rate_policy_of(host)
        if rate_policy.suspended:
            not_before = now + SUSPENDED_RETRY_INTERVAL
            text = f"the registry {host} is suspended by its Registry object"
            plan.postponed += [
                PostponedCheck(row, not_before, ScheduleReason.SUSPENDED, "policy.suspended", text)
                for row in host_rows
            ]
            continue
        available = claim_limiter.limit(host) - claimed.get(host, 0)
        host_queue = _HostQueue(
            host,
            rate_policy,
            now=now,
            next_send_time=next_send_times.get(host),
            available=available,
        )
        host_queue.admit(host_rows, plan, claim_limiter)
        if (
            host_queue.next_send_time is not None
            and host_queue.next_send_time > now + MIN_RECORDED_BACKLOG
        ):
            plan.next_send_times[host] = host_queue.next_send_time
    return plan


class _HostQueue:
    """The due rows of one registry, with the time at which its next check may be sent.

    Example: at a rate of 2 a second, five rows with different keys that are due at 12:00:00 get
    the send times 0, 0.5, 1, 1.5 and 2 s later. All are within the horizon of 2 s and are sent
    now; the sixth, at 2.5 s, is deferred to its send time. When it is claimed then, it carries the
    reason `budget.turn` and is sent without a second reservation.
    """

    def __init__(
        self,
        host: str,
        rate_policy: CheckRatePolicy,
        *,
        now: datetime,
        next_send_time: datetime | None,
        available: int,
    ) -> None:
        self.next_send_time = max(next_send_time or now, now) if rate_policy.rate > 0 else None
        self._send_interval = (
            timedelta(seconds=1 / rate_policy.rate) if rate_policy.rate > 0 else timedelta(0)
        )
        self._host = host
        self._now = now
        self._available = available
        self._send_times: dict[str, datetime] = {}

    def admit(
        self, rows: Sequence[DueTag], plan: DispatchPlan, claim_limiter: ClaimLimiter
    ) -> None:
        """Add each row to the plan: sent, or deferred by the rate or by the claim limit."""
        for row in rows:
            send_time = self._reserve_send_time(row)
            if send_time > self._now + DISPATCH_HORIZON:
                text = f"waits for the rate of {self._host}"
                plan.postponed.append(
                    PostponedCheck(
                        row, send_time, ScheduleReason.DEFERRED, RESERVED_SEND_TIME_REASON, text
                    )
                )
            elif self._available <= 0:
                plan.saturated.add(self._host)
                text = f"waits for earlier checks at {self._host} to end"
                retry_time = claim_limiter.reserve_retry_time(self._host, self._now)
                plan.postponed.append(
                    PostponedCheck(
                        row, retry_time, ScheduleReason.DEFERRED, RESERVED_SEND_TIME_REASON, text
                    )
                )
            else:
                self._available -= 1
                plan.send.append(row)

    def _reserve_send_time(self, row: DueTag) -> datetime:
        """Return when the row's check may be sent; rows with the same key share the time."""
        if self.next_send_time is None or (
            row.reason == ScheduleReason.DEFERRED and row.error_code == RESERVED_SEND_TIME_REASON
        ):
            return self._now
        send_time = self._send_times.get(row.key)
        if send_time is None:
            send_time = self._send_times[row.key] = self.next_send_time
            self.next_send_time += self._send_interval
        return send_time


def pack_batches(rows: Sequence[DueTag], *, max_size: int) -> list[list[int]]:
    """Return row ids in batches of about `max_size` (scheduling-3.4).

    Rows of a registry are together. Rows with the same key are never split, so a batch may be
    larger.
    """
    host_order = {
        host: position for position, host in enumerate(dict.fromkeys(row.host for row in rows))
    }
    batches: list[list[int]] = []
    last_key = ""
    for row in sorted(rows, key=lambda row: (host_order[row.host], row.key, row.id)):
        if not batches or (len(batches[-1]) >= max_size and row.key != last_key):
            batches.append([])
        batches[-1].append(row.id)
        last_key = row.key
    return batches
