"""Between an ImageStream and its rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from models.resources.meta import ObjectMeta, ObjectReference
from models.resources.stream import (
    ImageLookupPolicy,
    ImageStream,
    ImageStreamSpec,
    ImageStreamStatus,
    NamedTagEventList,
    TagEvent,
    TagEventCondition,
    TagImportPolicy,
    TagReference,
    TagReferencePolicy,
)
from models.store.database.bulk_statements import AnyRow
from models.store.database.object_metadata import rare_metadata
from models.store.tables.streams import EventRow, StreamRow, TagRow

KIND = "ImageStream"
EVENT_COLUMNS = (EventRow.created, EventRow.reference, EventRow.image, EventRow.generation)
STREAM_COLUMNS = (
    StreamRow.id,
    StreamRow.namespace,
    StreamRow.name,
    StreamRow.uid,
    StreamRow.version,
    StreamRow.generation,
    StreamRow.created,
    StreamRow.labels,
    StreamRow.annotations,
    StreamRow.rest,
    StreamRow.lookup_local,
    StreamRow.spec_repository,
    StreamRow.status_repository,
    StreamRow.public_repository,
)
TAG_COLUMNS = (
    TagRow.id,
    TagRow.stream_id,
    TagRow.name,
    TagRow.wanted,
    TagRow.spec_annotations,
    TagRow.from_kind,
    TagRow.from_namespace,
    TagRow.from_name,
    TagRow.from_rest,
    TagRow.spec_reference,
    TagRow.spec_generation,
    TagRow.insecure,
    TagRow.scheduled,
    TagRow.import_mode,
    TagRow.reference_policy,
    TagRow.seen,
    TagRow.conditions,
)
_NO_WISH = TagReference(name="")
_FROM_COLUMNS = ("kind", "namespace", "name")


CHANGEABLE = (
    "generation",
    "labels",
    "annotations",
    "rest",
    "lookup_local",
    "spec_repository",
    "status_repository",
    "public_repository",
)


def stream_values(stream: ImageStream) -> dict[str, Any]:
    """The columns of a stream that its owner or an import may change."""
    metadata = stream.metadata
    return {
        "generation": metadata.generation,
        "labels": metadata.labels or None,
        "annotations": metadata.annotations or None,
        "rest": rare_metadata(metadata) or None,
        "lookup_local": stream.spec.lookup_policy.local,
        "spec_repository": stream.spec.docker_image_repository,
        "status_repository": stream.status.docker_image_repository,
        "public_repository": stream.status.public_docker_image_repository,
    }


def tag_values(wish: TagReference | None, history: NamedTagEventList | None) -> dict[str, Any]:
    """The columns of a tag's wish and of its conditions."""
    spec = wish or _NO_WISH
    source = spec.from_
    conditions = [each.wire() for each in history.conditions] if history is not None else []
    return {
        "wanted": wish is not None,
        "spec_annotations": spec.annotations,
        "from_kind": None if source is None else source.kind,
        "from_namespace": None if source is None else source.namespace,
        "from_name": None if source is None else source.name,
        "from_rest": None if source is None else _rest_of(source),
        "spec_reference": spec.reference,
        "spec_generation": spec.generation,
        "insecure": spec.import_policy.insecure,
        "scheduled": spec.import_policy.scheduled,
        "import_mode": spec.import_policy.import_mode,
        "reference_policy": spec.reference_policy.type,
        "seen": history is not None,
        "conditions": conditions or None,
    }


def event_values(event: TagEvent) -> dict[str, Any]:
    """The columns of one tag event."""
    return {
        "created": event.created,
        "image": event.image,
        "reference": event.docker_image_reference,
        "generation": event.generation,
    }


@dataclass(slots=True)
class StreamTags:
    """The tags of one stream while its rows are read, in the order of names."""

    wishes: list[TagReference] = field(default_factory=list)
    histories: list[NamedTagEventList] = field(default_factory=list)

    def add(self, tag: AnyRow, items: list[TagEvent] | None) -> None:
        """Take in a row of TAG_COLUMNS."""
        if tag.wanted:
            self.wishes.append(_build_wish(tag))
        if tag.seen:
            conditions = [TagEventCondition.model_validate(each) for each in tag.conditions or ()]
            history = NamedTagEventList(tag=tag.name, items=items, conditions=conditions)
            self.histories.append(history)


def build_stream(row: AnyRow, tags: StreamTags) -> ImageStream:
    """The stream of a row of STREAM_COLUMNS."""
    return ImageStream(
        metadata=ObjectMeta(
            name=row.name,
            namespace=row.namespace,
            uid=str(row.uid),
            resource_version=str(row.version),
            generation=row.generation,
            creation_timestamp=row.created,
            labels=row.labels or {},
            annotations=row.annotations or {},
            **(row.rest or {}),
        ),
        spec=ImageStreamSpec(
            lookup_policy=ImageLookupPolicy(local=row.lookup_local),
            docker_image_repository=row.spec_repository,
            tags=tags.wishes,
        ),
        status=ImageStreamStatus(
            docker_image_repository=row.status_repository,
            public_docker_image_repository=row.public_repository,
            tags=tags.histories,
        ),
    )


def build_event(row: AnyRow) -> TagEvent | None:
    """The event of a row that ends in EVENT_COLUMNS; None where an outer join found none."""
    created, reference, image, generation = row[-4:]
    if created is None:
        return None
    return TagEvent(
        created=created, docker_image_reference=reference, image=image, generation=generation
    )


def _build_wish(tag: AnyRow) -> TagReference:
    source = None
    if tag.from_kind is not None:
        source = ObjectReference(
            kind=tag.from_kind,
            namespace=tag.from_namespace,
            name=tag.from_name,
            **(tag.from_rest or {}),
        )
    return TagReference(
        name=tag.name,
        annotations=tag.spec_annotations,
        from_=source,
        reference=tag.spec_reference,
        generation=tag.spec_generation,
        import_policy=TagImportPolicy(
            insecure=tag.insecure, scheduled=tag.scheduled, import_mode=tag.import_mode
        ),
        reference_policy=TagReferencePolicy(type=tag.reference_policy),
    )


def _rest_of(source: ObjectReference) -> dict[str, str] | None:
    rest = {
        name: value
        for name in ObjectReference.model_fields
        if name not in _FROM_COLUMNS and (value := getattr(source, name))
    }
    return rest or None
