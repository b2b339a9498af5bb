"""Conversion between an ImageStream and its rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, and_

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
from models.store.database.object_metadata import metadata_without_columns
from models.store.tables.streams import StreamRow, TagEventRow, TagRow

STREAM_KIND = "ImageStream"
EVENT_COLUMNS = (
    TagEventRow.created,
    TagEventRow.reference,
    TagEventRow.image,
    TagEventRow.generation,
)
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
    TagRow.in_spec,
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
    TagRow.in_status,
    TagRow.conditions,
)
_NO_SPEC_TAG = TagReference(name="")
_FROM_COLUMNS = ("kind", "namespace", "name")


MUTABLE_COLUMNS = (
    "generation",
    "labels",
    "annotations",
    "rest",
    "lookup_local",
    "spec_repository",
    "status_repository",
    "public_repository",
)


def is_stream_named(namespace: str, name: str) -> ColumnElement[bool]:
    """Return the SQL condition that selects one stream by its key."""
    return and_(StreamRow.namespace == namespace, StreamRow.name == name)


def stream_values(stream: ImageStream) -> dict[str, Any]:
    """Return the columns of a stream that its owner or an import may change."""
    metadata = stream.metadata
    return {
        "generation": metadata.generation,
        "labels": metadata.labels or None,
        "annotations": metadata.annotations or None,
        "rest": metadata_without_columns(metadata) or None,
        "lookup_local": stream.spec.lookup_policy.local,
        "spec_repository": stream.spec.docker_image_repository,
        "status_repository": stream.status.docker_image_repository,
        "public_repository": stream.status.public_docker_image_repository,
    }


def tag_values(desired: TagReference | None, history: NamedTagEventList | None) -> dict[str, Any]:
    """Return the columns of a tag's spec and of its conditions."""
    spec = desired or _NO_SPEC_TAG
    source = spec.from_
    conditions = [each.wire() for each in history.conditions] if history is not None else []
    return {
        "in_spec": desired is not None,
        "spec_annotations": spec.annotations,
        "from_kind": None if source is None else source.kind,
        "from_namespace": None if source is None else source.namespace,
        "from_name": None if source is None else source.name,
        "from_rest": None if source is None else _source_without_columns(source),
        "spec_reference": spec.reference,
        "spec_generation": spec.generation,
        "insecure": spec.import_policy.insecure,
        "scheduled": spec.import_policy.scheduled,
        "import_mode": spec.import_policy.import_mode,
        "reference_policy": spec.reference_policy.type,
        "in_status": history is not None,
        "conditions": conditions or None,
    }


def event_values(event: TagEvent) -> dict[str, Any]:
    """Return the columns of one tag event."""
    return {
        "created": event.created,
        "image": event.image,
        "reference": event.docker_image_reference,
        "generation": event.generation,
    }


@dataclass(slots=True)
class StreamTags:
    """The tags of one stream while its rows are read, in the order of names."""

    spec_tags: list[TagReference] = field(default_factory=list)
    histories: list[NamedTagEventList] = field(default_factory=list)

    def add(self, tag: AnyRow, items: list[TagEvent] | None) -> None:
        """Add a row of TAG_COLUMNS."""
        if tag.in_spec:
            self.spec_tags.append(_build_spec_tag(tag))
        if tag.in_status:
            conditions = [TagEventCondition.model_validate(each) for each in tag.conditions or ()]
            history = NamedTagEventList(tag=tag.name, items=items, conditions=conditions)
            self.histories.append(history)


def build_stream(row: AnyRow, tags: StreamTags) -> ImageStream:
    """Build the stream from a row of STREAM_COLUMNS."""
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
            tags=tags.spec_tags,
        ),
        status=ImageStreamStatus(
            docker_image_repository=row.status_repository,
            public_docker_image_repository=row.public_repository,
            tags=tags.histories,
        ),
    )


def build_tag_event(row: AnyRow) -> TagEvent | None:
    """Build the event of a row that ends in EVENT_COLUMNS; None if an outer join found none."""
    created, reference, image, generation = row[-4:]
    if created is None:
        return None
    return TagEvent(
        created=created, docker_image_reference=reference, image=image, generation=generation
    )


def _build_spec_tag(tag: AnyRow) -> TagReference:
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


def _source_without_columns(source: ObjectReference) -> dict[str, str] | None:
    rest = {
        name: value
        for name in ObjectReference.model_fields
        if name not in _FROM_COLUMNS and (value := getattr(source, name))
    }
    return rest or None
