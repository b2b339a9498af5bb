"""Counts the requests of a day for a scheduled tag that does not change.

The tag is an index of eight platforms. Each check is made due at once; the time that the scheduler
would have waited is added up until it makes a day.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import Engine, select, update

from bench.bench_environment import DatabaseFactory
from bench.bench_report import ResultTable
from bench.importing import corpus_documents
from cli.import_request import ImportOptions, build_job_request
from models.config.import_config import build_cadence
from models.config.settings import Settings
from models.store.database.session import open_engine, transaction, upgrade_database
from models.store.jobs.job_store import create_job
from models.store.tables.schedule import ScheduledTagRow
from models.telemetry.log_setup import configure_logging
from scheduler.dispatch import DispatchConfig, claim_round
from scheduler.pacing import CheckRatePolicy
from tests.fakeregistry.server import FakeRegistry
from worker.checks.check_batch import run_checks
from worker.imports.importer import run_import
from worker.job_queue import precise_utc_now, utc_now
from worker.worker_context import WorkerContext, open_worker_context

DAY = timedelta(hours=24)
CHECKS_PER_DAY = 96
# OpenShift's importer fetches the index and its 8 children every time; derived from its code.
OPENSHIFT_REQUESTS = CHECKS_PER_DAY * (1 + 8)


def measure_day(table: ResultTable, databases: DatabaseFactory, work_dir: Path) -> None:
    """Measure the requests that the registry receives within a simulated day."""
    configure_logging("ERROR", "console", quiet=False)
    with FakeRegistry() as registry:
        _push_index(registry)
        url = databases.create()
        run_dir = work_dir / "day"
        run_dir.mkdir()
        settings = Settings(data_dir=run_dir, database_url=SecretStr(url))
        engine = open_engine(settings.effective_database_url)
        upgrade_database(engine)
        with open_worker_context(settings, engine=engine) as context:
            _import_tag(context, f"{registry.host}/team/app:latest")
            registry.forget_requests()
            check_count = _simulate_day(context)
        kinds = Counter(line.partition(" ")[0] for line in registry.requests)
    name = "a day of an unchanged tag of 8 platforms"
    table.add(f"{name}: checks", check_count)
    table.add(f"{name}: HEAD requests", kinds.pop("HEAD", 0), most=CHECKS_PER_DAY + 2)
    table.add(f"{name}: other requests", sum(kinds.values()), most=0)
    table.add(f"{name}: OpenShift's GETs of manifests, derived", OPENSHIFT_REQUESTS)


def _simulate_day(context: WorkerContext) -> int:
    """Run and count the checks of a day, which starts midway between two of them."""
    elapsed, check_count = timedelta(seconds=context.cadence.default / 2), 0
    while elapsed < DAY:
        due_time = _make_due(context.engine)
        _run_check(context)
        check_count += 1
        elapsed += _load_due_time(context.engine) - due_time
    return check_count


def _run_check(context: WorkerContext) -> None:
    settings = context.settings
    rules = DispatchConfig(
        build_cadence(settings), settings.check_lease, lambda _host: CheckRatePolicy()
    )
    with transaction(context.engine) as session:
        claim_id, batches, _ = claim_round(session, rules, now=precise_utc_now())
    for row_ids in batches:
        run_checks(claim_id, row_ids, context)


def _make_due(engine: Engine) -> datetime:
    due_time = precise_utc_now() - timedelta(milliseconds=10)
    with transaction(engine) as session:
        session.execute(
            update(ScheduledTagRow).values(
                due_at=due_time, next_check_at=due_time, needs_due_time=False
            )
        )
    return due_time


def _load_due_time(engine: Engine) -> datetime:
    with transaction(engine, write=False) as session:
        due_time = session.scalar(select(ScheduledTagRow.due_at))
    assert due_time is not None
    return due_time


def _import_tag(context: WorkerContext, reference: str) -> None:
    desired = ImportOptions(reference, scheduled=True, import_mode="PreserveOriginal")
    with transaction(context.engine) as session:
        job = create_job(session, build_job_request(desired, user="bench"), now=utc_now())
    run_import(job.id, context)


def _push_index(registry: FakeRegistry) -> None:
    entries = []
    for number, platform in enumerate(corpus_documents.PLATFORMS):
        config = corpus_documents.make_config(platform[0], f"day {number}", platform[1])
        content = corpus_documents.make_manifest(config, number)
        registry.push(
            "team/app", manifest=content, media_type=corpus_documents.MANIFEST, config=config
        )
        entries.append(corpus_documents.manifest_descriptor(content, platform))
    index = {"schemaVersion": 2, "mediaType": corpus_documents.INDEX, "manifests": entries}
    content = json.dumps(index).encode()
    registry.push("team/app", tag="latest", manifest=content, media_type=corpus_documents.INDEX)
