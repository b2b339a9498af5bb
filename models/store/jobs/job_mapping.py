"""Between a Job and its row."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from models.errors import JobCancelledError, TagstreamError, status_of
from models.job_types import (
    Asker,
    Job,
    JobRequest,
    JobResult,
    JobState,
    Lane,
    RegistryRequests,
    TargetResult,
)
from models.resources.imports import ImageStreamImport
from models.store.database.bulk_statements import AnyRow
from models.store.tables.jobs import JobRow

KIND = "ImportJob"
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
    JobRow.version,
    JobRow.namespace,
    JobRow.name,
    JobRow.labels,
    JobRow.annotations,
    JobRow.parent,
    JobRow.selector,
)
_ASKED = (
    "namespace",
    "stream",
    "lane",
    "asker",
    "asked_by",
    "request",
    "max_tags",
    "wants_answer",
)
_CHOICES = "choices"  # beside the request in its column: what only some askers ask for


def request_values(request: JobRequest) -> dict[str, Any]:
    """The columns of a new job."""
    return {
        "namespace": request.namespace,
        "stream": request.stream,
        "lane": request.lane.value,
        "asker": request.asker.value,
        "asked_by": request.user,
        "request": _request_document(request),
        "max_tags": request.max_tags,
        "wants_answer": request.wants_answer,
        "coalesce": request.coalesce,
        "attempt": 0,
        "done": 0,
        "total": 0,
        "with_errors": False,
        "cancel_asked": False,
        "worker": "",
        "labels": request.labels or None,
        "annotations": request.annotations or None,
        "parent": request.parent,
        "selector": request.selector,
    }


def build_job(row: AnyRow) -> Job:
    """The job of a row of JOB_COLUMNS."""
    choices = row.request.get(_CHOICES, {})
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
            exempt=choices.get("exempt", False),
            dry_run=choices.get("dry_run", False),
            due=choices.get("due", False),
            name=row.name or str(row.id),
            parent=row.parent,
            selector=row.selector,
            labels=row.labels,
            annotations=row.annotations,
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
        version=row.version or 0,
    )


def result_document(result: JobResult) -> dict[str, Any]:
    """A result as the row keeps it."""
    return asdict(result)


def dedupe_key(values: Mapping[str, Any]) -> str:
    """What a job asks for, and by whom: equal keys are equal wishes."""
    asked = {name: values[name] for name in _ASKED}
    text = json.dumps(asked, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def cancelled_values(now: datetime) -> dict[str, Any]:
    """The columns of a job that is called off."""
    return {
        "state": JobState.CANCELLED.value,
        "with_errors": True,
        "result": result_document(JobResult(error=status_of(JobCancelledError()))),
        "finished": now,
        "leased_until": None,
        "dedupe": None,
    }


def add_child(parent: Job, child: Job) -> dict[str, Any]:
    """What a job that stands for others has to tell once another of them has ended."""
    whole, part = parent.result, child.result
    went_wrong = child.with_errors or child.state is not JobState.SUCCEEDED
    result = replace(
        whole,
        imported=whole.imported + part.imported,
        failed=whole.failed + part.failed,
        changed=whole.changed + part.changed,
        jobs_failed=whole.jobs_failed + went_wrong,
    )
    return {
        "done": parent.done + 1,
        "with_errors": parent.with_errors or went_wrong,
        "result": result_document(result),
    }


def outcome_of_children(
    states: Mapping[JobState, int], ends: Iterable[AnyRow], *, cancelled: bool
) -> dict[str, Any]:
    """How a job ends whose children all have: `states` counts them, `ends` is what they left.

    One that was `cancelled` ends so if any of its children did.
    """
    imported, failed, changed, wrong = 0, 0, 0, 0
    for row in ends:
        result = row.result or {}
        wrong += row.with_errors or row.state != JobState.SUCCEEDED.value
        imported += result.get("imported", 0)
        failed += result.get("failed", 0)
        changed += result.get("changed", 0)
    state, error = JobState.SUCCEEDED, None
    none_succeeded = bool(states) and JobState.SUCCEEDED not in states
    if none_succeeded or (cancelled and JobState.CANCELLED in states):
        if JobState.CANCELLED in states:
            state, error = JobState.CANCELLED, status_of(JobCancelledError())
        else:
            text = "every import of it failed; look at the jobs that name it as their parent"
            state, error = JobState.FAILED, status_of(TagstreamError(text))
    whole = JobResult(
        imported=imported, failed=failed, changed=changed, jobs_failed=wrong, error=error
    )
    return {
        "state": state.value,
        "with_errors": wrong > 0,
        "result": result_document(whole),
        "leased_until": None,
        "dedupe": None,
    }


def _build_result(document: dict[str, Any] | None) -> JobResult:
    if document is None:
        return JobResult()
    return JobResult(
        **{
            **document,
            "targets": tuple(TargetResult(**target) for target in document["targets"]),
            "additional_tags": tuple(document["additional_tags"]),
            "warnings": tuple(document["warnings"]),
            "requests": _build_requests(document.get("requests")),
        }
    )


def _build_requests(found: list[dict[str, Any]] | None) -> tuple[RegistryRequests, ...] | None:
    return None if found is None else tuple(RegistryRequests(**each) for each in found)


def _request_document(request: JobRequest) -> dict[str, Any]:
    choices = {name: True for name in ("exempt", "dry_run", "due") if getattr(request, name)}
    document = request.request.wire()
    return {**document, _CHOICES: choices} if choices else document
