"""What scheduled checks found to be new: fetched once for all, applied to each that follows it.

The rules are those of any import (`import.md` 7.4). A stream that comes out as it was leaves no
job behind; of one that changed, job, stream and calendar are written in one transaction.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy.orm import Session
from structlog.contextvars import bound_contextvars

from models.errors import StoreError, StreamConflictError, TagstreamError, status_of
from models.jobs import Asker, Job, JobRequest, JobResult, JobState, Lane, TargetResult
from models.resources.imports import ImageStreamImport
from models.resources.stream import ImageStream
from models.store.calendar import settle_import
from models.store.imports import save_import
from models.store.jobs import claim_job, create_job, finish_job
from models.store.schedule import Check
from models.store.session import transaction
from models.store.streams import load_known, load_stream, load_usage
from models.streams.apply import ImportResult, apply_import
from models.streams.defaults import default_import
from models.streams.outcome import Failed, Outcome, Outcomes, Plan, Target
from models.streams.plan import plan_import
from models.streams.schedule import with_next_generation
from models.streams.trigger import due_import
from models.streams.validation import check_import
from worker.counting import count_results
from worker.fetch import FetchRequest, fetch_all
from worker.held import Held
from worker.importer import MOST_RACES, load_held_for, result_of_import
from worker.looks import Look, Rights, Seen, rights_at
from worker.loop import wait_for
from worker.patience import patiently
from worker.queue import moment, utc_now
from worker.registry.access import Access
from worker.registry.checks import Checked
from worker.runtime import Runtime

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Finding:
    """A row of the calendar that is not as it was; `look` is None where nobody could look."""

    check: Check
    seen: Seen
    look: Look | None


@dataclass(slots=True)
class Findings:
    """What a batch has found so far, and what was fetched for it already, by target and right."""

    batch: UUID
    waiting: dict[tuple[str, str], list[Finding]] = field(default_factory=dict)
    shelf: dict[tuple[Target, Rights], Outcome] = field(default_factory=dict)

    def add(self, finding: Finding) -> None:
        place = (finding.check.namespace, finding.check.stream)
        self.waiting.setdefault(place, []).append(finding)


def import_findings(found: Findings, runtime: Runtime) -> set[int]:
    """Import everything that waits, stream by stream; the rows that were settled by that."""
    waiting, found.waiting = found.waiting, {}
    settled: set[int] = set()
    for (namespace, name), findings in waiting.items():
        if runtime.leaving.is_set():
            break
        with bound_contextvars(stream=f"{namespace}/{name}"):
            try:
                _import_patiently(namespace, name, findings, found, runtime)
            except (StoreError, StreamConflictError) as error:
                log.warning("scheduled.store", error=str(error))
                continue  # given back, and looked at again
            except TagstreamError as error:
                _settle_refused(namespace, name, findings, runtime, error)
        settled |= {finding.check.id for finding in findings}
    return settled


def _import_patiently(
    namespace: str, name: str, findings: list[Finding], found: Findings, runtime: Runtime
) -> None:
    """Whatever was fetched is on the shelf, so another try costs the registry nothing."""
    patiently(lambda: _import_stream(namespace, name, findings, found, runtime), runtime)


def _import_stream(
    namespace: str, name: str, findings: list[Finding], found: Findings, runtime: Runtime
) -> None:
    with transaction(runtime.engine, write=False) as session:
        stream = load_stream(session, namespace, name)
        known = load_known(session, namespace, name)
    request = None if stream is None else request_for(stream, findings)
    if request is None:
        return  # the stream went, or wants these tags no more: so did the rows
    request = default_import(request, mode=runtime.settings.default_import_mode)
    check_import(request, runtime.rules, exempt=False)
    plan = plan_import(request, stream, runtime.rules)
    looks = {finding.check.key: finding for finding in findings}
    access = next((each.look.access for each in findings if each.look is not None), None)
    fetching = _Fetching(access or Access(tenant=namespace, lane=Lane.SCHEDULED.value), runtime)
    fetching.put_ready(plan, looks, found.shelf)
    missing = [target for target in plan.targets if target not in fetching.ready]
    served = Held()
    if missing:
        seen = {
            key: finding.seen for key, finding in looks.items() if isinstance(finding.seen, Checked)
        }
        wanted = [image for image in plan.images if image.target in set(missing)]
        part = replace(plan, images=tuple(wanted))
        request_ = FetchRequest(
            access=fetching.access,
            rules=runtime.rules,
            now=utc_now(),
            known=known,
            held=load_held_for(part, fetching.access.keyring, runtime),
            target_seconds=runtime.settings.target_deadline.total_seconds(),
            seen=seen,
        )
        within = runtime.seconds_for(Lane.SCHEDULED)
        work = fetch_all(part, runtime.client, request_)
        outcomes, served = wait_for(runtime.loop.start(work, within=within), within=within)
        fetching.shelve(outcomes, found.shelf)
    fetched = _Fetched(request, plan, Outcomes(fetching.ready), served, utc_now())
    _write(namespace, name, fetched, findings, runtime)


@dataclass(slots=True)
class _Fetching:
    """The outcomes of one stream's targets: from the looks, from the shelf, or still to fetch."""

    access: Access
    runtime: Runtime
    ready: dict[Target, Outcome] = field(default_factory=dict)

    def put_ready(
        self,
        plan: Plan,
        looks: Mapping[str, Finding],
        shelf: Mapping[tuple[Target, Rights], Outcome],
    ) -> None:
        for target in plan.targets:
            finding = looks.get(target.key())
            if finding is not None and isinstance(finding.seen, TagstreamError):
                self.ready[target] = Failed(finding.seen)
                continue
            shelved = shelf.get((target, self._rights(target)))
            if shelved is not None:
                self.ready[target] = shelved

    def shelve(self, outcomes: Outcomes, shelf: dict[tuple[Target, Rights], Outcome]) -> None:
        for target, outcome in outcomes.targets.items():
            self.ready[target] = shelf[target, self._rights(target)] = outcome

    def _rights(self, target: Target) -> Rights:
        return rights_at(self.access.keyring, target.reference)


