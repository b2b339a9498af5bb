"""Writes of ImageStreamTags and ImageTags, each of which changes a spec tag of the stream.

The rules are api-24.5, api-24.7, api-25.3 and api-25.4. What is returned is the stream that the
client wants; `apply_write` makes of it the stream that is stored. Where nothing changes it is the
same object that was given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models.api_errors import BadRequestError
from models.errors import (
    AlreadyExistsError,
    FieldError,
    InvalidObjectError,
    NotFoundError,
    StreamConflictError,
)
from models.images.image_validation import MetaCheck, check_segment_name
from models.resources.meta import ObjectMeta
from models.resources.stream import (
    ImageStream,
    ImageStreamTag,
    ImageTag,
    NamedTagEventList,
    TagReference,
)
from models.streams.registries.registry_allowlist import AllowList
from models.streams.tags.tag_views import (
    IMAGETAG_KIND,
    ISTAG_KIND,
    TAG_RESOURCES,
    build_imagetag,
    build_istag,
    parse_new_tag_name,
    parse_tag_name,
    require_stream,
)
from models.streams.writes.stream_validation import check_annotations, validate_tag

_ANNOTATIONS = "metadata.annotations"
_ONLY_ANNOTATIONS = "may not update fields other than metadata.annotations"
_ONLY_SPEC = "may not update fields other than spec"
_SPEC_REQUIRED = FieldError.required("spec", "spec is a required field during creation")


@dataclass(frozen=True, slots=True)
class TagWrite:
    """The stream that a PUT results in; `created` says that the spec tag is new (then it answers
    201).
    """

    stream: ImageStream
    created: bool


def apply_istag_create(
    stream: ImageStream | None,
    body: ImageStreamTag,
    *,
    namespace: str,
    allow_list: AllowList | None = None,
    check_meta: MetaCheck = check_segment_name,
) -> ImageStream:
    """Return the stream that a POST results in; a missing one is created (api-24.5).

    Without `tag` only the stream is created. `metadata.annotations` become those of a spec tag that
    has none.
    """
    name, tag = _parse_new_name(ISTAG_KIND, body.metadata, check_meta)
    base = stream or _new_stream(namespace, name)
    body = _named_istag(body, tag)
    _refuse_istag(_new_istag_errors(body, base, allow_list, check_meta), body)
    if base.spec_tag(tag) is not None:
        raise AlreadyExistsError(resource="imagestreamtag", name=f"{name}:{tag}")
    if body.tag is None:
        return base
    annotations = body.tag.annotations or body.metadata.annotations or None
    return base.with_spec_tag(body.tag.replace(annotations=annotations))


def apply_istag_put(
    stream: ImageStream | None,
    body: ImageStreamTag,
    *,
    namespace: str,
    name: str,
    allow_list: AllowList | None = None,
    check_meta: MetaCheck = check_segment_name,
) -> TagWrite:
    """Return the stream that a PUT results in; what is missing is created (api-24.7, api-24.8).

    Only annotations and the spec tag are read; without `tag` the old spec tag stays.
    """
    stream_name, tag = parse_tag_name(name)
    _check_version(stream, body.metadata, kind=ISTAG_KIND, name=name)
    base = stream or _new_stream(namespace, stream_name)
    body = _named_istag(body, tag)
    if stream is None:
        body = body.replace(metadata=body.metadata.replace(name=name, namespace=namespace))
        errors = _new_istag_errors(body, base, allow_list, check_meta)
    else:
        errors = _istag_errors(body, build_istag(stream, tag, None), stream, allow_list, check_meta)
    _refuse_istag(errors, body.replace(metadata=body.metadata.replace(name=name)))
    old = base.spec_tag(tag)
    desired = body.tag or old
    if desired is None:
        raise BadRequestError(
            f"imagestreamtag {tag} is not a spec tag in imagestream {namespace}/{stream_name}, "
            "cannot be updated"
        )
    desired = desired.replace(annotations=body.metadata.annotations or None)
    return TagWrite(_with_spec_tag(base, desired), created=old is None)


def current_istag(stream: ImageStream | None, *, namespace: str, name: str) -> ImageStreamTag:
    """Return the view that a PATCH is applied to: without its image, and also of a missing tag
    (api-24.10).
    """
    stream_name, tag = parse_tag_name(name)
    return build_istag(stream or _new_stream(namespace, stream_name), tag, None)


def apply_imagetag_create(
    stream: ImageStream | None,
    body: ImageTag,
    *,
    namespace: str,
    allow_list: AllowList | None = None,
    check_meta: MetaCheck = check_segment_name,
) -> ImageStream:
    """Return the stream that a POST results in; a missing one is created (api-25.3)."""
    meta = body.metadata
    if body.spec is None:
        _refuse_imagetag([*check_meta(meta), _SPEC_REQUIRED], meta.name)
    elif ":" not in meta.name and meta.name:
        error = FieldError.invalid("spec.name", body.spec.name, "must match image tag name")
        _refuse_imagetag([*check_meta(meta), error], meta.name)
    name, tag = _parse_new_name(IMAGETAG_KIND, meta, check_meta)
    base = stream or _new_stream(namespace, name)
    spec = _named_spec(body.spec, tag)
    _refuse_imagetag(
        [*check_meta(meta), *_spec_errors(spec, tag, base, allow_list)], f"{name}:{tag}"
    )
    if base.spec_tag(tag) is not None:
        raise AlreadyExistsError(resource=TAG_RESOURCES[IMAGETAG_KIND], name=f"{name}:{tag}")
    assert spec is not None
    return base.with_spec_tag(spec)


def apply_imagetag_put(
    stream: ImageStream | None,
    body: ImageTag,
    *,
    namespace: str,
    name: str,
    allow_list: AllowList | None = None,
    check_meta: MetaCheck = check_segment_name,
) -> TagWrite:
    """Return the stream that a PUT results in; what is missing is created (api-25.4).

    Every field but `spec` must be unchanged. Without `spec` the spec tag is removed; the history
    stays.
    """
    stream_name, tag = parse_tag_name(name, IMAGETAG_KIND)
    _check_version(stream, body.metadata, kind=IMAGETAG_KIND, name=name)
    base = stream or _new_stream(namespace, stream_name)
    spec = _named_spec(body.spec, tag)
    old = base.spec_tag(tag)
    errors = check_meta(body.metadata.replace(name=name))
    if stream is not None:
        errors.extend(_imagetag_errors(body, build_imagetag(stream, tag, None)))
    if spec is None and old is None and base.status_tag(tag) is None:
        errors.append(_SPEC_REQUIRED)
    errors.extend(_spec_errors(spec, tag, base, allow_list))
    _refuse_imagetag(errors, name)
    if spec is not None:
        return TagWrite(_with_spec_tag(base, spec), created=old is None)
    return TagWrite(base if old is None else _without_spec_tag(base, tag), created=False)


def current_imagetag(stream: ImageStream | None, *, namespace: str, name: str) -> ImageTag:
    """Return the view that a PATCH is applied to."""
    stream_name, tag = parse_tag_name(name, IMAGETAG_KIND)
    return build_imagetag(stream or _new_stream(namespace, stream_name), tag, None)


def remove_tag(stream: ImageStream, tag: str) -> ImageStream:
    """Return the stream without the tag's spec and history; the same object where it has neither.

    It must be written with `accept_status`, as both are removed.
    """
    if stream.spec_tag(tag) is None and stream.status_tag(tag) is None:
        return stream
    histories = [history for history in stream.status.tags if history.tag != tag]
    remaining = _without_spec_tag(stream, tag)
    return remaining.replace(status=remaining.status.replace(tags=histories))


def apply_tag_delete(
    stream: ImageStream | None,
    *,
    name: str,
    kind: str = ISTAG_KIND,
    uid: str = "",
    resource_version: str = "",
) -> ImageStream:
    """Return the stream that a DELETE results in. The preconditions are compared with the stream.

    Raises NotFoundError or StreamConflictError.
    """
    stream_name, tag = parse_tag_name(name, kind)
    stream = require_stream(stream, stream_name, kind=kind)
    meta = stream.metadata
    for field_name, expected, actual in (
        ("UID", uid, meta.uid),
        ("resourceVersion", resource_version, meta.resource_version),
    ):
        if expected and expected != actual:
            detail = f"the {field_name} precondition was not met"
            raise StreamConflictError(detail, name=name, resource=TAG_RESOURCES[kind])
    remaining = remove_tag(stream, tag)
    if remaining is stream:
        raise NotFoundError(resource=TAG_RESOURCES[kind], name=name)
    return remaining


def _new_stream(namespace: str, name: str) -> ImageStream:
    return ImageStream(metadata=ObjectMeta(name=name, namespace=namespace))


def _with_spec_tag(stream: ImageStream, desired: TagReference) -> ImageStream:
    return stream if stream.spec_tag(desired.name) == desired else stream.with_spec_tag(desired)


def _without_spec_tag(stream: ImageStream, tag: str) -> ImageStream:
    remaining = [desired for desired in stream.spec.tags if desired.name != tag]
    return stream.replace(spec=stream.spec.replace(tags=remaining))


def _parse_new_name(kind: str, meta: ObjectMeta, check_meta: MetaCheck) -> tuple[str, str]:
    if not meta.name:
        raise InvalidObjectError(kind=kind, name="", errors=check_meta(meta))
    return parse_new_tag_name(meta.name)


def _check_version(stream: ImageStream | None, meta: ObjectMeta, *, kind: str, name: str) -> None:
    """Check the resourceVersion of a PUT; a PUT without one passes (api-24.7)."""
    if not meta.resource_version:
        return
    if stream is None:
        raise NotFoundError(resource=TAG_RESOURCES[kind], name=name)
    current = stream.metadata.resource_version
    if meta.resource_version != current:
        detail = f"another caller has updated the resource version to {current}"
        raise StreamConflictError(detail, name=name, resource=TAG_RESOURCES[kind])


def _named_istag(body: ImageStreamTag, tag: str) -> ImageStreamTag:
    return body if body.tag is None else body.replace(tag=body.tag.replace(name=tag))


def _refuse_istag(errors: list[FieldError], body: ImageStreamTag) -> None:
    if errors:
        raise InvalidObjectError(kind=ISTAG_KIND, name=body.metadata.name, errors=errors)


def _new_istag_errors(
    body: ImageStreamTag, stream: ImageStream, allow_list: AllowList | None, check_meta: MetaCheck
) -> list[FieldError]:
    errors = check_meta(body.metadata)
    if body.tag is None:
        return errors
    errors.extend(check_annotations(body.metadata.annotations, None, _ANNOTATIONS))
    errors.extend(validate_tag(body.tag, "tag", stream=stream, allow_list=allow_list))
    annotations = body.tag.annotations
    if annotations and annotations != body.metadata.annotations:
        detail = (
            "tag annotations must not be provided or must be equal to the object meta annotations"
        )
        errors.append(FieldError.invalid("tag.annotations", _as_go_map(annotations), detail))
    return errors


def _as_go_map(values: Mapping[str, str]) -> str:
    """Format as Go prints a map: clients know this error text (api-24.6)."""
    return f"map[{' '.join(f'{key}:{values[key]}' for key in sorted(values))}]"


def _istag_errors(
    body: ImageStreamTag,
    current: ImageStreamTag,
    stream: ImageStream,
    allow_list: AllowList | None,
    check_meta: MetaCheck,
) -> list[FieldError]:
    """Return what an update may not change.

    Labels that a client omits are the stream's (api-24.8).
    """
    sent = body.metadata.replace(labels=body.metadata.labels or current.metadata.labels)
    errors = check_meta(sent.replace(name=current.metadata.name))
    errors.extend(check_annotations(sent.annotations, current.metadata.annotations, _ANNOTATIONS))
    if body.tag is not None:
        errors.extend(validate_tag(body.tag, "tag", stream=stream, allow_list=allow_list))
    shown = current.metadata.replace(annotations=sent.annotations)
    if not _is_metadata_unchanged(sent, shown):
        errors.append(FieldError.invalid("metadata", "", _ONLY_ANNOTATIONS))
    return errors


def _is_metadata_unchanged(sent: ObjectMeta, shown: ObjectMeta) -> bool:
    """Return whether metadata is unchanged once the server's own fields are filled in (api-5.6)."""
    filled = sent.replace(
        name=sent.name or shown.name,
        namespace=sent.namespace or shown.namespace,
        uid=sent.uid or shown.uid,
        resource_version=shown.resource_version,
        generation=shown.generation,
        creation_timestamp=shown.creation_timestamp,
        deletion_timestamp=shown.deletion_timestamp,
        managed_fields=shown.managed_fields,
    )
    return filled.wire() == shown.wire()


