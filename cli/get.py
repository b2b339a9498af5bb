"""`tagstream get`: streams, images and jobs as lists, or one by its name."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from cli.options import everywhere_option, namespace_option, output_option

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
@click.pass_obj
def command(
    data: Path | None,
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
    from cli.house import open_store, read_settings
    from cli.printing import say

    look = tables.Look(style, single=bool(name), everywhere=everywhere, now=datetime.now(UTC))
    place = None if everywhere else namespace
    with open_store(read_settings(data)) as engine:
        match KINDS[kind]:
            case "streams":
                one = [find.find_stream(engine, namespace, name)] if name else None
                count = tables.print_streams(one or find.every_stream(engine, place), look)
            case "images":
                image = [find.find_image(engine, name)] if name else None
                images = image or find.current_images(engine, place)
                tags = find.tags_by_image(engine, place) if style in {"table", "wide"} else {}
                count = tables.print_images(images, tags, look)
            case _:
                job = [find.find_job(engine, name)] if name else None
                jobs = job or find.recent_jobs(engine, place, limit=limit)
                count = tables.print_jobs(jobs, look)
    if not count:
        where = "in any namespace" if everywhere else f"in namespace {namespace}"
        say(f"no {KINDS[kind]} {where}")
