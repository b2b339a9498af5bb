"""Runs imports in a process of their own, so that time and memory of that process are the imports'.

    python -m bench.importing.import_runner DATABASE_URL REFERENCE... [--times 1]

Each reference is a whole repository, imported with all platforms into a stream of its name. The
code is that of the worker, from the job's row to the committed transaction. Prints one record for
each import, as JSON.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import Connection, event

from cli.import_request import ImportOptions, build_job_request
from models.config.settings import Settings
from models.job_types import Priority
from models.store.database.session import open_engine, transaction, upgrade_database
from models.store.jobs.job_store import create_job
from models.telemetry.log_setup import configure_logging
from worker.celery_app import build_celery_app
from worker.imports.importer import run_import
from worker.job_queue import load_existing_job, utc_now
from worker.worker_context import WorkerContext, open_worker_context

WRITE_STATEMENTS = ("INSERT", "UPDATE", "DELETE")


def main() -> None:
    """Run the imports of the command line and print their records."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("database")
    parser.add_argument("references", nargs="+")
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--in-flight", type=int, default=16)
    args = parser.parse_args()
    configure_logging("ERROR", "console", quiet=False)
    with tempfile.TemporaryDirectory() as data_dir:
        settings = Settings(
            data_dir=Path(data_dir),
            database_url=SecretStr(args.database),
            registry_concurrency=args.in_flight,
        )
        build_celery_app(settings)  # a worker has Celery in memory, so this process has it too
        engine = open_engine(settings.effective_database_url)
        upgrade_database(engine)
        with open_worker_context(settings, engine=engine) as context:
            records = [
                run_one(context, reference)
                for reference in args.references
                for _ in range(args.times)
            ]
    print(json.dumps(records))


def run_one(context: WorkerContext, reference: str) -> dict[str, object]:
    """Run one import and return its measures: seconds, requests, writes by table, memory in MiB."""
    stream = reference.rpartition("/")[2]
    desired = ImportOptions(reference, to=stream, all_tags=True, import_mode="PreserveOriginal")
    request = build_job_request(desired, user="bench")
    assert request.priority is Priority.BULK
    with transaction(context.engine) as session:
        job = create_job(session, request, now=utc_now())
    sent, spent = context.client.exchange.sent_count, time.process_time()
    writes, stop_counting = count_writes(context)
    started = time.perf_counter()
    run_import(job.id, context)
    wall, cpu = time.perf_counter() - started, time.process_time() - spent
    stop_counting()
    job = load_existing_job(context.engine, job.id)
    assert job.result.error is None, job.result.error
    assert job.result.listing is None, job.result.listing
    assert job.result.tags_failed == 0, job.result
    gc.collect()
    return {
        "wall": wall,
        "cpu": cpu,
        "requests": context.client.exchange.sent_count - sent,
        "imported": job.result.tags_imported,
        "changed": job.result.tags_changed,
        "writes": dict(writes),
        "peak": read_process_status("VmHWM"),
        "resident": read_process_status("VmRSS"),
    }


def count_writes(context: WorkerContext) -> tuple[Counter[str], Callable[[], None]]:
    """Count writing statements by table, until the returned function is called."""
    counts: Counter[str] = Counter()

    def count_statement(
        _connection: Connection, _cursor: object, statement: str, *_: object
    ) -> None:
        tokens = statement.split(maxsplit=3)
        if tokens[0] in WRITE_STATEMENTS:
            table = tokens[1] if tokens[0] == "UPDATE" else tokens[2]
            counts[table.partition("(")[0]] += 1

    event.listen(context.engine, "before_cursor_execute", count_statement)
    return counts, lambda: event.remove(context.engine, "before_cursor_execute", count_statement)


def read_process_status(name: str) -> float:
    """Return a memory figure of this process in MiB, from /proc/self/status."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    raise LookupError(name)


if __name__ == "__main__":
    main()
