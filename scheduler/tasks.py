"""Tick: claim what is due. Sweep: knock again for what was lost, reclaim what was dropped."""

from __future__ import annotations

from celery import Task, shared_task

from scheduler.sweep import sweep_jobs
from scheduler.tick import tick as tick_once
from worker.app import SWEEP_TASK, TICK_TASK
from worker.runtime import runtime_of


@shared_task(name=SWEEP_TASK, bind=True)
def sweep(self: Task) -> None:
    """Any number of sweeps at once is harmless."""
    runtime = runtime_of(self.app)
    sweep_jobs(runtime.engine, self.app, runtime.settings)


@shared_task(name=TICK_TASK, bind=True)
def tick(self: Task) -> None:
    """Any number of ticks at once is harmless."""
    runtime = runtime_of(self.app)
    runtime.refresh()
    tick_once(runtime.engine, self.app, runtime.settings, policies=runtime.live.policies)
