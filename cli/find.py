"""Looks up what a command names: streams, images and jobs, some by the beginning of their name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from uuid import UUID

from models.errors import NotFoundError, UsageError
from models.reference import digest_or_image_match, is_digest
from models.store.images import load_image, load_images
from models.store.jobs import list_jobs, load_job
from models.store.session import transaction
from models.store.streams import list_streams, load_stream

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from models.jobs import Job
    from models.resources.image import Image
    from models.resources.stream import ImageStream, TagEvent

PAGE = 200
SHORTEST_ID = 4


def find_stream(engine: Engine, namespace: str, name: str) -> ImageStream:
    """The stream of that name, with its newest events. NotFoundError says where to look."""
    with transaction(engine, write=False) as session:
        stream = load_stream(session, namespace, name)
    if stream is None:
        raise NotFoundError(resource="imagestreams", name=f"{namespace}/{name}")
    return stream


def every_stream(engine: Engine, namespace: str | None) -> list[ImageStream]:
    """All streams of a namespace (None: of all), each with its newest events."""
    found: list[ImageStream] = []
    after: tuple[str, str] | None = None
    while True:
        with transaction(engine, write=False) as session:
            page = list_streams(session, namespace=namespace, limit=PAGE, after=after)
        found.extend(page)
        if len(page) < PAGE:
            return found
        after = (page[-1].metadata.namespace, page[-1].metadata.name)


def current_images(engine: Engine, namespace: str | None) -> list[Image]:
    """The images that tags mean now, each once, under the reference that its tag has."""
    references = {head.image: head.docker_image_reference for _, head in _heads(engine, namespace)}
    with transaction(engine, write=False) as session:
        images = load_images(session, list(references))
    return [
        images[digest].replace(docker_image_reference=reference)
        for digest, reference in references.items()
        if digest in images
    ]


def tags_by_image(engine: Engine, namespace: str | None) -> dict[str, list[str]]:
    """Which tags of a namespace (None: of all) mean an image now, as STREAM:TAG."""
    tags: dict[str, list[str]] = {}
    for name, head in _heads(engine, namespace):
        tags.setdefault(head.image, []).append(name)
    return tags


def find_image(engine: Engine, name: str) -> Image:
    """The image of that digest, or the one current image whose digest begins so."""
    if is_digest(name):
        found = {name}
    else:
        heads = {head.image for _, head in _heads(engine, None)}
        found = {digest for digest in heads if digest_or_image_match(digest, name)}
    if len(found) > 1:
        raise UsageError(f"{len(found)} images begin with {name!r}; write more of the digest")
    with transaction(engine, write=False) as session:
        image = load_image(session, next(iter(found))) if found else None
    if image is None:
        raise NotFoundError(resource="images", name=name)
    return image


def _heads(engine: Engine, namespace: str | None) -> Iterator[tuple[str, TagEvent]]:
    for stream in every_stream(engine, namespace):
        for history in stream.status.tags:
            if history.items and history.items[0].image:
                yield f"{stream.metadata.name}:{history.tag}", history.items[0]


def recent_jobs(engine: Engine, namespace: str | None, *, limit: int) -> list[Job]:
    """The newest jobs of a namespace (None: of all)."""
    with transaction(engine, write=False) as session:
        return list_jobs(session, namespace=namespace, limit=limit)


def find_job(engine: Engine, name: str) -> Job:
    """The job of that id, or the one job whose id begins so."""
    try:
        wanted = UUID(name)
    except ValueError:
        return _find_job_beginning(engine, name)
    with transaction(engine, write=False) as session:
        job = load_job(session, wanted)
    if job is None:
        raise NotFoundError(resource="jobs", name=name, group="")
    return job


def _find_job_beginning(engine: Engine, name: str) -> Job:
    if len(name) < SHORTEST_ID:
        raise UsageError(f"{name!r} is too short for a job's id; write {SHORTEST_ID} characters")
    found: list[Job] = []
    after: Job | None = None
    while True:
        with transaction(engine, write=False) as session:
            page = list_jobs(session, limit=PAGE, after=after)
        found.extend(job for job in page if str(job.id).startswith(name.lower()))
        if len(page) < PAGE:
            break
        after = page[-1]
    if len(found) > 1:
        raise UsageError(f"{len(found)} jobs begin with {name!r}; write more of the id")
    if not found:
        raise NotFoundError(resource="jobs", name=name, group="")
    return found[0]
