"""Enqueues jobs, waits for them, shows their progress, and cancels them on ctrl-C."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Protocol

from cli.rendering.output import console, print_message
from models.job_types import Job, JobRequest

if TYPE_CHECKING:
    from celery import Celery
    from rich.progress import Progress, TaskID
    from sqlalchemy import Engine

    from models.config.settings import Settings

PROGRESS_PRINT_SECONDS = 5.0  # between two plain lines of progress
# Jobs have their own deadlines; this one only ends a forgotten terminal.
MAX_JOB_WAIT_SECONDS = 24 * 3600.0
CANCEL_TIMEOUT_SECONDS = 15.0
_BAR_TITLE = "importing"


class ProgressCallback(Protocol):
    """A callback that receives a job's progress."""

    def __call__(self, job: Job) -> None: ...


def run_jobs(
    settings: Settings, engine: Engine, requests: Sequence[JobRequest], *, title: str
) -> list[Job]:
    """Enqueue the requests and return their jobs once all are final, with progress shown."""
    from cli.bootstrap import open_job_queue
    from worker.job_queue import enqueue

    with (
        sigterm_as_interrupt(),
        open_progress(title, jobs=len(requests)) as progress,
        open_job_queue(settings, engine) as app,
    ):
        jobs: list[Job] = []
        try:
            jobs.extend(enqueue(engine, app, request) for request in requests)
            return [
                _wait_for_job(settings, engine, app, job, progress.callback_for(position))
                for position, job in enumerate(jobs)
            ]
        except KeyboardInterrupt:
            progress.stop()
            return _cancel_all(engine, jobs)


def run_reimport_jobs(
    settings: Settings, engine: Engine, job_request: JobRequest, *, title: str
) -> list[Job]:
    """Run a reimport and return the jobs of all its streams; empty if no tag matches."""
    from cli.bootstrap import open_job_queue
    from models.store.database.session import transaction
    from models.store.jobs.reimport_store import (
        create_reimport,
        list_children,
        select_reimport_requests,
    )
    from worker.job_queue import publish_all, utc_now

    with transaction(engine, write=False) as session:
        if next(select_reimport_requests(session, job_request), None) is None:
            return []
    with (
        sigterm_as_interrupt(),
        open_progress(title, jobs=1) as progress,
        open_job_queue(settings, engine) as app,
    ):
        with transaction(engine) as session:
            max_tags = settings.max_tags_ceiling
            parent, children = create_reimport(
                session, job_request, now=utc_now(), max_tags=max_tags
            )
        try:
            publish_all(engine, app, children)
            _wait_for_job(settings, engine, app, parent, progress.callback_for(0))
        except KeyboardInterrupt:
            progress.stop()
            _cancel_all(engine, [parent])
    with transaction(engine, write=False) as session:
        return list_children(session, parent)


def _wait_for_job(
    settings: Settings, engine: Engine, app: Celery, job: Job, watch: ProgressCallback
) -> Job:
    """Wait until the job is final. Embedded, this process also runs the reaper, as nothing else
    does.
    """
    from worker.job_queue import wait_for_job

    if not settings.embedded:
        return wait_for_job(engine, job.id, within=MAX_JOB_WAIT_SECONDS, watch=watch)
    from scheduler.reaper import sweep_jobs

    sweep_seconds = settings.reaper_interval.total_seconds()
    while not (
        job := wait_for_job(engine, job.id, within=sweep_seconds, watch=watch)
    ).state.is_final:
        sweep_jobs(engine, app, settings)
    return job


def _cancel_all(engine: Engine, jobs: Sequence[Job]) -> list[Job]:
    """Cancel the jobs and wait for their workers to stop; a second ctrl-C exits at once."""
    from worker.job_queue import cancel_job, wait_for_job

    print_message("cancelling …")
    for job in jobs:
        cancel_job(engine, job.id)
    finished = [wait_for_job(engine, job.id, within=CANCEL_TIMEOUT_SECONDS) for job in jobs]
    for job in finished:
        if not job.state.is_final:
            print_message(f"job {job.id} has not stopped yet; see `tagstream get jobs {job.id}`")
    return finished


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Treat SIGTERM as ctrl-C, so that a stopped command leaves no running job behind."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


class _ProgressBar:
    """A live bar on a terminal. It counts jobs if there are many, targets if there is one."""

    def __init__(self, progress: Progress, task: TaskID, *, jobs: int) -> None:
        self._progress = progress
        self._task = task
        self._jobs = jobs

    def callback_for(self, position: int) -> ProgressCallback:
        def watch(job: Job) -> None:
            if self._jobs > 1:
                self._progress.update(self._task, completed=position + job.state.is_final)
            else:
                self._progress.update(
                    self._task,
                    completed=job.done,
                    total=job.total or None,
                    description=_BAR_TITLE + _format_failures(job),
                )

        return watch

    def stop(self) -> None:
        self._progress.stop()


class _PlainProgress:
    """Plain lines on a pipe: the counts every few seconds."""

    def __init__(self, *, jobs: int, clock: Callable[[], float]) -> None:
        self._jobs = jobs
        self._clock = clock
        self._last_printed = clock()

    def callback_for(self, position: int) -> ProgressCallback:
        def watch(job: Job) -> None:
            if job.state.is_final or self._clock() - self._last_printed < PROGRESS_PRINT_SECONDS:
                return
            self._last_printed = self._clock()
            done, total = (position, self._jobs) if self._jobs > 1 else (job.done, job.total)
            print_message(f"{done:,} of {total or '?'} done{_format_failures(job)}")

        return watch

    def stop(self) -> None:
        return


def _format_failures(job: Job) -> str:
    """Format how many child jobs of a reimport have failed so far."""
    failed = job.result.jobs_failed
    return f", {failed:,} failed" if failed else ""


@contextmanager
def open_progress(title: str, *, jobs: int) -> Iterator[_ProgressBar | _PlainProgress]:
    """Print the title, then show progress: a bar on a terminal, else plain lines."""
    print_message(f"{title} …")
    stderr_console = console(stderr=True)
    if not stderr_console.is_terminal:
        yield _PlainProgress(jobs=jobs, clock=time.monotonic)
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (
        SpinnerColumn(style="cyan"),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=32),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=stderr_console, transient=True) as progress:
        task = progress.add_task(_BAR_TITLE, total=jobs if jobs > 1 else None)
        yield _ProgressBar(progress, task, jobs=jobs)
