"""`tagstream job`: one job."""

from __future__ import annotations

from pathlib import Path

import click


@click.group("job", short_help="Cancel a job.")
def command() -> None:
    """Deal with one job."""


@command.command("cancel", short_help="Stop a job.")
@click.argument("job_id", metavar="ID")
@click.pass_obj
def cancel_command(data: Path | None, job_id: str) -> int:
    """Stop a job, whether it waits or runs; nothing of it will be written.

    ID may be the beginning of the job's id, as `tagstream jobs` shows it.
    """
    from cli.find import find_job
    from cli.house import open_store, read_settings
    from cli.printing import say
    from models.jobs import JobState
    from worker.queue import cancel

    with open_store(read_settings(data)) as engine:
        found = find_job(engine, job_id)
        if found.state.is_final:
            say(f"job {found.id} has ended already: {found.state.value}")
            return 0 if found.state is JobState.CANCELLED else 1
        job = cancel(engine, found.id)
    ended = job.state is JobState.CANCELLED
    say(f"job {job.id} {'is cancelled' if ended else 'is asked to stop'}", style="green")
    return 0
