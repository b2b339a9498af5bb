"""`tagstream reimport`: imports tags again at an administrator's request."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from cli.options import all_namespaces_option, namespace_option, output_option
from cli.target import Target, pass_target

if TYPE_CHECKING:
    from cli.backend.backend_types import ReimportOptions
    from cli.backend.base_backend import Backend
    from models.job_types import Job

MAX_TABLE_ROWS = 100
MAX_REPORTED_STREAMS = 20  # streams whose failures are printed


@click.command("reimport", short_help="Import tags again.")
@click.argument("stream", default="", metavar="[STREAM[:TAG]]")
@click.option("--all", "all_streams", is_flag=True, help="Import every stream of the namespace.")
@click.option("--failed", is_flag=True, help="Only tags whose last import failed.")
@click.option("--registry", default="", metavar="HOST", help="Only tags from that registry.")
@click.option("--dry-run", is_flag=True, help="Only estimate the number of requests.")
@namespace_option
@all_namespaces_option
@output_option
@pass_target
def command(
    target: Target,
    *,
    stream: str,
    all_streams: bool,
    failed: bool,
    registry: str,
    dry_run: bool,
    namespace: str,
    all_namespaces: bool,
    style: str,
) -> int:
    """Import the tags of a stream again, or of all streams with --all (-A: in all namespaces)."""
    if bool(stream) == all_streams:
        raise click.UsageError("give either STREAM[:TAG] or --all")
    if all_namespaces and not all_streams:
        raise click.UsageError("-A requires --all; select a single stream with -n NS")
    from cli.backend.backend_types import ReimportOptions
    from cli.backend.connect import open_backend
    from cli.rendering.estimate_output import print_estimate
    from cli.rendering.import_report import exit_code
    from cli.rendering.output import print_message

    options = ReimportOptions(namespace, all_namespaces, failed_only=failed, registry=registry)
    started = time.monotonic()
    with open_backend(target) as backend:
        if stream:
            options = _options_for_stream(backend, options, stream)
        if dry_run:
            print_estimate(backend.estimate(options), style)
            return 0
        jobs = backend.reimport(options)
        if not jobs:
            print_message("nothing to import: no tag matches")
            return 0
        _report(backend, jobs, style, seconds=time.monotonic() - started)
    return exit_code(jobs)


def _options_for_stream(backend: Backend, options: ReimportOptions, text: str) -> ReimportOptions:
    """Return the options for that stream or tag. Raises NotFoundError if spec has no such tag."""
    from cli.import_request import check_name, parse_destination
    from models.errors import NotFoundError

    name, tag = parse_destination(text)
    check_name(name, options.namespace)
    stream = backend.find_stream(options.namespace, name)
    if tag and stream.spec_tag(tag) is None:
        raise NotFoundError(resource="imagestreamtags", name=f"{name}:{tag}")
    return options._replace(stream=name, tag=tag)


def _report(backend: Backend, jobs: Sequence[Job], style: str, *, seconds: float) -> None:
    """Print one stream as an import report, several as a table of jobs."""
    from datetime import UTC, datetime

    from cli.rendering.formatting import format_count
    from cli.rendering.import_report import print_failures, print_import
    from cli.rendering.output import print_message
    from cli.rendering.table_output import PrintOptions, print_jobs
    from models.job_types import JobState

    if len(jobs) == 1 and style in {"table", "wide", "name"}:
        print_import(backend, jobs[0], style, seconds=seconds)
        return
    shown = _select_rows(jobs) if style == "table" else jobs
    print_jobs(shown, PrintOptions(style, single=False, all_namespaces=True, now=datetime.now(UTC)))
    failed = [job for job in jobs if job.with_errors or job.state is not JobState.SUCCEEDED]
    reported = [job for job in failed if job.state is not JobState.CANCELLED]
    for job in reported[:MAX_REPORTED_STREAMS]:
        print_failures(job)
    if len(reported) > MAX_REPORTED_STREAMS:
        print_message(
            f"{format_count(len(reported) - MAX_REPORTED_STREAMS, 'more stream')} with failures",
            style="red",
        )
    if len(shown) < len(jobs):
        print_message(
            f"{len(shown):,} of {format_count(len(jobs), 'stream')} are shown; -o wide shows all"
        )
    print_message(_summary(jobs, seconds=seconds), style="yellow" if failed else "green")


def _select_rows(jobs: Sequence[Job]) -> list[Job]:
    """Select the rows to show: all if they are few, else failed streams, then updated ones."""
    from models.job_types import JobState

    if len(jobs) <= MAX_TABLE_ROWS:
        return list(jobs)
    ended = [job for job in jobs if job.state is not JobState.CANCELLED]
    failed = [job for job in ended if job.with_errors or job.state is not JobState.SUCCEEDED]
    changed = [job for job in ended if job.result.tags_changed and not job.with_errors]
    return [*failed, *changed][:MAX_TABLE_ROWS]


def _summary(jobs: Sequence[Job], *, seconds: float) -> str:
    from cli.rendering.formatting import format_count
    from models.job_types import JobState

    cancelled = sum(job.state is JobState.CANCELLED for job in jobs)
    checked = format_count(len(jobs), "stream")
    if cancelled:
        checked = f"cancelled: {len(jobs) - cancelled:,} of {checked}"
    new = sum(job.result.tags_new for job in jobs)
    updated = sum(job.result.tags_updated for job in jobs)
    failed = sum(job.result.tags_failed for job in jobs)
    return (
        f"{checked} imported again: {format_count(new, 'new tag')}, {updated:,} updated, "
        f"{failed:,} failed in {seconds:.1f} s"
    )
