"""Commits imports that scheduled checks started: stream, schedule rows and job together.

Lock order: the stream first, then its schedule rows in the order of their ids (scheduling-3.7).
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

import structlog
from sqlalchemy.orm import Session

from models.errors import (
    StreamConflictError,
    TagstreamError,
    status_of,
)
from models.job_types import (
    Job,
    JobRequest,
    JobResult,
    JobTrigger,
    Priority,
    TargetResult,
)
from models.resources.imports import ImageStreamImport
from models.resources.stream import ImageStream
from models.store.database.session import transaction
from models.store.jobs.job_store import claim_job, create_job, finish_job
from models.store.schedule.schedule_locks import load_claimed_ids, lock_schedule_rows
from models.store.schedule.schedule_writes import settle_import
from models.store.streams.import_writes import save_import
from models.store.streams.stream_store import load_stream, load_usage
from models.streams.imports.apply_import import ImportResult, apply_import
from worker.checks.check_results import (
    Finding,
    Findings,
    build_due_request,
    filter_requested,
    target_tags,
)
from worker.imports.import_commit import MAX_CONFLICT_RETRIES, FetchedImport, result_of_import
from worker.imports.import_metrics import count_results
from worker.job_queue import precise_utc_now, utc_now
from worker.worker_context import WorkerContext

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class StreamImport:
    """A stream with findings, and what its import needs."""

    namespace: str
    name: str
    batch_findings: Findings
    context: WorkerContext


def commit_stream_import(
    stream_import: StreamImport,
    fetched: FetchedImport,
    findings: list[Finding],
    *,
    only_found: bool,
) -> set[int]:
    """Write a stream's import in one transaction; return the ids of the settled rows.

    Results are applied to the stream as it is now, to tags that still request the same
    (scheduling-6.3). A conflict is retried 5 times; StreamConflictError after that.
    """
    context = stream_import.context
    for attempt in range(1, MAX_CONFLICT_RETRIES + 2):
        try:
            with transaction(context.engine) as session:
                stream = load_stream(
                    session, stream_import.namespace, stream_import.name, for_update=True
                )
                if stream is None:
                    return set()  # its rows were deleted with it
                claimed, lost = _split_by_lease(
                    session, stream_import, findings, target_tags(fetched.request)
                )
                current_request = build_due_request(stream, claimed, only_found=only_found)
                fetched = filter_requested(stream, fetched, current_request, context.rules)
                tags = target_tags(fetched.request)
                claimed = [finding for finding in claimed if finding.check.tag in tags]
                result = (
                    _save_stream_import(session, stream, fetched, claimed, context)
                    if tags
                    else JobResult()
                )
        except StreamConflictError:
            if attempt > MAX_CONFLICT_RETRIES:
                raise
            time.sleep(0.01 * attempt)
        else:
            count_results(fetched.request, result, JobTrigger.SCHEDULE)
            return lost | {finding.check.id for finding in claimed}
    raise AssertionError("unreachable")


def _split_by_lease(
    session: Session,
    stream_import: StreamImport,
    findings: Iterable[Finding],
    tags: Iterable[str] = (),
) -> tuple[list[Finding], set[int]]:
    """Lock schedule rows; return the findings whose rows are still claimed, and the lost ids.

    A row that was changed, or whose tag was imported meanwhile, is newer than the check. `tags`
    are other tags whose rows will be written: all rows are locked at once, in the order of their
    ids, after the stream (scheduling-3.7).
    """
    findings = list(findings)
    ids = {finding.check.id for finding in findings}
    wanted = {finding.check.tag for finding in findings}.union(tags)
    lock_schedule_rows(session, stream_import.namespace, stream_import.name, wanted)
    leased_ids = load_claimed_ids(session, stream_import.batch_findings.batch_id, ids)
    return [finding for finding in findings if finding.check.id in leased_ids], ids - leased_ids


def _save_stream_import(
    session: Session,
    stream: ImageStream,
    fetched: FetchedImport,
    findings: list[Finding],
    context: WorkerContext,
) -> JobResult:
    """Write the stream, its rows and, if it changed, a job (scheduling-6.4, scheduling-6.5)."""
    rules = context.rules
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
        served=fetched.served.digests_by_scope(),
        now=fetched.now,
        max_history=rules.max_history,
        by_schedule=True,
    )
    now = precise_utc_now()
    settle_import(
        session,
        saved or stream,
        applied.targets,
        cadence=context.cadence,
        now=now,
        wait_seconds={
            finding.check.tag: max(0, int((now - finding.check.due_at).total_seconds()))
            for finding in findings
        },
    )
    if applied.changed:
        _record_job(session, fetched.request, applied, context)
    return result_of_import(applied)


def _record_job(
    session: Session, request: ImageStreamImport, applied: ImportResult, context: WorkerContext
) -> None:
    """Write the job of an import that is done: created, claimed and finished in one transaction."""
    job_request = JobRequest(request, trigger=JobTrigger.SCHEDULE, priority=Priority.SCHEDULED)
    now = utc_now()
    job: Job | None = create_job(session, job_request, now=now)
    assert job is not None
    lease = context.settings.job_lease
    job = claim_job(session, job.id, worker=context.name, now=now, lease=lease)
    assert job is not None
    result = result_of_import(applied)
    finish_job(
        session,
        job,
        state=result.final_state,
        result=result,
        with_errors=result.has_failures,
        response=None,
        now=now,
    )
    log.info(
        "check.imported",
        new=result.tags_new,
        updated=result.tags_updated,
        failed=result.tags_failed,
        job=str(job.id),
    )


def settle_refused(
    stream_import: StreamImport, findings: list[Finding], error: TagstreamError
) -> None:
    """Write into the schedule rows why an import was refused; the stream stays as it is."""
    log.warning("scheduled_import.refused", code=error.code)
    status = status_of(error)
    context = stream_import.context
    with transaction(context.engine) as session:
        stream = load_stream(session, stream_import.namespace, stream_import.name, for_update=True)
        if stream is None:
            return
        failed_targets = [
            TargetResult(
                finding.check.source,
                finding.check.tag,
                finding.check.tag,
                reason=status["reason"],
                message=status["message"],
                code=error.code,
            )
            for finding in _split_by_lease(session, stream_import, findings)[0]
        ]
        settle_import(
            session, stream, failed_targets, cadence=context.cadence, now=precise_utc_now()
        )
