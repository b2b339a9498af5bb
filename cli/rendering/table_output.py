"""Prints streams, images and jobs as tables, as documents, or as names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic.alias_generators import to_camel

from cli.rendering.formatting import format_age, join_some, platforms_of, short_digest
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

JOB_API_VERSION = "tagstream/v1"
SHORT_ID_LENGTH = 8


@dataclass(frozen=True, slots=True)
class PrintOptions:
    """The requested output format; `single` means that one object was named."""

    style: str
    single: bool
    all_namespaces: bool
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


def print_streams(streams: Sequence[ImageStream], print_options: PrintOptions) -> int:
    """Print streams in the requested format and return how many."""
    match print_options.style:
        case "name":
            print_names(f"imagestream.{IMAGE_GROUP}/{each.metadata.name}" for each in streams)
        case "json" | "yaml":
            print_documents("ImageStream", [each.wire() for each in streams], print_options)
        case _ if streams:
            _print_stream_table(streams, print_options)
    return len(streams)


def print_documents(
    kind: str,
    wires: Sequence[dict[str, Any]],
    print_options: PrintOptions,
    *,
    version: str = API_VERSION,
) -> None:
    """Print objects as a document: the one that was named, or a list."""
    objects = [as_object(kind, wire, version=version) for wire in wires]
    document = objects[0] if print_options.single else as_list(kind, objects, version=version)
    print_document(document, print_options.style)


def _print_stream_table(streams: Sequence[ImageStream], print_options: PrintOptions) -> None:
    header = ["NAME", "TAGS", "FAILING", "UPDATED"]
    if print_options.wide:
        header += ["SOURCE", "NEWEST TAGS"]
    rows = [_stream_row(each, print_options) for each in streams]
    if print_options.all_namespaces:
        header = ["NAMESPACE", *header]
        rows = [[s.metadata.namespace, *row] for s, row in zip(streams, rows, strict=True)]
    print_columns(header, rows)


def _stream_row(stream: ImageStream, print_options: PrintOptions) -> list[Cell]:
    heads = [(tag.items[0].created, tag.tag) for tag in stream.status.tags if tag.items]
    failing = sum(1 for tag in stream.status.tags if tag.conditions)
    row: list[Cell] = [
        (stream.metadata.name, "bold"),
        str(len(heads)),
        (str(failing), "red" if failing else "dim"),
        (format_age(max(heads)[0], print_options.now) if heads else "never", "dim"),
    ]
    if print_options.wide:
        newest = sorted(heads, key=lambda head: head[0], reverse=True)
        row += [describe_source(stream), join_some((tag for _, tag in newest), 5)]
    return row


def describe_source(stream: ImageStream) -> str:
    """Describe where a stream's tags come from: its repository, or those of its spec tags."""
    if stream.spec.docker_image_repository:
        return stream.spec.docker_image_repository
    return join_some(dict.fromkeys(_repository_of(tag) for tag in stream.spec.tags), 2)


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


def print_images(
    images: Sequence[Image], tags: Mapping[str, Sequence[str]], print_options: PrintOptions
) -> int:
    """Print images, with the tags that point to them, in the requested format; return how many."""
    match print_options.style:
        case "name":
            print_names(f"image.{IMAGE_GROUP}/{each.name}" for each in images)
        case "json" | "yaml":
            print_documents("Image", [each.wire() for each in images], print_options)
        case _ if images:
            header = ["IMAGE", "PLATFORMS", "LAYERS", "SIZE", "BUILT", "TAGS"]
            if print_options.wide:
                header.append("REFERENCE")
            print_columns(header, [_image_row(each, tags, print_options) for each in images])
    return len(images)


def _image_row(
    image: Image, tags: Mapping[str, Sequence[str]], print_options: PrintOptions
) -> list[Cell]:
    platforms, layers, size = describe_image(image)
    names = tags.get(image.name, ())
    row: list[Cell] = [
        (image.name if print_options.wide else short_digest(image.name), "cyan"),
        ", ".join(platforms_of(image)) if print_options.wide else platforms,
        layers,
        size,
        (format_age(_build_time(image), print_options.now), "dim"),
        (", ".join(names) if print_options.wide else join_some(names, 3), "bold"),
    ]
    return [*row, image.docker_image_reference] if print_options.wide else row


