"""Imports that the spec of a stream makes due (imports-6.14, imports-6.15)."""

from __future__ import annotations

from collections.abc import Iterable

from models.resources.imports import (
    ImageImportSpec,
    ImageStreamImport,
    ImageStreamImportSpec,
    LocalObjectReference,
    RepositoryImportSpec,
)
from models.resources.meta import ObjectMeta, ObjectReference
from models.resources.stream import ImageStream, NamedTagEventList, TagImportPolicy, TagReference
from models.streams.imports.apply_import import CHECKED_ANNOTATION
from models.streams.tags.tag_conditions import IMPORT_SUCCESS
from models.streams.writes.stream_validation import INSECURE_ANNOTATION

DOCKER_IMAGE = "DockerImage"


def is_importable(tag: TagReference) -> bool:
    """Return whether a spec tag names an image in a registry to be imported (imports-6.13)."""
    return tag.from_ is not None and tag.from_.kind == DOCKER_IMAGE and not tag.reference


def observed_generation(history: NamedTagEventList | None) -> int:
    """Return the newest generation that an event or a failure's condition answers; 0 for none."""
    if history is None:
        return 0
    event = history.items[0].generation if history.items else 0
    failures = [c.generation for c in history.conditions if c.type == IMPORT_SUCCESS]
    return max(event, failures[0] if failures else 0)


def build_due_import(stream: ImageStream) -> ImageStreamImport | None:
    """Build the request that the stream's spec makes due, or return None (imports-6.14,
    imports-7.4).
    """
    histories = {history.tag: history for history in stream.status.tags}
    tags = [tag for tag in stream.spec.tags if is_importable(tag)]
    checked = bool(stream.metadata.annotations.get(CHECKED_ANNOTATION))
    if not checked and stream.spec.docker_image_repository:
        return build_import_request(stream, tags, with_repository=True)
    behind = [tag for tag in tags if _is_behind(tag, histories.get(tag.name))]
    without_generation = [tag for tag in tags if tag.generation is None]
    if not behind and (checked or not without_generation):
        return None
    due_names = {tag.name for tag in (*behind, *without_generation)}
    return build_import_request(
        stream, [tag for tag in tags if tag.name in due_names], with_repository=False
    )


def _is_behind(tag: TagReference, history: NamedTagEventList | None) -> bool:
    """Return whether the tag's history answers an older generation of the spec tag."""
    return tag.generation is not None and tag.generation > observed_generation(history)


def build_import_request(
    stream: ImageStream,
    tags: Iterable[TagReference],
    *,
    with_repository: bool,
    with_precondition: bool = True,
) -> ImageStreamImport:
    """Build the request for these spec tags, and for the stream's repository if `with_repository`.

    `with_precondition` makes it fail when the stream is changed before the import runs.
    """
    metadata = ObjectMeta(name=stream.metadata.name, namespace=stream.metadata.namespace)
    if with_precondition:
        metadata = metadata.replace(
            resource_version=stream.metadata.resource_version, uid=stream.metadata.uid
        )
    return ImageStreamImport(
        metadata=metadata,
        spec=ImageStreamImportSpec(
            import_=True,
            images=[_build_image_spec(tag) for tag in tags],
            repository=_build_repository_spec(stream) if with_repository else None,
        ),
    )


def _build_image_spec(tag: TagReference) -> ImageImportSpec:
    assert tag.from_ is not None
    return ImageImportSpec(
        from_=ObjectReference(kind=DOCKER_IMAGE, name=tag.from_.name),
        to=LocalObjectReference(name=tag.name),
        import_policy=tag.import_policy,
        reference_policy=tag.reference_policy,
    )


def _build_repository_spec(stream: ImageStream) -> RepositoryImportSpec | None:
    if not stream.spec.docker_image_repository:
        return None
    insecure = stream.metadata.annotations.get(INSECURE_ANNOTATION) == "true"
    return RepositoryImportSpec(
        from_=ObjectReference(kind=DOCKER_IMAGE, name=stream.spec.docker_image_repository),
        import_policy=TagImportPolicy(insecure=insecure),
    )
