"""ImportJobs of a server, parsed into jobs: list, watch, cancel."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

from cli.backend.api_paths import resource_path
from cli.backend.rest_client import RestClient
from models.api_errors import ServerRefusedError
from models.errors import NotFoundError
from models.job_resource import (
    ALL_TAGS_FAILED,
    COMPLETE,
    DRY_RUN,
    PRIORITIES,
    TAG_LIST_FAILED,
    TRIGGERS,
)
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
from models.resources.imports import ImageStreamImport, ImageStreamImportSpec
from models.resources.jobs import ImportJob, ImportJobStatus
from models.resources.meta import ObjectMeta

SYNC_GROUP = "sync.tagstream.io"
IMPORT_JOBS = "importjobs"
_MAX_CANCEL_ATTEMPTS = 10
_WATCH_PAUSE_SECONDS = 0.2
ValueT = TypeVar("ValueT")
_UNKNOWN_TIME = datetime.fromtimestamp(0, UTC)


def list_jobs(rest: RestClient, namespace: str, **fields: str) -> Iterator[Job]:
    """List the jobs of a namespace (empty: all namespaces) that match these field selectors."""
    path = resource_path(SYNC_GROUP, IMPORT_JOBS, namespace=namespace)
    return (
        parse_job(wire) for wire in rest.list_objects(path, fieldSelector=_field_selector(fields))
    )


def _field_selector(fields: Mapping[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in fields.items())


def follow_job(rest: RestClient, job: Job, watch: Callable[[Job], None]) -> Job:
    """Watch a job until it is final and return it; `watch` is called with every state seen."""
    watch(job)
    path = resource_path(SYNC_GROUP, IMPORT_JOBS, namespace=job.request.namespace)
    while not job.state.is_final:
        query = {
            "fieldSelector": f"metadata.name={job_name(job)}",
            "resourceVersion": str(job.version),
        }
        try:
            for wire in rest.watch(path, **query):
                job = parse_job(wire)
                watch(job)
                if job.state.is_final:
                    return job
        except ServerRefusedError as error:
            if error.server_reason not in {"Expired", "Gone"}:
                raise
        # A watch that ends at once, again and again, must not become a busy loop.
        time.sleep(_WATCH_PAUSE_SECONDS)
        job = fetch_job(rest, job)
        watch(job)
    return job


def follow_jobs(rest: RestClient, namespace: str, **fields: str) -> Iterator[list[Job]]:
    """Yield the matching jobs of a namespace (empty: all) now and again after each change."""
    path = resource_path(SYNC_GROUP, IMPORT_JOBS, namespace=namespace)
    while True:
        jobs = {job.id: job for job in list_jobs(rest, namespace, **fields)}
        yield list(jobs.values())
        for wire in rest.watch(path, fieldSelector=_field_selector(fields)):
            job = parse_job(wire)
            known = jobs.get(job.id)
            if known is None or known.version != job.version:
                jobs[job.id] = job
                yield list(jobs.values())
        time.sleep(_WATCH_PAUSE_SECONDS)


def fetch_job(rest: RestClient, job: Job) -> Job:
    """Fetch the current state of a job. Raises NotFoundError if it no longer exists."""
    wire = rest.find(_job_path(job))
    if wire is None:
        raise NotFoundError(resource="jobs", name=str(job.id), group="")
    return parse_job(wire)


def cancel_job(rest: RestClient, job: Job) -> Job:
    """Cancel a job that is not final and return its state; a finished job is kept on record.

    The last seen resource version is the delete's precondition, so a job that finished in the
    meantime is not deleted.
    """
    for _ in range(_MAX_CANCEL_ATTEMPTS):
        if job.state.is_final:
            break
        body = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "preconditions": {"uid": str(job.id), "resourceVersion": str(job.version)},
        }
        try:
            response = rest.delete(_job_path(job), body)
        except ServerRefusedError as error:
            if error.server_reason != "Conflict":
                raise
            job = fetch_job(rest, job)
            continue
        return parse_job(response) if response.get("kind") == "ImportJob" else fetch_job(rest, job)
    return job


def job_name(job: Job) -> str:
    """Return the name of the job's ImportJob on the server."""
    return job.request.name or str(job.id)


def parse_job(wire: dict[str, Any]) -> Job:
    """Parse an ImportJob into a Job, with the fields that the server reports."""
    import_job = ImportJob.model_validate(wire)
    metadata, spec, status = import_job.metadata, import_job.spec, import_job.status
    request = ImageStreamImport(
        metadata=ObjectMeta(name=spec.stream, namespace=metadata.namespace),
        spec=ImageStreamImportSpec(
            import_=spec.import_, images=spec.images, repository=spec.repository
        ),
    )
    job_id = UUID(metadata.uid)
    conditions = {each["type"] for each in status.conditions}
    return Job(
        id=job_id,
        request=JobRequest(
            request,
            trigger=_find_value(TRIGGERS, spec.trigger, JobTrigger.API),
            priority=_find_value(PRIORITIES, spec.priority, Priority.BULK),
            user=spec.user,
            max_tags=spec.max_tags,
            name="" if metadata.name == str(job_id) else metadata.name,
            parent=UUID(spec.parent) if spec.parent else None,
            selector=None if spec.reimport is None else spec.reimport.wire(),
        ),
        state=JobState(status.state.lower()),
        created=metadata.creation_timestamp or _UNKNOWN_TIME,
        attempt=status.attempts,
        # A reimport counts jobs, an import counts tags. `spec.reimport` cannot tell them apart: a
        # selector of all streams is empty, and empty objects are omitted on the wire.
        done=status.jobs_completed or status.tags_completed,
        total=status.jobs_total or status.tags_total,
        with_errors=bool(status.tags_failed or status.jobs_failed or conditions - {COMPLETE}),
        started=status.start_time,
        finished=status.completion_time,
        result=_parse_result(status),
        version=int(metadata.resource_version or 0),
    )


def _parse_result(status: ImportJobStatus) -> JobResult:
    """Parse the status into a result. The conditions tell whose failure the message describes."""
    estimate = tuple(
        RegistryRequests(
            each.registry,
            min_requests=each.min_requests,
            max_requests=each.max_requests,
            tags=each.tags,
            streams=each.streams,
        )
        for each in status.estimate
    )
    failure = {"reason": status.reason, "message": status.message}
    reasons = {each["reason"] for each in status.conditions}
    whole_failure = status.state in {"Failed", "Cancelled"}
    whole_failure &= not reasons & {ALL_TAGS_FAILED, TAG_LIST_FAILED}
    return JobResult(
        jobs_failed=status.jobs_failed,
        estimate=estimate if status.reason == DRY_RUN else None,
        tags_new=status.tags_new,
        tags_updated=status.tags_updated,
        tags_unchanged=status.tags_unchanged,
        tags_failed=status.tags_failed,
        targets=tuple(
            TargetResult(
                source=each.source,
                tag=each.tag,
                to=each.stream_tag,
                image=each.image,
                reason=each.reason,
                message=each.message,
                outcome=TargetOutcome(each.outcome),
            )
            for each in status.targets
        ),
        additional_tags=tuple(status.additional_tags),
        listing=failure if TAG_LIST_FAILED in reasons else None,
        error=failure if whole_failure else None,
    )


def _find_value(names: Mapping[ValueT, str], name: str, default: ValueT) -> ValueT:
    """Return the value that has this name on the wire, or the default."""
    return next((value for value, each in names.items() if each == name), default)


def _job_path(job: Job) -> str:
    return resource_path(
        SYNC_GROUP, IMPORT_JOBS, namespace=job.request.namespace, name=job_name(job)
    )
