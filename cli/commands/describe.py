"""`tagstream describe`: a stream with its tags, their images, their schedule and their failures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from cli.options import namespace_option
from cli.target import Target, pass_target

if TYPE_CHECKING:
    from cli.backend.base_backend import Backend
    from cli.rendering.output import Cell
    from models.resources.image import Image
    from models.resources.schedule import ScheduledTag
    from models.resources.stream import ImageStream, NamedTagEventList, TagReference

TAGS_PER_BATCH = 200  # images of so many tags are in memory at a time
BRANCH = "├─ "
LAST_BRANCH = "└─ "


@click.command("describe", short_help="Show a stream, its tags and their images.")
@click.argument("stream", metavar="STREAM[:TAG]")
@namespace_option
@pass_target
def command(target: Target, *, stream: str, namespace: str) -> None:
    """Show a stream: each tag's image, platforms, layers, size and age, and its failures.

    With :TAG, show that tag alone, with every layer.
    """
    from cli.backend.connect import open_backend
    from cli.import_request import check_name, parse_destination
    from models.errors import NotFoundError

    name, tag = parse_destination(stream)
    check_name(name, namespace)
    now = datetime.now(UTC)
    with open_backend(target) as backend:
        found = backend.find_stream(namespace, name)
        if not tag:
            _print_stream(backend, found, now)
            return
        if found.spec_tag(tag) is None and found.status_tag(tag) is None:
            raise NotFoundError(resource="imagestreamtags", name=f"{name}:{tag}")
        _print_tag(backend, found, tag, now)


def _print_stream(backend: Backend, stream: ImageStream, now: datetime) -> None:
    from cli.rendering.output import print_line
    from cli.rendering.schedule_output import print_reasons, summarize_schedule

    schedule = {each.spec.tag: each for each in _fetch_schedule(backend, stream)}
    fields = [*_stream_fields(stream, now)]
    if schedule:
        fields.append(("Schedule", summarize_schedule(list(schedule.values()), now)))
    for name, value in fields:
        print_line((f"{name:<13}", "dim"), (value, "bold" if name == "Name" else ""))
    tags = _tags_of(stream)
    for start in range(0, len(tags), TAGS_PER_BATCH):
        batch = tags[start : start + TAGS_PER_BATCH]
        images = _fetch_images(backend, stream, [history for _, history in batch])
        print_line("")
        _print_tags(batch, images, now)
    names = (desired.name for desired, _ in tags if desired is not None)
    reasons = [schedule[name] for name in names if name in schedule]
    if reasons:
        print_line("")
        print_reasons(reasons, now)


def _fetch_schedule(backend: Backend, stream: ImageStream, tag: str = "") -> list[ScheduledTag]:
    """Fetch the schedule of the stream's tags; empty if the server does not offer it."""
    from models.api_errors import ServerRefusedError

    metadata = stream.metadata
    try:
        return backend.list_schedule(metadata.namespace, stream=metadata.name, tag=tag)
    except ServerRefusedError as error:
        if error.server_reason not in {"Forbidden", "NotFound"}:
            raise
        return []


def _stream_fields(stream: ImageStream, now: datetime) -> Iterator[tuple[str, str]]:
    from cli.rendering.formatting import format_age, format_timestamp, join_some
    from cli.rendering.table_output import describe_source

    metadata = stream.metadata
    created = metadata.creation_timestamp
    yield "Name", metadata.name
    yield "Namespace", metadata.namespace
    yield "Created", f"{format_timestamp(created)} ({format_age(created, now)})"
    yield "From", describe_source(stream)
    for name, pairs in (("Labels", metadata.labels), ("Annotations", metadata.annotations)):
        if pairs:
            yield name, join_some((f"{key}={value}" for key, value in pairs.items()), 8)
    failing = sum(1 for history in stream.status.tags if history.conditions)
    yield "Tags", f"{len(_tags_of(stream))}" + (f", {failing} failing" if failing else "")


def _tags_of(stream: ImageStream) -> list[tuple[TagReference | None, NamedTagEventList | None]]:
    """List every tag of spec and status, the newest versions first."""
    from models.streams.imports.tag_priority import prioritize_tags

    desired = {tag.name: tag for tag in stream.spec.tags}
    histories = {history.tag: history for history in stream.status.tags}
    return [(desired.get(n), histories.get(n)) for n in prioritize_tags({*desired, *histories})]


def _fetch_images(
    backend: Backend, stream: ImageStream, histories: Sequence[NamedTagEventList | None]
) -> dict[str, Image]:
    """Fetch the images of the heads and the images that their indexes list."""
    from cli.backend.backend_types import StreamRef

    stream_ref = StreamRef(stream.metadata.namespace, stream.metadata.name)
    heads = [h.items[0].image for h in histories if h is not None and h.items]
    images = backend.fetch_images({digest: stream_ref for digest in heads if digest})
    children = [m.digest for image in images.values() for m in image.docker_image_manifests]
    return {**backend.fetch_images(dict.fromkeys(children, stream_ref)), **images}


