"""Looks up the images that `get images` shows, and the tags that point to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cli.backend.backend_types import StreamRef
from cli.backend.base_backend import Backend
from models.errors import NotFoundError, UsageError
from models.reference import digest_or_image_match, is_digest

if TYPE_CHECKING:
    from models.resources.image import Image
    from models.resources.stream import ImageStream, TagEvent


@dataclass(frozen=True, slots=True)
class TagHead:
    """The image that a tag points to now."""

    stream_ref: StreamRef
    tag: str
    event: TagEvent


def list_heads(backend: Backend, namespace: str | None) -> list[TagHead]:
    """List the heads of all tags of a namespace (None: of all) that point to an image."""
    return list(_tag_heads(backend.list_streams(namespace)))


def fetch_current_images(backend: Backend, heads: Sequence[TagHead]) -> list[Image]:
    """Fetch the images that tags point to now, each once, with the reference that its tag has."""
    references = {head.event.image: head.event.docker_image_reference for head in heads}
    images = backend.fetch_images({head.event.image: head.stream_ref for head in heads})
    return [
        images[digest].replace(docker_image_reference=reference)
        for digest, reference in references.items()
        if digest in images
    ]


def tags_by_image(heads: Sequence[TagHead]) -> dict[str, list[str]]:
    """Group the tags, as STREAM:TAG, by the image that they point to."""
    tags: dict[str, list[str]] = {}
    for head in heads:
        tags.setdefault(head.event.image, []).append(f"{head.stream_ref.stream}:{head.tag}")
    return tags


def find_image(backend: Backend, name: str) -> Image:
    """Find the image of that digest, or the only current image whose digest starts with it.

    Raises UsageError if several match, NotFoundError if none does.
    """
    stream_refs: dict[str, StreamRef] = {}
    if is_digest(name):
        found = backend.fetch_images({name: None})
        if name in found:
            return found[name]
    for head in _tag_heads(backend.list_visible_streams()):
        if head.event.image == name or digest_or_image_match(head.event.image, name):
            stream_refs[head.event.image] = head.stream_ref
    if len(stream_refs) > 1:
        raise UsageError(
            f"{len(stream_refs)} images match {name!r}; give a longer prefix of the digest"
        )
    images = list(backend.fetch_images(stream_refs).values())
    if not images:
        raise NotFoundError(resource="images", name=name)
    return images[0]


def _tag_heads(streams: Sequence[ImageStream]) -> Iterator[TagHead]:
    for stream in streams:
        metadata = stream.metadata
        for history in stream.status.tags:
            if history.items and history.items[0].image:
                stream_ref = StreamRef(metadata.namespace, metadata.name)
                yield TagHead(stream_ref, history.tag, history.items[0])
