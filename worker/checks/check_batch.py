"""One batch of scheduled checks: claim the rows, check their sources, settle the rows.

Start reading the schedule here. An unchanged tag costs part of one HEAD and of one statement: only
its schedule row is written. Anything else leads to an import (`scheduled_import`). No transaction
is open while a registry is contacted. A batch that is lost is due again when its lease expires;
one that is delivered twice is settled once (scheduling-3.5).
"""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID
from zlib import crc32

import structlog

from models.errors import (
    RateLimitedError,
    StoreError,
    StoreUnavailableError,
    StreamConflictError,
    TagstreamError,
)
from models.job_types import Priority, TargetOutcome
from models.oci import storable_text
from models.store.access.secret_store import list_pull_secrets
from models.store.database.session import transaction
from models.store.schedule.claimed_checks import (
    ClaimedCheck,
    SettledCheck,
    claim_checks,
    defer_checks,
    settle_checks,
)
from models.store.schedule.schedule_writes import MAX_CHECK_MESSAGE_LENGTH
from models.streams.schedule.check_schedule import ScheduleReason, next_due_time
from models.telemetry.metrics import COALESCED_CHECKS, observe_check
from worker.checks.check_results import Finding, Findings
from worker.checks.scheduled_import import import_findings
from worker.checks.source_checks import (
    SourceCheck,
    SourceCheckResult,
    check_sources,
    plan_source_checks,
)
from worker.db_retry import retry_on_db_error
from worker.job_queue import precise_utc_now
from worker.registry.auth.credentials import Keyring
from worker.registry.request_context import RequestContext
from worker.registry.tag_check import TagCheckResult
from worker.worker_context import WorkerContext

log = structlog.get_logger()

BATCH_TIMEOUT_SECONDS = 300.0
FLUSH_INTERVAL_SECONDS = 0.25  # that a result waits for others to be written together
MAX_BUFFERED_ROWS = 200
RETRY_SPREAD_SECONDS = 10.0  # checks that were deferred together are retried over this time
DOWN_RETRY_SECONDS = 15.0
RATE_LIMIT_RETRY_SECONDS = 30.0


# Values of the metrics' label `outcome` for checks that were not sent.
POSTPONED_LABELS: dict[str, str] = {
    ScheduleReason.DEFERRED: "deferred",
    ScheduleReason.RATE_LIMITED: "rate_limited",
    ScheduleReason.CIRCUIT_OPEN: "circuit_open",
}


def run_checks(batch_id: UUID, ids: Sequence[int], context: WorkerContext) -> None:
    """Run a batch of checks. Safe to repeat.

    `batch_id` is the id of the claim, `ids` are the rows that it claimed. Every row is settled or
    released, unless the database stays unavailable: then its lease expires (scheduling-3.6,
    scheduling-5.8).
    """
    try:
        _CheckBatch(batch_id, context).run(ids)
    except (StoreError, StreamConflictError) as error:
        log.warning("checks.store_failed", error=str(error))  # released, or else the lease expires


@dataclass(frozen=True, slots=True)
class _CheckedSource:
    source_check: SourceCheck
    result: SourceCheckResult


