"""Sweep: knock again for jobs whose message was lost, reclaim those whose worker died."""

from __future__ import annotations

from celery import Task, shared_task

from scheduler.sweep import sweep_jobs
from worker.app import SWEEP_TASK
from worker.runtime import runtime_of


@shared_task(name=SWEEP_TASK, bind=True)
def sweep(self: Task) -> None:
    """Any number of sweeps at once is harmless."""
    runtime = runtime_of(self.app)
    sweep_jobs(runtime.engine, self.app, runtime.settings)
