"""Conversion of a job to the ImportJob that clients read, and its conditions.

The conditions are those of a Kubernetes Job: one of `Complete` and `Failed` ends a wait. A job of
which some tags failed is `Complete` and `PartiallyFailed`; one of which all failed is `Failed`.
"""

from __future__ import annotations

from models.job_types import Job, JobResult, JobState, JobTrigger, Priority
from models.resources.jobs import (
    ImportJob,
    ImportJobEstimate,
    ImportJobSpec,
    ImportJobStatus,
    ImportJobTarget,
    ReimportSelector,
)
from models.resources.meta import ObjectMeta

STATES = {
    JobState.QUEUED: "Queued",
    JobState.RUNNING: "Running",
    JobState.SUCCEEDED: "Succeeded",
    JobState.FAILED: "Failed",
    JobState.CANCELLED: "Cancelled",
}
PRIORITIES = {
    Priority.INTERACTIVE: "Interactive",
    Priority.BULK: "Bulk",
    Priority.SCHEDULED: "Scheduled",
}
TRIGGERS = {
    JobTrigger.USER: "User",
    JobTrigger.SCHEDULE: "Schedule",
    JobTrigger.ADMINISTRATOR: "Administrator",
    JobTrigger.API: "API",
}
COMPLETE, FAILED, PARTIALLY_FAILED = "Complete", "Failed", "PartiallyFailed"
# Reasons of our own; a job that failed as a whole has the reason of its error.
SOME_TAGS_FAILED, ALL_TAGS_FAILED = "SomeTagsFailed", "AllTagsFailed"
TAG_LIST_FAILED = "TagListFailed"
DRY_RUN, CANCELLED = "DryRun", "Cancelled"
MAX_LISTED_TARGETS = 500


def build_import_job(job: Job) -> ImportJob:
    """Build the ImportJob of a job. Of very many targets, it lists failed ones first."""
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
            priority=PRIORITIES[request.priority],
            trigger=TRIGGERS[request.trigger],
            user=request.user,
            parent="" if request.parent is None else str(request.parent),
        ),
        status=_build_status(job),
    )


def _build_status(job: Job) -> ImportJobStatus:
    result = job.result
    reason, message = _reason_and_message(job)
    is_reimport = job.request.selector is not None
    targets = sorted(result.targets, key=lambda each: bool(each.image))[:MAX_LISTED_TARGETS]
    return ImportJobStatus(
        state=STATES[job.state],
        tags_completed=0 if is_reimport else job.done,
        tags_total=0 if is_reimport else job.total,
        tags_new=result.tags_new,
        tags_updated=result.tags_updated,
        tags_unchanged=result.tags_unchanged,
        tags_failed=result.tags_failed,
        jobs_completed=job.done if is_reimport else 0,
        jobs_total=job.total if is_reimport else 0,
        jobs_failed=result.jobs_failed,
        attempts=job.attempt,
        start_time=job.started,
        completion_time=job.finished,
        reason=reason,
        message=message,
        targets=[
            ImportJobTarget(
                source=each.source,
                tag=each.tag,
                stream_tag=each.to,
                image=each.image,
                outcome=each.outcome.value,
                reason=each.reason,
                message=each.message,
            )
            for each in targets
        ],
        additional_tags=list(result.additional_tags[:MAX_LISTED_TARGETS]),
        estimate=[
            ImportJobEstimate(
                registry=each.registry,
                min_requests=each.min_requests,
                max_requests=each.max_requests,
                tags=each.tags,
                streams=each.streams,
            )
            for each in result.estimate or ()
        ],
        conditions=_build_conditions(job, reason, message),
    )


def _reason_and_message(job: Job) -> tuple[str, str]:
    """Return why the job failed, wholly or in part, as a CamelCase word and as a sentence."""
    result = job.result
    if result.estimate is not None:
        return DRY_RUN, _describe_dry_run(result)
    error = result.error or result.listing
    if error is not None:
        reason = CANCELLED if job.state is JobState.CANCELLED else error.get("reason", "")
        return reason, error.get("message", "")
    if not result.tags_failed:
        return "", ""
    total = result.tags_failed + result.tags_imported
    reason = SOME_TAGS_FAILED if result.tags_imported else ALL_TAGS_FAILED
    return reason, f"{result.tags_failed} of {total} tags failed"


def _describe_dry_run(result: JobResult) -> str:
    estimates = result.estimate or ()
    min_requests = sum(each.min_requests for each in estimates)
    max_requests = sum(each.max_requests for each in estimates)
    return (
        f"dry run: {min_requests} to {max_requests} requests to {len(estimates)} "
        f"{'registry' if len(estimates) == 1 else 'registries'}; nothing was imported"
    )


def _build_conditions(job: Job, reason: str, message: str) -> list[dict[str, object]]:
    """Build the conditions of a job that has ended; each of them is True.

    `Complete` is True beside `PartiallyFailed`, so that `kubectl wait --for=condition=Complete`
    ends. The reason of a failed tag list is TagListFailed, whatever the reason in `status` is.
    """
    if not job.state.is_final or job.finished is None:
        return []
    result = job.result
    if result.error is None and result.listing is not None:
        reason = TAG_LIST_FAILED
    types = [COMPLETE]
    if job.state is not JobState.SUCCEEDED:
        types = [FAILED]
    elif result.has_failures or job.with_errors:
        types = [COMPLETE, PARTIALLY_FAILED]
        reason = reason or SOME_TAGS_FAILED
    return [
        {
            "type": each,
            "status": "True",
            "lastTransitionTime": job.finished,
            "reason": reason or STATES[job.state],
            "message": message,
        }
        for each in types
    ]
