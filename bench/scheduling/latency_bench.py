"""Measures how soon an updated tag is detected: docker-registry, beat, Redis, a worker.

The tag is updated right before its due time. The seconds count from the due time until the new
image can be read from the stream's history.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from datetime import datetime, timedelta
from pathlib import Path

import aiohttp
from sqlalchemy import Engine, select, update

from bench.bench_environment import CorpusPublisher, DatabaseFactory, open_empty_registry
from bench.bench_report import ResultTable
from bench.importing import corpus_documents
from bench.scheduling.role_processes import RoleProcesses
from cli.import_request import ImportOptions, build_job_request
from models.config.settings import Settings
from models.store.database.session import transaction
from models.store.tables.schedule import ScheduledTagRow
from models.store.tables.streams import TagEventRow
from worker.celery_app import build_celery_app
from worker.job_queue import enqueue, precise_utc_now

DETECTION_SAMPLES = 20
MAX_DETECTION_SECONDS = 10.0
DETECTION_TIMEOUT_SECONDS = 60.0


def measure_detection_latency(
    table: ResultTable,
    databases: DatabaseFactory,
    work_dir: Path,
    *,
    samples: int = DETECTION_SAMPLES,
) -> None:
    """Measure the seconds from the due time of an updated tag to its event."""
    run_dir = work_dir / "latency"
    run_dir.mkdir()
    with open_empty_registry() as registry:
        host = f"127.0.0.1:{registry.port}"
        asyncio.run(_publish_image(registry.url, 0))
        with RoleProcesses(databases.create(), run_dir, [host]) as roles:
            settings = Settings(
                database_url=roles.variables["TAGSTREAM_DATABASE_URL"],
                broker_url=roles.variables["TAGSTREAM_BROKER_URL"],
            )
            app = build_celery_app(settings)
            desired = ImportOptions(f"{host}/updated:latest", scheduled=True)
            enqueue(roles.engine, app, build_job_request(desired, user="bench"))
            _wait_for_image(roles, _published_digest(0))
            roles.start_beat()
            time.sleep(4)
            rng = random.Random(5)
            latencies = []
            for number in range(1, samples + 1):
                asyncio.run(_publish_image(registry.url, number))
                due_time = precise_utc_now() + timedelta(seconds=rng.random())
                _set_due_time(roles.engine, due_time)
                latencies.append(
                    (_wait_for_image(roles, _published_digest(number)) - due_time).total_seconds()
                )
            app.close()
    name = f"an updated tag, detected and imported ({samples} times)"
    table.add(f"{name}: median", statistics.median(latencies), "s")
    table.add(f"{name}: minimum", min(latencies), "s")
    table.add(f"{name}: maximum", max(latencies), "s", most=MAX_DETECTION_SECONDS)


def _set_due_time(engine: Engine, due_time: datetime) -> None:
    with transaction(engine) as session:
        session.execute(
            update(ScheduledTagRow).values(
                due_at=due_time, next_check_at=due_time, needs_due_time=False
            )
        )


def _wait_for_image(roles: RoleProcesses, image: str) -> datetime:
    """Wait until the newest event has that image and return when it was seen."""
    query = select(TagEventRow.image).order_by(TagEventRow.id.desc()).limit(1)
    deadline = time.monotonic() + DETECTION_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        with transaction(roles.engine, write=False) as session:
            if session.scalar(query) == image:
                return precise_utc_now()
        roles.check_alive()
        time.sleep(0.02)
    raise SystemExit(f"bench: an updated tag is not detected\n{roles.output[-3000:]}")


def _config_and_manifest(number: int) -> tuple[bytes, bytes]:
    config = corpus_documents.make_config("amd64", f"updated {number}")
    return config, corpus_documents.make_manifest(config, number)


def _published_digest(number: int) -> str:
    return corpus_documents.digest_of(_config_and_manifest(number)[1])


async def _publish_image(url: str, number: int) -> None:
    config, content = _config_and_manifest(number)
    async with aiohttp.ClientSession(trust_env=False) as session:
        publisher = CorpusPublisher(url, session)
        await asyncio.gather(
            *(
                publisher.push_blob("updated", corpus_documents.layer_content(each))
                for each in range(corpus_documents.DISTINCT_LAYERS)
            )
        )
        await publisher.push_blob("updated", config)
        await publisher.push_manifest("updated", "latest", content, corpus_documents.MANIFEST)
