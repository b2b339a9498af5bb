"""Commits a fetched import: stream, Images, events, schedule rows and job in one transaction."""

from __future__ import annotations

import json
import time
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.orm import Session

from models.errors import (
    InvalidObjectError,
    StreamConflictError,
    TagstreamError,
)
from models.images.compressed_image import PackedImage, unpack_image
from models.job_types import Job, JobResult, TargetOutcome
from models.resources.image import Image
from models.resources.imports import ImageStreamImport
from models.store.database.session import transaction
from models.store.images.image_store import load_image
from models.store.jobs.job_store import finish_job
from models.store.schedule.schedule_writes import settle_import
from models.store.streams.import_writes import save_import
from models.store.streams.stream_store import load_stream, load_usage, save_stream
from models.streams.imports.apply_import import ImportResult, apply_import, record_limit_failure
from models.streams.imports.import_outcome import ImportOutcomes, ImportPlan
from models.streams.imports.import_plan import check_precondition
from models.streams.imports.import_response import build_import_response
from worker.imports.content_access import ContentAccess
from worker.imports.import_metrics import count_results
from worker.job_queue import precise_utc_now, utc_now
from worker.worker_context import WorkerContext

MAX_CONFLICT_RETRIES = 5


@dataclass(frozen=True, slots=True)
class FetchedImport:
    """A fetched import, ready to be committed. `now` is the time of everything that is written."""

    request: ImageStreamImport
    plan: ImportPlan
    outcomes: ImportOutcomes
    served: ContentAccess
    now: datetime


def commit_import(job: Job, context: WorkerContext, fetched: FetchedImport) -> JobResult:
    """Write everything in one transaction (imports-7.1).

    If the stream changed meanwhile, the same outcomes are applied to the newer stream, up to 5
    times; a request with a resourceVersion raises StreamConflictError instead (imports-7.2).
    """
    conflicts = 0
    while True:
        try:
            with transaction(context.engine) as session:
                result = _save_result(session, job, context, fetched)
        except StreamConflictError:
            conflicts += 1
            if conflicts > MAX_CONFLICT_RETRIES or fetched.request.metadata.resource_version:
                raise
            time.sleep(0.01 * conflicts)
        except InvalidObjectError as error:
            _record_limit_condition(job, context, fetched, error)
            raise
        else:
            count_results(fetched.request, result, job.request.trigger)
            return result


def _save_result(
    session: Session, job: Job, context: WorkerContext, fetched: FetchedImport
) -> JobResult:
    namespace, name, rules = job.request.namespace, job.request.stream, context.rules
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
            served=fetched.served.digests_by_scope(),
            now=fetched.now,
            max_history=rules.max_history,
        )
        if saved is not None and applied.stream is not None:
            settle_import(
                session, saved, applied.targets, cadence=context.cadence, now=precise_utc_now()
            )
    response = None
    if job.request.wants_response:
        shown = replace(applied, stream=saved) if saved is not None else applied
        response = _compress_response(session, fetched, shown)
    finish_job(
        session,
        job,
        state=result.final_state,
        result=result,
        with_errors=result.has_failures,
        response=response,
        now=utc_now(),
    )
    return result


def result_of_import(applied: ImportResult) -> JobResult:
    """Return the job result of an applied import."""
    counts = Counter(target.outcome for target in applied.targets)
    return JobResult(
        tags_new=counts[TargetOutcome.NEW],
        tags_updated=counts[TargetOutcome.UPDATED],
        tags_unchanged=counts[TargetOutcome.UNCHANGED],
        tags_failed=counts[TargetOutcome.FAILED],
        targets=applied.targets,
        additional_tags=applied.additional_tags,
        listing=applied.listing,
        warnings=applied.warnings,
    )


def _compress_response(session: Session, fetched: FetchedImport, applied: ImportResult) -> bytes:
    answer = build_import_response(
        fetched.request, fetched.plan, fetched.outcomes, applied, load_image=_image_loader(session)
    )
    text = json.dumps(answer.wire(), ensure_ascii=False)
    return zlib.compress(text.encode("utf-8", "replace"))


def _image_loader(session: Session) -> Callable[[PackedImage], Image]:
    """Return a loader of full Images, from the packed bytes or, by name only, from the store."""

    def load_full(packed: PackedImage) -> Image:
        if not packed.is_stored:
            return unpack_image(packed)
        image = load_image(session, packed.name)
        if image is None:
            raise TagstreamError(f"the image {packed.name} is no longer in the store")
        metadata = image.metadata.replace(uid="", resource_version="", creation_timestamp=None)
        return image.replace(metadata=metadata, docker_image_reference=packed.reference)

    return load_full


def _record_limit_condition(
    job: Job, context: WorkerContext, fetched: FetchedImport, error: InvalidObjectError
) -> None:
    """Write a condition on the tags that a limit of the stream kept out (imports-5.14)."""
    with transaction(context.engine) as session:
        stream = load_stream(session, job.request.namespace, job.request.stream, for_update=True)
        if stream is None:
            return
        updated_stream = record_limit_failure(
            stream,
            fetched.request,
            fetched.plan,
            fetched.outcomes,
            error=error,
            now=fetched.now,
        )
        if updated_stream is not None:
            save_stream(session, stream, updated_stream, now=fetched.now)
