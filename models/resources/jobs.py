"""ImportJob: an import on record as clients see it (`sync.tagstream.io/v1`)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from models.resources.imports import ImageImportSpec, RepositoryImportSpec
from models.resources.meta import ObjectMeta
from models.resources.wire import ALWAYS, Time, Wire


class ReimportSelector(Wire):
    """Which streams an administrator's reimport takes; empty: all of the namespace's.

    `streams` are names, `STREAM:TAG` for one tag; `registry` is a host; `only_failed` takes tags
    whose last import failed; `all_namespaces` needs rights on the whole server. With `dry_run`
    nothing is imported: `status.requests` tells what it would take.
    """

    streams: list[str] = Field(default_factory=list)
    registry: str = ""
    only_failed: bool = False
    all_namespaces: bool = False
    dry_run: bool = False


class ImportJobSpec(Wire):
    """What is asked for: an import into `stream`, or a reimport of what `reimport` selects.

    Of an import exactly what an ImageStreamImport says in `images` and `repository`. `lane` is
    `interactive`, `bulk` or `scheduled`; `trigger` says who asked: user, schedule, administrator
    or api; `parent` is the uid of the reimport that this job is a part of.
    """

    stream: str = ""
    import_: Annotated[bool, ALWAYS] = Field(default=True, alias="import")
    images: list[ImageImportSpec] = Field(default_factory=list)
    repository: RepositoryImportSpec | None = None
    reimport: ReimportSelector | None = None
    max_tags: int | None = None
    lane: str = ""
    trigger: str = ""
    user: str = ""
    parent: str = ""


class ImportJobTarget(Wire):
    """How one tag ended: the image's digest, or why there is none."""

    source: Annotated[str, ALWAYS] = ""
    tag: str = ""
    to: str = ""
    image: str = ""
    reason: str = ""
    message: str = ""
    changed: bool = False


class ImportJobRequests(Wire):
    """What a reimport would ask of one registry.

    `requests` if nothing has moved there, `at_most` if everything has: for so many tags of so
    many streams.
    """

    registry: Annotated[str, ALWAYS] = ""
    requests: Annotated[int, ALWAYS] = 0
    at_most: Annotated[int, ALWAYS] = 0
    tags: Annotated[int, ALWAYS] = 0
    streams: Annotated[int, ALWAYS] = 0


class ImportJobStatus(Wire):
    """How far the job is: `state` is Queued, Running, Succeeded, Failed or Cancelled.

    `done` of `total` tags are through, `failed` of them in vain; of a reimport `done` of `total`
    are jobs, one per stream. `conditions` carry `Complete` for
    `kubectl wait --for=condition=Complete`.
    """

    state: Annotated[str, ALWAYS] = "Queued"
    done: Annotated[int, ALWAYS] = 0
    total: Annotated[int, ALWAYS] = 0
    imported: int = 0
    failed: int = 0
    changed: int = 0
    with_errors: bool = False
    attempts: int = 0
    jobs: int = 0
    jobs_failed: int = 0
    started: Time | None = None
    finished: Time | None = None
    reason: str = ""
    message: str = ""
    targets: list[ImportJobTarget] = Field(default_factory=list)
    additional_tags: list[str] = Field(default_factory=list)
    requests: list[ImportJobRequests] = Field(default_factory=list)
    conditions: list[dict[str, Any]] = Field(default_factory=list)


class ImportJob(Wire):
    """An import that was asked for, and what became of it."""

    metadata: Annotated[ObjectMeta, ALWAYS] = ObjectMeta()
    spec: Annotated[ImportJobSpec, ALWAYS] = ImportJobSpec()
    status: Annotated[ImportJobStatus, ALWAYS] = ImportJobStatus()
