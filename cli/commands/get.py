"""`tagstream get`: streams, images and jobs as lists, or one by its name."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from cli.options import everywhere_option, namespace_option, output_option
from cli.target import Place, pass_place

if TYPE_CHECKING:
    from cli.backend.server_backend import Desk
    from cli.rendering.table_output import Look

KINDS = {
    **dict.fromkeys(("streams", "stream", "imagestreams", "imagestream", "is"), "streams"),
    **dict.fromkeys(("images", "image"), "images"),
    **dict.fromkeys(("jobs", "job"), "jobs"),
    **dict.fromkeys(("scheduledtags", "scheduledtag", "st"), "scheduledtags"),
    **dict.fromkeys(("registries", "registry", "reg"), "registries"),
}
_WHAT = "streams|images|jobs|scheduledtags|registries"


@click.command("get", short_help="List streams, images, jobs, scheduled tags or registries.")
@click.argument("kind", default="streams", metavar=f"[{_WHAT}]")
@click.argument("name", default="", metavar="[NAME]")
@namespace_option
@everywhere_option
@click.option(
    "--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Of jobs: how many."
)
@output_option
@pass_place
def command(
    place: Place,
    *,
    kind: str,
    name: str,
    namespace: str,
    everywhere: bool,
    limit: int,
    style: str,
) -> None:
    """List the streams of a namespace, the images that their tags mean now, the jobs, when
    scheduled tags are looked at, or how the registries are.

    NAME is a stream's name, an image's digest or a job's id; of the latter two the beginning will
    do. Of scheduled tags it is STREAM or STREAM:TAG, of registries a host.
    """
    if kind not in KINDS:
        raise click.UsageError(f"{kind!r} is none of {_WHAT.replace('|', ', ')}")
    from cli import image_lookup
    from cli.backend.connect import open_desk
    from cli.rendering import table_output
    from cli.rendering.output import say

    look = table_output.Look(style, single=bool(name), everywhere=everywhere, now=datetime.now(UTC))
    where = None if everywhere else namespace
    with open_desk(place) as desk:
        match KINDS[kind]:
            case "streams":
                one = [desk.find_stream(namespace, name)] if name else None
                count = table_output.print_streams(one or desk.every_stream(where), look)
            case "images":
                image = [image_lookup.find_image(desk, name)] if name else None
                needed = not name or style in {"table", "wide"}
                heads = image_lookup.find_heads(desk, where) if needed else []
                images = image or image_lookup.current_images(desk, heads)
                count = table_output.print_images(images, image_lookup.tags_by_image(heads), look)
            case "scheduledtags":
                count = _print_schedule(desk, where, name, look)
            case "registries":
                count = _print_registries(desk, name, look)
            case _:
                job = [desk.find_job(name)] if name else None
                jobs = job or desk.recent_jobs(where, limit=limit)
                count = table_output.print_jobs(jobs, look)
    if not count and KINDS[kind] == "registries":
        say("no registries yet: each that a scheduled tag comes from gets an entry by itself")
    elif not count:
        goal = "in any namespace" if everywhere else f"in namespace {namespace}"
        words = "scheduled tags" if KINDS[kind] == "scheduledtags" else KINDS[kind]
        whose = f" of {name}" if name else ""
        say(f"no {words}{whose} {goal}")


def _print_schedule(desk: Desk, where: str | None, name: str, look: Look) -> int:
    """The calendar of everything, of a stream, or of one tag of it."""
    from cli.import_request import parse_destination
    from cli.rendering.schedule_output import print_schedule
    from models.errors import NotFoundError

    stream, tag = parse_destination(name) if name else ("", "")
    found = desk.schedule(where, stream=stream, tag=tag)
    if tag and not found:
        raise NotFoundError(resource="scheduledtags", name=name, group="sync.tagstream.io")
    return print_schedule(found, replace(look, single=bool(tag) and where is not None))


def _print_registries(desk: Desk, name: str, look: Look) -> int:
    """Every registry, or one of them: they belong to no namespace."""
    from cli.rendering.registry_output import list_registries, need_registry, print_registries

    found = [need_registry(desk.rest, name)] if name else list_registries(desk.rest)
    return print_registries(found, look)
