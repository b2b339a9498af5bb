"""Writes of ImageStreamTags and ImageTags: each becomes a wish of the stream (`api.md` B8, B9).

What is returned is the stream as the client wants it; `apply_write` makes of it what is stored.
Where nothing is to be written it is the very stream that was given.
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
    ISTAG,
    ITAG,
    TAG_RESOURCES,
    parse_new_tag_name,
    parse_tag_name,
    require_stream,
    view_imagetag,
    view_istag,
)
from models.streams.writes.stream_validation import check_annotations, validate_tag

_ANNOTATIONS = "metadata.annotations"
_ONLY_ANNOTATIONS = "may not update fields other than metadata.annotations"
_ONLY_SPEC = "may not update fields other than spec"
_SPEC_NEEDED = FieldError.required("spec", "spec is a required field during creation")


@dataclass(frozen=True, slots=True)
class TagWrite:
    """The stream that a PUT asks for, and whether the wish is new: then the answer is a 201."""

    stream: ImageStream
    created: bool


def create_istag(
    stream: ImageStream | None,
    body: ImageStreamTag,
    *,
    namespace: str,
    allow_list: AllowList | None = None,
    check_meta: MetaCheck = check_segment_name,
) -> ImageStream:
    """The stream that a POST asks for; a missing one is begun.

    Without a `tag` nothing but the stream comes to be. `metadata.annotations` become the wish's
    where that has none (quirk 6).
    """
    name, tag = _new_name(ISTAG, body.metadata, check_meta)
    begun = stream or _begin(namespace, name)
    body = _named_istag(body, tag)
    _refuse_istag(_new_istag_errors(body, begun, allow_list, check_meta), body)
    if begun.spec_tag(tag) is not None:
        raise AlreadyExistsError(resource="imagestreamtag", name=f"{name}:{tag}")  # quirk 4
    if body.tag is None:
        return begun
    annotations = body.tag.annotations or body.metadata.annotations or None
    return begun.with_spec_tag(body.tag.replace(annotations=annotations))


def put_istag(
    stream: ImageStream | None,
    body: ImageStreamTag,
    *,
    namespace: str,
    name: str,
    allow_list: AllowList | None = None,
    check_meta: MetaCheck = check_segment_name,
) -> TagWrite:
    """The stream that a PUT asks for; what is missing is begun.

    Only annotations and the wish are looked at; without a wish the old one stays.
    """
    stream_name, tag = parse_tag_name(name)
    _check_version(stream, body.metadata, kind=ISTAG, name=name)
    begun = stream or _begin(namespace, stream_name)
    body = _named_istag(body, tag)
    if stream is None:
        body = body.replace(metadata=body.metadata.replace(name=name, namespace=namespace))
        errors = _new_istag_errors(body, begun, allow_list, check_meta)
    else:
        errors = _istag_errors(body, view_istag(stream, tag, None), stream, allow_list, check_meta)
    _refuse_istag(errors, body.replace(metadata=body.metadata.replace(name=name)))
    old = begun.spec_tag(tag)
    wish = body.tag or old
    if wish is None:
        raise BadRequestError(
            f"imagestreamtag {tag} is not a spec tag in imagestream {namespace}/{stream_name}, "
            "cannot be updated"
        )
    wish = wish.replace(annotations=body.metadata.annotations or None)
    return TagWrite(_with_wish(begun, wish), created=old is None)


def current_istag(stream: ImageStream | None, *, namespace: str, name: str) -> ImageStreamTag:
    """What a PATCH is applied to, before it is put; without an image, and without need of a tag."""
    stream_name, tag = parse_tag_name(name)
    return view_istag(stream or _begin(namespace, stream_name), tag, None)


def create_imagetag(
    stream: ImageStream | None,
    body: ImageTag,
    *,
    namespace: str,
    allow_list: AllowList | None = None,
    check_meta: MetaCheck = check_segment_name,
) -> ImageStream:
    """The stream that a POST asks for; a missing one is begun."""
    meta = body.metadata
    if body.spec is None:
        _refuse_imagetag([*check_meta(meta), _SPEC_NEEDED], meta.name)
    elif ":" not in meta.name and meta.name:
        wrong = FieldError.invalid("spec.name", body.spec.name, "must match image tag name")
        _refuse_imagetag([*check_meta(meta), wrong], meta.name)
    name, tag = _new_name(ITAG, meta, check_meta)
    begun = stream or _begin(namespace, name)
    spec = _named_spec(body.spec, tag)
    _refuse_imagetag(
        [*check_meta(meta), *_spec_errors(spec, tag, begun, allow_list)], f"{name}:{tag}"
    )
    if begun.spec_tag(tag) is not None:
        raise AlreadyExistsError(resource=TAG_RESOURCES[ITAG], name=f"{name}:{tag}")
    assert spec is not None
    return begun.with_spec_tag(spec)


def put_imagetag(
    stream: ImageStream | None,
    body: ImageTag,
    *,
    namespace: str,
    name: str,
    allow_list: AllowList | None = None,
    check_meta: MetaCheck = check_segment_name,
) -> TagWrite:
    """The stream that a PUT asks for; what is missing is begun.

    All but `spec` has to be what it was. No `spec` takes the wish away; the history stays.
    """
    stream_name, tag = parse_tag_name(name, ITAG)
    _check_version(stream, body.metadata, kind=ITAG, name=name)
    begun = stream or _begin(namespace, stream_name)
    spec = _named_spec(body.spec, tag)
    old = begun.spec_tag(tag)
    errors = check_meta(body.metadata.replace(name=name))
    if stream is not None:
        errors.extend(_imagetag_errors(body, view_imagetag(stream, tag, None)))
    if spec is None and old is None and begun.status_tag(tag) is None:
        errors.append(_SPEC_NEEDED)
    errors.extend(_spec_errors(spec, tag, begun, allow_list))
    _refuse_imagetag(errors, name)
    if spec is not None:
        return TagWrite(_with_wish(begun, spec), created=old is None)
    return TagWrite(begun if old is None else _without_wish(begun, tag), created=False)


def current_imagetag(stream: ImageStream | None, *, namespace: str, name: str) -> ImageTag:
    """What a PATCH is applied to, before it is put."""
    stream_name, tag = parse_tag_name(name, ITAG)
    return view_imagetag(stream or _begin(namespace, stream_name), tag, None)


def drop_tag(stream: ImageStream, tag: str) -> ImageStream:
    """The stream without the tag's wish and history; the same stream where it has neither.

    To be written with `keep_status`, since it changes both.
    """
    if stream.spec_tag(tag) is None and stream.status_tag(tag) is None:
        return stream
    histories = [history for history in stream.status.tags if history.tag != tag]
    bare = _without_wish(stream, tag)
    return bare.replace(status=bare.status.replace(tags=histories))


def delete_tag(
    stream: ImageStream | None,
    *,
    name: str,
    kind: str = ISTAG,
    uid: str = "",
    resource_version: str = "",
) -> ImageStream:
    """The stream that a DELETE leaves, under the preconditions given: they are the stream's."""
    stream_name, tag = parse_tag_name(name, kind)
    stream = require_stream(stream, stream_name, kind=kind)
    meta = stream.metadata
    for word, wanted, found in (
        ("UID", uid, meta.uid),
        ("resourceVersion", resource_version, meta.resource_version),
    ):
        if wanted and wanted != found:
            detail = f"the {word} precondition was not met"
            raise StreamConflictError(detail, name=name, resource=TAG_RESOURCES[kind])
    bare = drop_tag(stream, tag)
    if bare is stream:
        raise NotFoundError(resource=TAG_RESOURCES[kind], name=name)
    return bare


