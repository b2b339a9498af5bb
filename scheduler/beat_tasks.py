"""Tick: claim what is due. Sweep: knock again for what was lost, reclaim what was dropped."""

from __future__ import annotations

from celery import Celery, Task, shared_task

from scheduler.dispatch import tick as tick_once
from scheduler.embedded_scheduler import attempt
from scheduler.reaper import sweep_jobs
from worker.celery_app import SWEEP_TASK, TICK_TASK
from worker.worker_context import runtime_of


@shared_task(name=SWEEP_TASK, bind=True)
def sweep(self: Task) -> None:
    """Any number of sweeps at once is harmless."""
    attempt("sweep.failed", lambda: _sweep(self.app))


@shared_task(name=TICK_TASK, bind=True)
def tick(self: Task) -> None:
    """Any number of ticks at once is harmless."""
    attempt("tick.failed", lambda: _tick(self.app))


def _sweep(app: Celery) -> None:
    runtime = runtime_of(app)
    runtime.refresh()
    sweep_jobs(runtime.engine, app, runtime.settings, policies=runtime.live.policies)


def _tick(app: Celery) -> None:
    runtime = runtime_of(app)
    runtime.refresh()
    tick_once(runtime.engine, app, runtime.settings, policies=runtime.live.policies)
