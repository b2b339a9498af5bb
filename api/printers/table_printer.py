"""Tables with columns and rows for clients to print, and objects reduced to their metadata.

Rules: api-13.1, api-13.3, api-13.9. Without Tables kubectl prints NAME and AGE only (clients-3.1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from api.printers.age_format import format_age, format_ago
from api.printers.event_printer import event_cells
from api.printers.imagetag_printer import image_tag_cells
from api.printers.importjob_printer import import_job_cells
from api.printers.registry_printer import registry_cells
from api.printers.scheduledtag_printer import scheduled_tag_cells
from api.served_resources import RESOURCES
from models.api_errors import BadRequestError

IncludeObject = Literal["Metadata", "Object", "None"]
RowPrinter = Callable[[Mapping[str, Any], datetime], list[Any]]

_API_VERSIONS = {info.kind: info.api_version for info in RESOURCES if info.model is not None}
_TAGS_COLUMN_WIDTH = 40
_TAGS_COLUMN_OVERFLOW = 10


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column definition; one with priority 1 is shown by `-o wide` only."""

    name: str
    description: str
    type: str = "string"
    format: str = ""
    priority: int = 0

    def wire(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        }


def parse_include(text: str) -> IncludeObject:
    """Return the `includeObject` parameter: what of each object is sent with its row (api-13.2)."""
    match text:
        case "" | "Metadata":
            return "Metadata"
        case "Object" | "None":
            return text
    raise BadRequestError(
        f'Unable to convert to Table as requested: includeObject: Invalid value: "{text}": '
        "must be 'Metadata', 'Object', 'None', or empty"
    )


def build_table(
    kind: str,
    objects: Iterable[Mapping[str, Any]],
    *,
    list_metadata: Mapping[str, Any],
    include: IncludeObject = "Metadata",
    now: datetime,
    columns: bool = True,
    version: str = "v1",
) -> dict[str, Any]:
    """Return the Table of some objects of one kind.

    `list_metadata` is the metadata of the list or, for a single object, its resourceVersion
    (`single_metadata`). Later events of a watch have no `columns`. A kind without columns of its
    own shows name and age.
    """
    headings, cells = _TABLES.get(kind, _DEFAULT_TABLE)
    rows = [
        {"cells": cells(each, now), "object": _row_object(kind, each, include, version)}
        for each in objects
    ]
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": dict(list_metadata),
        "columnDefinitions": [column.wire() for column in headings] if columns else None,
        "rows": rows,
    }


def single_metadata(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata of a Table that shows one object."""
    version = item.get("metadata", {}).get("resourceVersion")
    return {"resourceVersion": version} if version else {}


def build_partial(item: Mapping[str, Any], *, version: str = "v1") -> dict[str, Any]:
    """Return the metadata of an object as PartialObjectMetadata."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": item.get("metadata") or {},
    }


def build_partial_list(
    objects: Iterable[Mapping[str, Any]],
    list_metadata: Mapping[str, Any],
    *,
    version: str = "v1",
) -> dict[str, Any]:
    """Return the metadata of some objects; items carry kind and apiVersion here."""
    return {
        "kind": "PartialObjectMetadataList",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": dict(list_metadata),
        "items": [build_partial(each, version=version) for each in objects],
    }


def _row_object(
    kind: str, item: Mapping[str, Any], include: IncludeObject, version: str
) -> dict[str, Any] | None:
    if include == "None":
        return None
    if include == "Object":
        return {"kind": kind, "apiVersion": _API_VERSIONS.get(kind, "v1"), **item}
    return build_partial(item, version=version)


def format_tags(tags: Iterable[Mapping[str, Any]]) -> str:
    """Return the tags that fit, newest first, and the number of the others (api-13.4).

    The text may exceed its width of 40 characters a little, but only by a tag that begins early
    enough. Example: ten tags of four characters become eight of them and ` + 2 more...`.
    """
    newest = sorted(tags, key=lambda tag: str(tag.get("tag", "")))
    newest.sort(key=lambda tag: _newest_event(tag).get("created") or "", reverse=True)
    names = [str(tag.get("tag", "")) for tag in newest]
    shown = _count_fitting(names)
    hidden = len(names) - shown
    return ",".join(names[:shown]) + (f" + {hidden} more..." if hidden else "")