def _begin(namespace: str, name: str) -> ImageStream:
    return ImageStream(metadata=ObjectMeta(name=name, namespace=namespace))


def _with_wish(stream: ImageStream, wish: TagReference) -> ImageStream:
    return stream if stream.spec_tag(wish.name) == wish else stream.with_spec_tag(wish)


def _without_wish(stream: ImageStream, tag: str) -> ImageStream:
    wishes = [wish for wish in stream.spec.tags if wish.name != tag]
    return stream.replace(spec=stream.spec.replace(tags=wishes))


def _new_name(kind: str, meta: ObjectMeta, check_meta: MetaCheck) -> tuple[str, str]:
    if not meta.name:
        raise InvalidObjectError(kind=kind, name="", errors=check_meta(meta))
    return parse_new_tag_name(meta.name)


def _check_version(stream: ImageStream | None, meta: ObjectMeta, *, kind: str, name: str) -> None:
    """A version that is named has to be the stream's; none at all will do (quirk 15)."""
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
        raise InvalidObjectError(kind=ISTAG, name=body.metadata.name, errors=errors)


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
    """As Go prints a map, which is what clients know from this refusal."""
    return f"map[{' '.join(f'{key}:{values[key]}' for key in sorted(values))}]"


def _istag_errors(
    body: ImageStreamTag,
    current: ImageStreamTag,
    stream: ImageStream,
    allow_list: AllowList | None,
    check_meta: MetaCheck,
) -> list[FieldError]:
    """What an update may not do. Labels that a client leaves out are the stream's: old ones do."""
    sent = body.metadata.replace(labels=body.metadata.labels or current.metadata.labels)
    errors = check_meta(sent.replace(name=current.metadata.name))
    errors.extend(check_annotations(sent.annotations, current.metadata.annotations, _ANNOTATIONS))
    if body.tag is not None:
        errors.extend(validate_tag(body.tag, "tag", stream=stream, allow_list=allow_list))
    shown = current.metadata.replace(annotations=sent.annotations)
    if not _is_same(sent, shown):
        errors.append(FieldError.invalid("metadata", "", _ONLY_ANNOTATIONS))
    return errors


def _is_same(sent: ObjectMeta, shown: ObjectMeta) -> bool:
    """Whether metadata says nothing new, once the server's own fields are filled in (C5)."""
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
    if not _is_same(body.metadata, current.metadata):
        errors.append(FieldError.invalid("metadata", "", _ONLY_SPEC))
    if _history_wire(body.status) != _history_wire(current.status):
        errors.append(FieldError.invalid("status", "", _ONLY_SPEC))
    return errors


def _history_wire(history: NamedTagEventList | None) -> object:
    """As sent and shown: null and empty are the same."""
    return None if history is None else history.replace(items=history.items or None).wire()


def _refuse_imagetag(errors: list[FieldError], name: str) -> None:
    if errors:
        raise InvalidObjectError(kind=ITAG, name=name, errors=errors)
