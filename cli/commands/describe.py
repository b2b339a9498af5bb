"""`tagstream describe`: a stream with its tags, their images, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from cli.options import namespace_option
from cli.target import Place, pass_place

if TYPE_CHECKING:
    from cli.backend.server_backend import Desk
    from cli.rendering.output import Cell
    from models.resources.image import Image
    from models.resources.schedule import ScheduledTag
    from models.resources.stream import ImageStream, NamedTagEventList, TagReference

BATCH = 200  # tags whose images are at hand at one time
BRANCH = "├─ "
LAST_BRANCH = "└─ "


@click.command("describe", short_help="Show a stream, its tags and their images.")
@click.argument("stream", metavar="STREAM[:TAG]")
@namespace_option
@pass_place
def command(place: Place, *, stream: str, namespace: str) -> None:
    """Show a stream: each tag's image, platforms, layers, size and age, and what is wrong.

    With :TAG, that tag alone, and every layer of it.
    """
    from cli.backend.connect import open_desk
    from cli.import_request import check_name, parse_destination
    from models.errors import NotFoundError

    name, tag = parse_destination(stream)
    check_name(name, namespace)
    now = datetime.now(UTC)
    with open_desk(place) as desk:
        found = desk.find_stream(namespace, name)
        if not tag:
            _print_stream(desk, found, now)
            return
        if found.spec_tag(tag) is None and found.status_tag(tag) is None:
            raise NotFoundError(resource="imagestreamtags", name=f"{name}:{tag}")
        _print_tag(desk, found, tag, now)


def _print_stream(desk: Desk, stream: ImageStream, now: datetime) -> None:
    from cli.rendering.output import print_line
    from cli.rendering.schedule_output import print_reasons, summarize

    schedule = {each.spec.tag: each for each in _load_schedule(desk, stream)}
    facts = [*_facts(stream, now)]
    if schedule:
        facts.append(("Schedule", summarize(list(schedule.values()), now)))
    for name, value in facts:
        print_line((f"{name:<13}", "dim"), (value, "bold" if name == "Name" else ""))
    tags = _tags_of(stream)
    for start in range(0, len(tags), BATCH):
        batch = tags[start : start + BATCH]
        images = _load_images(desk, stream, [history for _, history in batch])
        print_line("")
        _print_tags(batch, images, now)
    names = (wish.name for wish, _ in tags if wish is not None)
    reasons = [schedule[name] for name in names if name in schedule]
    if reasons:
        print_line("")
        print_reasons(reasons, now)


def _load_schedule(desk: Desk, stream: ImageStream, tag: str = "") -> list[ScheduledTag]:
    """The stream's tags in the calendar; none where a server does not tell."""
    from models.api_errors import ServerRefusedError

    metadata = stream.metadata
    try:
        return desk.schedule(metadata.namespace, stream=metadata.name, tag=tag)
    except ServerRefusedError as error:
        if error.answered not in {"Forbidden", "NotFound"}:
            raise
        return []


def _facts(stream: ImageStream, now: datetime) -> Iterator[tuple[str, str]]:
    from cli.rendering.formatting import format_age, format_moment, list_some
    from cli.rendering.table_output import source_of

    metadata = stream.metadata
    created = metadata.creation_timestamp
    yield "Name", metadata.name
    yield "Namespace", metadata.namespace
    yield "Created", f"{format_moment(created)} ({format_age(created, now)})"
    yield "From", source_of(stream)
    for name, words in (("Labels", metadata.labels), ("Annotations", metadata.annotations)):
        if words:
            yield name, list_some((f"{key}={value}" for key, value in words.items()), 8)
    failing = sum(1 for history in stream.status.tags if history.conditions)
    yield "Tags", f"{len(_tags_of(stream))}" + (f", {failing} failing" if failing else "")


def _tags_of(stream: ImageStream) -> list[tuple[TagReference | None, NamedTagEventList | None]]:
    """Every tag that is wanted or was seen, the newest versions first."""
    from models.streams.imports.tag_priority import prioritize_tags

    wishes = {tag.name: tag for tag in stream.spec.tags}
    histories = {history.tag: history for history in stream.status.tags}
    return [(wishes.get(n), histories.get(n)) for n in prioritize_tags({*wishes, *histories})]


