"""`tagstream import`: one tag, or a whole repository, into a stream."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from cli.options import namespace_option, output_option
from cli.target import Place, pass_place

if TYPE_CHECKING:
    from cli.import_request import Wish


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
@pass_place
def command(
    place: Place,
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
    from cli.import_request import Wish

    return _import(
        place,
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


def _import(place: Place, wish: Wish, style: str) -> int:
    from cli.backend.connect import open_desk
    from cli.bootstrap import who_asks
    from cli.import_request import build_request
    from cli.rendering.import_report import exit_code, report_import

    request = build_request(wish, user=who_asks(), default_mode="")
    began = time.monotonic()
    goal = f"{request.namespace}/{request.stream}"
    with open_desk(place) as desk:
        job = desk.carry(request, title=f"importing {wish.reference} into {goal}")
        sys.stdout.flush()
        report_import(desk, job, style, seconds=time.monotonic() - began)
    return exit_code([job])