def _print_tags(
    tags: Sequence[tuple[TagReference | None, NamedTagEventList | None]],
    images: Mapping[str, Image],
    now: datetime,
) -> None:
    from cli.rendering.output import print_columns

    rows: list[Sequence[Cell]] = []
    for desired, history in tags:
        rows.extend(_rows(desired, history, images, now))
    print_columns(("TAG", "IMAGE", "PLATFORM", "LAYERS", "SIZE", "SINCE", "NOTES"), rows)


def _rows(
    desired: TagReference | None,
    history: NamedTagEventList | None,
    images: Mapping[str, Image],
    now: datetime,
) -> Iterator[Sequence[Cell]]:
    """Yield a row for the tag, then one for each platform of an index and one for each failure."""
    from cli.rendering.formatting import format_age, short_digest

    name = desired.name if desired is not None else history.tag if history is not None else ""
    head = history.items[0] if history is not None and history.items else None
    image = images.get(head.image) if head is not None else None
    index = image is not None and bool(image.docker_image_manifests)
    yield (
        (name, "bold"),
        (short_digest(head.image) if head is not None else "-", "cyan"),
        *_image_summary(image, images),
        (format_age(head.created, now) if head is not None else "", "dim"),
        (_notes(desired), "dim"),
    )
    if index and image is not None:
        yield from _platform_rows(image, images)
    for condition in history.conditions if history is not None else ():
        age = format_age(condition.last_transition_time, now)
        yield ("", (f"✗ {age}: {condition.message or condition.reason}", "red"))


def _image_summary(image: Image | None, images: Mapping[str, Image]) -> tuple[str, str, str]:
    from cli.rendering.formatting import format_count, format_size, platforms_of
    from cli.rendering.import_report import describe_image

    if image is None or not image.docker_image_manifests:
        return describe_image(image)
    sizes = [
        int(images[each.digest].docker_image_metadata.get("Size") or 0)
        for each in image.docker_image_manifests
        if each.digest in images
    ]
    size = format_size(sum(sizes)) if sum(sizes) else ""
    return format_count(len(platforms_of(image)), "platform"), "", size


def _platform_rows(image: Image, images: Mapping[str, Image]) -> Iterator[Sequence[Cell]]:
    from cli.rendering.formatting import format_platform, is_platform, short_digest
    from cli.rendering.import_report import describe_image

    entries = [m for m in image.docker_image_manifests if is_platform(m.os, m.architecture)]
    for position, entry in enumerate(entries):
        branch = LAST_BRANCH if position == len(entries) - 1 else BRANCH
        _, layers, size = describe_image(images.get(entry.digest))
        platform = format_platform(entry.os, entry.architecture, entry.variant)
        digest = short_digest(entry.digest)
        yield ((branch, "dim"), (digest, "dim"), (platform, "magenta"), layers, size, "", "")


def _notes(desired: TagReference | None) -> str:
    """Describe the special settings of a spec tag."""
    if desired is None:
        return "not in spec"
    policy = desired.import_policy
    kind = desired.from_.kind if desired.from_ is not None else ""
    notes = {
        "scheduled": policy.scheduled,
        "insecure": policy.insecure,
        "pull through": desired.reference_policy.type == "Local",
        "reference only": desired.reference,
        f"follows {desired.from_.name}" if desired.from_ is not None else "": kind
        == "ImageStreamTag",
    }
    return ", ".join(note for note, applies in notes.items() if applies)


def _print_tag(backend: Backend, stream: ImageStream, tag: str, now: datetime) -> None:
    from cli.rendering.formatting import format_platform, format_size, is_platform
    from cli.rendering.output import print_columns, print_line
    from cli.rendering.schedule_output import print_reasons

    desired, history = stream.spec_tag(tag), stream.status_tag(tag)
    images = _fetch_images(backend, stream, [history])
    _print_tags([(desired, history)], images, now)
    schedule = _fetch_schedule(backend, stream, tag)
    if schedule:
        print_line("")
        print_reasons(schedule, now)
    head = history.items[0] if history is not None and history.items else None
    image = images.get(head.image) if head is not None else None
    if image is None:
        return
    shown = (
        [("", image)]
        if not image.docker_image_manifests
        else [
            (format_platform(each.os, each.architecture, each.variant), images[each.digest])
            for each in image.docker_image_manifests
            if each.digest in images and is_platform(each.os, each.architecture)
        ]
    )
    for platform, each in shown:
        print_line("")
        print_line((platform, "magenta"), " " if platform else "", (each.name, "cyan"))
        rows = [
            (str(position), layer.name, format_size(layer.size), (layer.media_type, "dim"))
            for position, layer in enumerate(each.docker_image_layers, 1)
        ]
        print_columns(("LAYER", "DIGEST", "SIZE", "MEDIA TYPE"), rows)