def _load_images(
    desk: Desk, stream: ImageStream, histories: Sequence[NamedTagEventList | None]
) -> dict[str, Image]:
    """The images of the heads, and those that their indexes list."""
    from cli.backend.server_backend import Home

    home = Home(stream.metadata.namespace, stream.metadata.name)
    heads = [h.items[0].image for h in histories if h is not None and h.items]
    images = desk.load_images({digest: home for digest in heads if digest})
    children = [m.digest for image in images.values() for m in image.docker_image_manifests]
    return {**desk.load_images(dict.fromkeys(children, home)), **images}


def _print_tags(
    tags: Sequence[tuple[TagReference | None, NamedTagEventList | None]],
    images: Mapping[str, Image],
    now: datetime,
) -> None:
    from cli.rendering.output import print_columns

    rows: list[Sequence[Cell]] = []
    for wish, history in tags:
        rows.extend(_rows(wish, history, images, now))
    print_columns(("TAG", "IMAGE", "PLATFORM", "LAYERS", "SIZE", "SINCE", "NOTES"), rows)


def _rows(
    wish: TagReference | None,
    history: NamedTagEventList | None,
    images: Mapping[str, Image],
    now: datetime,
) -> Iterator[Sequence[Cell]]:
    """A row for the tag; then one for each platform of an index, and one for each failure."""
    from cli.rendering.formatting import format_age, short_digest

    name = wish.name if wish is not None else history.tag if history is not None else ""
    head = history.items[0] if history is not None and history.items else None
    image = images.get(head.image) if head is not None else None
    index = image is not None and bool(image.docker_image_manifests)
    yield (
        (name, "bold"),
        (short_digest(head.image) if head is not None else "-", "cyan"),
        *_shape(image, images),
        (format_age(head.created, now) if head is not None else "", "dim"),
        (_notes(wish), "dim"),
    )
    if index and image is not None:
        yield from _platform_rows(image, images)
    for condition in history.conditions if history is not None else ():
        said = format_age(condition.last_transition_time, now)
        yield ("", (f"✗ {said}: {condition.message or condition.reason}", "red"))


def _shape(image: Image | None, images: Mapping[str, Image]) -> tuple[str, str, str]:
    from cli.rendering.formatting import count_of, format_size, platforms_of
    from cli.rendering.import_report import describe_image

    if image is None or not image.docker_image_manifests:
        return describe_image(image)
    sizes = [
        int(images[each.digest].docker_image_metadata.get("Size") or 0)
        for each in image.docker_image_manifests
        if each.digest in images
    ]
    size = format_size(sum(sizes)) if sum(sizes) else ""
    return count_of(len(platforms_of(image)), "platform"), "", size


def _platform_rows(image: Image, images: Mapping[str, Image]) -> Iterator[Sequence[Cell]]:
    from cli.rendering.formatting import format_platform, is_platform, short_digest
    from cli.rendering.import_report import describe_image

    entries = [m for m in image.docker_image_manifests if is_platform(m.os, m.architecture)]
    for place, entry in enumerate(entries):
        branch = LAST_BRANCH if place == len(entries) - 1 else BRANCH
        _, layers, size = describe_image(images.get(entry.digest))
        platform = format_platform(entry.os, entry.architecture, entry.variant)
        digest = short_digest(entry.digest)
        yield ((branch, "dim"), (digest, "dim"), (platform, "magenta"), layers, size, "", "")


def _notes(wish: TagReference | None) -> str:
    """What is special about a wish."""
    if wish is None:
        return "no wish behind it"
    policy = wish.import_policy
    kind = wish.from_.kind if wish.from_ is not None else ""
    words = {
        "scheduled": policy.scheduled,
        "insecure": policy.insecure,
        "pull through": wish.reference_policy.type == "Local",
        "reference only": wish.reference,
        f"follows {wish.from_.name}" if wish.from_ is not None else "": kind == "ImageStreamTag",
    }
    return ", ".join(word for word, holds in words.items() if holds)


def _print_tag(desk: Desk, stream: ImageStream, tag: str, now: datetime) -> None:
    from cli.rendering.formatting import format_platform, format_size, is_platform
    from cli.rendering.output import print_columns, print_line
    from cli.rendering.schedule_output import print_reasons

    wish, history = stream.spec_tag(tag), stream.status_tag(tag)
    images = _load_images(desk, stream, [history])
    _print_tags([(wish, history)], images, now)
    schedule = _load_schedule(desk, stream, tag)
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
            (str(place), layer.name, format_size(layer.size), (layer.media_type, "dim"))
            for place, layer in enumerate(each.docker_image_layers, 1)
        ]
        print_columns(("LAYER", "DIGEST", "SIZE", "MEDIA TYPE"), rows)
