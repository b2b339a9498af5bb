"""The conductor of an import: read, fetch, write. Start reading here.

Three beats, always. No transaction is open while a registry is asked; everything an import
found is written in one. Running a job twice is harmless: the attempt that holds the lease is the
only one that may write.
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy.orm import Session
from structlog.contextvars import bound_contextvars

from models.errors import (
    DeadlineError,
    InvalidObjectError,
    JobCancelledError,
    LeaseLostError,
    StoreAwayError,
    StreamConflictError,
    TagstreamError,
    status_of,
)
from models.images.compressed_image import PackedImage, unpack_image
from models.job_types import Asker, Job, JobResult, JobState
from models.reference import Reference
from models.resources.image import Image
from models.resources.imports import ImageStreamImport
from models.resources.stream import ImageStream
from models.store.access.secret_store import pull_secrets
from models.store.database.session import transaction
from models.store.images.image_store import load_held, load_image
from models.store.jobs.job_store import claim_job, finish_job, release_job
from models.store.schedule.schedule_writes import settle_import
from models.store.streams.import_writes import save_import
from models.store.streams.stream_store import load_known, load_stream, load_usage, save_stream
from models.streams.imports.apply_import import ImportResult, apply_import, record_limit_failure
from models.streams.imports.import_outcome import Known, Outcomes, Plan
from models.streams.imports.import_plan import check_precondition, plan_import
from models.streams.imports.import_response import build_answer
from models.streams.imports.import_trigger import due_import
from models.streams.writes.object_defaults import default_import
from models.streams.writes.stream_validation import check_import
from models.telemetry.metrics import observe_job
from worker.imports.content_access import Held
from worker.imports.fetcher import FetchRequest, fetch_all
from worker.imports.import_metrics import count_failure, count_results
from worker.imports.tag_list_history import load_lists_for
from worker.job_heartbeat import Heartbeat
from worker.job_queue import moment, utc_now
from worker.registry.auth.credentials import Keyring
from worker.registry.registry_types import ANONYMOUS, Place
from worker.worker_context import Runtime

log = structlog.get_logger()

MOST_RACES = 5


def run_import(job_id: UUID, runtime: Runtime) -> None:
    """Carry one import from request to tag events. Safe to run twice."""
    with transaction(runtime.engine) as session:
        job = claim_job(
            session,
            job_id,
            worker=runtime.name,
            now=utc_now(),
            lease=runtime.settings.job_lease,
            most_attempts=runtime.settings.job_attempts,
        )
    if job is None:
        return  # done already, or in the hands of another worker
    began = time.monotonic()
    with bound_contextvars(job=str(job.id), stream=f"{job.request.namespace}/{job.request.stream}"):
        result = _carry_out(job, runtime)
        if result is not None:
            lane = job.request.lane.value
            observe_job(lane, failed=result.error is not None, seconds=time.monotonic() - began)
            log.info(
                "import.finished",
                imported=result.imported,
                failed=result.failed,
                changed=result.changed,
                seconds=round(time.monotonic() - began, 3),
            )


def _carry_out(job: Job, runtime: Runtime) -> JobResult | None:
    """The job's result once it is written; None where somebody else will write it."""
    carry = _import_due if job.request.due else _import
    try:
        with Heartbeat(runtime.engine, job, lease=runtime.settings.job_lease) as heartbeat:
            try:
                return carry(job, runtime, heartbeat)
            except LeaseLostError:
                raise
            except JobCancelledError as error:
                if heartbeat.lost:
                    raise LeaseLostError from error
                if runtime.leaving.is_set():
                    _give_back(job, runtime)
                    return None
                return _end(job, runtime, JobState.CANCELLED, error)
            except StoreAwayError as error:
                log.warning("import.store", error=str(error))
                return None  # the lease runs out, and the sweep has it tried again
            except TagstreamError as error:
                return _end(job, runtime, JobState.FAILED, error)
    except LeaseLostError:
        log.warning("import.lease_lost", attempt=job.attempt)
        return None


@dataclass(frozen=True, slots=True)
class _Reading:
    """What the first beat brings."""

    request: ImageStreamImport
    stream: ImageStream | None
    known: dict[str, Known]
    keyring: Keyring


