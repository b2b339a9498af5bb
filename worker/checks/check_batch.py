"""Scheduled checks, a batch at a time: take, look, settle. Start reading the schedule here.

A tag that is what it was costs a share of one HEAD and of one statement: only its row in the
calendar moves. Everything else becomes an import (`scheduled_import.py`). No transaction is open
while a registry is asked. A batch that is lost comes up again when its lease runs out; one that
is carried twice settles once.
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
    StoreAwayError,
    StoreError,
    StreamConflictError,
    TagstreamError,
)
from models.job_types import Lane
from models.oci import storable_text
from models.store.access.secret_store import pull_secrets
from models.store.database.session import transaction
from models.store.schedule.schedule_claims import (
    Check,
    Settled,
    put_off_checks,
    settle_checks,
    take_checks,
)
from models.store.schedule.schedule_writes import LONGEST_MESSAGE
from models.streams.schedule.check_schedule import Decision, next_turn
from models.telemetry.metrics import SHARED, observe_check
from worker.checks.check_results import Finding, Findings
from worker.checks.lease_renewer import holding
from worker.checks.scheduled_import import import_findings
from worker.checks.source_checks import Look, Seen, look_at_all, plan_looks
from worker.db_retry import patiently
from worker.job_queue import moment
from worker.registry.auth.credentials import Keyring
from worker.registry.request_context import Access
from worker.registry.tag_check import Checked
from worker.worker_context import Runtime

log = structlog.get_logger()

LONGEST_BATCH = 300.0
FLUSH_AFTER = 0.25  # seconds that a result waits for others to be written with
MOST_AT_ONCE = 200
SPREAD = 10.0  # over so many seconds those come back who wait for the same thing
PAUSE_WHEN_DOWN = 15.0
PAUSE_WHEN_LIMITED = 30.0


def run_checks(batch: UUID, ids: Sequence[int], runtime: Runtime) -> None:
    """Carry a batch of checks from the calendar to the calendar. Safe to run twice."""
    try:
        _Batch(batch, runtime).run(ids)
    except (StoreError, StreamConflictError) as error:
        log.warning("checks.store", error=str(error))  # given back, or else the lease runs out


@dataclass(frozen=True, slots=True)
class _Result:
    look: Look
    seen: Seen


class _Batch:
    """The rows of one message in this worker's hands."""

    def __init__(self, batch: UUID, runtime: Runtime) -> None:
        self._batch = batch
        self._runtime = runtime
        self._began = moment()
        self._basket = _Basket()
        self._open: dict[int, Check] = {}

    def run(self, ids: Sequence[int]) -> None:
        checks = patiently(lambda: self._take(ids), self._runtime)
        if not checks:
            return  # settled already, or in the hands of another worker
        self._open = {check.id: check for check in checks}
        with holding(self._runtime, self._open):
            try:
                self._carry(checks)
            finally:
                self._give_back()

    def _take(self, ids: Sequence[int]) -> list[Check]:
        runtime, now = self._runtime, moment()
        until = now + runtime.settings.check_lease
        with transaction(runtime.engine) as session:
            return take_checks(session, self._batch, ids, worker=runtime.name, now=now, until=until)

    def _carry(self, checks: list[Check]) -> None:
        runtime = self._runtime
        rights = self._read_rights(checks)
        found = Findings(self._batch, rights)
        readable = [check for check in checks if isinstance(rights[check.namespace], Access)]
        looks, unreadable = plan_looks(readable, found.access_of, runtime)
        for check, error in unreadable:
            found.add(Finding(check, error))
        for check in checks:
            refusal = rights[check.namespace]
            if isinstance(refusal, TagstreamError):
                found.add(Finding(check, refusal))
        work = look_at_all(looks, runtime.client, runtime.rules, self._basket.add)
        future = runtime.loop.start(work, within=LONGEST_BATCH)
        future.add_done_callback(lambda _future: self._basket.close())
        try:
            for results in self._basket.handfuls():
                self._settle(results, found)
                self._close(import_findings(found, runtime))
        finally:
            future.cancel()  # who gives rows back looks at nothing any more
        if not future.cancelled() and not isinstance(future.exception(), TimeoutError | None):
            future.result()

    def _read_rights(self, checks: Sequence[Check]) -> dict[str, Access | TagstreamError]:
        """The rights of each namespace, read once a batch; a secret that cannot be read stands in
        nobody else's way.
        """
        runtime = self._runtime
        found: dict[str, Access | TagstreamError] = {}
        with transaction(runtime.engine, write=False) as session:
            for namespace in {check.namespace for check in checks}:
                try:
                    secrets = pull_secrets(session, namespace, cipher=runtime.cipher)
                except StoreAwayError:
                    raise
                except StoreError as error:
                    found[namespace] = TagstreamError(error.text, code="auth.secret_unreadable")
                    continue
                keyring = Keyring.from_secrets(secrets)
                found[namespace] = runtime.access(keyring, tenant=namespace, lane=Lane.SCHEDULED)
        return found

    def _settle(self, results: Sequence[_Result], found: Findings) -> None:
        """Write down what is as it was, put off what has to wait, keep the rest for the import."""
        now = moment()
        same: list[Settled] = []
        later: list[Settled] = []
        for result in results:
            seen = result.seen
            SHARED.inc(len(result.look.checks) - 1)
            for check in result.look.checks:
                interval = self._runtime.cadence.interval(check.asked, check.host)
                if isinstance(seen, Checked) and is_same(check, seen):
                    same.append(self._same(check, seen, now=now, interval=interval))
                elif not isinstance(seen, Checked) and must_wait(check, seen, now, interval):
                    later.append(wait_for(check, seen, now=now))
                    observe_check(check.host, later[-1].decision)
                    continue
                else:
                    found.add(Finding(check, seen))
                outcome = outcome_of(check, seen)
                observe_check(check.host, outcome, late=(now - check.due).total_seconds())
        if same or later:
            patiently(lambda: self._write(same, later), self._runtime)
            self._close(each.id for each in (*same, *later))

    def _write(self, same: Sequence[Settled], later: Sequence[Settled]) -> None:
        with transaction(self._runtime.engine) as session:
            settle_checks(session, self._batch, same)
            put_off_checks(session, self._batch, later)

    def _same(self, check: Check, seen: Checked, *, now: datetime, interval: int) -> Settled:
        due = next_turn(check.key, check.due, now, interval)
        return Settled(
            check.id,
            due,
            due,
            Decision.SAME,
            decided=now,
            checked=now,
            waited=max(0, int((self._began - check.due).total_seconds())),
            etag=seen.etag,
        )

    def _close(self, ids: Iterable[int]) -> None:
        for each in ids:
            self._open.pop(each, None)

    def _give_back(self) -> None:
        """What was not looked at, because this worker stops or the batch took too long."""
        now = moment()
        text = "the worker that had it stopped"
        rows = [
            Settled(each.id, each.due, now, Decision.WAITED, decided=now, message=text)
            for each in list(self._open.values())
        ]
        if not rows:
            return
        try:
            patiently(lambda: self._write((), rows), self._runtime)
        except (StoreError, StreamConflictError) as error:
            log.warning("checks.not_given_back", error=str(error))


