"""`tagstream job`: cancels a job."""

from __future__ import annotations

import click

from cli.target import Target, pass_target


@click.group("job", short_help="Cancel a job.")
def command() -> None:
    """Manage one job."""


@command.command("cancel", short_help="Cancel a job.")
@click.argument("job_id", metavar="ID")
@pass_target
def cancel_command(target: Target, *, job_id: str) -> int:
    """Cancel a queued or running job; nothing of it is written.

    A reimport of many streams stops with every stream that is not done yet. ID may be a prefix of
    the job's id, as `tagstream jobs` shows it.
    """
    from cli.backend.connect import open_backend
    from cli.rendering.output import print_message
    from models.job_types import JobState

    with open_backend(target) as backend:
        found = backend.find_job(job_id)
        if found.state.is_final:
            print_message(f"job {found.id} is already final: {found.state.value}")
            return 0 if found.state is JobState.CANCELLED else 1
        job = backend.cancel_job(found)
    cancelled = job.state is JobState.CANCELLED
    print_message(
        f"job {job.id} {'is cancelled' if cancelled else 'is being cancelled'}", style="green"
    )
    return 0