@dataclass(frozen=True, slots=True)
class _Fetched:
    """What the second beat brings; `now` is the one moment of everything that is written."""

    request: ImageStreamImport
    plan: Plan
    outcomes: Outcomes
    served: Held
    now: datetime


def _import_due(job: Job, runtime: Runtime, heartbeat: Heartbeat) -> JobResult:
    """What the stream's spec makes due by now; begun anew when the stream moves meanwhile (6.9)."""
    for attempt in range(MOST_RACES + 1):
        with transaction(runtime.engine, write=False) as session:
            stream = load_stream(session, job.request.namespace, job.request.stream)
        request = None if stream is None else due_import(stream)
        if request is None:  # somebody imported it already, or wants it no more
            return _end_idle(job, runtime)
        try:
            now_due = replace(job, request=replace(job.request, request=request))
            return _import(now_due, runtime, heartbeat)
        except StreamConflictError:
            if attempt == MOST_RACES:
                raise
            time.sleep(0.01 * 2**attempt)
    raise AssertionError("unreachable")


def _import(job: Job, runtime: Runtime, heartbeat: Heartbeat) -> JobResult:
    now = utc_now()
    reading = _read(job, runtime)
    plan = plan_import(
        reading.request, reading.stream, runtime.rules, max_tags=job.request.max_tags
    )
    held = load_held_for(plan, reading.keyring, runtime)
    fetch = FetchRequest(
        access=runtime.access(reading.keyring, tenant=job.request.namespace, lane=job.request.lane),
        rules=runtime.rules,
        now=now,
        known=reading.known,
        held=held,
        target_seconds=runtime.settings.target_deadline.total_seconds(),
        # A look that stores nothing cannot be taken by surprise.
        lists=load_lists_for(plan, runtime) if _stores(job) else {},
        by_person=job.request.asker is not Asker.SCHEDULE and not job.request.due,
    )
    if runtime.leaving.is_set():
        raise JobCancelledError
    within = runtime.seconds_for(job.request.lane)
    work = fetch_all(plan, runtime.client, fetch, progress=heartbeat.progress)
    outcomes, served = heartbeat.guard(runtime.loop.start(work, within=within), within=within)
    return _write(job, runtime, _Fetched(reading.request, plan, outcomes, served, now))


def _stores(job: Job) -> bool:
    return job.request.request.spec.import_ and not job.request.dry_run


def _read(job: Job, runtime: Runtime) -> _Reading:
    request = default_import(job.request.request, mode=runtime.settings.default_import_mode)
    check_import(request, runtime.rules, exempt=job.request.exempt)
    with transaction(runtime.engine, write=False) as session:
        stream = load_stream(session, job.request.namespace, job.request.stream)
        check_precondition(request, stream)
        known = load_known(session, job.request.namespace, job.request.stream) if stream else {}
        secrets = pull_secrets(session, job.request.namespace, cipher=runtime.cipher)
    return _Reading(request, stream, known, Keyring.from_secrets(secrets))


def load_held_for(plan: Plan, keyring: Keyring, runtime: Runtime) -> Held:
    """What the store holds of the plan's repositories, for the rights at hand."""
    written: list[Reference] = [target.reference for target in plan.targets]
    if plan.repository is not None:
        written.append(plan.repository.reference)
    sources = {
        Place.of(source).name
        for reference in dict.fromkeys(written)
        for source in runtime.rules.registries.sources(reference)
    }
    scopes = [ANONYMOUS, *(credential.id for credential in keyring.credentials)]
    held = Held()
    with transaction(runtime.engine, write=False) as session:
        for place in sorted(sources):
            for digest, scope in load_held(session, place, scopes):
                held.add(place, digest, scope)
    return held


def _write(job: Job, runtime: Runtime, fetched: _Fetched) -> JobResult:
    """Everything in one transaction; a stream that moved meanwhile gets the same outcomes (B23)."""
    races = 0
    while True:
        try:
            with transaction(runtime.engine) as session:
                result = _save(session, job, runtime, fetched)
        except StreamConflictError:
            races += 1
            if races > MOST_RACES or fetched.request.metadata.resource_version:
                raise
            time.sleep(0.01 * races)
        except InvalidObjectError as error:
            _record_limit(job, runtime, fetched, error)
            raise
        else:
            count_results(fetched.request, result, job.request.asker)
            return result


