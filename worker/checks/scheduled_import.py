"""What scheduled checks found to be new: fetched once for all, applied to each that follows it.

The rules are those of any import (`import.md` 7.4). A stream that comes out as it was leaves no
job behind; of one that changed, job, stream and calendar are written in one transaction.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import structlog
from sqlalchemy.orm import Session
from structlog.contextvars import bound_contextvars

from models.errors import (
    JobCancelledError,
    StoreAwayError,
    StoreError,
    StreamConflictError,
    TagstreamError,
    status_of,
)
from models.job_types import Asker, Job, JobRequest, JobResult, JobState, Lane, TargetResult
from models.resources.imports import ImageStreamImport
from models.resources.stream import ImageStream
from models.store.database.session import transaction
from models.store.jobs.job_store import claim_job, create_job, finish_job
from models.store.schedule.schedule_claims import forget_checks
from models.store.schedule.schedule_locks import hold_rows, still_held
from models.store.schedule.schedule_writes import settle_import
from models.store.streams.import_writes import save_import
from models.store.streams.stream_store import load_known, load_stream, load_usage
from models.streams.imports.apply_import import ImportResult, apply_import
from models.streams.imports.import_outcome import Failed, Outcome, Outcomes, Plan, Target
from models.streams.imports.import_plan import plan_import
from models.streams.writes.object_defaults import default_import
from models.streams.writes.stream_validation import check_import
from worker.checks.check_results import (
    Fetched,
    Finding,
    Findings,
    request_for,
    still_wanted,
    tags_of,
)
from worker.checks.source_checks import Rights, Seen, rights_at
from worker.db_retry import patiently
from worker.event_loop import wait_for
from worker.imports.content_access import Held
from worker.imports.fetcher import FetchRequest, fetch_all
from worker.imports.import_metrics import count_results
from worker.imports.importer import MOST_RACES, load_held_for, result_of_import
from worker.job_queue import moment, utc_now
from worker.registry.request_context import Access
from worker.registry.tag_check import Checked
from worker.worker_context import Runtime

log = structlog.get_logger()


def import_findings(found: Findings, runtime: Runtime) -> set[int]:
    """Import everything that waits, stream by stream; the rows that are done with.

    The others are to be given back, and looked at again.
    """
    waiting, found.waiting = found.waiting, {}
    done: set[int] = set()
    for (namespace, name), findings in waiting.items():
        with bound_contextvars(stream=f"{namespace}/{name}"):
            done |= _import_or_refuse(_Place(namespace, name, found, runtime), findings)
    return done


@dataclass(frozen=True, slots=True)
class _Place:
    """The stream that something was found for, and all that is at hand for its import."""

    namespace: str
    name: str
    found: Findings
    runtime: Runtime


def _import_or_refuse(place: _Place, findings: list[Finding], *, alone: bool = False) -> set[int]:
    """Nobody else suffers by what goes wrong here: no other stream, and no other tag of it."""
    if place.runtime.leaving.is_set():
        return set()
    try:
        # Whatever was fetched is on the shelf, so another try costs the registry nothing.
        return patiently(lambda: _import_stream(place, findings, alone=alone), place.runtime)
    except (StoreAwayError, StreamConflictError) as error:
        log.warning("scheduled.store", error=str(error))
        return set()
    except JobCancelledError:
        return set()
    except TagstreamError as error:
        refusal = error
    except Exception as error:  # not even by our bug
        log.exception("scheduled.bug")
        refusal = TagstreamError(f"unexpected {type(error).__name__}")
    if not alone:  # one of them is to blame, or one that waits anyway
        done = (_import_or_refuse(place, [finding], alone=True) for finding in findings)
        return set().union(*done)
    try:
        patiently(lambda: _settle_refused(place, findings, refusal), place.runtime)
    except (StoreError, StreamConflictError) as error:
        log.warning("scheduled.store", error=str(error))
        return set()
    return {finding.check.id for finding in findings}


def _import_stream(place: _Place, findings: list[Finding], *, alone: bool) -> set[int]:
    runtime, namespace = place.runtime, place.namespace
    access = place.found.access_of(namespace)
    with transaction(runtime.engine, write=False) as session:
        stream = load_stream(session, namespace, place.name)
        known = load_known(session, namespace, place.name)
    request = None if stream is None else request_for(stream, findings, alone=alone)
    wanted = set() if request is None else tags_of(request)
    idle = {finding.check.id for finding in findings if finding.check.tag not in wanted}
    if idle:
        with transaction(runtime.engine) as session:
            forget_checks(session, place.found.batch, idle)
    if request is None:
        return idle
    request = default_import(request, mode=runtime.settings.default_import_mode)
    check_import(request, runtime.rules, exempt=False)
    plan = plan_import(request, stream, runtime.rules)
    looks = {(each.check.key, each.check.insecure): each.seen for each in findings}
    fetching = _Fetching(access, runtime)
    fetching.put_ready(plan, looks, place.found.shelf)
    missing = [target for target in plan.targets if target not in fetching.ready]
    served = Held()
    if missing:
        seen = {target: looks.get((target.key(), target.insecure)) for target in missing}
        wanted_images = [image for image in plan.images if image.target in set(missing)]
        part = replace(plan, images=tuple(wanted_images))
        request_ = FetchRequest(
            access=access,
            rules=runtime.rules,
            now=utc_now(),
            known=known,
            held=load_held_for(part, access.keyring, runtime),
            target_seconds=runtime.settings.target_deadline.total_seconds(),
            seen={target: told for target, told in seen.items() if isinstance(told, Checked)},
        )
        within = runtime.seconds_for(Lane.SCHEDULED)
        work = fetch_all(part, runtime.client, request_)
        outcomes, served = wait_for(runtime.loop.start(work, within=within), within=within)
        fetching.shelve(outcomes, place.found.shelf)
    fetched = Fetched(request, plan, Outcomes(fetching.ready), served, utc_now())
    return idle | _write(place, fetched, findings, alone=alone)


@dataclass(slots=True)
class _Fetching:
    """The outcomes of one stream's targets: from the looks, from the shelf, or still to fetch."""

    access: Access
    runtime: Runtime
    ready: dict[Target, Outcome] = field(default_factory=dict)

    def put_ready(
        self,
        plan: Plan,
        looks: Mapping[tuple[str, bool], Seen],
        shelf: Mapping[tuple[Target, Rights], Outcome],
    ) -> None:
        for target in plan.targets:
            seen = looks.get((target.key(), target.insecure))
            if isinstance(seen, TagstreamError):
                self.ready[target] = Failed(seen)
                continue
            shelved = shelf.get((target, self._rights(target)))
            if shelved is not None:
                self.ready[target] = shelved

    def shelve(self, outcomes: Outcomes, shelf: dict[tuple[Target, Rights], Outcome]) -> None:
        for target, outcome in outcomes.targets.items():
            self.ready[target] = shelf[target, self._rights(target)] = outcome

    def _rights(self, target: Target) -> Rights:
        return rights_at(self.access, target.reference, self.runtime)


