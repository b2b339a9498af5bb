"""Streams, images and jobs as rows, as documents, and as names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic.alias_generators import to_camel

from cli.rendering.formatting import format_age, list_some, platforms_of, short_digest
from cli.rendering.import_report import describe_image
from cli.rendering.output import (
    Cell,
    as_list,
    as_object,
    print_columns,
    print_document,
    print_names,
)
from models.errors import IMAGE_GROUP
from models.job_types import Job, JobResult, JobState
from models.resources.meta import API_VERSION
from models.resources.wire import print_value

if TYPE_CHECKING:
    from models.resources.image import Image
    from models.resources.stream import ImageStream, TagReference

JOB_VERSION = "tagstream/v1"
SHORT_ID = 8


@dataclass(frozen=True, slots=True)
class Look:
    """In which form things are shown: `single` for one that was named."""

    style: str
    single: bool
    everywhere: bool
    now: datetime

    @property
    def wide(self) -> bool:
        return self.style == "wide"


_STATE_STYLES = {
    JobState.QUEUED: "dim",
    JobState.RUNNING: "cyan",
    JobState.SUCCEEDED: "green",
    JobState.FAILED: "red",
    JobState.CANCELLED: "yellow",
}


def print_streams(streams: Sequence[ImageStream], look: Look) -> int:
    """Streams in the form that was asked for; how many."""
    match look.style:
        case "name":
            print_names(f"imagestream.{IMAGE_GROUP}/{each.metadata.name}" for each in streams)
        case "json" | "yaml":
            print_documents("ImageStream", [each.wire() for each in streams], look)
        case _ if streams:
            _print_stream_table(streams, look)
    return len(streams)


def print_documents(
    kind: str, wires: Sequence[dict[str, Any]], look: Look, *, version: str = API_VERSION
) -> None:
    """Objects as a document: the one that was named, or a list."""
    objects = [as_object(kind, wire, version=version) for wire in wires]
    document = objects[0] if look.single else as_list(kind, objects, version=version)
    print_document(document, look.style)


def _print_stream_table(streams: Sequence[ImageStream], look: Look) -> None:
    header = ["NAME", "TAGS", "FAILING", "UPDATED"]
    if look.wide:
        header += ["SOURCE", "NEWEST TAGS"]
    rows = [_stream_row(each, look) for each in streams]
    if look.everywhere:
        header = ["NAMESPACE", *header]
        rows = [[s.metadata.namespace, *row] for s, row in zip(streams, rows, strict=True)]
    print_columns(header, rows)


def _stream_row(stream: ImageStream, look: Look) -> list[Cell]:
    heads = [(tag.items[0].created, tag.tag) for tag in stream.status.tags if tag.items]
    failing = sum(1 for tag in stream.status.tags if tag.conditions)
    row: list[Cell] = [
        (stream.metadata.name, "bold"),
        str(len(heads)),
        (str(failing), "red" if failing else "dim"),
        (format_age(max(heads)[0], look.now) if heads else "never", "dim"),
    ]
    if look.wide:
        newest = sorted(heads, key=lambda head: head[0], reverse=True)
        row += [source_of(stream), list_some((tag for _, tag in newest), 5)]
    return row


def source_of(stream: ImageStream) -> str:
    """Where a stream's tags come from: its repository, or those of its wishes."""
    if stream.spec.docker_image_repository:
        return stream.spec.docker_image_repository
    return list_some(dict.fromkeys(_repository_of(tag) for tag in stream.spec.tags), 2)


def _repository_of(tag: TagReference) -> str:
    from models.errors import InvalidReferenceError
    from models.reference import Reference

    if tag.from_ is None:
        return "pushed"
    if tag.from_.kind != "DockerImage":
        return f"{tag.from_.kind} {tag.from_.name}"
    try:
        return Reference.parse(tag.from_.name).as_repository().exact()
    except InvalidReferenceError:
        return tag.from_.name


def print_images(images: Sequence[Image], tags: Mapping[str, Sequence[str]], look: Look) -> int:
    """Images, and which `tags` mean them, in the form that was asked for; how many."""
    match look.style:
        case "name":
            print_names(f"image.{IMAGE_GROUP}/{each.name}" for each in images)
        case "json" | "yaml":
            print_documents("Image", [each.wire() for each in images], look)
        case _ if images:
            header = ["IMAGE", "PLATFORMS", "LAYERS", "SIZE", "BUILT", "TAGS"]
            if look.wide:
                header.append("REFERENCE")
            print_columns(header, [_image_row(each, tags, look) for each in images])
    return len(images)


