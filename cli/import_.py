"""`tagstream import`: one tag, or a whole repository, into a stream."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.options import namespace_option, output_option

if TYPE_CHECKING:
    from cli.request import Wish


@click.command("import", short_help="Import a tag, or a whole repository, into a stream.")
@click.argument("reference", metavar="REF")
@click.option("--to", default="", metavar="STREAM[:TAG]", help="Where to [default: as REF says].")
@namespace_option
@click.option("--all", "whole", is_flag=True, help="Every tag of the repository.")
@click.option("--scheduled", is_flag=True, help="Look again by itself, now and then.")
@click.option("--insecure", is_flag=True, help="Accept plain http and unverified certificates.")
@click.option(
    "--import-mode",
    type=click.Choice(["Legacy", "PreserveOriginal"]),
    help="Of an index, take one platform's image, or the index with all of them.",
)
@click.option(
    "--reference-policy",
    type=click.Choice(["Source", "Local"]),
    default="Source",
    show_default=True,
    help="Which pull spec readers of the stream get.",
)
@click.option("--dry-run", is_flag=True, help="Fetch everything, store nothing.")
@output_option
@click.pass_obj
def command(
    data: Path | None,
    *,
    reference: str,
    to: str,
    namespace: str,
    whole: bool,
    scheduled: bool,
    insecure: bool,
    import_mode: str | None,
    reference_policy: str,
    dry_run: bool,
    style: str,
) -> int:
    """Import REF, like quay.io/team/app:1.2, into a stream.

    Without --to the stream is named like the repository, and the tag like REF's (latest, where it
    has none). Only metadata is fetched, never layers.
    """
    from cli.request import Wish

    return _import(
        data,
        Wish(
            reference=reference,
            to=to,
            namespace=namespace,
            whole=whole,
            scheduled=scheduled,
            insecure=insecure,
            import_mode=import_mode or "",
            reference_policy=reference_policy,
            dry_run=dry_run,
            wants_answer=style in {"json", "yaml"},
        ),
        style,
    )


def _import(data: Path | None, wish: Wish, style: str) -> int:
    from cli.carry import carry_out
    from cli.house import open_store, read_settings, who_asks
    from cli.report import exit_code, report_import
    from cli.request import build_request

    settings = read_settings(data)
    request = build_request(
        wish,
        user=who_asks(),
        default_mode=settings.default_import_mode,
        ceiling=settings.max_tags_ceiling,
    )
    began = time.monotonic()
    with open_store(settings) as engine:
        goal = f"{request.namespace}/{request.stream}"
        title = f"importing {wish.reference} into {goal}"
        [job] = carry_out(settings, engine, [request], title=title)
        sys.stdout.flush()
        report_import(engine, job, style, seconds=time.monotonic() - began)
    return exit_code([job])
