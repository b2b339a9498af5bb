"""When a stream's spec makes an import due, and which (`import.md` 6.9, 6.11)."""

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
from models.streams.imports.apply_import import CHECKED
from models.streams.tags.tag_conditions import IMPORT_SUCCESS
from models.streams.writes.stream_validation import INSECURE_ANNOTATION

DOCKER_IMAGE = "DockerImage"


def is_importable(tag: TagReference) -> bool:
    """Whether a spec tag names an image in a registry that is to be imported."""
    return tag.from_ is not None and tag.from_.kind == DOCKER_IMAGE and not tag.reference


def observed_generation(history: NamedTagEventList | None) -> int:
    """The newest wish that was answered, by an event or by a failure's condition."""
    if history is None:
        return 0
    event = history.items[0].generation if history.items else 0
    failures = [c.generation for c in history.conditions if c.type == IMPORT_SUCCESS]
    return max(event, failures[0] if failures else 0)


def due_import(stream: ImageStream) -> ImageStreamImport | None:
    """The request that the stream's spec makes due now, or None."""
    histories = {history.tag: history for history in stream.status.tags}
    tags = [tag for tag in stream.spec.tags if is_importable(tag)]
    checked = bool(stream.metadata.annotations.get(CHECKED))
    if not checked and stream.spec.docker_image_repository:
        return build_import(stream, tags, whole=True)
    behind = [tag for tag in tags if _is_behind(tag, histories.get(tag.name))]
    unset = [tag for tag in tags if tag.generation is None]
    if not behind and (checked or not unset):
        return None
    wanted = {tag.name for tag in (*behind, *unset)}
    return build_import(stream, [tag for tag in tags if tag.name in wanted], whole=False)


def _is_behind(tag: TagReference, history: NamedTagEventList | None) -> bool:
    """Whether what was seen answers an older wish."""
    return tag.generation is not None and tag.generation > observed_generation(history)


def build_import(
    stream: ImageStream, tags: Iterable[TagReference], *, whole: bool, guarded: bool = True
) -> ImageStreamImport:
    """The request for these spec tags, and for the stream's repository where it is `whole`.

    `guarded` makes it fail when the stream moves before it is carried out.
    """
    metadata = ObjectMeta(name=stream.metadata.name, namespace=stream.metadata.namespace)
    if guarded:
        metadata = metadata.replace(
            resource_version=stream.metadata.resource_version, uid=stream.metadata.uid
        )
    return ImageStreamImport(
        metadata=metadata,
        spec=ImageStreamImportSpec(
            import_=True,
            images=[_image_of(tag) for tag in tags],
            repository=_repository_of(stream) if whole else None,
        ),
    )


def _image_of(tag: TagReference) -> ImageImportSpec:
    assert tag.from_ is not None
    return ImageImportSpec(
        from_=ObjectReference(kind=DOCKER_IMAGE, name=tag.from_.name),
        to=LocalObjectReference(name=tag.name),
        import_policy=tag.import_policy,
        reference_policy=tag.reference_policy,
    )


def _repository_of(stream: ImageStream) -> RepositoryImportSpec | None:
    if not stream.spec.docker_image_repository:
        return None
    insecure = stream.metadata.annotations.get(INSECURE_ANNOTATION) == "true"
    return RepositoryImportSpec(
        from_=ObjectReference(kind=DOCKER_IMAGE, name=stream.spec.docker_image_repository),
        import_policy=TagImportPolicy(insecure=insecure),
    )
