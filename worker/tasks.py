"""The Celery tasks of a worker: run an import, run a batch of scheduled checks."""

from __future__ import annotations

from uuid import UUID

from celery import Task, shared_task

from worker.checks.check_batch import run_checks
from worker.imports.importer import run_import
from worker.job_queue import CHECK_TASK, IMPORT_TASK
from worker.worker_context import worker_context_of


@shared_task(name=IMPORT_TASK, bind=True)
def import_job(self: Task, job_id: str) -> None:
    """Run one import job; does nothing if its row says that it is done or claimed."""
    context = worker_context_of(self.app)
    context.refresh()
    run_import(UUID(job_id), context)


@shared_task(name=CHECK_TASK, bind=True)
def check_tags(self: Task, batch: str, ids: list[int]) -> None:
    """Run a batch of scheduled checks; skips rows that another worker claimed or settled."""
    context = worker_context_of(self.app)
    context.refresh()
    run_checks(UUID(batch), ids, context)
