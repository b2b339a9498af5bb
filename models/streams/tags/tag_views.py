"""Views of one tag or one image of a stream: ImageStreamTag, ImageTag and ImageStreamImage.

Nothing is stored under these names: each is built from a stream and, where it is loaded, an Image
(api-19.1, api-4.7, api-24.1, api-25.1, api-26.1). Streams are decorated and contain the history
that is to be shown.
"""

from __future__ import annotations

from collections.abc import Iterable

from models.api_errors import BadRequestError
from models.errors import InvalidReferenceError, NotFoundError, StreamConflictError
from models.reference import (
    DEFAULT_TAG,
    digest_or_image_match,
    parse_stream_image_name,
    parse_stream_tag_name,
)
from models.resources.image import Image
from models.resources.meta import ObjectMeta
from models.resources.stream import (
    ImageStream,
    ImageStreamImage,
    ImageStreamTag,
    ImageTag,
    NamedTagEventList,
    TagEvent,
    TagReference,
)
from models.streams.tags.tag_history import pull_spec_of_spec_tag

ISTAG_KIND = "ImageStreamTag"
IMAGETAG_KIND = "ImageTag"
TAG_RESOURCES = {ISTAG_KIND: "imagestreamtags", IMAGETAG_KIND: "imagetags"}


def parse_tag_name(name: str, kind: str = ISTAG_KIND) -> tuple[str, str]:
    """Parse stream and tag of a name in a URL (api-19.1).

    Raises BadRequestError for any other form.
    """
    try:
        return parse_stream_tag_name(name)
    except InvalidReferenceError as error:
        raise BadRequestError(f"{kind}s must be retrieved with <name>:<tag>") from error


def parse_new_tag_name(name: str) -> tuple[str, str]:
    """Parse stream and tag of a new object's name; `web:` is `web:latest` (api-19.2).

    Upstream accepts `a:b:c` as well, which no request can ever find again.
    """
    stream, colon, tag = name.partition(":")
    if not stream or not colon or ":" in tag:
        raise BadRequestError(f'"{name}" must be of the form <stream_name>:<tag>')
    return stream, tag or DEFAULT_TAG


def parse_image_name(name: str) -> tuple[str, str]:
    """Parse stream and id of a name in a URL (api-19.1).

    Raises BadRequestError for any other form.
    """
    try:
        return parse_stream_image_name(name)
    except InvalidReferenceError as error:
        raise BadRequestError("ImageStreamImages must be retrieved with <name>@<id>") from error


def required_image_digest(stream: ImageStream | None, tag: str) -> str:
    """Return the digest of the Image that a view of this tag needs; empty where it needs none."""
    head = _newest_event(stream.status_tag(tag)) if stream is not None else None
    return head.image if head is not None else ""


def require_istag(
    stream: ImageStream | None, name: str, tag: str, image: Image | None
) -> ImageStreamTag:
    """Build the response to a GET of an ImageStreamTag.

    Raises NotFoundError where the stream, the tag's image or the Image itself is missing; the error
    names the requested resource (api-4.7).
    """
    stream = require_stream(stream, name, kind=ISTAG_KIND)
    digest = required_image_digest(stream, tag)
    if not digest or image is None:
        raise NotFoundError(resource=TAG_RESOURCES[ISTAG_KIND], name=digest or f"{name}:{tag}")
    return build_istag(stream, tag, image)


def require_imagetag(
    stream: ImageStream | None, name: str, tag: str, image: Image | None
) -> ImageTag:
    """Build the response to a GET of an ImageTag, which may lack spec, history or image.

    Raises NotFoundError where it has neither spec nor history.
    """
    stream = require_stream(stream, name, kind=IMAGETAG_KIND)
    if stream.spec_tag(tag) is None and stream.status_tag(tag) is None:
        raise NotFoundError(resource=TAG_RESOURCES[IMAGETAG_KIND], name=f"{name}:{tag}")
    return build_imagetag(stream, tag, image)


def require_stream(stream: ImageStream | None, name: str, *, kind: str) -> ImageStream:
    """Return the stream of a tag. The NotFoundError names the requested resource (api-4.7)."""
    if stream is None:
        raise NotFoundError(resource=TAG_RESOURCES[kind], name=name)
    return stream


def build_istag(stream: ImageStream, tag: str, image: Image | None) -> ImageStreamTag:
    """Build an ImageStreamTag with what is known of its image, which may be nothing."""
    return _build_istag(stream, tag, stream.spec_tag(tag), stream.status_tag(tag), image)


