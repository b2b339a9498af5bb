"""An image pushed onto a tag: what an ImageStreamMapping does to its stream (`api.md` B12)."""

from __future__ import annotations

from datetime import datetime

from models.errors import (
    FieldError,
    InvalidObjectError,
    InvalidReferenceError,
    NotFoundError,
)
from models.images.image_strategy import MANAGED
from models.images.image_validation import MetaCheck, below, check_segment_name, validate_image
from models.reference import Reference
from models.resources.image import Image
from models.resources.stream import (
    ImageStream,
    ImageStreamMapping,
    NamedTagEventList,
    TagEvent,
)
from models.streams.imports.import_rules import ImportRules
from models.streams.tags.tag_history import record_event
from models.streams.tags.tag_tracking import track_tags
from models.streams.writes.stream_quota import StreamUsage
from models.streams.writes.stream_strategy import decorate
from models.streams.writes.stream_update import NO_USAGE, apply_status_write


def check_mapping(
    body: ImageStreamMapping, *, rules: ImportRules, check_meta: MetaCheck = check_segment_name
) -> ImageStreamMapping:
    """The mapping with its image's reference filled in. InvalidObjectError if it is none.

    `metadata.namespace` is that of the request. The Image still has to be prepared for storing.
    """
    meta, image = body.metadata, body.image.replace(signatures=[])
    if not image.docker_image_reference and rules.internal_hostname:
        place = f"{rules.internal_hostname}/{meta.namespace}/{meta.name}"
        image = image.replace(docker_image_reference=f"{place}@{image.name}")
    errors = check_meta(meta)
    if not meta.name:
        errors.append(FieldError.required("name"))
        errors.append(FieldError.required("dockerImageRepository"))
    if not body.tag:
        errors.append(FieldError.required("tag"))
    errors.extend(below("image", validate_image(image, check_meta=check_meta)))
    if errors:
        raise InvalidObjectError(kind="ImageStreamMapping", name=meta.name, errors=errors)
    return body.replace(image=image)


def apply_mapping(
    stream: ImageStream | None,
    body: ImageStreamMapping,
    *,
    now: datetime,
    rules: ImportRules,
    stored: Image | None,
    usage: StreamUsage = NO_USAGE,
) -> ImageStream | None:
    """The stream with the image on the tag and on all that follow it; None if nothing changed.

    `body` was checked; `stored` is the Image of that name that was there before this request. The
    stream is ready to be saved: it went through the rules for a write of its status.
    """
    if stream is None:
        raise NotFoundError(resource="imagestreammappings", name=body.metadata.name)
    event = TagEvent(
        created=now,
        docker_image_reference=_reference_of(decorate(stream, rules), body.image, stored),
        image=body.image.name,
        generation=stream.metadata.generation,
    )
    history = stream.status_tag(body.tag) or NamedTagEventList(tag=body.tag)
    history, changed = record_event(history, event)
    if not changed:
        return None
    tagged = stream.with_status_tag(history)
    followed, _ = track_tags(tagged, (), old=stream, now=now, rules=rules)
    return apply_status_write(stream, followed, rules=rules, usage=usage)


def _reference_of(stream: ImageStream, image: Image, stored: Image | None) -> str:
    """Where the image is to be pulled from.

    One that lives in the integrated registry, and was known before, is most likely tagged in
    another stream too: here it is reached through this one.
    """
    written = image.docker_image_reference
    if stored is None or image.metadata.annotations.get(MANAGED) != "true":
        return written
    repository = stream.status.docker_image_repository or stream.spec.docker_image_repository
    try:
        place = Reference.parse(repository)
    except InvalidReferenceError:
        return written
    return f"{place.as_repository().exact()}@{image.name}" if place.name else written
