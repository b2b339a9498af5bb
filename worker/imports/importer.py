"""Runs one import in three steps: read, fetch, commit. Start reading here.

No transaction is open while a registry is contacted, and everything that was fetched is written in
one (imports-7.1). A job may run twice: only the attempt that holds the lease may write.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from uuid import UUID

import structlog
from structlog.contextvars import bound_contextvars

from models.errors import (
    DeadlineError,
    JobCancelledError,
    LeaseLostError,
    StoreUnavailableError,
    StreamConflictError,
    TagstreamError,
    status_of,
)
from models.job_types import Job, JobResult, JobState, JobTrigger
from models.reference import Reference
from models.resources.imports import ImageStreamImport
from models.resources.stream import ImageStream
from models.store.access.secret_store import list_pull_secrets
from models.store.database.session import transaction
from models.store.images.image_store import load_served_images
from models.store.jobs.job_store import claim_job, finish_job, release_job
from models.store.streams.known_images import load_known_images
from models.store.streams.stream_store import load_stream
from models.streams.imports.import_outcome import ImportPlan, KnownImage
from models.streams.imports.import_plan import check_precondition, plan_import
from models.streams.imports.import_trigger import build_due_import
from models.streams.writes.object_defaults import default_import
from models.streams.writes.stream_validation import check_import
from models.telemetry.metrics import observe_job
from worker.imports.content_access import ContentAccess
from worker.imports.fetcher import FetchRequest, fetch_plan
from worker.imports.import_commit import MAX_CONFLICT_RETRIES, FetchedImport, commit_import
from worker.imports.import_metrics import count_failure
from worker.imports.tag_list_history import load_known_tag_lists
from worker.job_heartbeat import Heartbeat
from worker.job_queue import utc_now
from worker.registry.auth.credentials import Keyring
from worker.registry.registry_types import ANONYMOUS, SourceRepository
from worker.worker_context import WorkerContext

log = structlog.get_logger()


def run_import(job_id: UUID, context: WorkerContext) -> None:
    """Claim a job and run its import. Safe to repeat.

    Does nothing if the job is finished or claimed by another worker. Errors of the import end in
    the job's result, not in an exception.
    """
    with transaction(context.engine) as session:
        job = claim_job(
            session,
            job_id,
            worker=context.name,
            now=utc_now(),
            lease=context.settings.job_lease,
            max_attempts=context.settings.job_attempts,
        )
    if job is None:
        return  # finished already, or claimed by another worker
    started = time.monotonic()
    with bound_contextvars(job=str(job.id), stream=f"{job.request.namespace}/{job.request.stream}"):
        result = _execute_job(job, context)
        if result is not None:
            priority = job.request.priority.value
            observe_job(
                priority,
                failed=result.final_state is JobState.FAILED,
                seconds=time.monotonic() - started,
            )
            log.info(
                "import.finished",
                new=result.tags_new,
                updated=result.tags_updated,
                unchanged=result.tags_unchanged,
                failed=result.tags_failed,
                seconds=round(time.monotonic() - started, 3),
            )


def _execute_job(job: Job, context: WorkerContext) -> JobResult | None:
    """Run the import and return its written result.

    Returns None if this attempt writes none: its lease is lost, it was released, or the database is
    unavailable and the lease will expire.
    """
    import_ = _import_due if job.request.due else _import
    try:
        with Heartbeat(context.engine, job, lease=context.settings.job_lease) as heartbeat:
            try:
                return import_(job, context, heartbeat)
            except LeaseLostError:
                raise
            except JobCancelledError as error:
                if heartbeat.lease_lost:
                    raise LeaseLostError from error
                if context.stopping.is_set():
                    _release(job, context)
                    return None
                return _finish_unsuccessful(job, context, JobState.CANCELLED, error)
            except StoreUnavailableError as error:
                log.warning("import.store_unavailable", error=str(error))
                return None  # the lease expires, and the reaper publishes the job again
            except TagstreamError as error:
                return _finish_unsuccessful(job, context, JobState.FAILED, error)
    except LeaseLostError:
        log.warning("import.lease_lost", attempt=job.attempt)
        return None


@dataclass(frozen=True, slots=True)
class _ImportInputs:
    """The result of the first step: the request, and what the store knows."""

    request: ImageStreamImport
    stream: ImageStream | None
    known: dict[str, KnownImage]
    keyring: Keyring


def _import_due(job: Job, context: WorkerContext, heartbeat: Heartbeat) -> JobResult:
    """Import what the stream's spec makes due at this moment (imports-7.4, scheduling-10.4).

    Starts again, up to 5 times, if the stream changes meanwhile.
    """
    for attempt in range(MAX_CONFLICT_RETRIES + 1):
        with transaction(context.engine, write=False) as session:
            stream = load_stream(session, job.request.namespace, job.request.stream)
        request = None if stream is None else build_due_import(stream)
        if request is None:  # it was imported meanwhile, or the stream is gone
            return _finish_without_work(job, context)
        try:
            due_job = replace(job, request=replace(job.request, request=request))
            return _import(due_job, context, heartbeat)
        except StreamConflictError:
            if attempt == MAX_CONFLICT_RETRIES:
                raise
            time.sleep(0.01 * 2**attempt)
    raise AssertionError("unreachable")


def _import(job: Job, context: WorkerContext, heartbeat: Heartbeat) -> JobResult:
    now = utc_now()
    inputs = _load_inputs(job, context)
    plan = plan_import(inputs.request, inputs.stream, context.rules, max_tags=job.request.max_tags)
    content_access = load_content_access(plan, inputs.keyring, context)
    fetch_request = FetchRequest(
        request_context=context.request_context(
            inputs.keyring, tenant=job.request.namespace, priority=job.request.priority
        ),
        rules=context.rules,
        now=now,
        known=inputs.known,
        content_access=content_access,
        target_timeout_seconds=context.settings.target_deadline.total_seconds(),
        # An import that stores nothing accepts any tag list.
        known_tag_lists=load_known_tag_lists(plan, context) if _writes_result(job) else {},
        interactive=job.request.trigger is not JobTrigger.SCHEDULE and not job.request.due,
    )
    if context.stopping.is_set():
        raise JobCancelledError
    timeout_seconds = context.job_timeout_seconds(job.request.priority)
    work = fetch_plan(plan, context.client, fetch_request, progress=heartbeat.progress)
    outcomes, served = heartbeat.guard(
        context.loop.start(work, within=timeout_seconds), within=timeout_seconds
    )
    return commit_import(job, context, FetchedImport(inputs.request, plan, outcomes, served, now))


def _writes_result(job: Job) -> bool:
    return job.request.request.spec.import_ and not job.request.dry_run


def _load_inputs(job: Job, context: WorkerContext) -> _ImportInputs:
    request = default_import(job.request.request, mode=context.settings.default_import_mode)
    check_import(request, context.rules, exempt=job.request.exempt)
    with transaction(context.engine, write=False) as session:
        stream = load_stream(session, job.request.namespace, job.request.stream)
        check_precondition(request, stream)
        known = (
            load_known_images(session, job.request.namespace, job.request.stream) if stream else {}
        )
        secrets = list_pull_secrets(session, job.request.namespace, cipher=context.cipher)
    return _ImportInputs(request, stream, known, Keyring.from_secrets(secrets))


def load_content_access(
    plan: ImportPlan, keyring: Keyring, context: WorkerContext
) -> ContentAccess:
    """Load which stored content these credentials may reuse (imports-3.31, registry-27.4)."""
    references: list[Reference] = [target.reference for target in plan.targets]
    if plan.repository is not None:
        references.append(plan.repository.reference)
    repository_names = {
        SourceRepository.from_reference(source).name
        for reference in dict.fromkeys(references)
        for source in context.rules.registries.manifest_sources(reference)
    }
    scopes = [ANONYMOUS, *(credential.id for credential in keyring.credentials)]
    content_access = ContentAccess()
    with transaction(context.engine, write=False) as session:
        for repository in sorted(repository_names):
            for digest, scope in load_served_images(session, repository, scopes):
                content_access.add(repository, digest, scope)
    return content_access


def _release(job: Job, context: WorkerContext) -> None:
    """Release a job to the queue, because this process stops: another worker starts it again."""
    with transaction(context.engine) as session:
        release_job(session, job, now=utc_now())
    log.info("import.released")


def _finish_without_work(job: Job, context: WorkerContext) -> JobResult:
    """Finish a job that has nothing to import."""
    with transaction(context.engine) as session:
        finish_job(
            session,
            job,
            state=JobState.SUCCEEDED,
            result=JobResult(),
            with_errors=False,
            response=None,
            now=utc_now(),
        )
    return JobResult()


def _finish_unsuccessful(
    job: Job, context: WorkerContext, state: JobState, error: TagstreamError
) -> JobResult:
    """Finish a job that failed or was cancelled."""
    if isinstance(error, DeadlineError):
        log.warning("import.deadline_exceeded")
    result = JobResult(error=status_of(error))
    with transaction(context.engine) as session:
        finish_job(
            session, job, state=state, result=result, with_errors=True, response=None, now=utc_now()
        )
    if state is JobState.FAILED:
        count_failure(job.request.request, status_of(error), job.request.trigger)
    return result
