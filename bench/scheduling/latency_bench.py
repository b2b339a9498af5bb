"""How soon a tag that has moved is noticed: real docker-registry, beat, Redis, a worker.

The tag moves right before its turn comes. The seconds run from the turn to the moment at which the
new image can be read from the stream's history.
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

from bench.bench_environment import Databases, Publisher, open_plain_registry
from bench.bench_report import Table
from bench.importing import corpus_documents
from bench.scheduling.role_processes import Roles
from cli.import_request import Wish, build_request
from models.config.settings import Settings
from models.store.database.session import transaction
from models.store.tables.schedule import ScheduleRow
from models.store.tables.streams import EventRow
from worker.celery_app import build_app
from worker.job_queue import enqueue, moment

TRIES = 20
MOST_SECONDS = 10.0
PATIENCE = 60.0


def measure_noticed(table: Table, databases: Databases, home: Path, *, tries: int = TRIES) -> None:
    place = home / "noticed"
    place.mkdir()
    with open_plain_registry() as registry:
        host = f"127.0.0.1:{registry.port}"
        asyncio.run(_publish(registry.url, 0))
        with Roles(databases.make(), place, [host]) as roles:
            settings = Settings(
                database_url=roles.variables["TAGSTREAM_DATABASE_URL"],
                broker_url=roles.variables["TAGSTREAM_BROKER_URL"],
            )
            app = build_app(settings)
            wish = Wish(f"{host}/moving:now", scheduled=True)
            enqueue(roles.engine, app, build_request(wish, user="bench"))
            _wait(roles, _published(0))
            roles.start_beat()
            time.sleep(4)
            dice = random.Random(5)
            delays = []
            for number in range(1, tries + 1):
                asyncio.run(_publish(registry.url, number))
                due = moment() + timedelta(seconds=dice.random())
                _let_come_due(roles.engine, due)
                delays.append((_wait(roles, _published(number)) - due).total_seconds())
            app.close()
    name = f"a tag that moved, noticed and imported ({tries} times)"
    table.add(f"{name}: median", statistics.median(delays), "s")
    table.add(f"{name}: least", min(delays), "s")
    table.add(f"{name}: most", max(delays), "s", most=MOST_SECONDS)


def _let_come_due(engine: Engine, due: datetime) -> None:
    with transaction(engine) as session:
        session.execute(update(ScheduleRow).values(due=due, next_look=due, fresh=False))


def _wait(roles: Roles, image: str) -> datetime:
    """The moment at which that image was there to be seen."""
    asked = select(EventRow.image).order_by(EventRow.id.desc()).limit(1)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with transaction(roles.engine, write=False) as session:
            if session.scalar(asked) == image:
                return moment()
        roles.check()
        time.sleep(0.02)
    raise SystemExit(f"bench: a tag that moved is not noticed\n{roles.output[-3000:]}")


def _content(number: int) -> tuple[bytes, bytes]:
    config = corpus_documents.make_config("amd64", f"moving {number}")
    return config, corpus_documents.make_manifest(config, number)


def _published(number: int) -> str:
    return corpus_documents.digest_of(_content(number)[1])


async def _publish(url: str, number: int) -> None:
    config, content = _content(number)
    async with aiohttp.ClientSession(trust_env=False) as session:
        publisher = Publisher(url, session)
        await asyncio.gather(
            *(
                publisher.blob("moving", corpus_documents.layer(each))
                for each in range(corpus_documents.LAYER_NAMES)
            )
        )
        await publisher.blob("moving", config)
        await publisher.manifest("moving", "now", content, corpus_documents.MANIFEST)
