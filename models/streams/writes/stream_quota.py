"""Limits of the number of images and tags of one stream (imports-5.12, imports-5.13)."""

from __future__ import annotations

from dataclasses import dataclass

from models.errors import FieldError, InvalidObjectError, InvalidReferenceError
from models.reference import Reference
from models.resources.stream import ImageStream, TagReference
from models.streams.imports.import_rules import ImportRules

_EXCEEDS_LIMIT = "exceeds the maximum limit"


@dataclass(frozen=True, slots=True)
class StreamUsage:
    """Every image in the stored history of the stream."""

    images: frozenset[str] = frozenset()


def check_limits(
    old: ImageStream | None,
    new: ImageStream,
    *,
    rules: ImportRules,
    usage: StreamUsage = StreamUsage(),
) -> None:
    """Refuse a write that exceeds a limit of the stream.

    A stream that exceeded it before may be written as long as it does not grow. Raises
    InvalidObjectError with upstream's text, which `is_limit_error` recognizes.
    """
    if not rules.max_images and not rules.max_tags_per_stream:
        return
    new_tags = _tag_references(new)
    new_images = usage.images | _images(new)
    if old is not None:
        old_tags = _tag_references(old)
        old_images = usage.images | _images(old)
        if new_tags <= old_tags and new_images <= old_images:
            return  # nothing was added, so nothing grew
    violations = []
    for resource, count, limit in (
        ("openshift.io/image-tags", len(new_tags), rules.max_tags_per_stream),
        ("openshift.io/images", len(new_images), rules.max_images),
    ):
        if limit and count > limit:
            violations.append(
                f"requested usage of {resource} {_EXCEEDS_LIMIT} per openshift.io/ImageStream "
                f"({count} > {limit})"
            )
    if violations:
        raise _limit_error(new.metadata.name, violations)


def _limit_error(name: str, violations: list[str]) -> InvalidObjectError:
    text = violations[0] if len(violations) == 1 else f"[{', '.join(violations)}]"
    forbidden = f'ImageStream.image.openshift.io "{name}" is forbidden: {text}'
    return InvalidObjectError(
        kind="ImageStream", name=name, errors=[FieldError.internal("[]", forbidden)]
    )


def is_limit_error(error: InvalidObjectError) -> bool:
    """Return whether an error is about limits, so that its tags get a condition (imports-5.14)."""
    return _EXCEEDS_LIMIT in error.message


def _images(stream: ImageStream) -> frozenset[str]:
    return frozenset(
        item.image for history in stream.status.tags for item in history.items or [] if item.image
    )


def _tag_references(stream: ImageStream) -> frozenset[str]:
    """Return the distinct sources of the spec tags, normalized."""
    found = (_tag_reference(tag, stream) for tag in stream.spec.tags)
    return frozenset(name for name in found if name)


def _tag_reference(tag: TagReference, stream: ImageStream) -> str:
    source = tag.from_
    if source is None:
        return ""
    namespace = source.namespace or stream.metadata.namespace
    if source.kind == "DockerImage":
        try:
            reference = Reference.parse(source.name)
        except InvalidReferenceError:
            return ""
        return reference.with_defaults().daemon_minimal().exact()
    separator = {"ImageStreamImage": "@", "ImageStreamTag": ":"}.get(source.kind, "")
    if not separator:
        return ""
    name, _, last = source.name.rpartition(separator)
    if not last and source.kind == "ImageStreamImage":
        return ""
    return f"{namespace}/{name or stream.metadata.name}{separator}{last}"
