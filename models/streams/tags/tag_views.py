"""One tag or one image of a stream, as clients see it (`api.md` B2.1, B2.6, B8 to B10).

Nothing is stored under these names: each is a view of a stream and, where it is at hand, of an
Image. Streams come decorated, with the history that is to be shown.
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
from models.streams.tags.tag_history import pull_spec_of_wish

ISTAG = "ImageStreamTag"
ITAG = "ImageTag"
TAG_RESOURCES = {ISTAG: "imagestreamtags", ITAG: "imagetags"}


def parse_tag_name(name: str, kind: str = ISTAG) -> tuple[str, str]:
    """Stream and tag of a name in a path. BadRequestError for any other form."""
    try:
        return parse_stream_tag_name(name)
    except InvalidReferenceError as error:
        raise BadRequestError(f"{kind}s must be retrieved with <name>:<tag>") from error


def parse_new_tag_name(name: str) -> tuple[str, str]:
    """Stream and tag of a name to be created; `web:` means `web:latest`.

    Upstream takes `a:b:c` too, and can then never find it again.
    """
    stream, colon, tag = name.partition(":")
    if not stream or not colon or ":" in tag:
        raise BadRequestError(f'"{name}" must be of the form <stream_name>:<tag>')
    return stream, tag or DEFAULT_TAG


def parse_image_name(name: str) -> tuple[str, str]:
    """Stream and id of a name in a path. BadRequestError for any other form."""
    try:
        return parse_stream_image_name(name)
    except InvalidReferenceError as error:
        raise BadRequestError("ImageStreamImages must be retrieved with <name>@<id>") from error


def wanted_image(stream: ImageStream | None, tag: str) -> str:
    """The digest of the Image that a view of this tag needs; empty where it needs none."""
    head = _head(stream.status_tag(tag)) if stream is not None else None
    return head.image if head is not None else ""


def read_istag(
    stream: ImageStream | None, name: str, tag: str, image: Image | None
) -> ImageStreamTag:
    """The answer to a GET. NotFoundError where the stream, an image in the tag or the Image itself
    is missing: each is named by the resource that was asked for (B2.6).
    """
    stream = require_stream(stream, name, kind=ISTAG)
    digest = wanted_image(stream, tag)
    if not digest or image is None:
        raise NotFoundError(resource=TAG_RESOURCES[ISTAG], name=digest or f"{name}:{tag}")
    return view_istag(stream, tag, image)


def read_imagetag(stream: ImageStream | None, name: str, tag: str, image: Image | None) -> ImageTag:
    """The answer to a GET: whatever of the tag there is. NotFoundError where there is nothing."""
    stream = require_stream(stream, name, kind=ITAG)
    if stream.spec_tag(tag) is None and stream.status_tag(tag) is None:
        raise NotFoundError(resource=TAG_RESOURCES[ITAG], name=f"{name}:{tag}")
    return view_imagetag(stream, tag, image)


def require_stream(stream: ImageStream | None, name: str, *, kind: str) -> ImageStream:
    """The stream behind a tag; the NotFoundError names the resource that was asked for."""
    if stream is None:
        raise NotFoundError(resource=TAG_RESOURCES[kind], name=name)
    return stream


def view_istag(stream: ImageStream, tag: str, image: Image | None) -> ImageStreamTag:
    """The tag with what is known of its image, which may be nothing."""
    return _view_istag(stream, tag, stream.spec_tag(tag), stream.status_tag(tag), image)


def list_istags(stream: ImageStream) -> list[ImageStreamTag]:
    """Every tag that means an image, sorted; of the images only name and reference."""
    wishes = {wish.name: wish for wish in stream.spec.tags}
    histories = sorted(stream.status.tags, key=lambda each: each.tag)
    return [
        _view_istag(stream, history.tag, wishes.get(history.tag), history, None)
        for history in histories
        if history.items and history.items[0].image
    ]


def _view_istag(
    stream: ImageStream,
    tag: str,
    wish: TagReference | None,
    history: NamedTagEventList | None,
    image: Image | None,
) -> ImageStreamTag:
    meta = stream.metadata
    head = _head(history)
    annotations = dict(wish.annotations or {}) if wish is not None else {}
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
        tag=wish,
        generation=0 if head is None else head.generation,
        lookup_policy=stream.spec.lookup_policy,
        conditions=[] if history is None else history.conditions,
        image=_image_of_istag(stream, wish, head, image),
    )


def _image_of_istag(
    stream: ImageStream, wish: TagReference | None, head: TagEvent | None, image: Image | None
) -> Image:
    """The Image without its texts, with the wish's annotations over its own (B8)."""
    if head is None:
        return Image()
    reference = pull_spec_of_wish(wish, stream, head)
    if image is None:
        return Image(metadata=ObjectMeta(name=head.image), docker_image_reference=reference)
    meta = image.metadata
    if wish is not None and wish.annotations:
        meta = meta.replace(annotations={**meta.annotations, **wish.annotations})
    return image.without_content().replace(metadata=meta, docker_image_reference=reference)


def view_imagetag(stream: ImageStream, tag: str, image: Image | None) -> ImageTag:
    """The tag's wish, history and image, each null where there is none."""
    return _view_imagetag(stream, tag, stream.spec_tag(tag), stream.status_tag(tag), image)


def list_imagetags(stream: ImageStream) -> list[ImageTag]:
    """Every tag that is wished for or was seen, sorted, without its image."""
    wishes = {wish.name: wish for wish in stream.spec.tags}
    histories = {history.tag: history for history in stream.status.tags}
    return [
        _view_imagetag(stream, tag, wishes.get(tag), histories.get(tag), None)
        for tag in sorted({*wishes, *histories})
    ]


def _view_imagetag(
    stream: ImageStream,
    tag: str,
    wish: TagReference | None,
    history: NamedTagEventList | None,
    image: Image | None,
) -> ImageTag:
    head = _head(history)
    if image is not None:
        reference = image.docker_image_reference
        if head is not None:
            reference = pull_spec_of_wish(wish, stream, head)
        image = image.without_content().replace(docker_image_reference=reference)
    meta = stream.metadata.replace(name=f"{stream.metadata.name}:{tag}")
    return ImageTag(metadata=meta, spec=wish, status=history, image=image)


def _head(history: NamedTagEventList | None) -> TagEvent | None:
    return history.items[0] if history is not None and history.items else None


def resolve_isimage(names: Iterable[str], stream: str, wanted: str) -> str:
    """The one image of a stream that `wanted` names, as a digest or its beginning (B2.4, B10).

    `names` are the images of the stream's layers view, so the children of indexes count. Raises
    NotFoundError, or StreamConflictError where several fit and none is meant exactly.
    """
    found = sorted({name for name in names if digest_or_image_match(name, wanted)})
    if not found:
        raise NotFoundError(resource="imagestreamimage", name=f"{stream}@{wanted}")
    if len(found) == 1 or wanted in found:
        return wanted if wanted in found else found[0]
    raise StreamConflictError(
        f'multiple images match the prefix "{wanted}": {", ".join(found)}',
        name=wanted,
        resource="imagestreamimage",
    )


def view_isimage(stream: ImageStream, wanted: str, image: Image) -> ImageStreamImage:
    """An image of a stream, under the name that it was asked for."""
    meta = ObjectMeta(
        name=f"{stream.metadata.name}@{wanted}",
        namespace=stream.metadata.namespace,
        creation_timestamp=image.metadata.creation_timestamp,
        annotations=stream.metadata.annotations,
    )
    return ImageStreamImage(metadata=meta, image=image.without_content())
