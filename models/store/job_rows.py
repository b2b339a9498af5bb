"""Between a Job and its row."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from models.jobs import Asker, Job, JobRequest, JobResult, JobState, Lane, TargetResult
from models.resources.imports import ImageStreamImport
from models.store.bulk import AnyRow
from models.store.tables.jobs import JobRow

# Everything but the answer, which may be large.
JOB_COLUMNS = (
    JobRow.id,
    JobRow.state,
    JobRow.lane,
    JobRow.asker,
    JobRow.asked_by,
    JobRow.request,
    JobRow.max_tags,
    JobRow.wants_answer,
    JobRow.coalesce,
    JobRow.attempt,
    JobRow.done,
    JobRow.total,
    JobRow.with_errors,
    JobRow.cancel_asked,
    JobRow.worker,
    JobRow.created,
    JobRow.started,
    JobRow.finished,
    JobRow.leased_until,
    JobRow.result,
)


def request_values(request: JobRequest) -> dict[str, Any]:
    """The columns of a new job."""
    return {
        "namespace": request.namespace,
        "stream": request.stream,
        "lane": request.lane.value,
        "asker": request.asker.value,
        "asked_by": request.user,
        "request": request.request.wire(),
        "max_tags": request.max_tags,
        "wants_answer": request.wants_answer,
        "coalesce": request.coalesce,
        "attempt": 0,
        "done": 0,
        "total": 0,
        "with_errors": False,
        "cancel_asked": False,
        "worker": "",
    }


def build_job(row: AnyRow) -> Job:
    """The job of a row of JOB_COLUMNS."""
    return Job(
        id=row.id,
        request=JobRequest(
            request=ImageStreamImport.model_validate(row.request),
            asker=Asker(row.asker),
            lane=Lane(row.lane),
            user=row.asked_by,
            max_tags=row.max_tags,
            wants_answer=row.wants_answer,
            coalesce=row.coalesce,
        ),
        state=JobState(row.state),
        created=row.created,
        attempt=row.attempt,
        done=row.done,
        total=row.total,
        with_errors=row.with_errors,
        cancel_asked=row.cancel_asked,
        worker=row.worker,
        started=row.started,
        finished=row.finished,
        leased_until=row.leased_until,
        result=_build_result(row.result),
    )


def result_document(result: JobResult) -> dict[str, Any]:
    """A result as the row keeps it."""
    return asdict(result)


def _build_result(document: dict[str, Any] | None) -> JobResult:
    if document is None:
        return JobResult()
    return JobResult(
        **{
            **document,
            "targets": tuple(TargetResult(**target) for target in document["targets"]),
            "additional_tags": tuple(document["additional_tags"]),
            "warnings": tuple(document["warnings"]),
        }
    )