def build_istags(stream: ImageStream) -> list[ImageStreamTag]:
    """Build every ImageStreamTag with an image, sorted; images have name and reference only
    (api-24.4).
    """
    desired_tags = {desired.name: desired for desired in stream.spec.tags}
    histories = sorted(stream.status.tags, key=lambda each: each.tag)
    return [
        _build_istag(stream, history.tag, desired_tags.get(history.tag), history, None)
        for history in histories
        if history.items and history.items[0].image
    ]


def _build_istag(
    stream: ImageStream,
    tag: str,
    desired: TagReference | None,
    history: NamedTagEventList | None,
    image: Image | None,
) -> ImageStreamTag:
    meta = stream.metadata
    head = _newest_event(history)
    annotations = dict(desired.annotations or {}) if desired is not None else {}
    return ImageStreamTag(
        metadata=ObjectMeta(
            name=f"{meta.name}:{tag}",
            namespace=meta.namespace,
            uid=meta.uid,
            resource_version=meta.resource_version,
            creation_timestamp=meta.creation_timestamp if head is None else head.created,
            labels=meta.labels,
            annotations=annotations,
        ),
        tag=desired,
        generation=0 if head is None else head.generation,
        lookup_policy=stream.spec.lookup_policy,
        conditions=[] if history is None else history.conditions,
        image=_build_istag_image(stream, desired, head, image),
    )


def _build_istag_image(
    stream: ImageStream, desired: TagReference | None, head: TagEvent | None, image: Image | None
) -> Image:
    """Return the Image without texts, with the spec tag's annotations over its own (api-24.2)."""
    if head is None:
        return Image()
    reference = pull_spec_of_spec_tag(desired, stream, head)
    if image is None:
        return Image(metadata=ObjectMeta(name=head.image), docker_image_reference=reference)
    meta = image.metadata
    if desired is not None and desired.annotations:
        meta = meta.replace(annotations={**meta.annotations, **desired.annotations})
    return image.without_content().replace(metadata=meta, docker_image_reference=reference)


def build_imagetag(stream: ImageStream, tag: str, image: Image | None) -> ImageTag:
    """Build an ImageTag: spec, history and image, each null where there is none."""
    return _build_imagetag(stream, tag, stream.spec_tag(tag), stream.status_tag(tag), image)


def build_imagetags(stream: ImageStream) -> list[ImageTag]:
    """Build every ImageTag with a spec or a history, sorted, without its image."""
    desired_tags = {desired.name: desired for desired in stream.spec.tags}
    histories = {history.tag: history for history in stream.status.tags}
    return [
        _build_imagetag(stream, tag, desired_tags.get(tag), histories.get(tag), None)
        for tag in sorted({*desired_tags, *histories})
    ]


def _build_imagetag(
    stream: ImageStream,
    tag: str,
    desired: TagReference | None,
    history: NamedTagEventList | None,
    image: Image | None,
) -> ImageTag:
    head = _newest_event(history)
    if image is not None:
        reference = image.docker_image_reference
        if head is not None:
            reference = pull_spec_of_spec_tag(desired, stream, head)
        image = image.without_content().replace(docker_image_reference=reference)
    meta = stream.metadata.replace(name=f"{stream.metadata.name}:{tag}")
    return ImageTag(metadata=meta, spec=desired, status=history, image=image)


def _newest_event(history: NamedTagEventList | None) -> TagEvent | None:
    return history.items[0] if history is not None and history.items else None


def resolve_isimage(names: Iterable[str], stream: str, prefix: str) -> str:
    """Return the one image of a stream that `prefix` selects (api-19.5, api-26.1).

    `names` are the images of the stream's layers view, so the children of indexes count. Raises
    NotFoundError, or StreamConflictError where several match and none of them exactly.
    """
    found = sorted({name for name in names if digest_or_image_match(name, prefix)})
    if not found:
        raise NotFoundError(resource="imagestreamimage", name=f"{stream}@{prefix}")
    if len(found) == 1 or prefix in found:
        return prefix if prefix in found else found[0]
    raise StreamConflictError(
        f'multiple images match the prefix "{prefix}": {", ".join(found)}',
        name=prefix,
        resource="imagestreamimage",
    )


def build_isimage(stream: ImageStream, image_id: str, image: Image) -> ImageStreamImage:
    """Build an ImageStreamImage under the name that was requested."""
    meta = ObjectMeta(
        name=f"{stream.metadata.name}@{image_id}",
        namespace=stream.metadata.namespace,
        creation_timestamp=image.metadata.creation_timestamp,
        annotations=stream.metadata.annotations,
    )
    return ImageStreamImage(metadata=meta, image=image.without_content())
