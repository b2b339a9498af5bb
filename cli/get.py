"""`tagstream get`: streams, images and jobs as lists, or one by its name."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from cli.options import everywhere_option, namespace_option, output_option
from cli.place import Place, pass_place

KINDS = {
    **dict.fromkeys(("streams", "stream", "imagestreams", "imagestream", "is"), "streams"),
    **dict.fromkeys(("images", "image"), "images"),
    **dict.fromkeys(("jobs", "job"), "jobs"),
}


@click.command("get", short_help="List streams, images or jobs.")
@click.argument("kind", default="streams", metavar="[streams|images|jobs]")
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
    """List the streams of a namespace, the images that their tags mean now, or the jobs.

    NAME is a stream's name, an image's digest or a job's id; of the latter two the beginning will
    do.
    """
    if kind not in KINDS:
        raise click.UsageError(f"{kind!r} is none of streams, images, jobs")
    from cli import find, tables
    from cli.desk.opening import open_desk
    from cli.printing import say

    look = tables.Look(style, single=bool(name), everywhere=everywhere, now=datetime.now(UTC))
    where = None if everywhere else namespace
    with open_desk(place) as desk:
        match KINDS[kind]:
            case "streams":
                one = [desk.find_stream(namespace, name)] if name else None
                count = tables.print_streams(one or desk.every_stream(where), look)
            case "images":
                image = [find.find_image(desk, name)] if name else None
                needed = not name or style in {"table", "wide"}
                heads = find.find_heads(desk, where) if needed else []
                images = image or find.current_images(desk, heads)
                count = tables.print_images(images, find.tags_by_image(heads), look)
            case _:
                job = [desk.find_job(name)] if name else None
                jobs = job or desk.recent_jobs(where, limit=limit)
                count = tables.print_jobs(jobs, look)
    if not count:
        goal = "in any namespace" if everywhere else f"in namespace {namespace}"
        say(f"no {KINDS[kind]} {goal}")