def _save(session: Session, job: Job, runtime: Runtime, fetched: _Fetched) -> JobResult:
    namespace, name, rules = job.request.namespace, job.request.stream, runtime.rules
    stream = load_stream(session, namespace, name, for_update=True)
    check_precondition(fetched.request, stream)
    usage = load_usage(session, namespace, name) if rules.max_images and stream else None
    applied = apply_import(
        stream,
        fetched.request,
        fetched.plan,
        fetched.outcomes,
        now=fetched.now,
        rules=rules,
        usage=usage,
    )
    result = result_of_import(applied)
    saved = applied.stream
    if not job.request.dry_run:
        saved = save_import(
            session,
            old=stream,
            applied=applied,
            served=fetched.served.scopes(),
            now=fetched.now,
            max_history=rules.max_history,
        )
        if saved is not None and applied.stream is not None:
            settle_import(session, saved, applied.targets, cadence=runtime.cadence, now=moment())
    answer = None
    if job.request.wants_answer:
        shown = replace(applied, stream=saved) if saved is not None else applied
        answer = _pack_answer(session, fetched, shown)
    finish_job(
        session,
        job,
        state=JobState.SUCCEEDED,
        result=result,
        with_errors=result.failed > 0 or result.listing is not None,
        answer=answer,
        now=utc_now(),
    )
    return result


def result_of_import(applied: ImportResult) -> JobResult:
    failed = sum(1 for target in applied.targets if not target.image)
    return JobResult(
        imported=len(applied.targets) - failed,
        failed=failed,
        changed=sum(1 for target in applied.targets if target.changed),
        targets=applied.targets,
        additional_tags=applied.additional_tags,
        listing=applied.listing,
        warnings=applied.warnings,
    )


def _pack_answer(session: Session, fetched: _Fetched, applied: ImportResult) -> bytes:
    answer = build_answer(
        fetched.request, fetched.plan, fetched.outcomes, applied, stored=_reader_of(session)
    )
    text = json.dumps(answer.wire(), ensure_ascii=False)
    return zlib.compress(text.encode("utf-8", "replace"))


def _reader_of(session: Session) -> Callable[[PackedImage], Image]:
    """Opens packed images, also those that only the store holds in full."""

    def read(packed: PackedImage) -> Image:
        if not packed.is_stored:
            return unpack_image(packed)
        image = load_image(session, packed.name)
        if image is None:
            raise TagstreamError(f"the image {packed.name} is no longer in the store")
        metadata = image.metadata.replace(uid="", resource_version="", creation_timestamp=None)
        return image.replace(metadata=metadata, docker_image_reference=packed.reference)

    return read


def _record_limit(job: Job, runtime: Runtime, fetched: _Fetched, error: InvalidObjectError) -> None:
    """A limit that was hit leaves a condition on the tags that are missing (`import.md` 5.9)."""
    with transaction(runtime.engine) as session:
        stream = load_stream(session, job.request.namespace, job.request.stream, for_update=True)
        if stream is None:
            return
        marked = record_limit_failure(
            stream,
            fetched.request,
            fetched.plan,
            fetched.outcomes,
            error=error,
            now=fetched.now,
        )
        if marked is not None:
            save_stream(session, stream, marked, now=fetched.now)


def _give_back(job: Job, runtime: Runtime) -> None:
    """Nobody wanted the job's end but this process: another one begins it anew."""
    with transaction(runtime.engine) as session:
        release_job(session, job, now=utc_now())
    log.info("import.given_back")


def _end_idle(job: Job, runtime: Runtime) -> JobResult:
    """Write down a job that found nothing to do."""
    with transaction(runtime.engine) as session:
        finish_job(
            session,
            job,
            state=JobState.SUCCEEDED,
            result=JobResult(),
            with_errors=False,
            answer=None,
            now=utc_now(),
        )
    return JobResult()


def _end(job: Job, runtime: Runtime, state: JobState, error: TagstreamError) -> JobResult:
    """Write down a job that came to nothing."""
    if isinstance(error, DeadlineError):
        log.warning("import.deadline")
    result = JobResult(error=status_of(error))
    with transaction(runtime.engine) as session:
        finish_job(
            session, job, state=state, result=result, with_errors=True, answer=None, now=utc_now()
        )
    if state is JobState.FAILED:
        count_failure(job.request.request, status_of(error), job.request.asker)
    return result