def _build_time(image: Image) -> datetime | None:
    created = None if image.docker_image_manifests else image.docker_image_metadata.get("Created")
    try:
        built = datetime.fromisoformat(str(created))
    except ValueError:
        return None
    return built if built.tzinfo and built.year > 1970 else None


def print_jobs(jobs: Sequence[Job], print_options: PrintOptions) -> int:
    """Print jobs in the requested format and return how many."""
    match print_options.style:
        case "name":
            print_names(f"job/{job.id}" for job in jobs)
        case "json" | "yaml":
            print_documents(
                "Job", [job_wire(job) for job in jobs], print_options, version=JOB_API_VERSION
            )
        case _ if jobs:
            print_columns(job_header(print_options), [job_row(job, print_options) for job in jobs])
    return len(jobs)


def job_header(print_options: PrintOptions) -> list[str]:
    """Return the column names of jobs."""
    header = ["JOB", "STREAM", "STATE", "DONE", "CREATED", "DURATION"]
    if print_options.all_namespaces:
        header = ["NAMESPACE", *header]
    return [*header, "REQUESTED BY", "ATTEMPT", "WORKER"] if print_options.wide else header


def job_row(job: Job, print_options: PrintOptions) -> list[Cell]:
    """Build the row of a job for those columns."""
    row: list[Cell] = [
        (str(job.id) if print_options.wide else str(job.id)[:SHORT_ID_LENGTH], "bold"),
        job.request.stream or ("(reimport)", "dim"),
        (format_state(job), "yellow" if _has_errors(job) else _STATE_STYLES[job.state]),
        _format_progress(job),
        (format_age(job.created, print_options.now), "dim"),
        (_format_duration(job, print_options.now), "dim"),
    ]
    if print_options.all_namespaces:
        row.insert(0, job.request.namespace)
    if print_options.wide:
        by = " ".join(filter(None, (job.request.trigger.value, job.request.user)))
        row += [by, str(job.attempt), job.worker]
    return row


def format_state(job: Job) -> str:
    """Format the state of a job in a few words."""
    if _has_errors(job):
        return f"{job.state.value}, {job.result.tags_failed or 'with'} failed"
    if job.cancel_requested and not job.state.is_final:
        return "cancelling"
    return job.state.value


def _has_errors(job: Job) -> bool:
    return job.state is JobState.SUCCEEDED and job.with_errors


def _format_progress(job: Job) -> str:
    if job.request.selector is not None:
        return f"{job.done}/{job.total}"
    if job.state is JobState.SUCCEEDED:
        return str(job.result.tags_imported + job.result.tags_failed)
    return f"{job.done}/{job.total}" if job.total else "-"


def _format_duration(job: Job, now: datetime) -> str:
    if job.started is None:
        return ""
    return f"{max(0, int(((job.finished or now) - job.started).total_seconds()))}s"


def job_wire(job: Job) -> dict[str, Any]:
    """Build the document of a job for JSON and YAML output."""
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
                "trigger": request.trigger.value,
                "user": request.user,
                "priority": request.priority.value,
                "maxTags": request.max_tags,
                "parent": None if request.parent is None else str(request.parent),
                "reimport": request.selector,
                "request": request.request.wire()["spec"],
            },
            "status": {
                "state": job.state.value,
                "withErrors": job.with_errors,
                "cancelRequested": job.cancel_requested,
                "attempts": job.attempt,
                "done": job.done,
                "total": job.total,
                "worker": job.worker,
                "startTime": job.started,
                "completionTime": job.finished,
                "result": _result_wire(job.result),
            },
        }
    )
    return wire


def _result_wire(result: JobResult) -> dict[str, Any]:
    """Build the document of a result, with field names in camelCase as in every other document."""
    wire = {to_camel(name): value for name, value in asdict(result).items()}
    estimate = wire["estimate"]
    if estimate is not None:
        wire["estimate"] = [
            {to_camel(name): value for name, value in each.items()} for each in estimate
        ]
    return wire