class _CheckBatch:
    """The rows of one message that this worker has claimed."""

    def __init__(self, batch_id: UUID, context: WorkerContext) -> None:
        self._batch_id = batch_id
        self._context = context
        self._started = precise_utc_now()
        self._results = _ResultBuffer()
        self._unsettled: dict[int, ClaimedCheck] = {}

    def run(self, ids: Sequence[int]) -> None:
        checks = retry_on_db_error(lambda: self._claim(ids), self._context)
        if not checks:
            return  # settled already, or claimed by another worker
        self._unsettled = {check.id: check for check in checks}
        with self._context.lease_renewer.renewing(
            self._unsettled, lease=self._context.settings.check_lease
        ):
            try:
                self._check_sources(checks)
            finally:
                self._release_unsettled()

    def _claim(self, ids: Sequence[int]) -> list[ClaimedCheck]:
        context, now = self._context, precise_utc_now()
        lease_expires = now + context.settings.check_lease
        with transaction(context.engine) as session:
            return claim_checks(
                session, self._batch_id, ids, worker=context.name, now=now, until=lease_expires
            )

    def _check_sources(self, checks: list[ClaimedCheck]) -> None:
        context = self._context
        request_contexts = self._load_request_contexts(checks)
        findings = Findings(self._batch_id, request_contexts)
        readable = [
            check
            for check in checks
            if isinstance(request_contexts[check.namespace], RequestContext)
        ]
        source_checks, unreadable = plan_source_checks(
            readable, findings.request_context_of, context
        )
        for check, error in unreadable:
            findings.add(Finding(check, error))
        for check in checks:
            refusal = request_contexts[check.namespace]
            if isinstance(refusal, TagstreamError):
                findings.add(Finding(check, refusal))
        work = check_sources(source_checks, context.client, context.rules, self._results.add)
        future = context.loop.start(work, within=BATCH_TIMEOUT_SECONDS)
        future.add_done_callback(lambda _future: self._results.close())
        try:
            for results in self._results.batches():
                self._settle_results(results, findings)
                self._mark_settled(import_findings(findings, context))
        finally:
            future.cancel()  # rows that are released must not be checked any more
        if not future.cancelled() and not isinstance(future.exception(), TimeoutError | None):
            future.result()

    def _load_request_contexts(
        self, checks: Sequence[ClaimedCheck]
    ) -> dict[str, RequestContext | TagstreamError]:
        """Load the credentials of each namespace, once for the batch.

        A secret that cannot be read gives its namespace an error, and no other (scheduling-7.3).
        """
        context = self._context
        request_contexts: dict[str, RequestContext | TagstreamError] = {}
        with transaction(context.engine, write=False) as session:
            for namespace in {check.namespace for check in checks}:
                try:
                    secrets = list_pull_secrets(session, namespace, cipher=context.cipher)
                except StoreUnavailableError:
                    raise
                except StoreError as error:
                    request_contexts[namespace] = TagstreamError(
                        error.text, code="auth.secret_unreadable"
                    )
                    continue
                keyring = Keyring.from_secrets(secrets)
                request_contexts[namespace] = context.request_context(
                    keyring, tenant=namespace, priority=Priority.SCHEDULED
                )
        return request_contexts

    def _settle_results(self, results: Sequence[_CheckedSource], findings: Findings) -> None:
        """Write unchanged and postponed rows, and add all others to the findings to import."""
        now = precise_utc_now()
        unchanged: list[SettledCheck] = []
        postponed: list[SettledCheck] = []
        for result in results:
            check_result = result.result
            COALESCED_CHECKS.inc(len(result.source_check.checks) - 1)
            for check in result.source_check.checks:
                interval = self._context.cadence.interval(check.requested_interval, check.host)
                if isinstance(check_result, TagCheckResult) and is_unchanged(check, check_result):
                    unchanged.append(
                        self._settle_unchanged(check, check_result, now=now, interval=interval)
                    )
                elif not isinstance(check_result, TagCheckResult) and must_postpone(
                    check, check_result, now, interval
                ):
                    postponed.append(postpone_check(check, check_result, now=now))
                    observe_check(check.host, POSTPONED_LABELS[postponed[-1].reason])
                    continue
                else:
                    findings.add(Finding(check, check_result))
                outcome = check_outcome(check, check_result)
                observe_check(
                    check.host, outcome, lateness_seconds=(now - check.due_at).total_seconds()
                )
        if unchanged or postponed:
            retry_on_db_error(lambda: self._save_settled(unchanged, postponed), self._context)
            self._mark_settled(each.id for each in (*unchanged, *postponed))

    def _save_settled(
        self, unchanged: Sequence[SettledCheck], postponed: Sequence[SettledCheck]
    ) -> None:
        with transaction(self._context.engine) as session:
            settle_checks(session, self._batch_id, unchanged)
            defer_checks(session, self._batch_id, postponed)

    def _settle_unchanged(
        self, check: ClaimedCheck, check_result: TagCheckResult, *, now: datetime, interval: int
    ) -> SettledCheck:
        due_time = next_due_time(check.key, check.due_at, now, interval)
        return SettledCheck(
            check.id,
            due_time,
            due_time,
            ScheduleReason.UNCHANGED,
            last_transition_at=now,
            last_check_at=now,
            last_outcome=TargetOutcome.UNCHANGED,
            wait_seconds=max(0, int((self._started - check.due_at).total_seconds())),
            etag=check_result.etag,
        )

    def _mark_settled(self, ids: Iterable[int]) -> None:
        for each in ids:
            self._unsettled.pop(each, None)

    def _release_unsettled(self) -> None:
        """Release rows that were not settled: the worker stops, or the batch took too long."""
        now = precise_utc_now()
        text = "the worker that had claimed it stopped"
        rows = [
            SettledCheck(
                each.id,
                each.due_at,
                now,
                ScheduleReason.DEFERRED,
                last_transition_at=now,
                message=text,
            )
            for each in list(self._unsettled.values())
        ]
        if not rows:
            return
        try:
            retry_on_db_error(lambda: self._save_settled((), rows), self._context)
        except (StoreError, StreamConflictError) as error:
            log.warning("checks.release_failed", error=str(error))