def _named_spec(spec: TagReference | None, tag: str) -> TagReference | None:
    return spec.replace(name=tag) if spec is not None and not spec.name else spec


def _spec_errors(
    spec: TagReference | None, tag: str, stream: ImageStream, allow_list: AllowList | None
) -> list[FieldError]:
    if spec is None:
        return []
    errors = validate_tag(spec, "spec", stream=stream, allow_list=allow_list)
    if spec.name != tag:
        errors.append(FieldError.invalid("spec.name", spec.name, "must match image tag name"))
    return errors


def _imagetag_errors(body: ImageTag, current: ImageTag) -> list[FieldError]:
    errors = []
    if not _is_metadata_unchanged(body.metadata, current.metadata):
        errors.append(FieldError.invalid("metadata", "", _ONLY_SPEC))
    if _history_wire(body.status) != _history_wire(current.status):
        errors.append(FieldError.invalid("status", "", _ONLY_SPEC))
    return errors


def _history_wire(history: NamedTagEventList | None) -> object:
    """Return the wire form, in which null and empty items are equal."""
    return None if history is None else history.replace(items=history.items or None).wire()


def _refuse_imagetag(errors: list[FieldError], name: str) -> None:
    if errors:
        raise InvalidObjectError(kind=IMAGETAG_KIND, name=name, errors=errors)
