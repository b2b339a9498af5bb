"""A day of a scheduled tag that does not change, as its registry sees it.

The tag is an index of eight platforms. Each turn is let come at once; that the clock would have
taken until then is added up, until a day is over.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import Engine, select, update

from bench.bench_environment import Databases
from bench.bench_report import Table
from bench.importing import corpus_documents
from cli.import_request import Wish, build_request
from models.config.import_config import build_cadence
from models.config.settings import Settings
from models.store.database.session import open_engine, transaction, upgrade
from models.store.jobs.job_store import create_job
from models.store.tables.schedule import ScheduleRow
from models.telemetry.log_setup import configure_logs
from scheduler.dispatch import Rules, claim_round
from scheduler.pacing import Pace
from tests.fakeregistry.server import FakeRegistry
from worker.checks.check_batch import run_checks
from worker.imports.importer import run_import
from worker.job_queue import moment, utc_now
from worker.worker_context import Runtime, open_runtime

DAY = timedelta(hours=24)
TURNS = 96
ORIGINAL = TURNS * (1 + 8)


def measure_day(table: Table, databases: Databases, home: Path) -> None:
    configure_logs("ERROR", "console", quiet=False)
    with FakeRegistry() as registry:
        _push(registry)
        url = databases.make()
        place = home / "day"
        place.mkdir()
        settings = Settings(data_dir=place, database_url=SecretStr(url))
        engine = open_engine(settings.effective_database_url)
        upgrade(engine)
        with open_runtime(settings, engine=engine) as runtime:
            _import(runtime, f"{registry.host}/team/app:latest")
            registry.forget_requests()
            turns = _pass_a_day(runtime)
        kinds = Counter(line.partition(" ")[0] for line in registry.requests)
    name = "a day of an unchanged tag of 8 platforms"
    table.add(f"{name}: turns", turns)
    table.add(f"{name}: HEAD requests", kinds.pop("HEAD", 0), most=TURNS + 2)
    table.add(f"{name}: other requests", sum(kinds.values()), most=0)
    table.add(f"{name}: the original's GETs of manifests, derived", ORIGINAL)


def _pass_a_day(runtime: Runtime) -> int:
    """The turns that a day has, which begins between two of them."""
    passed, turns = timedelta(seconds=runtime.cadence.default / 2), 0
    while passed < DAY:
        due = _come_due(runtime.engine)
        _turn(runtime)
        turns += 1
        passed += _due(runtime.engine) - due
    return turns


def _turn(runtime: Runtime) -> None:
    settings = runtime.settings
    rules = Rules(build_cadence(settings), settings.check_lease, lambda _host: Pace())
    with transaction(runtime.engine) as session:
        batch, batches, _ = claim_round(session, rules, now=moment())
    for ids in batches:
        run_checks(batch, ids, runtime)


def _come_due(engine: Engine) -> datetime:
    due = moment() - timedelta(milliseconds=10)
    with transaction(engine) as session:
        session.execute(update(ScheduleRow).values(due=due, next_look=due, fresh=False))
    return due


def _due(engine: Engine) -> datetime:
    with transaction(engine, write=False) as session:
        due = session.scalar(select(ScheduleRow.due))
    assert due is not None
    return due


def _import(runtime: Runtime, reference: str) -> None:
    wish = Wish(reference, scheduled=True, import_mode="PreserveOriginal")
    with transaction(runtime.engine) as session:
        job = create_job(session, build_request(wish, user="bench"), now=utc_now())
    run_import(job.id, runtime)


def _push(registry: FakeRegistry) -> None:
    entries = []
    for number, platform in enumerate(corpus_documents.PLATFORMS):
        config = corpus_documents.make_config(platform[0], f"day {number}", platform[1])
        content = corpus_documents.make_manifest(config, number)
        registry.push(
            "team/app", manifest=content, media_type=corpus_documents.MANIFEST, config=config
        )
        entries.append(corpus_documents.descriptor(content, platform))
    index = {"schemaVersion": 2, "mediaType": corpus_documents.INDEX, "manifests": entries}
    content = json.dumps(index).encode()
    registry.push("team/app", tag="latest", manifest=content, media_type=corpus_documents.INDEX)
