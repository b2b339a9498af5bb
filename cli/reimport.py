"""`tagstream reimport`: the administrator's wish to look again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.options import everywhere_option, namespace_option, output_option

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from models.jobs import Job, JobRequest
    from models.resources.stream import ImageStream
    from models.settings import Settings


@click.command("reimport", short_help="Import tags again, as they stand upstream now.")
@click.argument("stream", default="", metavar="[STREAM[:TAG]]")
@click.option("--all", "whole", is_flag=True, help="Every stream of the namespace.")
@click.option("--failed", is_flag=True, help="Only tags that failed last time.")
@click.option("--registry", default="", metavar="HOST", help="Only tags from that registry.")
@namespace_option
@everywhere_option
@output_option
@click.pass_obj
def command(
    data: Path | None,
    *,
    stream: str,
    whole: bool,
    failed: bool,
    registry: str,
    namespace: str,
    everywhere: bool,
    style: str,
) -> int:
    """Import the tags of a stream again, or of all streams with --all (-A: in all namespaces)."""
    if bool(stream) == whole:
        raise click.UsageError("name a STREAM[:TAG], or say --all")
    if everywhere and not whole:
        raise click.UsageError("-A belongs to --all; a single stream is found by -n NS")
    from cli.carry import carry_out
    from cli.find import every_stream
    from cli.house import open_store, read_settings, who_asks
    from cli.printing import say
    from cli.report import exit_code

    settings = read_settings(data)
    began = time.monotonic()
    with open_store(settings) as engine:
        if whole:
            streams, tag = every_stream(engine, None if everywhere else namespace), ""
        else:
            streams, tag = _one_stream(engine, namespace, stream)
        requests = _requests(
            streams, tag, settings, user=who_asks(), failed=failed, registry=registry
        )
        if not requests:
            say("nothing to import again: no tag fits")
            return 0
        jobs = carry_out(settings, engine, requests, title=_title(requests))
        _report(engine, jobs, style, seconds=time.monotonic() - began)
    return exit_code(jobs)


def _one_stream(engine: Engine, namespace: str, text: str) -> tuple[list[ImageStream], str]:
    from cli.find import find_stream
    from cli.request import check_name, parse_destination
    from models.errors import NotFoundError

    name, tag = parse_destination(text)
    check_name(name, namespace)
    stream = find_stream(engine, namespace, name)
    if tag and stream.spec_tag(tag) is None:
        raise NotFoundError(resource="imagestreamtags", name=f"{name}:{tag}")
    return [stream], tag


def _requests(
    streams: Sequence[ImageStream],
    tag: str,
    settings: Settings,
    *,
    user: str,
    failed: bool,
    registry: str,
) -> list[JobRequest]:
    from models.jobs import Asker, JobRequest, Lane
    from models.streams.reimport import reimport_request

    lane = Lane.INTERACTIVE if tag else Lane.BULK
    return [
        JobRequest(
            request=request,
            asker=Asker.ADMINISTRATOR,
            lane=lane,
            user=user,
            max_tags=settings.max_tags_ceiling,
            coalesce=True,
        )
        for stream in streams
        if (
            request := reimport_request(
                stream, [tag] if tag else None, failed_only=failed, registry=registry
            )
        )
        is not None
    ]


def _title(requests: Sequence[JobRequest]) -> str:
    from cli.words import count_of

    if len(requests) == 1:
        return f"importing {requests[0].namespace}/{requests[0].stream} again"
    return f"importing {count_of(len(requests), 'stream')} again"


def _report(engine: Engine, jobs: Sequence[Job], style: str, *, seconds: float) -> None:
    """One stream as an import is reported; many as a table of jobs."""
    from datetime import UTC, datetime

    from cli.printing import say
    from cli.report import report_failures, report_import
    from cli.tables import Look, print_jobs
    from cli.words import count_of

    if len(jobs) == 1 and style in {"table", "wide", "name"}:
        report_import(engine, jobs[0], style, seconds=seconds)
        return
    print_jobs(jobs, Look(style, single=False, everywhere=True, now=datetime.now(UTC)))
    for job in jobs:
        report_failures(job)
    changed = sum(job.result.changed for job in jobs)
    failed = sum(job.result.failed for job in jobs)
    say(
        f"{count_of(len(jobs), 'stream')} looked at, {count_of(changed, 'tag')} changed, "
        f"{failed:,} failed in {seconds:.1f} s"
    )
