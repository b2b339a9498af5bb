"""Conversion between a Job and its row."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from sqlalchemy import select

from models.errors import JobCancelledError, TagstreamError, status_of
from models.job_types import (
    Job,
    JobRequest,
    JobResult,
    JobState,
    JobTrigger,
    Priority,
    RegistryRequests,
    TargetOutcome,
    TargetResult,
)
from models.resources.imports import ImageStreamImport
from models.store.database.bulk_statements import AnyRow
from models.store.tables.jobs import JobRow

JOB_KIND = "ImportJob"
# Every column but `response`, which may be large.
JOB_COLUMNS = (
    JobRow.id,
    JobRow.state,
    JobRow.priority,
    JobRow.triggered_by,
    JobRow.requested_by,
    JobRow.request,
    JobRow.max_tags,
    JobRow.wants_response,
    JobRow.coalesce,
    JobRow.attempt,
    JobRow.done,
    JobRow.total,
    JobRow.with_errors,
    JobRow.cancel_requested,
    JobRow.worker,
    JobRow.created_at,
    JobRow.started_at,
    JobRow.finished_at,
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
SELECT_JOBS = select(*JOB_COLUMNS)
_DEDUPE_COLUMNS = (
    "namespace",
    "stream",
    "priority",
    "triggered_by",
    "requested_by",
    "request",
    "max_tags",
    "wants_response",
)
_TAG_COUNTS = ("tags_new", "tags_updated", "tags_unchanged", "tags_failed")
_OPTIONS_KEY = "choices"  # in the column of the request: options that only some triggers set


def request_values(request: JobRequest) -> dict[str, Any]:
    """Return the columns of a new job."""
    return {
        "namespace": request.namespace,
        "stream": request.stream,
        "priority": request.priority.value,
        "triggered_by": request.trigger.value,
        "requested_by": request.user,
        "request": _request_document(request),
        "max_tags": request.max_tags,
        "wants_response": request.wants_response,
        "coalesce": request.coalesce,
        "attempt": 0,
        "done": 0,
        "total": 0,
        "with_errors": False,
        "cancel_requested": False,
        "worker": "",
        "labels": request.labels or None,
        "annotations": request.annotations or None,
        "parent": request.parent,
        "selector": request.selector,
    }


def build_job(row: AnyRow) -> Job:
    """Build the job from a row of JOB_COLUMNS."""
    options = row.request.get(_OPTIONS_KEY, {})
    return Job(
        id=row.id,
        request=JobRequest(
            request=ImageStreamImport.model_validate(row.request),
            trigger=JobTrigger(row.triggered_by),
            priority=Priority(row.priority),
            user=row.requested_by,
            max_tags=row.max_tags,
            wants_response=row.wants_response,
            coalesce=row.coalesce,
            exempt=options.get("exempt", False),
            dry_run=options.get("dry_run", False),
            due=options.get("due", False),
            name=row.name or str(row.id),
            parent=row.parent,
            selector=row.selector,
            labels=row.labels,
            annotations=row.annotations,
        ),
        state=JobState(row.state),
        created=row.created_at,
        attempt=row.attempt,
        done=row.done,
        total=row.total,
        with_errors=row.with_errors,
        cancel_requested=row.cancel_requested,
        worker=row.worker,
        started=row.started_at,
        finished=row.finished_at,
        leased_until=row.leased_until,
        result=_build_result(row.result),
        version=row.version or 0,
    )


def result_document(result: JobResult) -> dict[str, Any]:
    """Return a result in the form that the row stores."""
    return asdict(result)


def dedupe_key(values: Mapping[str, Any]) -> str:
    """Return the key of what a job requests and for whom: equal requests have equal keys."""
    key_values = {name: values[name] for name in _DEDUPE_COLUMNS}
    text = json.dumps(key_values, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def cancelled_values(now: datetime) -> dict[str, Any]:
    """Return the columns of a job that is cancelled."""
    return {
        "state": JobState.CANCELLED.value,
        "with_errors": True,
        "result": result_document(JobResult(error=status_of(JobCancelledError()))),
        "finished_at": now,
        "leased_until": None,
        "dedupe_key": None,
    }


def add_child_values(parent: Job, child: Job) -> dict[str, Any]:
    """Return the columns of a parent job after one more of its children has ended."""
    parent_result, child_result = parent.result, child.result
    has_failed = child.with_errors or child.state is not JobState.SUCCEEDED
    result = replace(
        parent_result,
        **{
            name: getattr(parent_result, name) + getattr(child_result, name) for name in _TAG_COUNTS
        },
        jobs_failed=parent_result.jobs_failed + has_failed,
    )
    return {
        "done": parent.done + 1,
        "with_errors": parent.with_errors or has_failed,
        "result": result_document(result),
    }


def final_parent_values(
    states: Mapping[JobState, int], child_rows: Iterable[AnyRow], *, cancelled: bool
) -> dict[str, Any]:
    """Return the columns of a parent job whose children have all ended (scheduling-11.3).

    `states` counts the children by state, `child_rows` holds their state, errors and result. The
    parent succeeds if one child did or there is none. A parent that was `cancelled` ends as
    Cancelled if any child did; otherwise, without a success, it is Failed.
    """
    counts: dict[str, Any] = dict.fromkeys(_TAG_COUNTS, 0)
    jobs_failed = 0
    for row in child_rows:
        result = row.result or {}
        jobs_failed += row.with_errors or row.state != JobState.SUCCEEDED.value
        for name in _TAG_COUNTS:
            counts[name] += result.get(name, 0)
    state, error = JobState.SUCCEEDED, None
    none_succeeded = bool(states) and JobState.SUCCEEDED not in states
    if none_succeeded or (cancelled and JobState.CANCELLED in states):
        if JobState.CANCELLED in states:
            state, error = JobState.CANCELLED, status_of(JobCancelledError())
        else:
            text = "every import of this reimport failed; see the jobs that name it as their parent"
            state, error = JobState.FAILED, status_of(TagstreamError(text))
    total_result = JobResult(**counts, jobs_failed=jobs_failed, error=error)
    return {
        "state": state.value,
        "with_errors": jobs_failed > 0,
        "result": result_document(total_result),
        "leased_until": None,
        "dedupe_key": None,
    }


def _build_result(document: dict[str, Any] | None) -> JobResult:
    if document is None:
        return JobResult()
    return JobResult(
        **{
            **document,
            "targets": tuple(_build_target(target) for target in document["targets"]),
            "additional_tags": tuple(document["additional_tags"]),
            "warnings": tuple(document["warnings"]),
            "estimate": _build_estimate(document["estimate"]),
        }
    )


def _build_target(document: dict[str, Any]) -> TargetResult:
    return TargetResult(**{**document, "outcome": TargetOutcome(document["outcome"])})


def _build_estimate(found: list[dict[str, Any]] | None) -> tuple[RegistryRequests, ...] | None:
    return None if found is None else tuple(RegistryRequests(**each) for each in found)


def _request_document(request: JobRequest) -> dict[str, Any]:
    options = {name: True for name in ("exempt", "dry_run", "due") if getattr(request, name)}
    document = request.request.wire()
    return {**document, _OPTIONS_KEY: options} if options else document
