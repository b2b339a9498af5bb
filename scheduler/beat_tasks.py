"""The Celery tasks of the scheduler: the tick dispatches due checks, the sweep runs the reaper."""

from __future__ import annotations

from celery import Task, shared_task

from scheduler.dispatch import tick as tick_once
from scheduler.embedded_scheduler import run_logging_errors
from scheduler.reaper import sweep_jobs
from worker.celery_app import TagstreamCelery
from worker.job_queue import SWEEP_TASK, TICK_TASK
from worker.worker_context import worker_context_of


@shared_task(name=SWEEP_TASK, bind=True)
def sweep(self: Task) -> None:
    """Run the reaper once. Any number of sweeps may run at the same time."""
    run_logging_errors("sweep.failed", lambda: _sweep(self.app))


@shared_task(name=TICK_TASK, bind=True)
def tick(self: Task) -> None:
    """Dispatch what is due. Any number of ticks may run at the same time."""
    run_logging_errors("tick.failed", lambda: _tick(self.app))


def _sweep(app: TagstreamCelery) -> None:
    context = worker_context_of(app)
    context.refresh()
    sweep_jobs(context.engine, app, context.settings, policies=context.live_policies.policies)


def _tick(app: TagstreamCelery) -> None:
    context = worker_context_of(app)
    context.refresh()
    tick_once(context.engine, app, context.settings, policies=context.live_policies.policies)
