"""`tagstream reimport`: the administrator's wish to look again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from cli.options import everywhere_option, namespace_option, output_option
from cli.target import Place, pass_place

if TYPE_CHECKING:
    from cli.backend.server_backend import Again, Desk
    from models.job_types import Job

MOST_ROWS = 100
MOST_TOLD = 20  # streams whose failures are told


@click.command("reimport", short_help="Import tags again, as they stand upstream now.")
@click.argument("stream", default="", metavar="[STREAM[:TAG]]")
@click.option("--all", "whole", is_flag=True, help="Every stream of the namespace.")
@click.option("--failed", is_flag=True, help="Only tags that failed last time.")
@click.option("--registry", default="", metavar="HOST", help="Only tags from that registry.")
@click.option("--dry-run", "trial", is_flag=True, help="Only tell how many requests it would take.")
@namespace_option
@everywhere_option
@output_option
@pass_place
def command(
    place: Place,
    *,
    stream: str,
    whole: bool,
    failed: bool,
    registry: str,
    trial: bool,
    namespace: str,
    everywhere: bool,
    style: str,
) -> int:
    """Import the tags of a stream again, or of all streams with --all (-A: in all namespaces)."""
    if bool(stream) == whole:
        raise click.UsageError("name a STREAM[:TAG], or say --all")
    if everywhere and not whole:
        raise click.UsageError("-A belongs to --all; a single stream is found by -n NS")
    from cli.backend.connect import open_desk
    from cli.backend.server_backend import Again
    from cli.rendering.estimate_output import report_forecast
    from cli.rendering.import_report import exit_code
    from cli.rendering.output import say

    wish = Again(namespace, everywhere, failed=failed, registry=registry)
    began = time.monotonic()
    with open_desk(place) as desk:
        if stream:
            wish = _one_stream(desk, wish, stream)
        if trial:
            report_forecast(desk.forecast(wish), style)
            return 0
        jobs = desk.reimport(wish)
        if not jobs:
            say("nothing to import again: no tag fits")
            return 0
        _report(desk, jobs, style, seconds=time.monotonic() - began)
    return exit_code(jobs)


def _one_stream(desk: Desk, wish: Again, text: str) -> Again:
    """The wish for that stream or tag alone. NotFoundError where nobody wants such a tag."""
    from cli.import_request import check_name, parse_destination
    from models.errors import NotFoundError

    name, tag = parse_destination(text)
    check_name(name, wish.namespace)
    stream = desk.find_stream(wish.namespace, name)
    if tag and stream.spec_tag(tag) is None:
        raise NotFoundError(resource="imagestreamtags", name=f"{name}:{tag}")
    return wish._replace(stream=name, tag=tag)


def _report(desk: Desk, jobs: Sequence[Job], style: str, *, seconds: float) -> None:
    """One stream as an import is reported; many as a table of jobs."""
    from datetime import UTC, datetime

    from cli.rendering.formatting import count_of
    from cli.rendering.import_report import report_failures, report_import
    from cli.rendering.output import say
    from cli.rendering.table_output import Look, print_jobs
    from models.job_types import JobState

    if len(jobs) == 1 and style in {"table", "wide", "name"}:
        report_import(desk, jobs[0], style, seconds=seconds)
        return
    shown = _worth_a_row(jobs) if style == "table" else jobs
    print_jobs(shown, Look(style, single=False, everywhere=True, now=datetime.now(UTC)))
    failed = [job for job in jobs if job.with_errors or job.state is not JobState.SUCCEEDED]
    told = [job for job in failed if job.state is not JobState.CANCELLED]
    for job in told[:MOST_TOLD]:
        report_failures(job)
    if len(told) > MOST_TOLD:
        say(f"{count_of(len(told) - MOST_TOLD, 'more stream')} with failures", style="red")
    if len(shown) < len(jobs):
        say(f"{len(shown):,} of {count_of(len(jobs), 'stream')} are listed; -o wide lists all")
    say(_summary(jobs, seconds=seconds), style="yellow" if failed else "green")


def _worth_a_row(jobs: Sequence[Job]) -> list[Job]:
    """All of them, as long as a person can read them; else some of those with news, the failed
    ones first.
    """
    from models.job_types import JobState

    if len(jobs) <= MOST_ROWS:
        return list(jobs)
    ended = [job for job in jobs if job.state is not JobState.CANCELLED]
    failed = [job for job in ended if job.with_errors or job.state is not JobState.SUCCEEDED]
    changed = [job for job in ended if job.result.changed and not job.with_errors]
    return [*failed, *changed][:MOST_ROWS]


def _summary(jobs: Sequence[Job], *, seconds: float) -> str:
    from cli.rendering.formatting import count_of
    from models.job_types import JobState

    cancelled = sum(job.state is JobState.CANCELLED for job in jobs)
    looked = count_of(len(jobs), "stream")
    if cancelled:
        looked = f"cancelled: {len(jobs) - cancelled:,} of {looked}"
    changed = sum(job.result.changed for job in jobs)
    failed = sum(job.result.failed for job in jobs)
    return (
        f"{looked} looked at, {count_of(changed, 'tag')} changed, "
        f"{failed:,} failed in {seconds:.1f} s"
    )
