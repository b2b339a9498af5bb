"""Objects as clients print them: a Table's columns and rows, or metadata alone (`api.md` C16)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from api.printers.age_format import format_age, format_ago, format_short, parse_time
from api.printers.event_printer import event_cells
from api.printers.imagetag_printer import image_tag_cells
from api.printers.registry_printer import registry_cells
from api.served_resources import RESOURCES
from models.api_errors import BadRequestError

Include = Literal["Metadata", "Object", "None"]
Cells = Callable[[Mapping[str, Any], datetime], list[Any]]

_API_VERSIONS = {info.kind: info.api_version for info in RESOURCES if info.model is not None}
_TAGS_WIDTH = 40
_TAGS_SLACK = 10


@dataclass(frozen=True, slots=True)
class Column:
    """A heading; one with priority 1 shows only with `-o wide`."""

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


def parse_include(text: str) -> Include:
    """The `includeObject` parameter: what of each object goes with its row."""
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
    include: Include = "Metadata",
    now: datetime,
    columns: bool = True,
    version: str = "v1",
) -> dict[str, Any]:
    """The Table of some objects of one kind.

    `list_metadata` is the list's, or of a single object its resourceVersion
    (`single_metadata`). Later events of a watch leave the `columns` out. A kind without columns
    of its own shows name and age.
    """
    headings, cells = _TABLES.get(kind, _ANY)
    rows = [
        {"cells": cells(each, now), "object": _included(kind, each, include, version)}
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
    """The metadata of a Table that shows one object."""
    version = item.get("metadata", {}).get("resourceVersion")
    return {"resourceVersion": version} if version else {}


def build_partial(item: Mapping[str, Any], *, version: str = "v1") -> dict[str, Any]:
    """An object's metadata and nothing else."""
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
    """The metadata of some objects; here the items do carry kind and apiVersion."""
    return {
        "kind": "PartialObjectMetadataList",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": dict(list_metadata),
        "items": [build_partial(each, version=version) for each in objects],
    }


def _included(
    kind: str, item: Mapping[str, Any], include: Include, version: str
) -> dict[str, Any] | None:
    if include == "None":
        return None
    if include == "Object":
        return {"kind": kind, "apiVersion": _API_VERSIONS.get(kind, "v1"), **item}
    return build_partial(item, version=version)


def format_tags(tags: Iterable[Mapping[str, Any]]) -> str:
    """The tags that fit, newest first, and how many more there are.

    A line may run over its width by little, but only for a tag that leaves room behind it.
    """
    newest = sorted(tags, key=lambda tag: str(tag.get("tag", "")))
    newest.sort(key=lambda tag: _head(tag).get("created") or "", reverse=True)
    names = [str(tag.get("tag", "")) for tag in newest]
    shown = _fitting(names)
    hidden = len(names) - shown
    return ",".join(names[:shown]) + (f" + {hidden} more..." if hidden else "")


def _fitting(names: Sequence[str]) -> int:
    """How many of the names a cell shows."""
    room = _TAGS_WIDTH
    for index, name in enumerate(names):
        room -= len(name) + 1
        if room >= 0:
            continue
        if index == 0:
            return 1
        if not (room + len(name) > _TAGS_SLACK and -room <= _TAGS_SLACK):
            return index
    return len(names)


def _head(tag: Mapping[str, Any]) -> Mapping[str, Any]:
    """The newest event of a tag's history, or nothing."""
    items = tag.get("items") or [{}]
    head: Mapping[str, Any] = items[0]
    return head


def _name(item: Mapping[str, Any]) -> str:
    return str(item.get("metadata", {}).get("name", ""))


def _created(item: Mapping[str, Any]) -> str:
    return str(item.get("metadata", {}).get("creationTimestamp") or "")


def _any_cells(item: Mapping[str, Any], now: datetime) -> list[Any]:
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
    updated = max((str(_head(tag).get("created") or "") for tag in tags), default="")
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
    shown = annotations.get("openshift.io/display-name", "")
    return [_name(project), shown, (project.get("status") or {}).get("phase", "")]


def _job_cells(job: Mapping[str, Any], now: datetime) -> list[Any]:
    status = job.get("status") or {}
    done, total, failed = (int(status.get(key) or 0) for key in ("done", "total", "failed"))
    started = parse_time(status.get("started"))
    ended = parse_time(status.get("finished")) or now
    return [
        _name(job),
        status.get("state", ""),
        f"{100 * done // total}%" if total else "",
        f"{done}/{failed}",
        format_age(_created(job), now),
        "" if started is None else format_short(ended - started),
        status.get("reason", ""),
    ]


