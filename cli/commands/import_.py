"""`tagstream import`: imports one tag, or a whole repository, into a stream."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from cli.options import namespace_option, output_option
from cli.target import Target, pass_target

if TYPE_CHECKING:
    from cli.import_request import ImportOptions


@click.command("import", short_help="Import a tag, or a whole repository, into a stream.")
@click.argument("reference", metavar="REF")
@click.option("--to", default="", metavar="STREAM[:TAG]", help="Target [default: named like REF].")
@namespace_option
@click.option("--all", "all_tags", is_flag=True, help="Import every tag of the repository.")
@click.option("--scheduled", is_flag=True, help="Check the tag for updates on a schedule.")
@click.option("--insecure", is_flag=True, help="Accept plain http and unverified certificates.")
@click.option(
    "--import-mode",
    type=click.Choice(["Legacy", "PreserveOriginal"]),
    help="Import one platform's image of an index, or the index with all its images.",
)
@click.option(
    "--reference-policy",
    type=click.Choice(["Source", "Local"]),
    default="Source",
    show_default=True,
    help="Pull spec that clients of the stream get.",
)
@click.option("--dry-run", is_flag=True, help="Fetch everything, store nothing.")
@output_option
@pass_target
def command(
    target: Target,
    *,
    reference: str,
    to: str,
    namespace: str,
    all_tags: bool,
    scheduled: bool,
    insecure: bool,
    import_mode: str | None,
    reference_policy: str,
    dry_run: bool,
    style: str,
) -> int:
    """Import REF, like quay.io/team/app:1.2, into a stream.

    Without --to the stream is named like the repository, and the tag like REF's (latest, if REF has
    none). Only metadata is fetched, never layers.
    """
    from cli.import_request import ImportOptions

    return _run_import(
        target,
        ImportOptions(
            reference=reference,
            to=to,
            namespace=namespace,
            all_tags=all_tags,
            scheduled=scheduled,
            insecure=insecure,
            import_mode=import_mode or "",
            reference_policy=reference_policy,
            dry_run=dry_run,
            wants_response=style in {"json", "yaml"},
        ),
        style,
    )


def _run_import(target: Target, options: ImportOptions, style: str) -> int:
    from cli.backend.connect import open_backend
    from cli.bootstrap import local_user
    from cli.import_request import build_job_request
    from cli.rendering.import_report import exit_code, print_import

    request = build_job_request(options, user=local_user(), default_mode="")
    started = time.monotonic()
    destination = f"{request.namespace}/{request.stream}"
    with open_backend(target) as backend:
        job = backend.run_import(request, title=f"importing {options.reference} into {destination}")
        sys.stdout.flush()
        print_import(backend, job, style, seconds=time.monotonic() - started)
    return exit_code([job])
