"""ImportJob: a recorded import or reimport, as clients see it (`sync.tagstream.io/v1`)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from models.resources.imports import ImageImportSpec, RepositoryImportSpec
from models.resources.meta import ObjectMeta
from models.resources.wire import ALWAYS, Time, Wire


class ReimportSelector(Wire):
    """The streams of an administrator's reimport; empty: all of the namespace.

    `streams` are names, `STREAM:TAG` for one tag; `registry` is a host; `only_failed` takes tags
    whose last import failed; `all_namespaces` needs access to the whole server. With `dry_run`
    nothing is imported: `status.estimate` is the number of requests that it would take.
    """

    streams: list[str] = Field(default_factory=list)
    registry: str = ""
    only_failed: bool = False
    all_namespaces: bool = False
    dry_run: bool = False


class ImportJobSpec(Wire):
    """The request: an import into `stream`, or a reimport of what `reimport` selects.

    An import has the `images` and `repository` of an ImageStreamImport. `priority` is Interactive,
    Bulk or Scheduled; `trigger` is User, Schedule, Administrator or API; `parent` is the uid of the
    reimport that the job is a part of.
    """

    stream: str = ""
    import_: Annotated[bool, ALWAYS] = Field(default=True, alias="import")
    images: list[ImageImportSpec] = Field(default_factory=list)
    repository: RepositoryImportSpec | None = None
    reimport: ReimportSelector | None = None
    max_tags: int | None = None
    priority: str = ""
    trigger: str = ""
    user: str = ""
    parent: str = ""


class ImportJobTarget(Wire):
    """The result of one tag: the image's digest, or why there is none.

    `tag` is the source tag, `stream_tag` the tag of the stream; empty where the image was only
    reported. `outcome` is new, updated, unchanged or failed.
    """

    source: Annotated[str, ALWAYS] = ""
    tag: str = ""
    stream_tag: str = ""
    image: str = ""
    outcome: str = ""
    reason: str = ""
    message: str = ""


class ImportJobEstimate(Wire):
    """The estimated requests of a reimport to one registry.

    It takes `min_requests` if no source has changed, and `max_requests` if all have, for `tags`
    tags of `streams` streams.
    """

    registry: Annotated[str, ALWAYS] = ""
    min_requests: Annotated[int, ALWAYS] = 0
    max_requests: Annotated[int, ALWAYS] = 0
    tags: Annotated[int, ALWAYS] = 0
    streams: Annotated[int, ALWAYS] = 0


class ImportJobStatus(Wire):
    """The progress and the result: `state` is Queued, Running, Succeeded, Failed or Cancelled.

    An import counts tags (`tags_completed` of `tags_total`), a reimport its jobs, one for each
    stream (`jobs_completed` of `jobs_total`). Of a job that has ended, one of the conditions
    Complete and Failed is True; PartiallyFailed is True beside Complete where only some failed.
    """

    state: Annotated[str, ALWAYS] = "Queued"
    tags_completed: int = 0
    tags_total: int = 0
    tags_new: int = 0
    tags_updated: int = 0
    tags_unchanged: int = 0
    tags_failed: int = 0
    jobs_completed: int = 0
    jobs_total: int = 0
    jobs_failed: int = 0
    attempts: int = 0
    start_time: Time | None = None
    completion_time: Time | None = None
    reason: str = ""
    message: str = ""
    targets: list[ImportJobTarget] = Field(default_factory=list)
    additional_tags: list[str] = Field(default_factory=list)
    estimate: list[ImportJobEstimate] = Field(default_factory=list)
    conditions: list[dict[str, Any]] = Field(default_factory=list)


class ImportJob(Wire):
    """A recorded import or reimport, and its result."""

    metadata: Annotated[ObjectMeta, ALWAYS] = ObjectMeta()
    spec: Annotated[ImportJobSpec, ALWAYS] = ImportJobSpec()
    status: Annotated[ImportJobStatus, ALWAYS] = ImportJobStatus()
