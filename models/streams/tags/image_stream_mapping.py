"""ImageStreamMapping: an image that is pushed to a tag of a stream (api-27.1, api-27.4)."""

from __future__ import annotations

from datetime import datetime

from models.errors import (
    FieldError,
    InvalidObjectError,
    InvalidReferenceError,
    NotFoundError,
)
from models.images.image_strategy import MANAGED_ANNOTATION
from models.images.image_validation import (
    MetaCheck,
    check_segment_name,
    prefix_field_errors,
    validate_image,
)
from models.reference import Reference
from models.resources.image import Image
from models.resources.stream import (
    ImageStream,
    ImageStreamMapping,
    NamedTagEventList,
    TagEvent,
)
from models.streams.imports.import_rules import ImportRules
from models.streams.tags.tag_history import append_tag_event
from models.streams.tags.tag_tracking import track_tags
from models.streams.writes.stream_quota import StreamUsage
from models.streams.writes.stream_strategy import decorate
from models.streams.writes.stream_update import NO_USAGE, apply_status_write


def check_mapping(
    body: ImageStreamMapping, *, rules: ImportRules, check_meta: MetaCheck = check_segment_name
) -> ImageStreamMapping:
    """Return the mapping with its image's reference filled in. Raises InvalidObjectError.

    `metadata.namespace` is that of the request. The Image still has to be prepared for storing.
    """
    meta, image = body.metadata, body.image.replace(signatures=[])
    if not image.docker_image_reference and rules.internal_hostname:
        repository = f"{rules.internal_hostname}/{meta.namespace}/{meta.name}"
        image = image.replace(docker_image_reference=f"{repository}@{image.name}")
    errors = check_meta(meta)
    if not meta.name:
        errors.append(FieldError.required("name"))
        errors.append(FieldError.required("dockerImageRepository"))
    if not body.tag:
        errors.append(FieldError.required("tag"))
    errors.extend(prefix_field_errors("image", validate_image(image, check_meta=check_meta)))
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
    """Return the stream with the image on the tag and on its followers; None if nothing changed.

    `body` was checked; `stored` is the Image of that name from before this request. The stream is
    ready to be saved: the rules of a status write were applied. Raises NotFoundError for a missing
    stream.
    """
    if stream is None:
        raise NotFoundError(resource="imagestreammappings", name=body.metadata.name)
    event = TagEvent(
        created=now,
        docker_image_reference=_mapped_pull_spec(decorate(stream, rules), body.image, stored),
        image=body.image.name,
        generation=stream.metadata.generation,
    )
    history = stream.status_tag(body.tag) or NamedTagEventList(tag=body.tag)
    history, changed = append_tag_event(history, event)
    if not changed:
        return None
    tagged = stream.with_status_tag(history)
    tracked, _ = track_tags(tagged, (), old=stream, now=now, rules=rules)
    return apply_status_write(stream, tracked, rules=rules, usage=usage)


def _mapped_pull_spec(stream: ImageStream, image: Image, stored: Image | None) -> str:
    """Return the pull spec of the image.

    An image in the integrated registry that was stored before is most likely tagged in another
    stream as well; here it is pulled through this one.
    """
    pull_spec = image.docker_image_reference
    if stored is None or image.metadata.annotations.get(MANAGED_ANNOTATION) != "true":
        return pull_spec
    repository = stream.status.docker_image_repository or stream.spec.docker_image_repository
    try:
        parsed = Reference.parse(repository)
    except InvalidReferenceError:
        return pull_spec
    return f"{parsed.as_repository().exact()}@{image.name}" if parsed.name else pull_spec
