"""Celery tasks, three lines each."""

from __future__ import annotations

from uuid import UUID

from celery import Task, shared_task

from worker.checks.check_batch import run_checks
from worker.imports.importer import run_import
from worker.job_queue import CHECK_TASK, IMPORT_TASK
from worker.worker_context import runtime_of


@shared_task(name=IMPORT_TASK, bind=True)
def import_job(self: Task, job_id: str) -> None:
    """Carry out one job; the row says whether there is anything left to do."""
    runtime = runtime_of(self.app)
    runtime.refresh()
    run_import(UUID(job_id), runtime)


@shared_task(name=CHECK_TASK, bind=True)
def check_tags(self: Task, batch: str, ids: list[int]) -> None:
    """Carry out a batch of scheduled checks; the rows say whether they are still to be done."""
    runtime = runtime_of(self.app)
    runtime.refresh()
    run_checks(UUID(batch), ids, runtime)
