"""`tagstream history`: what a tag meant, and when."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from cli.options import namespace_option, output_option
from cli.target import Place, pass_place

if TYPE_CHECKING:
    from models.resources.stream import TagEvent


@click.command("history", short_help="Show what a tag meant, and when.")
@click.argument("stream", metavar="STREAM[:TAG]")
@namespace_option
@click.option(
    "--at", "moment", metavar="TIME", help="Only what it meant then: 2026-03-03T14:05, 2h."
)
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, metavar="N")
@output_option
@pass_place
def command(
    place: Place, *, stream: str, namespace: str, moment: str | None, limit: int, style: str
) -> None:
    """Show the events of a tag, newest first. Times are UTC."""
    from cli.backend.connect import open_desk
    from cli.import_request import check_name, parse_destination
    from cli.rendering.formatting import parse_moment
    from models.reference import DEFAULT_TAG

    name, tag = parse_destination(stream)
    tag = tag or DEFAULT_TAG
    check_name(name, namespace)
    now = datetime.now(UTC)
    then = parse_moment(moment, now) if moment is not None else None
    with open_desk(place) as desk:
        events, known = desk.history(namespace, name, tag, limit=limit, moment=then)
    _print(events, name, tag, style, now)
    if not events:
        _explain_nothing(name, tag, namespace, moment, known=known)


def _print(events: list[TagEvent], name: str, tag: str, style: str, now: datetime) -> None:
    from cli.rendering.formatting import format_age, format_moment, short_digest
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
                (format_moment(event.created), "bold"),
                (format_age(event.created, now), "dim"),
                (digest, "cyan"),
                str(event.generation),
            ]
            rows.append([*row, event.docker_image_reference] if style == "wide" else row)
        print_columns([*header, "REFERENCE"] if style == "wide" else header, rows)


def _explain_nothing(
    name: str, tag: str, namespace: str, moment: str | None, *, known: bool
) -> None:
    from cli.rendering.output import say
    from models.errors import NotFoundError

    if not known:
        raise NotFoundError(resource="imagestreams", name=f"{namespace}/{name}")
    if moment is None:
        raise NotFoundError(resource="imagestreamtags", name=f"{name}:{tag}")
    say(f"{name}:{tag} meant nothing yet at {moment}")
