"""Puts jobs on the counter, waits for them, shows their progress, cancels them on ctrl-C."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Protocol

from cli.rendering.output import clean, console, say
from models.job_types import Job, JobRequest

if TYPE_CHECKING:
    from celery import Celery
    from rich.progress import Progress, TaskID
    from sqlalchemy import Engine

    from models.config.settings import Settings

LINE_EVERY = 5.0  # seconds between two plain lines of progress
PATIENCE = 24 * 3600.0  # a job has deadlines of its own; this only ends a forgotten terminal
CANCEL_PATIENCE = 15.0


class Watcher(Protocol):
    """Is told of a job's progress."""

    def __call__(self, job: Job) -> None: ...


def carry_out(
    settings: Settings, engine: Engine, requests: Sequence[JobRequest], *, title: str
) -> list[Job]:
    """The jobs of these requests once each has ended, shown as they go."""
    from cli.bootstrap import open_counter
    from worker.job_queue import enqueue

    with (
        ctrl_c_from_sigterm(),
        open_progress(title, jobs=len(requests)) as progress,
        open_counter(settings, engine) as app,
    ):
        jobs: list[Job] = []
        try:
            jobs.extend(enqueue(engine, app, request) for request in requests)
            return [
                _wait(settings, engine, app, job, progress.watcher(place))
                for place, job in enumerate(jobs)
            ]
        except KeyboardInterrupt:
            progress.stop()
            return _cancel_all(engine, jobs)


def carry_reimport(
    settings: Settings, engine: Engine, wanted: JobRequest, *, title: str
) -> list[Job]:
    """The jobs of all streams that a reimport takes, once each has ended; empty: nothing fits."""
    from cli.bootstrap import open_counter
    from models.store.database.session import transaction
    from models.store.jobs.reimport_store import choose_requests, create_reimport, list_children
    from worker.job_queue import knock_all, utc_now

    with transaction(engine, write=False) as session:
        if next(choose_requests(session, wanted), None) is None:
            return []
    with (
        ctrl_c_from_sigterm(),
        open_progress(title, jobs=1) as progress,
        open_counter(settings, engine) as app,
    ):
        with transaction(engine) as session:
            most = settings.max_tags_ceiling
            whole, children = create_reimport(session, wanted, now=utc_now(), max_tags=most)
        try:
            knock_all(engine, app, children)
            _wait(settings, engine, app, whole, progress.watcher(0))
        except KeyboardInterrupt:
            progress.stop()
            _cancel_all(engine, [whole])
    with transaction(engine, write=False) as session:
        return list_children(session, whole)


def _wait(settings: Settings, engine: Engine, app: Celery, job: Job, watch: Watcher) -> Job:
    """The job once it has ended. Embedded, nobody else sweeps up what fell meanwhile."""
    from worker.job_queue import wait_for

    if not settings.embedded:
        return wait_for(engine, job.id, within=PATIENCE, watch=watch)
    from scheduler.reaper import sweep_jobs

    between = settings.sweep_interval.total_seconds()
    while not (job := wait_for(engine, job.id, within=between, watch=watch)).state.is_final:
        sweep_jobs(engine, app, settings)
    return job


def _cancel_all(engine: Engine, jobs: Sequence[Job]) -> list[Job]:
    """Ask each to stop and wait until its worker has; a second ctrl-C leaves at once."""
    from worker.job_queue import cancel, wait_for

    say("cancelling …")
    for job in jobs:
        cancel(engine, job.id)
    ended = [wait_for(engine, job.id, within=CANCEL_PATIENCE) for job in jobs]
    for job in ended:
        if not job.state.is_final:
            say(f"job {job.id} has not stopped yet; see `tagstream get jobs {job.id}`")
    return ended


@contextmanager
def ctrl_c_from_sigterm() -> Iterator[None]:
    """Treat SIGTERM as ctrl-C, so that a stopped command leaves no running job behind."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Bar:
    """A live bar on a terminal. Many jobs are counted, one shows its targets."""

    def __init__(self, progress: Progress, task: TaskID, title: str, *, jobs: int) -> None:
        self._progress = progress
        self._task = task
        self._title = title
        self._jobs = jobs

    def watcher(self, place: int) -> Watcher:
        def watch(job: Job) -> None:
            if self._jobs > 1:
                self._progress.update(self._task, completed=place + job.state.is_final)
            else:
                self._progress.update(
                    self._task,
                    completed=job.done,
                    total=job.total or None,
                    description=self._title + _failures(job),
                )

        return watch

    def stop(self) -> None:
        self._progress.stop()


class _Lines:
    """Plain lines on a pipe: what begins, and now and then how far it is."""

    def __init__(self, title: str, *, jobs: int, clock: Callable[[], float]) -> None:
        self._jobs = jobs
        self._clock = clock
        self._said = clock()
        say(f"{title} …")

    def watcher(self, place: int) -> Watcher:
        def watch(job: Job) -> None:
            if job.state.is_final or self._clock() - self._said < LINE_EVERY:
                return
            self._said = self._clock()
            done, total = (place, self._jobs) if self._jobs > 1 else (job.done, job.total)
            say(f"{done:,} of {total or '?'} done{_failures(job)}")

        return watch

    def stop(self) -> None:
        return


def _failures(job: Job) -> str:
    """How many parts of a reimport failed so far."""
    failed = job.result.jobs_failed
    return f", {failed:,} failed" if failed else ""


@contextmanager
def open_progress(title: str, *, jobs: int) -> Iterator[_Bar | _Lines]:
    """How the work is shown while the block lasts."""
    talk = console(talk=True)
    if not talk.is_terminal:
        yield _Lines(title, jobs=jobs, clock=time.monotonic)
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
    with Progress(*columns, console=talk, transient=True) as progress:
        title = clean(title)
        task = progress.add_task(title, total=jobs if jobs > 1 else None)
        yield _Bar(progress, task, title, jobs=jobs)