def _write(place: _Place, fetched: Fetched, findings: list[Finding], *, alone: bool) -> set[int]:
    """Everything in one transaction; a stream that moved meanwhile gets what it still wants (B23).

    The rows that are done with.
    """
    runtime = place.runtime
    for race in range(1, MOST_RACES + 2):
        try:
            with transaction(runtime.engine) as session:
                stream = load_stream(session, place.namespace, place.name, for_update=True)
                if stream is None:
                    return set()  # and its rows went with it
                ours, lost = _sort_out(session, place, findings, tags_of(fetched.request))
                now = request_for(stream, ours, alone=alone)
                fetched = still_wanted(stream, fetched, now, runtime.rules)
                tags = tags_of(fetched.request)
                ours = [finding for finding in ours if finding.check.tag in tags]
                result = _save(session, stream, fetched, ours, runtime) if tags else JobResult()
        except StreamConflictError:
            if race > MOST_RACES:
                raise
            time.sleep(0.01 * race)
        else:
            count_results(fetched.request, result, Asker.SCHEDULE)
            return lost | {finding.check.id for finding in ours}
    raise AssertionError("unreachable")


def _sort_out(
    session: Session, place: _Place, findings: Iterable[Finding], tags: Iterable[str] = ()
) -> tuple[list[Finding], set[int]]:
    """What was found for rows that are still in our hands, and the other rows.

    Whoever changed a row, or imported its tag, knows better by now than what we saw. `tags` are
    others whose rows will be written.
    """
    findings = list(findings)
    ids = {finding.check.id for finding in findings}
    wanted = {finding.check.tag for finding in findings}.union(tags)
    hold_rows(session, place.namespace, place.name, wanted)
    held = still_held(session, place.found.batch, ids)
    return [finding for finding in findings if finding.check.id in held], ids - held


def _save(
    session: Session,
    stream: ImageStream,
    fetched: Fetched,
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


def _settle_refused(place: _Place, findings: list[Finding], error: TagstreamError) -> None:
    """The import as a whole was refused: the calendar tells why, and the stream stays as it is."""
    log.warning("scheduled.refused", code=error.code)
    status = status_of(error)
    runtime = place.runtime
    with transaction(runtime.engine) as session:
        stream = load_stream(session, place.namespace, place.name, for_update=True)
        if stream is None:
            return
        ended = [
            TargetResult(
                finding.check.source,
                finding.check.tag,
                finding.check.tag,
                reason=status["reason"],
                message=status["message"],
                code=error.code,
            )
            for finding in _sort_out(session, place, findings)[0]
        ]
        settle_import(session, stream, ended, cadence=runtime.cadence, now=moment())