class _Basket:
    """What the loop has seen and the batch's thread has not; handed over in handfuls, as a thread
    that is woken for each of them keeps the loop from its work.
    """

    def __init__(self) -> None:
        self._full: queue.SimpleQueue[list[_Result] | None] = queue.SimpleQueue()
        self._found: list[_Result] = []
        self._rows = 0
        self._alarm: asyncio.TimerHandle | None = None

    def add(self, look: Look, seen: Seen) -> None:
        """Called on the loop."""
        self._found.append(_Result(look, seen))
        self._rows += len(look.checks)
        if self._rows >= MOST_AT_ONCE:
            self._hand_over()
        elif self._alarm is None:
            self._alarm = asyncio.get_running_loop().call_later(FLUSH_AFTER, self._hand_over)

    def close(self) -> None:
        """Nothing more comes; the last handful may be empty. Called on any thread."""
        self._full.put(self._found)
        self._full.put(None)

    def handfuls(self) -> Iterator[list[_Result]]:
        """Until nothing more comes; for the batch's thread."""
        while (found := self._full.get()) is not None:
            yield found

    def _hand_over(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._found:
            self._full.put(self._found)
            self._found, self._rows = [], 0


def is_same(check: Check, seen: Checked) -> bool:
    """Whether a tag is what its last import saw, and nothing else is to be mended about it."""
    if not check.scheduled or check.failures or check.known_key != check.key:
        return False
    if seen.digest is None:
        return seen.unchanged
    return seen.digest == check.known_source


def outcome_of(check: Check, seen: Seen) -> str:
    """A look in one word, for those who count."""
    if not isinstance(seen, Checked):
        return "failed"
    return "same" if is_same(check, seen) else "changed"


def must_wait(check: Check, error: TagstreamError, now: datetime, interval: float) -> bool:
    """Whether an error is no word about the tag: its registry is down, or wants less of us.

    A tag that has missed a whole turn by that is told of all the same.
    """
    limited = isinstance(error, RateLimitedError)
    if limited and error.code.startswith("ratelimit."):
        return True
    away = limited or error.code == "circuit.open"  # a 503 may say when to come again, and lie
    return away and now - check.due < timedelta(seconds=interval)


def wait_for(check: Check, error: TagstreamError, *, now: datetime) -> Settled:
    """Put a check off until the registry can be asked again; not all at the same moment."""
    wait, decision = PAUSE_WHEN_DOWN, Decision.DOWN
    if isinstance(error, RateLimitedError):
        wait = max(error.retry_after or PAUSE_WHEN_LIMITED, 1.0)
        own = error.code == "ratelimit.budget"
        decision = Decision.WAITED if own else Decision.LIMITED
    apart = crc32(f"{check.id} {now.timestamp()}".encode()) / 0xFFFFFFFF
    until = now + timedelta(seconds=wait + apart * min(SPREAD, wait))
    text = storable_text(error.message)[:LONGEST_MESSAGE]
    return Settled(
        check.id, check.due, until, decision, decided=now, reason=error.code, message=text
    )
