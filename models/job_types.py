"""Import jobs as values: request, state, priority and result.

The stored row of a job is authoritative. A message of the job queue carries only its id
(scheduling-10.1).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from models.resources.imports import ImageStreamImport


class JobState(StrEnum):
    """The state of a job. A job that succeeded may have tags that failed, but not only such."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Return whether the job has ended."""
        return self not in {JobState.QUEUED, JobState.RUNNING}


class JobTrigger(StrEnum):
    """What caused a job."""

    USER = "user"
    SCHEDULE = "schedule"
    ADMINISTRATOR = "administrator"
    API = "api"


class Priority(StrEnum):
    """The priority of a job, which is also the name of its queue.

    A user waits for an interactive job and no one for a bulk job; the schedule makes the others.
    """

    INTERACTIVE = "interactive"
    BULK = "bulk"
    SCHEDULED = "scheduled"


class TargetOutcome(StrEnum):
    """The outcome of one target of an import.

    `NEW`: the tag had no image in the stream before. `UPDATED`: it points to another image than
    before. `UNCHANGED`: any other image, also one that was only reported. `FAILED`: no image.
    """

    NEW = "new"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class JobRequest:
    """The request of a job.

    `request` is the ImageStreamImport; its metadata names stream and namespace, and a
    resourceVersion or uid in it is a precondition (imports-2.4). `max_tags` overrides the server's
    cap of a repository import (-1 all). `wants_response` stores the complete response, with every
    Image, beside the job. With `coalesce`, an equal job that is still queued is used instead.
    `exempt` callers are not bound by the allow-list before anything is requested. `dry_run` writes
    nothing, though the response shows what would have been written. A `due` job imports whatever
    the stream's spec makes due when it runs; its request is what was due when it was created.
    `name`, `labels` and `annotations` are those of the ImportJob. A `selector` makes it an
    administrator's reimport, whose children name it as their `parent`.
    """

    request: ImageStreamImport
    trigger: JobTrigger = JobTrigger.USER
    priority: Priority = Priority.INTERACTIVE
    user: str = ""
    max_tags: int | None = None
    wants_response: bool = False
    coalesce: bool = False
    exempt: bool = False
    dry_run: bool = False
    due: bool = False
    name: str = ""
    parent: UUID | None = None
    selector: dict[str, Any] | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None

    @property
    def namespace(self) -> str:
        return self.request.metadata.namespace

    @property
    def stream(self) -> str:
        return self.request.metadata.name


@dataclass(frozen=True, slots=True)
class TargetResult:
    """The result of one target: the source tag, and the image's digest or why there is none.

    `to` is the stream tag that it was written to; empty where it was only reported.
    """

    source: str
    tag: str
    to: str = ""
    image: str = ""
    reason: str = ""
    message: str = ""
    code: str = ""
    outcome: TargetOutcome = TargetOutcome.FAILED


@dataclass(frozen=True, slots=True)
class RegistryRequests:
    """The estimated requests of a reimport to one registry, for `tags` tags of `streams` streams.

    It takes `min_requests` if no source has changed, and `max_requests` if all have.
    """

    registry: str
    min_requests: int
    max_requests: int
    tags: int
    streams: int


@dataclass(frozen=True, slots=True)
class JobResult:
    """The result of a finished job: counts, every target, the tags that the cap left out.

    The four counts of tags are those of `TargetOutcome`. `error` is the metav1 Status of a failure
    of the whole job, `listing` that of a failed tag list, or None. Of a reimport, the counts add up
    those of its jobs, `jobs_failed` counts the jobs in which anything failed, and `estimate` is the
    result of a dry run.
    """

    tags_new: int = 0
    tags_updated: int = 0
    tags_unchanged: int = 0
    tags_failed: int = 0
    targets: tuple[TargetResult, ...] = ()
    additional_tags: tuple[str, ...] = ()
    listing: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    warnings: tuple[str, ...] = ()
    jobs_failed: int = 0
    estimate: tuple[RegistryRequests, ...] | None = None

    @property
    def tags_imported(self) -> int:
        """Return how many tags have an image: new, updated and unchanged ones."""
        return self.tags_new + self.tags_updated + self.tags_unchanged

    @property
    def tags_changed(self) -> int:
        """Return how many tags point to another image than before: new and updated ones."""
        return self.tags_new + self.tags_updated

    @property
    def has_failures(self) -> bool:
        """Return whether the job, its tag list, or any tag failed."""
        return bool(self.error or self.listing or self.tags_failed or self.jobs_failed)

    @property
    def final_state(self) -> JobState:
        """Return the state of an import that ended so: failed where nothing was imported."""
        nothing_imported = self.tags_failed > 0 or self.listing is not None
        if self.error is not None or (nothing_imported and not self.tags_imported):
            return JobState.FAILED
        return JobState.SUCCEEDED


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it is stored. `done` of `total` targets are fetched; times are UTC.

    `attempt` counts starts and fences writers: only the attempt that holds the lease may finish
    the job. `cancel_requested` is set while a running job is to be cancelled.
    """

    id: UUID
    request: JobRequest
    state: JobState
    created: datetime
    attempt: int = 0
    done: int = 0
    total: int = 0
    with_errors: bool = False
    cancel_requested: bool = False
    worker: str = ""
    started: datetime | None = None
    finished: datetime | None = None
    leased_until: datetime | None = None
    result: JobResult = field(default_factory=JobResult)
    version: int = 0