def _scheduled_tag_cells(tag: Mapping[str, Any], now: datetime) -> list[Any]:
    spec, status = tag.get("spec") or {}, tag.get("status") or {}
    checked, coming = parse_time(status.get("checked")), parse_time(status.get("nextLook"))
    return [
        _name(tag),
        spec.get("registry", ""),
        spec.get("interval") or "<none>",
        "<never>" if checked is None else f"{format_short(now - checked)} ago",
        "<none>" if coming is None else f"in {format_short(max(coming - now, _NOTHING))}",
        status.get("decision", ""),
        int(status.get("failures") or 0),
        status.get("reason", ""),
        status.get("message", ""),
    ]


_NOTHING = timedelta()
_NAME = Column("Name", "The object's name, unique among its kind in its namespace.", format="name")
_UPDATED = Column("Updated", "How long ago this last changed.")
_AGE = Column("Age", "How long ago the object was created.")
_ANY: tuple[tuple[Column, ...], Cells] = ((_NAME, _AGE), _any_cells)

_TABLES: dict[str, tuple[tuple[Column, ...], Cells]] = {
    "Image": (
        (_NAME, Column("Image Reference", "Where the image can be pulled from.")),
        _image_cells,
    ),
    "ImageStream": (
        (
            _NAME,
            Column("Image Repository", "The repository that the stream stands for."),
            Column("Tags", "The stream's tags, the newest first."),
            _UPDATED,
        ),
        _stream_cells,
    ),
    "ImageStreamTag": (
        (
            _NAME,
            Column("Image Reference", "Where the tag's image can be pulled from."),
            _UPDATED,
            Column("Image Name", "The digest of the tag's image.", priority=1),
        ),
        _stream_tag_cells,
    ),
    "ImageStreamImage": (
        (
            _NAME,
            _UPDATED,
            Column("Image Reference", "Where the image can be pulled from.", priority=1),
            Column("Image Name", "The digest of the image.", priority=1),
        ),
        _stream_image_cells,
    ),
    "ImageTag": (
        (
            _NAME,
            Column("Spec", "How the tag came to be: Tag, Ref, Scheduled, Track or Push."),
            Column("Status", "What the tag means now, or why it means nothing yet."),
            Column("History", "How many images the tag has meant.", type="number"),
            _UPDATED,
        ),
        image_tag_cells,
    ),
    "Namespace": (
        (_NAME, Column("Status", "The phase of the namespace."), _AGE),
        _namespace_cells,
    ),
    "Secret": (
        (
            _NAME,
            Column("Type", "What the secret is for."),
            Column("Data", "How many keys the secret holds."),
            _AGE,
        ),
        _secret_cells,
    ),
    "Event": (
        (
            Column("Last Seen", "How long ago it happened last."),
            Column("Type", "Normal, or Warning where somebody should look."),
            Column("Reason", "What happened, in one word."),
            Column("Object", "What it happened to."),
            Column("Subobject", "Which part of the object.", priority=1),
            Column("Source", "Who told it.", priority=1),
            Column("Message", "What happened."),
            Column("First Seen", "How long ago it happened first.", priority=1),
            Column("Count", "How often it happened.", type="integer", priority=1),
            Column("Name", "The event's name.", format="name", priority=1),
        ),
        event_cells,
    ),
    "Project": (
        (
            _NAME,
            Column("Display Name", "The name that people gave the project."),
            Column("Status", "The phase of the project."),
        ),
        _project_cells,
    ),
    "ImportJob": (
        (
            _NAME,
            Column("State", "Queued, Running, Succeeded, Failed or Cancelled."),
            Column("Progress", "How much of the work is through."),
            Column("Tags", "How many tags are through, and how many of those failed."),
            _AGE,
            Column("Duration", "How long the job has run, or took."),
            Column("Reason", "Why the job failed.", priority=1),
        ),
        _job_cells,
    ),
    "ScheduledTag": (
        (
            _NAME,
            Column("Registry", "The registry that the tag comes from."),
            Column("Interval", "How often the tag is looked at."),
            Column("Last Check", "How long ago the registry was asked about the tag."),
            Column("Next", "When the tag is looked at next."),
            Column("Decision", "What was decided about the tag last."),
            Column("Failures", "How many looks in a row failed.", type="integer"),
            Column("Reason", "Why, in one word.", priority=1),
            Column("Message", "Why, in a sentence.", priority=1),
        ),
        _scheduled_tag_cells,
    ),
    "Registry": (
        (
            _NAME,
            Column("Host", "The registry, or the part of one, that it speaks for."),
            Column("Health", "Healthy, Limited, Down, or Unknown where nobody asked lately."),
            Column("Rate", "Scheduled checks a second, or why there are none."),
            Column("In-Flight", "Requests in flight, and how many may be."),
            Column("Quota", "What is left of the registry's own quota, and how much that is."),
            Column("Tags", "How many tags are followed, and how many of those are due."),
            Column("Breaker", "Whether requests are kept away: closed, open or half-open."),
            _AGE,
            Column("Last-Error", "The last failure that speaks against it.", priority=1),
        ),
        registry_cells,
    ),
}