class _ResultBuffer:
    """Hands results from the event loop to the thread of the batch, many at a time.

    A thread that were woken for each result would keep the loop from its work.
    """

    def __init__(self) -> None:
        self._batches: queue.SimpleQueue[list[_CheckedSource] | None] = queue.SimpleQueue()
        self._results: list[_CheckedSource] = []
        self._row_count = 0
        self._flush_timer: asyncio.TimerHandle | None = None

    def add(self, source_check: SourceCheck, result: SourceCheckResult) -> None:
        """Buffer a result until 0.25 s are over or 200 rows are buffered. Called on the loop."""
        self._results.append(_CheckedSource(source_check, result))
        self._row_count += len(source_check.checks)
        if self._row_count >= MAX_BUFFERED_ROWS:
            self._flush()
        elif self._flush_timer is None:
            self._flush_timer = asyncio.get_running_loop().call_later(
                FLUSH_INTERVAL_SECONDS, self._flush
            )

    def close(self) -> None:
        """Flush the rest, which may be empty, and end `batches`. Called on any thread."""
        self._batches.put(self._results)
        self._batches.put(None)

    def batches(self) -> Iterator[list[_CheckedSource]]:
        """Yield results until the buffer is closed. Called on the thread of the batch."""
        while (results := self._batches.get()) is not None:
            yield results

    def _flush(self) -> None:
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None
        if self._results:
            self._batches.put(self._results)
            self._results, self._row_count = [], 0


def is_unchanged(check: ClaimedCheck, result: TagCheckResult) -> bool:
    """Return whether a tag is as its last import stored it, so that only its row is written.

    Not if the tag has failures to clear, is no longer scheduled, or its target changed
    (scheduling-5.4). Without a digest, the response to a conditional GET decides.
    """
    if not check.scheduled or check.consecutive_failures or check.known_key != check.key:
        return False
    if result.digest is None:
        return result.unchanged
    return result.digest == check.known_source


def check_outcome(check: ClaimedCheck, result: SourceCheckResult) -> str:
    """Return the result of a check as the metrics label it."""
    if not isinstance(result, TagCheckResult):
        return TargetOutcome.FAILED
    if is_unchanged(check, result):
        return TargetOutcome.UNCHANGED
    return TargetOutcome.UPDATED if check.known_source else TargetOutcome.NEW


def must_postpone(
    check: ClaimedCheck, error: TagstreamError, now: datetime, interval: float
) -> bool:
    """Return whether an error says nothing about the tag, so that its check is deferred.

    Limits (`ratelimit.`) always defer. An open circuit breaker, and responses with a retry time,
    defer until the check is late by one `interval` (seconds), and are failures after that
    (scheduling-5.6).
    """
    limited = isinstance(error, RateLimitedError)
    if limited and error.code.startswith("ratelimit."):
        return True
    # A 503 may name a retry time again and again, hence the limit of one interval.
    unavailable = limited or error.code == "circuit.open"
    return unavailable and now - check.due_at < timedelta(seconds=interval)


def postpone_check(check: ClaimedCheck, error: TagstreamError, *, now: datetime) -> SettledCheck:
    """Defer a check until its registry may be contacted again (scheduling-5.7).

    A jitter of up to min(wait, 10 s), from row id and time, keeps rows from coming back together.
    """
    wait_seconds, reason = DOWN_RETRY_SECONDS, ScheduleReason.CIRCUIT_OPEN
    if isinstance(error, RateLimitedError):
        wait_seconds = max(error.retry_after or RATE_LIMIT_RETRY_SECONDS, 1.0)
        own_limit = error.code == "ratelimit.budget"
        reason = ScheduleReason.DEFERRED if own_limit else ScheduleReason.RATE_LIMITED
    spread = crc32(f"{check.id} {now.timestamp()}".encode()) / 0xFFFFFFFF
    next_attempt = now + timedelta(
        seconds=wait_seconds + spread * min(RETRY_SPREAD_SECONDS, wait_seconds)
    )
    text = storable_text(error.message)[:MAX_CHECK_MESSAGE_LENGTH]
    return SettledCheck(
        check.id,
        check.due_at,
        next_attempt,
        reason,
        last_transition_at=now,
        error_code=error.code,
        message=text,
    )
