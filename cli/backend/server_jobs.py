"""ImportJobs of a server as jobs: read, watched, cancelled."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from cli.backend.api_paths import path_of
from cli.backend.rest_client import Rest
from models.api_errors import ServerRefusedError
from models.errors import NotFoundError
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
from models.resources.imports import ImageStreamImport, ImageStreamImportSpec
from models.resources.jobs import ImportJob, ImportJobStatus
from models.resources.meta import ObjectMeta

SYNC_GROUP = "sync.tagstream.io"
IMPORT_JOBS = "importjobs"
_SOME_FAILED = "SomeTagsFailed"  # told of each tag anyway
_DRY_RUN = "DryRun"
_TRIES = 10
_PAUSE = 0.2
_NEVER = datetime.fromtimestamp(0, UTC)


def list_jobs(rest: Rest, namespace: str, **fields: str) -> Iterator[Job]:
    """The jobs of a namespace (empty: of all) whose fields are these."""
    path = path_of(SYNC_GROUP, IMPORT_JOBS, namespace=namespace)
    return (read_job(wire) for wire in rest.pages(path, fieldSelector=_selector(fields)))


def _selector(fields: Mapping[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in fields.items())


def follow_job(rest: Rest, job: Job, watch: Callable[[Job], None]) -> Job:
    """The job once it has ended; `watch` is told of every state on the way."""
    watch(job)
    place = path_of(SYNC_GROUP, IMPORT_JOBS, namespace=job.request.namespace)
    while not job.state.is_final:
        query = {
            "fieldSelector": f"metadata.name={name_of(job)}",
            "resourceVersion": str(job.version),
        }
        try:
            for wire in rest.watch(place, **query):
                job = read_job(wire)
                watch(job)
                if job.state.is_final:
                    return job
        except ServerRefusedError as error:
            if error.answered not in {"Expired", "Gone"}:
                raise
        time.sleep(_PAUSE)  # a watch that keeps ending at once must not become a storm
        job = load_job(rest, job)
        watch(job)
    return job


def follow_jobs(rest: Rest, namespace: str, **fields: str) -> Iterator[list[Job]]:
    """The jobs of a namespace (empty: of all) whose fields are these, again whenever one of them
    changes.
    """
    place = path_of(SYNC_GROUP, IMPORT_JOBS, namespace=namespace)
    while True:
        jobs = {job.id: job for job in list_jobs(rest, namespace, **fields)}
        yield list(jobs.values())
        for wire in rest.watch(place, fieldSelector=_selector(fields)):
            job = read_job(wire)
            known = jobs.get(job.id)
            if known is None or known.version != job.version:
                jobs[job.id] = job
                yield list(jobs.values())
        time.sleep(_PAUSE)


def load_job(rest: Rest, job: Job) -> Job:
    """The job as it stands now."""
    wire = rest.find(_path(job))
    if wire is None:
        raise NotFoundError(resource="jobs", name=str(job.id), group="")
    return read_job(wire)


def cancel_job(rest: Rest, job: Job) -> Job:
    """Ask a live job to stop. One that has ended meanwhile is left on record: the version that
    was seen is the delete's precondition.
    """
    for _ in range(_TRIES):
        if job.state.is_final:
            break
        body = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "preconditions": {"uid": str(job.id), "resourceVersion": str(job.version)},
        }
        try:
            answered = rest.delete(_path(job), body)
        except ServerRefusedError as error:
            if error.answered != "Conflict":
                raise
            job = load_job(rest, job)
            continue
        return read_job(answered) if answered.get("kind") == "ImportJob" else load_job(rest, job)
    return job


def name_of(job: Job) -> str:
    """Under which name the server has it."""
    return job.request.name or str(job.id)


def read_job(wire: dict[str, Any]) -> Job:
    """An ImportJob as a job: the same truth, as far as the server tells it."""
    seen = ImportJob.model_validate(wire)
    metadata, spec, status = seen.metadata, seen.spec, seen.status
    wanted = ImageStreamImport(
        metadata=ObjectMeta(name=spec.stream, namespace=metadata.namespace),
        spec=ImageStreamImportSpec(
            import_=spec.import_, images=spec.images, repository=spec.repository
        ),
    )
    job_id = UUID(metadata.uid)
    return Job(
        id=job_id,
        request=JobRequest(
            wanted,
            asker=Asker(spec.trigger or Asker.API),
            lane=Lane(spec.lane or Lane.BULK),
            user=spec.user,
            max_tags=spec.max_tags,
            name="" if metadata.name == str(job_id) else metadata.name,
            parent=UUID(spec.parent) if spec.parent else None,
            selector=None if spec.reimport is None else spec.reimport.wire(),
        ),
        state=JobState(status.state.lower()),
        created=metadata.creation_timestamp or _NEVER,
        attempt=status.attempts,
        done=status.done,
        total=status.total,
        with_errors=status.with_errors,
        started=status.started,
        finished=status.finished,
        result=_result(status),
        version=int(metadata.resource_version or 0),
    )


def _result(status: ImportJobStatus) -> JobResult:
    """How it ended. What is said of a job that ended well is about its list of tags."""
    requests = tuple(
        RegistryRequests(
            each.registry,
            requests=each.requests,
            at_most=each.at_most,
            tags=each.tags,
            streams=each.streams,
        )
        for each in status.requests
    )
    said = {"reason": status.reason, "message": status.message} if status.message else None
    ended_well = status.state == "Succeeded"
    listing = said if ended_well and status.reason not in {_SOME_FAILED, _DRY_RUN} else None
    return JobResult(
        jobs_failed=status.jobs_failed,
        requests=requests if status.reason == _DRY_RUN else None,
        imported=status.imported,
        failed=status.failed,
        changed=status.changed,
        targets=tuple(
            TargetResult(
                source=each.source,
                tag=each.tag,
                to=each.to,
                image=each.image,
                reason=each.reason,
                message=each.message,
                changed=each.changed,
            )
            for each in status.targets
        ),
        additional_tags=tuple(status.additional_tags),
        listing=listing,
        error=None if ended_well else said,
    )


def _path(job: Job) -> str:
    return path_of(SYNC_GROUP, IMPORT_JOBS, namespace=job.request.namespace, name=name_of(job))
