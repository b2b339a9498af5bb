"""Imports in a process of their own, so that its time and memory are nobody else's.

    python -m bench.importing.import_runner DATABASE_URL REFERENCE... [--times 1]

Each reference is a whole repository, imported with all platforms into a stream of its name. The
work is the worker's own, from the job's row to the committed transaction. Prints, as JSON, one
record for each import.
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

from cli.import_request import Wish, build_request
from models.config.settings import Settings
from models.job_types import Lane
from models.store.database.session import open_engine, transaction, upgrade
from models.store.jobs.job_store import create_job
from models.telemetry.log_setup import configure_logs
from worker.celery_app import build_app
from worker.imports.importer import run_import
from worker.job_queue import read_job, utc_now
from worker.worker_context import Runtime, open_runtime

WRITES = ("INSERT", "UPDATE", "DELETE")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("database")
    parser.add_argument("references", nargs="+")
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--in-flight", type=int, default=16)
    chosen = parser.parse_args()
    configure_logs("ERROR", "console", quiet=False)
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(
            data_dir=Path(home),
            database_url=SecretStr(chosen.database),
            registry_concurrency=chosen.in_flight,
        )
        build_app(settings)  # a worker has Celery in memory
        engine = open_engine(settings.effective_database_url)
        upgrade(engine)
        with open_runtime(settings, engine=engine) as runtime:
            records = [
                run(runtime, reference)
                for reference in chosen.references
                for _ in range(chosen.times)
            ]
    print(json.dumps(records))


def run(runtime: Runtime, reference: str) -> dict[str, object]:
    stream = reference.rpartition("/")[2]
    wish = Wish(reference, to=stream, whole=True, import_mode="PreserveOriginal")
    request = build_request(wish, user="bench")
    assert request.lane is Lane.BULK
    with transaction(runtime.engine) as session:
        job = create_job(session, request, now=utc_now())
    sent, spent = runtime.client.exchange.sent, time.process_time()
    writes, stop = count_writes(runtime)
    began = time.perf_counter()
    run_import(job.id, runtime)
    wall, cpu = time.perf_counter() - began, time.process_time() - spent
    stop()
    job = read_job(runtime.engine, job.id)
    assert job.result.error is None, job.result.error
    assert job.result.listing is None, job.result.listing
    assert job.result.failed == 0, job.result
    gc.collect()
    return {
        "wall": wall,
        "cpu": cpu,
        "requests": runtime.client.exchange.sent - sent,
        "imported": job.result.imported,
        "changed": job.result.changed,
        "writes": dict(writes),
        "peak": read_status("VmHWM"),
        "resident": read_status("VmRSS"),
    }


def count_writes(runtime: Runtime) -> tuple[Counter[str], Callable[[], None]]:
    """Statements that change a table, by table, until the second value is called."""
    found: Counter[str] = Counter()

    def note(_connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        words = statement.split(maxsplit=3)
        if words[0] in WRITES:
            table = words[1] if words[0] == "UPDATE" else words[2]
            found[table.partition("(")[0]] += 1

    event.listen(runtime.engine, "before_cursor_execute", note)
    return found, lambda: event.remove(runtime.engine, "before_cursor_execute", note)


def read_status(name: str) -> float:
    """MiB, by the kernel's account of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    raise LookupError(name)


if __name__ == "__main__":
    main()
