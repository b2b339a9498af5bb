"""`tagstream job`: one job."""

from __future__ import annotations

import click

from cli.target import Place, pass_place


@click.group("job", short_help="Cancel a job.")
def command() -> None:
    """Deal with one job."""


@command.command("cancel", short_help="Stop a job.")
@click.argument("job_id", metavar="ID")
@pass_place
def cancel_command(place: Place, *, job_id: str) -> int:
    """Stop a job, whether it waits or runs; nothing of it will be written.

    A reimport of many streams stops with all that it has not come to yet.
    ID may be the beginning of the job's id, as `tagstream jobs` shows it.
    """
    from cli.backend.connect import open_desk
    from cli.rendering.output import say
    from models.job_types import JobState

    with open_desk(place) as desk:
        found = desk.find_job(job_id)
        if found.state.is_final:
            say(f"job {found.id} has ended already: {found.state.value}")
            return 0 if found.state is JobState.CANCELLED else 1
        job = desk.cancel_job(found)
    ended = job.state is JobState.CANCELLED
    say(f"job {job.id} {'is cancelled' if ended else 'is asked to stop'}", style="green")
    return 0
