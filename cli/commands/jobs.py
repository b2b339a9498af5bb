"""`tagstream jobs`: lists and watches jobs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from cli.options import all_namespaces_option, namespace_option, output_option
from cli.target import Target, pass_target

if TYPE_CHECKING:
    from rich.table import Table

    from models.job_types import Job


@click.command("jobs", short_help="List or watch jobs.")
@namespace_option
@all_namespaces_option
@click.option("-w", "--watch", is_flag=True, help="Watch for changes until ctrl-C.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Number of jobs."
)
@click.option(
    "--parts", "include_children", is_flag=True, help="Include the jobs of each reimport."
)
@output_option
@pass_target
def command(
    target: Target,
    *,
    namespace: str,
    all_namespaces: bool,
    watch: bool,
    limit: int,
    include_children: bool,
    style: str,
) -> None:
    """List jobs, newest first. A reimport of many streams counts as one job."""
    if watch and style not in {"table", "wide"}:
        raise click.UsageError("--watch shows a table; leave out -o")
    from cli.backend.connect import open_backend
    from cli.rendering.output import console, print_message
    from cli.rendering.table_output import PrintOptions, print_jobs

    print_options = PrintOptions(
        style, single=False, all_namespaces=all_namespaces, now=datetime.now(UTC)
    )
    namespace_filter = None if all_namespaces else namespace
    with open_backend(target) as backend:
        if not watch:
            if not print_jobs(
                backend.recent_jobs(
                    namespace_filter, limit=limit, include_children=include_children
                ),
                print_options,
            ):
                scope = "any namespace" if all_namespaces else f"namespace {namespace}"
                print_message(f"no jobs in {scope}")
            return
        frames = backend.watch_jobs(
            namespace_filter, limit=limit, include_children=include_children
        )
        try:
            if console().is_terminal:
                _watch_live(frames, print_options.style, all_namespaces=all_namespaces)
            else:
                _print_changes(frames, all_namespaces=all_namespaces)
        except KeyboardInterrupt:
            return


def _watch_live(frames: Iterator[list[Job]], style: str, *, all_namespaces: bool) -> None:
    """Redraw the table in place."""
    from rich.live import Live

    from cli.rendering.output import console

    with Live(console=console(), auto_refresh=False) as live:
        for jobs in frames:
            live.update(_build_table(jobs, style, all_namespaces=all_namespaces), refresh=True)


def _build_table(jobs: list[Job], style: str, *, all_namespaces: bool) -> Table:
    from rich.table import Table
    from rich.text import Text

    from cli.rendering.output import strip_control_characters
    from cli.rendering.table_output import PrintOptions, job_header, job_row

    print_options = PrintOptions(
        style, single=False, all_namespaces=all_namespaces, now=datetime.now(UTC)
    )
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 3, 0, 0))
    for name in job_header(print_options):
        table.add_column(name, no_wrap=True)
    for job in jobs:
        cells = [
            (cell, "") if isinstance(cell, str) else cell for cell in job_row(job, print_options)
        ]
        table.add_row(*(Text(strip_control_characters(text), style) for text, style in cells))
    return table


def _print_changes(frames: Iterator[list[Job]], *, all_namespaces: bool) -> None:
    """Print a line for every change of a job, for pipes and logs."""
    from cli.rendering.output import print_line
    from cli.rendering.table_output import format_state

    printed: dict[object, tuple[str, int, int]] = {}
    for jobs in frames:
        for job in reversed(jobs):
            state = (format_state(job), job.done, job.total)
            if printed.get(job.id) != state:
                printed[job.id] = state
                destination = f"{job.request.namespace}/" if all_namespaces else ""
                destination += job.request.stream or "(reimport)"
                print_line(f"{job.id}   {destination}   {state[0]}   {state[1]}/{state[2]}")