def _image_row(image: Image, tags: Mapping[str, Sequence[str]], look: Look) -> list[Cell]:
    platforms, layers, size = describe_image(image)
    names = tags.get(image.name, ())
    row: list[Cell] = [
        (image.name if look.wide else short_digest(image.name), "cyan"),
        ", ".join(platforms_of(image)) if look.wide else platforms,
        layers,
        size,
        (format_age(_built(image), look.now), "dim"),
        (", ".join(names) if look.wide else list_some(names, 3), "bold"),
    ]
    return [*row, image.docker_image_reference] if look.wide else row


def _built(image: Image) -> datetime | None:
    created = None if image.docker_image_manifests else image.docker_image_metadata.get("Created")
    try:
        moment = datetime.fromisoformat(str(created))
    except ValueError:
        return None
    return moment if moment.tzinfo and moment.year > 1970 else None


def print_jobs(jobs: Sequence[Job], look: Look) -> int:
    """Jobs in the form that was asked for; how many."""
    match look.style:
        case "name":
            print_names(f"job/{job.id}" for job in jobs)
        case "json" | "yaml":
            print_documents("Job", [job_wire(job) for job in jobs], look, version=JOB_VERSION)
        case _ if jobs:
            print_columns(job_header(look), [job_row(job, look) for job in jobs])
    return len(jobs)


def job_header(look: Look) -> list[str]:
    """The names of a job's columns."""
    header = ["JOB", "STREAM", "STATE", "DONE", "ASKED", "TOOK"]
    if look.everywhere:
        header = ["NAMESPACE", *header]
    return [*header, "BY", "ATTEMPT", "WORKER"] if look.wide else header


def job_row(job: Job, look: Look) -> list[Cell]:
    """A job in those columns."""
    row: list[Cell] = [
        (str(job.id) if look.wide else str(job.id)[:SHORT_ID], "bold"),
        job.request.stream or ("(reimport)", "dim"),
        (state_of(job), "yellow" if _is_mixed(job) else _STATE_STYLES[job.state]),
        _progress(job),
        (format_age(job.created, look.now), "dim"),
        (_took(job, look.now), "dim"),
    ]
    if look.everywhere:
        row.insert(0, job.request.namespace)
    if look.wide:
        by = " ".join(filter(None, (job.request.asker.value, job.request.user)))
        row += [by, str(job.attempt), job.worker]
    return row


def state_of(job: Job) -> str:
    """The state in a word or three."""
    if _is_mixed(job):
        return f"{job.state.value}, {job.result.failed or 'with'} failed"
    if job.cancel_asked and not job.state.is_final:
        return "cancelling"
    return job.state.value


def _is_mixed(job: Job) -> bool:
    return job.state is JobState.SUCCEEDED and job.with_errors


def _progress(job: Job) -> str:
    if job.request.selector is not None:
        return f"{job.done}/{job.total}"
    if job.state is JobState.SUCCEEDED:
        return str(job.result.imported + job.result.failed)
    return f"{job.done}/{job.total}" if job.total else "-"


def _took(job: Job, now: datetime) -> str:
    if job.started is None:
        return ""
    return f"{max(0, int(((job.finished or now) - job.started).total_seconds()))}s"


def job_wire(job: Job) -> dict[str, Any]:
    """A job as a document."""
    request = job.request
    wire: dict[str, Any] = print_value(
        {
            "metadata": {
                "name": str(job.id),
                "namespace": request.namespace,
                "creationTimestamp": job.created,
            },
            "spec": {
                "stream": request.stream,
                "asker": request.asker.value,
                "user": request.user,
                "lane": request.lane.value,
                "maxTags": request.max_tags,
                "parent": None if request.parent is None else str(request.parent),
                "reimport": request.selector,
                "request": request.request.wire()["spec"],
            },
            "status": {
                "state": job.state.value,
                "withErrors": job.with_errors,
                "cancelAsked": job.cancel_asked,
                "attempt": job.attempt,
                "done": job.done,
                "total": job.total,
                "worker": job.worker,
                "started": job.started,
                "finished": job.finished,
                "result": _result_wire(job.result),
            },
        }
    )
    return wire


def _result_wire(result: JobResult) -> dict[str, Any]:
    """How a job ended, its names spelled as in every other document."""
    wire = {to_camel(name): value for name, value in asdict(result).items()}
    requests = wire["requests"]
    if requests is not None:
        wire["requests"] = [
            {to_camel(name): value for name, value in each.items()} for each in requests
        ]
    return wire
