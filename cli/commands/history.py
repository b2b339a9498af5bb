"""`tagstream history`: the images that a tag has pointed to, with times."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from cli.options import namespace_option, output_option
from cli.target import Target, pass_target

if TYPE_CHECKING:
    from models.resources.stream import TagEvent


@click.command("history", short_help="Show which images a tag pointed to, and when.")
@click.argument("stream", metavar="STREAM[:TAG]")
@namespace_option
@click.option(
    "--at", "at_text", metavar="TIME", help="Only the image at that time: 2026-03-03T14:05, 2h."
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    metavar="N",
    help="Number of events.",
)
@output_option
@pass_target
def command(
    target: Target, *, stream: str, namespace: str, at_text: str | None, limit: int, style: str
) -> None:
    """Show the events of a tag, newest first. Times are UTC."""
    from cli.backend.connect import open_backend
    from cli.import_request import check_name, parse_destination
    from cli.rendering.formatting import parse_time
    from models.reference import DEFAULT_TAG

    name, tag = parse_destination(stream)
    tag = tag or DEFAULT_TAG
    check_name(name, namespace)
    now = datetime.now(UTC)
    at = parse_time(at_text, now) if at_text is not None else None
    with open_backend(target) as backend:
        events, known = backend.history(namespace, name, tag, limit=limit, at=at)
    _print(events, name, tag, style, now)
    if not events:
        _report_no_events(name, tag, namespace, at_text, known=known)


def _print(events: list[TagEvent], name: str, tag: str, style: str, now: datetime) -> None:
    from cli.rendering.formatting import format_age, format_timestamp, short_digest
    from cli.rendering.output import Cell, print_columns, print_document, print_names
    from models.resources.stream import NamedTagEventList

    if style in {"json", "yaml"}:
        print_document(NamedTagEventList(tag=tag, items=events).wire(), style)
    elif style == "name":
        print_names(f"imagestreamimage.image.openshift.io/{name}@{each.image}" for each in events)
    elif events:
        header = ["SINCE", "AGE", "IMAGE", "GENERATION"]
        rows: list[list[Cell]] = []
        for event in events:
            digest = event.image if style == "wide" else short_digest(event.image)
            row: list[Cell] = [
                (format_timestamp(event.created), "bold"),
                (format_age(event.created, now), "dim"),
                (digest, "cyan"),
                str(event.generation),
            ]
            rows.append([*row, event.docker_image_reference] if style == "wide" else row)
        print_columns([*header, "REFERENCE"] if style == "wide" else header, rows)


def _report_no_events(name: str, tag: str, namespace: str, at: str | None, *, known: bool) -> None:
    from cli.rendering.output import print_message
    from models.errors import NotFoundError

    if not known:
        raise NotFoundError(resource="imagestreams", name=f"{namespace}/{name}")
    if at is None:
        raise NotFoundError(resource="imagestreamtags", name=f"{name}:{tag}")
    print_message(f"{name}:{tag} pointed to no image yet at {at}")