def request_for(stream: ImageStream, findings: Iterable[Finding]) -> ImageStreamImport | None:
    """The import of those tags, and of others that wait for one anyway (Q54); None for nothing."""
    tags = {finding.check.tag for finding in findings}
    tags &= {tag.name for tag in stream.spec.tags}
    if not tags:
        return None
    request = due_import(with_next_generation(stream, tags))
    if request is None:
        return None
    spec = request.spec.replace(repository=None)
    metadata = request.metadata.replace(resource_version="", uid="")
    return request.replace(metadata=metadata, spec=spec) if spec.images else None


@dataclass(frozen=True, slots=True)
class _Fetched:
    request: ImageStreamImport
    plan: Plan
    outcomes: Outcomes
    served: Held
    now: datetime


def _write(
    namespace: str, name: str, fetched: _Fetched, findings: list[Finding], runtime: Runtime
) -> None:
    """Everything in one transaction; a stream that moved meanwhile gets the same outcomes (B23)."""
    for race in range(1, MOST_RACES + 2):
        try:
            with transaction(runtime.engine) as session:
                stream = load_stream(session, namespace, name, for_update=True)
                if stream is None:
                    return  # and its rows went with it
                result = _save(session, stream, fetched, findings, runtime)
        except StreamConflictError:
            if race > MOST_RACES:
                raise
            time.sleep(0.01 * race)
        else:
            count_results(fetched.request, result, Asker.SCHEDULE)
            return


def _save(
    session: Session,
    stream: ImageStream,
    fetched: _Fetched,
    findings: list[Finding],
    runtime: Runtime,
) -> JobResult:
    rules = runtime.rules
    metadata = stream.metadata
    usage = None
    if rules.max_images:
        usage = load_usage(session, metadata.namespace, metadata.name)
    applied = apply_import(
        stream,
        fetched.request,
        fetched.plan,
        fetched.outcomes,
        now=fetched.now,
        rules=rules,
        usage=usage,
    )
    saved = save_import(
        session,
        old=stream,
        applied=applied,
        served=fetched.served.scopes(),
        now=fetched.now,
        max_history=rules.max_history,
        by_schedule=True,
    )
    now = moment()
    settle_import(
        session,
        saved or stream,
        applied.targets,
        cadence=runtime.cadence,
        now=now,
        waited={
            finding.check.tag: max(0, int((now - finding.check.due).total_seconds()))
            for finding in findings
        },
    )
    if applied.changed:
        _record_job(session, fetched.request, applied, runtime)
    return result_of_import(applied)


def _record_job(
    session: Session, request: ImageStreamImport, applied: ImportResult, runtime: Runtime
) -> None:
    """The job of an import that is over: begun, carried and ended in one transaction."""
    wanted = JobRequest(request, asker=Asker.SCHEDULE, lane=Lane.SCHEDULED)
    now = utc_now()
    job: Job | None = create_job(session, wanted, now=now)
    assert job is not None
    lease = runtime.settings.job_lease
    job = claim_job(session, job.id, worker=runtime.name, now=now, lease=lease)
    assert job is not None
    result = result_of_import(applied)
    finish_job(
        session,
        job,
        state=JobState.SUCCEEDED,
        result=result,
        with_errors=result.failed > 0,
        answer=None,
        now=now,
    )
    log.info("check.imported", changed=result.changed, failed=result.failed, job=str(job.id))


def _settle_refused(
    namespace: str,
    name: str,
    findings: list[Finding],
    runtime: Runtime,
    error: TagstreamError,
) -> None:
    """The import as a whole was refused: the calendar tells why, and the stream stays as it is."""
    log.warning("scheduled.refused", code=error.code)
    status = status_of(error)
    ended = [
        TargetResult(
            finding.check.source,
            finding.check.tag,
            finding.check.tag,
            reason=status["reason"],
            message=status["message"],
            code=error.code,
        )
        for finding in findings
    ]
    with transaction(runtime.engine) as session:
        stream = load_stream(session, namespace, name)
        if stream is not None:
            settle_import(session, stream, ended, cadence=runtime.cadence, now=moment())
