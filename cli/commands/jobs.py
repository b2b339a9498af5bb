"""`tagstream jobs`: what is being imported, and what was."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from cli.options import everywhere_option, namespace_option, output_option
from cli.target import Place, pass_place

if TYPE_CHECKING:
    from rich.table import Table

    from models.job_types import Job


@click.command("jobs", short_help="List jobs, or watch them.")
@namespace_option
@everywhere_option
@click.option("-w", "--watch", is_flag=True, help="Keep watching, until ctrl-C.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many."
)
@click.option("--parts", is_flag=True, help="Also the jobs that a reimport is made of.")
@output_option
@pass_place
def command(
    place: Place,
    *,
    namespace: str,
    everywhere: bool,
    watch: bool,
    limit: int,
    parts: bool,
    style: str,
) -> None:
    """List jobs, the newest first. A reimport of many streams is one."""
    if watch and style not in {"table", "wide"}:
        raise click.UsageError("--watch shows a table; leave out -o")
    from cli.backend.connect import open_desk
    from cli.rendering.output import console, say
    from cli.rendering.table_output import Look, print_jobs

    look = Look(style, single=False, everywhere=everywhere, now=datetime.now(UTC))
    where = None if everywhere else namespace
    with open_desk(place) as desk:
        if not watch:
            if not print_jobs(desk.recent_jobs(where, limit=limit, parts=parts), look):
                say(f"no jobs in {'any' if everywhere else f'namespace {namespace}'}")
            return
        frames = desk.watch_jobs(where, limit=limit, parts=parts)
        try:
            if console().is_terminal:
                _watch_live(frames, look.style, everywhere=everywhere)
            else:
                _watch_lines(frames, everywhere=everywhere)
        except KeyboardInterrupt:
            return


def _watch_live(frames: Iterator[list[Job]], style: str, *, everywhere: bool) -> None:
    """The table, redrawn in place."""
    from rich.live import Live

    from cli.rendering.output import console

    with Live(console=console(), auto_refresh=False) as live:
        for jobs in frames:
            live.update(_draw(jobs, style, everywhere=everywhere), refresh=True)


def _draw(jobs: list[Job], style: str, *, everywhere: bool) -> Table:
    from rich.table import Table
    from rich.text import Text

    from cli.rendering.output import clean
    from cli.rendering.table_output import Look, job_header, job_row

    look = Look(style, single=False, everywhere=everywhere, now=datetime.now(UTC))
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 3, 0, 0))
    for name in job_header(look):
        table.add_column(name, no_wrap=True)
    for job in jobs:
        cells = [(cell, "") if isinstance(cell, str) else cell for cell in job_row(job, look)]
        table.add_row(*(Text(clean(text), style) for text, style in cells))
    return table


def _watch_lines(frames: Iterator[list[Job]], *, everywhere: bool) -> None:
    """A line for every change of a job, for pipes and logs."""
    from cli.rendering.output import print_line
    from cli.rendering.table_output import state_of

    told: dict[object, tuple[str, int, int]] = {}
    for jobs in frames:
        for job in reversed(jobs):
            seen = (state_of(job), job.done, job.total)
            if told.get(job.id) != seen:
                told[job.id] = seen
                goal = f"{job.request.namespace}/" if everywhere else ""
                goal += job.request.stream or "(reimport)"
                print_line(f"{job.id}   {goal}   {seen[0]}   {seen[1]}/{seen[2]}")
