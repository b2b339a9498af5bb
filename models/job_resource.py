"""A job as its ImportJob: the same truth, in the form that clients read."""

from __future__ import annotations

from models.job_types import Job, JobResult, JobState
from models.resources.jobs import (
    ImportJob,
    ImportJobRequests,
    ImportJobSpec,
    ImportJobStatus,
    ImportJobTarget,
    ReimportSelector,
)
from models.resources.meta import ObjectMeta

_STATES = {
    JobState.QUEUED: "Queued",
    JobState.RUNNING: "Running",
    JobState.SUCCEEDED: "Succeeded",
    JobState.FAILED: "Failed",
    JobState.CANCELLED: "Cancelled",
}
MOST_TARGETS = 500


def view_job(job: Job) -> ImportJob:
    """The ImportJob of a job. Of very many targets, the failed ones and then the first are told."""
    request = job.request
    spec = request.request.spec
    return ImportJob(
        metadata=ObjectMeta(
            name=request.name or str(job.id),
            namespace=request.namespace,
            uid=str(job.id),
            resource_version=str(job.version or ""),
            creation_timestamp=job.created,
            labels=request.labels or {},
            annotations=request.annotations or {},
        ),
        spec=ImportJobSpec(
            stream=request.stream,
            import_=spec.import_,
            images=spec.images,
            repository=spec.repository,
            reimport=None
            if request.selector is None
            else ReimportSelector.model_validate(request.selector),
            max_tags=request.max_tags,
            lane=request.lane.value,
            trigger=request.asker.value,
            user=request.user,
            parent="" if request.parent is None else str(request.parent),
        ),
        status=_status(job),
    )


def _status(job: Job) -> ImportJobStatus:
    result = job.result
    error = result.error or result.listing or {}
    state = _STATES[job.state]
    reason = error.get("reason", "")
    message = error.get("message", "")
    if not error and result.failed:
        reason = "SomeTagsFailed"
        message = f"{result.failed} of {result.failed + result.imported} tags failed"
    if result.requests is not None:
        reason, message = "DryRun", _forecast(result)
    targets = sorted(result.targets, key=lambda each: bool(each.image))[:MOST_TARGETS]
    return ImportJobStatus(
        state=state,
        done=job.done,
        total=job.total,
        imported=result.imported,
        failed=result.failed,
        changed=result.changed,
        with_errors=job.with_errors,
        attempts=job.attempt,
        jobs=job.total if job.request.selector is not None else 0,
        jobs_failed=result.jobs_failed,
        started=job.started,
        finished=job.finished,
        reason=reason,
        message=message,
        targets=[
            ImportJobTarget(
                source=each.source,
                tag=each.tag,
                to=each.to,
                image=each.image,
                reason=each.reason,
                message=each.message,
                changed=each.changed,
            )
            for each in targets
        ],
        additional_tags=list(result.additional_tags[:MOST_TARGETS]),
        requests=[
            ImportJobRequests(
                registry=each.registry,
                requests=each.requests,
                at_most=each.at_most,
                tags=each.tags,
                streams=each.streams,
            )
            for each in result.requests or ()
        ],
        conditions=_conditions(job, state, reason, message),
    )


def _forecast(result: JobResult) -> str:
    found = result.requests or ()
    least, most = sum(each.requests for each in found), sum(each.at_most for each in found)
    return (
        f"dry run: {least} to {most} requests to {len(found)} "
        f"{'registry' if len(found) == 1 else 'registries'}; nothing was imported"
    )


def _conditions(job: Job, state: str, reason: str, message: str) -> list[dict[str, object]]:
    """`Complete` and `Failed`, for whoever waits for a condition."""
    if not job.state.is_final or job.finished is None:
        return []
    kind = "Complete" if job.state is JobState.SUCCEEDED else "Failed"
    return [
        {
            "type": kind,
            "status": "True",
            "lastTransitionTime": job.finished,
            "reason": reason or state,
            "message": message,
        }
    ]