def _count_fitting(names: Sequence[str]) -> int:
    """Return how many of the names a cell shows."""
    remaining_width = _TAGS_COLUMN_WIDTH
    for index, name in enumerate(names):
        remaining_width -= len(name) + 1
        if remaining_width >= 0:
            continue
        if index == 0:
            return 1
        if not (
            remaining_width + len(name) > _TAGS_COLUMN_OVERFLOW
            and -remaining_width <= _TAGS_COLUMN_OVERFLOW
        ):
            return index
    return len(names)


def _newest_event(tag: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the newest event of a tag's history, or an empty mapping."""
    items = tag.get("items") or [{}]
    newest_event: Mapping[str, Any] = items[0]
    return newest_event


def _name(item: Mapping[str, Any]) -> str:
    return str(item.get("metadata", {}).get("name", ""))


def _created(item: Mapping[str, Any]) -> str:
    return str(item.get("metadata", {}).get("creationTimestamp") or "")


def _default_cells(item: Mapping[str, Any], now: datetime) -> list[Any]:
    return [_name(item), format_age(_created(item), now)]


def _stream_cells(stream: Mapping[str, Any], now: datetime) -> list[Any]:
    spec, status = stream.get("spec") or {}, stream.get("status") or {}
    repository = (
        status.get("publicDockerImageRepository")
        or spec.get("dockerImageRepository")
        or status.get("dockerImageRepository")
        or ""
    )
    tags = status.get("tags") or []
    updated = max((str(_newest_event(tag).get("created") or "") for tag in tags), default="")
    return [_name(stream), repository, format_tags(tags), format_ago(updated, now)]


def _image_cells(image: Mapping[str, Any], now: datetime) -> list[Any]:  # noqa: ARG001 - one shape
    return [_name(image), image.get("dockerImageReference", "")]


def _stream_tag_cells(tag: Mapping[str, Any], now: datetime) -> list[Any]:
    image = tag.get("image") or {}
    reference = image.get("dockerImageReference", "")
    return [_name(tag), reference, format_ago(_created(tag), now), _name(image)]


def _stream_image_cells(item: Mapping[str, Any], now: datetime) -> list[Any]:
    image = item.get("image") or {}
    reference = image.get("dockerImageReference", "")
    return [_name(item), format_ago(_created(item), now), reference, _name(image)]


def _namespace_cells(namespace: Mapping[str, Any], now: datetime) -> list[Any]:
    phase = (namespace.get("status") or {}).get("phase", "")
    return [_name(namespace), phase, format_age(_created(namespace), now)]


def _secret_cells(secret: Mapping[str, Any], now: datetime) -> list[Any]:
    count = len(secret.get("data") or {})
    return [_name(secret), secret.get("type", ""), count, format_age(_created(secret), now)]


def _project_cells(project: Mapping[str, Any], now: datetime) -> list[Any]:  # noqa: ARG001 - as above
    annotations = project.get("metadata", {}).get("annotations") or {}
    display_name = annotations.get("openshift.io/display-name", "")
    return [_name(project), display_name, (project.get("status") or {}).get("phase", "")]


_NAME_COLUMN = TableColumn(
    "Name", "The object's name, unique among its kind in its namespace.", format="name"
)
_UPDATED_COLUMN = TableColumn("Updated", "How long ago this last changed.")
_AGE_COLUMN = TableColumn("Age", "How long ago the object was created.")
_DEFAULT_TABLE: tuple[tuple[TableColumn, ...], RowPrinter] = (
    (_NAME_COLUMN, _AGE_COLUMN),
    _default_cells,
)

_TABLES: dict[str, tuple[tuple[TableColumn, ...], RowPrinter]] = {
    "Image": (
        (_NAME_COLUMN, TableColumn("Image Reference", "Where the image can be pulled from.")),
        _image_cells,
    ),
    "ImageStream": (
        (
            _NAME_COLUMN,
            TableColumn("Image Repository", "The repository of the stream."),
            TableColumn("Tags", "The stream's tags, newest first."),
            _UPDATED_COLUMN,
        ),
        _stream_cells,
    ),
    "ImageStreamTag": (
        (
            _NAME_COLUMN,
            TableColumn("Image Reference", "Where the tag's image can be pulled from."),
            _UPDATED_COLUMN,
            TableColumn("Image Name", "The digest of the tag's image.", priority=1),
        ),
        _stream_tag_cells,
    ),
    "ImageStreamImage": (
        (
            _NAME_COLUMN,
            _UPDATED_COLUMN,
            TableColumn("Image Reference", "Where the image can be pulled from.", priority=1),
            TableColumn("Image Name", "The digest of the image.", priority=1),
        ),
        _stream_image_cells,
    ),
    "ImageTag": (
        (
            _NAME_COLUMN,
            TableColumn("Spec", "The origin of the tag: Tag, Ref, Scheduled, Track or Push."),
            TableColumn("Status", "What the tag points to, or why it points to nothing yet."),
            TableColumn("History", "How many images the tag has pointed to.", type="number"),
            _UPDATED_COLUMN,
        ),
        image_tag_cells,
    ),
    "Namespace": (
        (_NAME_COLUMN, TableColumn("Status", "The phase of the namespace."), _AGE_COLUMN),
        _namespace_cells,
    ),
    "Secret": (
        (
            _NAME_COLUMN,
            TableColumn("Type", "What the secret is for."),
            TableColumn("Data", "How many keys the secret holds."),
            _AGE_COLUMN,
        ),
        _secret_cells,
    ),
    "Event": (
        (
            TableColumn("Last Seen", "How long ago it happened last."),
            TableColumn("Type", "Normal, or Warning for a problem."),
            TableColumn("Reason", "What happened, as a CamelCase word."),
            TableColumn("Object", "The object that the event is about."),
            TableColumn("Subobject", "The part of the object.", priority=1),
            TableColumn("Source", "The component that reported it.", priority=1),
            TableColumn("Message", "What happened, as a sentence."),
            TableColumn("First Seen", "How long ago it happened first.", priority=1),
            TableColumn("Count", "How often it happened.", type="integer", priority=1),
            TableColumn("Name", "The event's name.", format="name", priority=1),
        ),
        event_cells,
    ),
    "Project": (
        (
            _NAME_COLUMN,
            TableColumn("Display Name", "The display name of the project."),
            TableColumn("Status", "The phase of the project."),
        ),
        _project_cells,
    ),
    "ImportJob": (
        (
            _NAME_COLUMN,
            TableColumn("Stream", "The stream to import into; <none> for a reimport."),
            TableColumn("State", "Queued, Running, Succeeded, Failed or Cancelled."),
            TableColumn("Progress", "The percentage of the work that is done."),
            TableColumn("Imported", "How many tags were imported.", type="integer"),
            TableColumn("Failed", "How many tags failed.", type="integer"),
            TableColumn("Duration", "How long the job has been running, or ran."),
            TableColumn("Created", "How long ago the job was created."),
            TableColumn("Reason", "Why the job, or some of its tags, failed.", priority=1),
        ),
        import_job_cells,
    ),
    "ScheduledTag": (
        (
            _NAME_COLUMN,
            TableColumn("Registry", "The registry that the tag comes from."),
            TableColumn("Interval", "How often the tag is checked."),
            TableColumn("Last Check", "How long ago the tag was last checked at its registry."),
            TableColumn("Next Check", "When the tag is checked next."),
            TableColumn("Outcome", "The outcome of the last check."),
            TableColumn("Reason", "The present state of the tag, as a CamelCase word."),
            TableColumn("Failures", "The number of consecutive failed checks.", type="integer"),
            TableColumn("Message", "The present state of the tag, as a sentence.", priority=1),
        ),
        scheduled_tag_cells,
    ),
    "Registry": (
        (
            _NAME_COLUMN,
            TableColumn("Host", "The registry, or the part of one, that the object applies to."),
            TableColumn("Health", "Healthy, RateLimited, Unreachable or Unknown."),
            TableColumn("Rate", "Scheduled checks a second, or why there are none."),
            TableColumn("In-Flight", "Requests in flight, and the current limit."),
            TableColumn("Quota", "The rest of the registry's own quota, and its size."),
            TableColumn("Tags", "How many tags are scheduled, and how many of those are overdue."),
            TableColumn("Circuit", "The state of the circuit breaker: Closed, Open or HalfOpen."),
            _AGE_COLUMN,
            TableColumn("Last-Error", "The last failure of the registry.", priority=1),
        ),
        registry_cells,
    ),
}
