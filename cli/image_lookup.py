"""Looks up what `get` shows of images: what the heads of tags mean, and which tags mean it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cli.backend.server_backend import Desk, Home
from models.errors import NotFoundError, UsageError
from models.reference import digest_or_image_match, is_digest

if TYPE_CHECKING:
    from models.resources.image import Image
    from models.resources.stream import ImageStream, TagEvent


@dataclass(frozen=True, slots=True)
class Head:
    """What a tag means now."""

    home: Home
    tag: str
    event: TagEvent


def find_heads(desk: Desk, namespace: str | None) -> list[Head]:
    """The heads of all tags of a namespace (None: of all) that mean an image."""
    return list(_heads(desk.every_stream(namespace)))


def current_images(desk: Desk, heads: Sequence[Head]) -> list[Image]:
    """The images that tags mean now, each once, under the reference that its tag has."""
    references = {head.event.image: head.event.docker_image_reference for head in heads}
    images = desk.load_images({head.event.image: head.home for head in heads})
    return [
        images[digest].replace(docker_image_reference=reference)
        for digest, reference in references.items()
        if digest in images
    ]


def tags_by_image(heads: Sequence[Head]) -> dict[str, list[str]]:
    """Which tags mean an image now, as STREAM:TAG."""
    tags: dict[str, list[str]] = {}
    for head in heads:
        tags.setdefault(head.event.image, []).append(f"{head.home.stream}:{head.tag}")
    return tags


def find_image(desk: Desk, name: str) -> Image:
    """The image of that digest, or the one current image whose digest begins so."""
    heads: dict[str, Home] = {}
    if is_digest(name):
        found = desk.load_images({name: None})
        if name in found:
            return found[name]
    for head in _heads(desk.visible_streams()):
        if head.event.image == name or digest_or_image_match(head.event.image, name):
            heads[head.event.image] = head.home
    if len(heads) > 1:
        raise UsageError(f"{len(heads)} images begin with {name!r}; write more of the digest")
    images = list(desk.load_images(heads).values())
    if not images:
        raise NotFoundError(resource="images", name=name)
    return images[0]


def _heads(streams: Sequence[ImageStream]) -> Iterator[Head]:
    for stream in streams:
        metadata = stream.metadata
        for history in stream.status.tags:
            if history.items and history.items[0].image:
                home = Home(metadata.namespace, metadata.name)
                yield Head(home, history.tag, history.items[0])
