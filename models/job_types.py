"""A job: an import on record. The row is the truth about it; a message only knocks."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from models.resources.imports import ImageStreamImport


class JobState(StrEnum):
    """Where a job stands. `succeeded` may still carry errors of single targets."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen."""
        return self not in {JobState.QUEUED, JobState.RUNNING}


class Asker(StrEnum):
    """On whose wish a job was made."""

    USER = "user"
    SCHEDULE = "schedule"
    ADMINISTRATOR = "administrator"
    API = "api"


class Lane(StrEnum):
    """Which queue carries a job: a person waits, nobody waits, or the clock asked."""

    INTERACTIVE = "interactive"
    BULK = "bulk"
    SCHEDULED = "scheduled"


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What somebody puts on the counter.

    `request` is the ImageStreamImport; its metadata names stream and namespace, and a
    resourceVersion or uid in it is a precondition (`import.md` 2.4). `max_tags` overrides the
    server's cap of a repository import (-1 all). `wants_answer` keeps the whole answer, with every
    Image, beside the job. `coalesce` lets an equal job that is still queued serve instead.
    `exempt` callers need not heed the allow-list before anything is asked (Q7); `dry_run` writes
    nothing, though the answer tells what would have been written. A `due` job imports whatever the
    stream's spec makes due when it is carried out; its request is how that was when it was made.
    `name`, `labels` and
    `annotations` are those of the ImportJob; a `selector` makes it an administrator's reimport,
    whose children name it as their `parent`.
    """

    request: ImageStreamImport
    asker: Asker = Asker.USER
    lane: Lane = Lane.INTERACTIVE
    user: str = ""
    max_tags: int | None = None
    wants_answer: bool = False
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
    """How one target ended: the tag it was for, the image's digest, or why there is none.

    `to` is the stream tag it was written to (empty: result only); `changed` whether a tag event
    came of it.
    """

    source: str
    tag: str
    to: str = ""
    image: str = ""
    reason: str = ""
    message: str = ""
    code: str = ""
    changed: bool = False


@dataclass(frozen=True, slots=True)
class RegistryRequests:
    """What a reimport would ask of one registry: as many requests as if nothing had moved, and
    `at_most` as if everything had, for so many tags of so many streams.
    """

    registry: str
    requests: int
    at_most: int
    tags: int
    streams: int


@dataclass(frozen=True, slots=True)
class JobResult:
    """What a finished job left: counts, every target's end, the tags that the cap left out.

    `error` is the metav1 Status of a failure of the whole job, `listing` that of a failed tag
    list, or None. Of a reimport, `jobs_failed` counts the jobs that left something undone, and
    `requests` is what a trial says it would take.
    """

    imported: int = 0
    failed: int = 0
    changed: int = 0
    targets: tuple[TargetResult, ...] = ()
    additional_tags: tuple[str, ...] = ()
    listing: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    warnings: tuple[str, ...] = ()
    jobs_failed: int = 0
    requests: tuple[RegistryRequests, ...] | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the store knows it. `done` of `total` targets are fetched; times are UTC.

    `attempt` counts starts and fences writers: only the attempt that holds the lease may finish
    the job. `cancel_asked` is set while a running job is being asked to stop.
    """

    id: UUID
    request: JobRequest
    state: JobState
    created: datetime
    attempt: int = 0
    done: int = 0
    total: int = 0
    with_errors: bool = False
    cancel_asked: bool = False
    worker: str = ""
    started: datetime | None = None
    finished: datetime | None = None
    leased_until: datetime | None = None
    result: JobResult = field(default_factory=JobResult)
    version: int = 0
