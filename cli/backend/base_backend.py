"""The base class of backends: what commands request, over REST unless a backend overrides it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cli.backend.api_paths import resource_path
from models.api_errors import ServerRefusedError
from models.errors import (
    IMAGE_GROUP,
    AlreadyExistsError,
    NotFoundError,
    UsageError,
)

if TYPE_CHECKING:
    from cli.backend.backend_types import ReimportOptions, StreamRef
    from cli.backend.rest_client import RestClient
    from models.job_types import Job, JobRequest
    from models.resources.image import Image
    from models.resources.meta import Secret
    from models.resources.schedule import ScheduledTag
    from models.resources.stream import ImageStream, TagEvent

MAX_CONCURRENT_IMAGE_REQUESTS = 8
LIST_IMAGES_THRESHOLD = 100  # above this, one list request replaces single requests
MIN_ID_PREFIX_LENGTH = 4


class Backend(ABC):
    """The requests of the commands. Every backend returns values of `models`.

    `namespace` is searched instead of all namespaces if the caller may not read those.
    """

    def __init__(self, *, namespace: str) -> None:
        self._namespace = namespace
        self._may_read_images = True

    @property
    @abstractmethod
    def rest(self) -> RestClient:
        """Return the REST client that carries the requests."""

    @abstractmethod
    def run_import(self, request: JobRequest, *, title: str) -> Job:
        """Run an import and return its final job. Progress is shown; ctrl-C cancels the job."""

    @abstractmethod
    def reimport(self, options: ReimportOptions) -> list[Job]:
        """Run a reimport and return its final jobs; empty if no tag matches."""

    def estimate(self, options: ReimportOptions) -> Job:
        """Fetch an estimate of the reimport: the requests that it would send, without importing."""
        from cli.backend.server_imports import estimate_reimport

        return estimate_reimport(self.rest, options)

    @abstractmethod
    def import_response(self, job: Job) -> dict[str, Any]:
        """Return the ImageStreamImport of a finished job whose request set `wants_response`."""

    # -- streams --

    def find_stream(self, namespace: str, name: str) -> ImageStream:
        """Fetch a stream with its newest events. Raises NotFoundError if there is none of that
        name.
        """
        stream = self._fetch_stream(namespace, name)
        if stream is None:
            raise NotFoundError(resource="imagestreams", name=f"{namespace}/{name}")
        return stream

    def list_streams(self, namespace: str | None) -> list[ImageStream]:
        """List all streams of a namespace (None: of all), each with its newest events."""
        from models.resources.stream import ImageStream

        path = resource_path(IMAGE_GROUP, "imagestreams", namespace=namespace or "")
        return [ImageStream.model_validate(wire) for wire in self.rest.list_objects(path)]

    def list_visible_streams(self) -> list[ImageStream]:
        """List all streams, or those of the default namespace if the caller may not list all."""
        try:
            return self.list_streams(None)
        except ServerRefusedError as error:
            if error.server_reason != "Forbidden":
                raise
            return self.list_streams(self._namespace)

    def history(
        self, namespace: str, name: str, tag: str, *, limit: int, at: datetime | None
    ) -> tuple[list[TagEvent], bool]:
        """Fetch the events of a tag, newest first, or the one that was current at `at`.

        The second value says whether the stream exists. The API returns at most the newest hundred
        events.
        """
        stream = self._fetch_stream(namespace, name)
        if stream is None:
            return [], False
        history = stream.status_tag(tag)
        events = list(history.items or ()) if history is not None else []
        if at is None:
            return events[:limit], True
        matching = [each for each in events if each.created is not None and each.created <= at]
        return matching[:1], True

    def _fetch_stream(self, namespace: str, name: str) -> ImageStream | None:
        from models.resources.stream import ImageStream

        path = resource_path(IMAGE_GROUP, "imagestreams", namespace=namespace, name=name)
        wire = self.rest.find(path)
        return None if wire is None else ImageStream.model_validate(wire)

    def list_schedule(
        self, namespace: str | None, *, stream: str = "", tag: str = ""
    ) -> list[ScheduledTag]:
        """List the schedule of a namespace (None: of all), of one of its streams, or of one tag."""
        from models.resources.schedule import ScheduledTag

        selector = f"spec.stream={stream}" if stream else ""
        if tag:
            selector = f"metadata.name={stream}:{tag}"
        path = resource_path("sync.tagstream.io", "scheduledtags", namespace=namespace or "")
        found = self.rest.list_objects(path, fieldSelector=selector)
        return [ScheduledTag.model_validate(wire) for wire in found]

    # -- images --

    def fetch_images(self, wanted: Mapping[str, StreamRef | None]) -> dict[str, Image]:
        """Fetch the images that exist and that the caller may read, by digest."""
        from models.resources.image import Image

        if (
            len(wanted) > LIST_IMAGES_THRESHOLD
            and (listed_objects := self._fetch_listed_images(wanted)) is not None
        ):
            wires: Iterable[dict[str, Any] | None] = listed_objects
        elif len(wanted) > 1:
            with ThreadPoolExecutor(min(MAX_CONCURRENT_IMAGE_REQUESTS, len(wanted))) as pool:
                wires = list(pool.map(self._fetch_image, wanted.keys(), wanted.values()))
        else:
            wires = [self._fetch_image(digest, stream_ref) for digest, stream_ref in wanted.items()]
        images = [Image.model_validate(wire) for wire in wires if wire is not None]
        return {image.name: image for image in images}

    def _fetch_listed_images(
        self, wanted: Mapping[str, StreamRef | None]
    ) -> list[dict[str, Any]] | None:
        """Fetch the images from the list of all images; None if the caller may not list it."""
        try:
            listed = self.rest.list_objects(resource_path(IMAGE_GROUP, "images"))
            return [wire for wire in listed if wire["metadata"]["name"] in wanted]
        except ServerRefusedError as error:
            if error.server_reason != "Forbidden":
                raise
            return None

    def _fetch_image(self, digest: str, stream_ref: StreamRef | None) -> dict[str, Any] | None:
        """Fetch one image; through its stream if the caller may not read all images."""
        if self._may_read_images:
            try:
                return self.rest.find(resource_path(IMAGE_GROUP, "images", name=digest))
            except ServerRefusedError as error:
                if error.server_reason != "Forbidden":
                    raise
                self._may_read_images = False
        if stream_ref is None:
            return None
        name = f"{stream_ref.stream}@{digest}"
        path = resource_path(
            IMAGE_GROUP, "imagestreamimages", namespace=stream_ref.namespace, name=name
        )
        try:
            found = self.rest.find(path)
        except ServerRefusedError as error:
            if error.server_reason != "Forbidden":
                raise
            return None
        image: dict[str, Any] | None = None if found is None else found.get("image")
        return image

    # -- jobs --

    def recent_jobs(
        self, namespace: str | None, *, limit: int, include_children: bool = False
    ) -> list[Job]:
        """List the newest jobs of a namespace (None: of all).

        Without `include_children` a reimport counts as one job.
        """
        from cli.backend.server_jobs import list_jobs

        fields = {} if include_children else {"spec.parent": ""}
        return _newest(list_jobs(self.rest, namespace or "", **fields), limit)

    def watch_jobs(
        self, namespace: str | None, *, limit: int, include_children: bool = False
    ) -> Iterator[list[Job]]:
        """Yield the newest jobs now and again after each change."""
        from cli.backend.server_jobs import follow_jobs

        fields = {} if include_children else {"spec.parent": ""}
        for jobs in follow_jobs(self.rest, namespace or "", **fields):
            yield _newest(jobs, limit)

    def find_job(self, name: str) -> Job:
        """Find the job of that id or name, or the only job whose id starts with it.

        Raises UsageError if the prefix is ambiguous or shorter than MIN_ID_PREFIX_LENGTH,
        NotFoundError if no job matches.
        """
        from cli.backend.server_jobs import list_jobs

        if len(name) < MIN_ID_PREFIX_LENGTH:
            raise id_too_short_error(name)
        try:
            jobs = list(list_jobs(self.rest, ""))
        except ServerRefusedError as error:
            if error.server_reason != "Forbidden":
                raise
            jobs = list(list_jobs(self.rest, self._namespace))
        return select_job(jobs, name)

    def cancel_job(self, job: Job) -> Job:
        """Cancel a job and return its state. A job that is final already stays as it is."""
        from cli.backend.server_jobs import cancel_job

        return cancel_job(self.rest, job)

    # -- secrets --

    def save_secret(self, secret: Secret, *, replace: bool) -> None:
        """Store a secret. Raises AlreadyExistsError if one of that name exists and `replace` is not
        set.
        """
        metadata = secret.metadata
        path = resource_path("", "secrets", namespace=metadata.namespace)
        body = {"kind": "Secret", "apiVersion": "v1", **secret.wire()}
        if replace:
            try:
                self.rest.put(f"{path}/{metadata.name}", body)
            except ServerRefusedError as error:
                if error.server_reason != "NotFound":
                    raise
            else:
                return
        try:
            self.rest.post(path, body)
        except ServerRefusedError as error:
            if error.server_reason != "AlreadyExists":
                raise
            name = f"{metadata.namespace}/{metadata.name}"
            raise AlreadyExistsError(resource="secrets", name=name, group="") from error

    def list_secrets(self, namespace: str | None) -> list[Secret]:
        """List the secrets of a namespace (None: of all), without their data."""
        from models.resources.meta import Secret

        path = resource_path("", "secrets", namespace=namespace or "")
        found = (Secret.model_validate(wire) for wire in self.rest.list_objects(path))
        return [each.replace(data={}, string_data={}) for each in found]

    def delete_secret(self, namespace: str, name: str) -> bool:
        """Delete a secret and return whether there was one."""
        try:
            self.rest.delete(resource_path("", "secrets", namespace=namespace, name=name))
        except ServerRefusedError as error:
            if error.server_reason != "NotFound":
                raise
            return False
        return True


def select_job(jobs: Sequence[Job], name: str) -> Job:
    """Select the job of that id or name, or the only one whose id starts with it."""
    exact = [job for job in jobs if name in {str(job.id), job.request.name}]
    found = exact or [job for job in jobs if str(job.id).startswith(name.lower())]
    if len(found) > 1:
        raise UsageError(f"{len(found)} jobs match {name!r}; give a longer prefix of the id")
    if not found:
        raise NotFoundError(resource="jobs", name=name, group="")
    return found[0]


def id_too_short_error(prefix: str) -> UsageError:
    """Build the error for a prefix that would match too many jobs."""
    return UsageError(
        f"{prefix!r} is too short for a job's id; give at least {MIN_ID_PREFIX_LENGTH} characters"
    )


def _newest(jobs: Iterable[Job], limit: int) -> list[Job]:
    return sorted(jobs, key=lambda job: (job.created, str(job.id)), reverse=True)[:limit]
