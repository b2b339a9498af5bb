"""The desk over REST: streams, images, histories, jobs and secrets as a server tells of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from cli.backend.api_paths import path_of
from models.api_errors import ServerRefusedError
from models.errors import (
    IMAGE_GROUP,
    AlreadyExistsError,
    NotFoundError,
    UsageError,
)

if TYPE_CHECKING:
    from cli.backend.rest_client import Rest
    from models.job_types import Job, JobRequest
    from models.resources.image import Image
    from models.resources.jobs import ReimportSelector
    from models.resources.meta import Secret
    from models.resources.schedule import ScheduledTag
    from models.resources.stream import ImageStream, TagEvent

SIDE_BY_SIDE = 8  # images that are asked for at one time
MANY = 100  # from so many on, all images are listed instead
SHORTEST_ID = 4


class Home(NamedTuple):
    """The stream through which an image may be seen by those who may not see all images."""

    namespace: str
    stream: str


class Again(NamedTuple):
    """The words of one `tagstream reimport`. No stream: all; no namespace: all of those too."""

    namespace: str
    everywhere: bool
    stream: str = ""
    tag: str = ""
    failed: bool = False
    registry: str = ""

    @property
    def selector(self) -> ReimportSelector:
        """The same, as an ImportJob says it."""
        from models.resources.jobs import ReimportSelector

        tag = f"{self.stream}:{self.tag}" if self.tag else self.stream
        return ReimportSelector(
            streams=[tag] if tag else [],
            registry=self.registry,
            only_failed=self.failed,
            all_namespaces=self.everywhere,
        )


class Desk(ABC):
    """What the verbs ask. Values of `models` come back, whoever keeps them.

    `namespace` is looked into where the caller may not look everywhere.
    """

    def __init__(self, *, namespace: str) -> None:
        self._namespace = namespace
        self._sees_images = True

    @property
    @abstractmethod
    def rest(self) -> Rest:
        """What carries the requests."""

    @abstractmethod
    def carry(self, request: JobRequest, *, title: str) -> Job:
        """The job of an import once it has ended, shown as it goes; ctrl-C cancels it."""

    @abstractmethod
    def reimport(self, wish: Again) -> list[Job]:
        """The jobs of a reimport once all have ended; empty: nothing fits."""

    def forecast(self, wish: Again) -> Job:
        """The reimport as it would be, with the requests that it would take."""
        from cli.backend.server_imports import forecast_reimport

        return forecast_reimport(self.rest, wish)

    @abstractmethod
    def answer(self, job: Job) -> dict[str, Any]:
        """The ImageStreamImport of a finished job that was asked for its answer."""

    # -- streams --

    def find_stream(self, namespace: str, name: str) -> ImageStream:
        """The stream of that name, with its newest events. NotFoundError says where to look."""
        stream = self._stream(namespace, name)
        if stream is None:
            raise NotFoundError(resource="imagestreams", name=f"{namespace}/{name}")
        return stream

    def every_stream(self, namespace: str | None) -> list[ImageStream]:
        """All streams of a namespace (None: of all), each with its newest events."""
        from models.resources.stream import ImageStream

        path = path_of(IMAGE_GROUP, "imagestreams", namespace=namespace or "")
        return [ImageStream.model_validate(wire) for wire in self.rest.pages(path)]

    def visible_streams(self) -> list[ImageStream]:
        """All streams, or those of the own namespace where the caller may not see all."""
        try:
            return self.every_stream(None)
        except ServerRefusedError as error:
            if error.answered != "Forbidden":
                raise
            return self.every_stream(self._namespace)

    def history(
        self, namespace: str, name: str, tag: str, *, limit: int, moment: datetime | None
    ) -> tuple[list[TagEvent], bool]:
        """Events of a tag, newest first, or the one that held at `moment`; and whether the stream
        is there. The API shows the newest hundred.
        """
        stream = self._stream(namespace, name)
        if stream is None:
            return [], False
        history = stream.status_tag(tag)
        events = list(history.items or ()) if history is not None else []
        if moment is None:
            return events[:limit], True
        then = [each for each in events if each.created is not None and each.created <= moment]
        return then[:1], True

    def _stream(self, namespace: str, name: str) -> ImageStream | None:
        from models.resources.stream import ImageStream

        path = path_of(IMAGE_GROUP, "imagestreams", namespace=namespace, name=name)
        wire = self.rest.find(path)
        return None if wire is None else ImageStream.model_validate(wire)

    def schedule(
        self, namespace: str | None, *, stream: str = "", tag: str = ""
    ) -> list[ScheduledTag]:
        """The calendar of a namespace (None: of all), of a stream of it, or of one tag."""
        from models.resources.schedule import ScheduledTag

        selector = f"spec.stream={stream}" if stream else ""
        if tag:
            selector = f"metadata.name={stream}:{tag}"
        path = path_of("sync.tagstream.io", "scheduledtags", namespace=namespace or "")
        found = self.rest.pages(path, fieldSelector=selector)
        return [ScheduledTag.model_validate(wire) for wire in found]

    # -- images --

    def load_images(self, wanted: Mapping[str, Home | None]) -> dict[str, Image]:
        """Those of the images that are there and may be seen, by digest."""
        from models.resources.image import Image

        if len(wanted) > MANY and (listed := self._listed_images(wanted)) is not None:
            wires: Iterable[dict[str, Any] | None] = listed
        elif len(wanted) > 1:
            with ThreadPoolExecutor(min(SIDE_BY_SIDE, len(wanted))) as pool:
                wires = list(pool.map(self._image, wanted.keys(), wanted.values()))
        else:
            wires = [self._image(digest, home) for digest, home in wanted.items()]
        images = [Image.model_validate(wire) for wire in wires if wire is not None]
        return {image.name: image for image in images}

    def _listed_images(self, wanted: Mapping[str, Home | None]) -> list[dict[str, Any]] | None:
        """The images out of the list of all; None for those who may not read it."""
        try:
            listed = self.rest.pages(path_of(IMAGE_GROUP, "images"))
            return [wire for wire in listed if wire["metadata"]["name"] in wanted]
        except ServerRefusedError as error:
            if error.answered != "Forbidden":
                raise
            return None

    def _image(self, digest: str, home: Home | None) -> dict[str, Any] | None:
        """An image by itself; for those who may not see all images, through its stream."""
        if self._sees_images:
            try:
                return self.rest.find(path_of(IMAGE_GROUP, "images", name=digest))
            except ServerRefusedError as error:
                if error.answered != "Forbidden":
                    raise
                self._sees_images = False
        if home is None:
            return None
        name = f"{home.stream}@{digest}"
        path = path_of(IMAGE_GROUP, "imagestreamimages", namespace=home.namespace, name=name)
        try:
            found = self.rest.find(path)
        except ServerRefusedError as error:
            if error.answered != "Forbidden":
                raise
            return None
        image: dict[str, Any] | None = None if found is None else found.get("image")
        return image

    # -- jobs --

    def recent_jobs(self, namespace: str | None, *, limit: int, parts: bool = False) -> list[Job]:
        """The newest jobs of a namespace (None: of all). Without `parts`, a reimport is one."""
        from cli.backend.server_jobs import list_jobs

        which = {} if parts else {"spec.parent": ""}
        return _newest(list_jobs(self.rest, namespace or "", **which), limit)

    def watch_jobs(
        self, namespace: str | None, *, limit: int, parts: bool = False
    ) -> Iterator[list[Job]]:
        """The newest jobs again and again, as they change."""
        from cli.backend.server_jobs import follow_jobs

        which = {} if parts else {"spec.parent": ""}
        for jobs in follow_jobs(self.rest, namespace or "", **which):
            yield _newest(jobs, limit)

    def find_job(self, name: str) -> Job:
        """The job of that id or name, or the one job whose id begins so."""
        from cli.backend.server_jobs import list_jobs

        if len(name) < SHORTEST_ID:
            raise too_short(name)
        try:
            jobs = list(list_jobs(self.rest, ""))
        except ServerRefusedError as error:
            if error.answered != "Forbidden":
                raise
            jobs = list(list_jobs(self.rest, self._namespace))
        return only_job(jobs, name)

    def cancel_job(self, job: Job) -> Job:
        """Ask a job to stop; what it is then. Only a live job is asked: the record stays."""
        from cli.backend.server_jobs import cancel_job

        return cancel_job(self.rest, job)

    # -- secrets --

    def save_secret(self, secret: Secret, *, replace: bool) -> None:
        """Store it. AlreadyExistsError where there is one of that name, unless it is replaced."""
        metadata = secret.metadata
        place = path_of("", "secrets", namespace=metadata.namespace)
        body = {"kind": "Secret", "apiVersion": "v1", **secret.wire()}
        if replace:
            try:
                self.rest.put(f"{place}/{metadata.name}", body)
            except ServerRefusedError as error:
                if error.answered != "NotFound":
                    raise
            else:
                return
        try:
            self.rest.post(place, body)
        except ServerRefusedError as error:
            if error.answered != "AlreadyExists":
                raise
            name = f"{metadata.namespace}/{metadata.name}"
            raise AlreadyExistsError(resource="secrets", name=name, group="") from error

    def list_secrets(self, namespace: str | None) -> list[Secret]:
        """The secrets of a namespace (None: of all), without what they hold."""
        from models.resources.meta import Secret

        path = path_of("", "secrets", namespace=namespace or "")
        found = (Secret.model_validate(wire) for wire in self.rest.pages(path))
        return [each.replace(data={}, string_data={}) for each in found]

    def delete_secret(self, namespace: str, name: str) -> bool:
        """Whether there was one."""
        try:
            self.rest.delete(path_of("", "secrets", namespace=namespace, name=name))
        except ServerRefusedError as error:
            if error.answered != "NotFound":
                raise
            return False
        return True


class ServerDesk(Desk):
    """The desk of a server elsewhere, by a kubeconfig."""

    def __init__(self, rest: Rest, *, namespace: str) -> None:
        super().__init__(namespace=namespace)
        self._rest = rest
        self._answers: dict[Any, dict[str, Any]] = {}

    @property
    def rest(self) -> Rest:
        return self._rest

    def carry(self, request: JobRequest, *, title: str) -> Job:
        """Watched as its ImportJob; where the answer is wanted, the server is waited for."""
        from cli.backend.server_imports import await_answer, run_import

        if not request.wants_answer:
            return run_import(self._rest, request, title=title)
        job, answer = await_answer(self._rest, request, title=title)
        self._answers[job.id] = answer
        return job

    def reimport(self, wish: Again) -> list[Job]:
        from cli.backend.server_imports import run_reimport

        return run_reimport(self._rest, wish)

    def answer(self, job: Job) -> dict[str, Any]:
        return self._answers[job.id]


def only_job(jobs: Sequence[Job], name: str) -> Job:
    """The job of that id or name, or the only one whose id begins so."""
    exact = [job for job in jobs if name in {str(job.id), job.request.name}]
    found = exact or [job for job in jobs if str(job.id).startswith(name.lower())]
    if len(found) > 1:
        raise UsageError(f"{len(found)} jobs begin with {name!r}; write more of the id")
    if not found:
        raise NotFoundError(resource="jobs", name=name, group="")
    return found[0]


def too_short(name: str) -> UsageError:
    """A beginning that would fit too many jobs."""
    return UsageError(f"{name!r} is too short for a job's id; write {SHORTEST_ID} characters")


def _newest(jobs: Iterable[Job], limit: int) -> list[Job]:
    return sorted(jobs, key=lambda job: (job.created, str(job.id)), reverse=True)[:limit]
