"""A store of the previous version, upgraded by the command, answers as it did before.

`tests/previous` holds a dump of each database and the answers that the previous version's API gave
for it. In image.openshift.io/v1 and the core kinds nothing differs, in sync.tagstream.io/v1 only
what the CHANGELOG renames (`renamed_fields`).
"""

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from celery import Celery
from sqlalchemy import inspect, text

from models.config.settings import Settings
from models.job_types import JobState
from models.store.database.session import open_engine, transaction
from models.store.jobs.job_queries import list_abandoned_jobs, list_jobs
from models.store.jobs.job_store import create_job
from models.store.tables.all_tables import METADATA
from scheduler.reaper import sweep_jobs
from tests.api_test_server import ApiTestServer
from tests.integration.store import renamed_fields

PREVIOUS = Path(__file__).parents[2] / "previous"
ANSWERS = json.loads((PREVIOUS / "answers.json").read_text())
SYNC = "/apis/sync.tagstream.io/"
TAGSTREAM = Path(sys.executable).with_name("tagstream")
# Requests that select jobs by state have a test of their own: their state may be another one now.
STATE_SELECTOR = "fieldSelector=status.state%3D"
COMPARED = [each for each in ANSWERS["requests"] if STATE_SELECTOR not in each["path"]]


DATABASES = ("sqlite", "postgresql")


def upgrade_previous_store(database, home, request):
    """Load the dump, run the command, and return the database URL (None: SQLite in `home`)."""
    url = None
    (home / "keys").mkdir()
    (home / "keys/secrets.key").write_text((PREVIOUS / "key").read_text())
    (home / "keys/secrets.key").chmod(0o600)
    if database == "sqlite":
        with contextlib.closing(sqlite3.connect(home / "tagstream.db")) as connection:
            connection.executescript((PREVIOUS / "sqlite.sql").read_text())
    else:
        postgres = request.getfixturevalue("postgres_server")
        url = postgres.url(postgres.create_database())
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute((PREVIOUS / "postgresql.sql").read_text())
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TAGSTREAM")}
    environment["TAGSTREAM_DATA_DIR"] = str(home)
    if url is not None:
        environment["TAGSTREAM_DATABASE_URL"] = url
    command = [TAGSTREAM, "db", "upgrade"]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert process.returncode == 0, process.stderr
    return url


@pytest.fixture(scope="module", params=DATABASES)
def server(request, tmp_path_factory):
    """An API server on an upgraded store, for tests that only read."""
    home = tmp_path_factory.mktemp("previous")
    url = upgrade_previous_store(request.param, home, request)
    with ApiTestServer(home, url) as opened:
        yield opened


@pytest.fixture(params=DATABASES)
def engine(request, tmp_path):
    """An engine on an upgraded store of the test's own."""
    url = upgrade_previous_store(request.param, tmp_path, request)
    engine = open_engine(Settings(data_dir=tmp_path, database_url=url).effective_database_url)
    yield engine
    engine.dispose()


def test_upgraded_schema_is_the_schema_of_the_models(engine):
    found = inspect(engine)
    assert set(found.get_table_names()) == {*METADATA.tables, "alembic_version"}
    for name, table in METADATA.tables.items():
        assert {each["name"] for each in found.get_columns(name)} == set(table.columns.keys())


@pytest.mark.parametrize("previous", COMPARED, ids=[str(n) for n in range(len(COMPARED))])
def test_upgraded_store_answers_as_before(server, previous):
    path = _renamed_path(previous["path"])
    found = _get(server, path, previous.get("accept"))
    assert found.status_code == previous["status"], found.text
    is_sync = previous["path"].startswith(SYNC)
    old = previous["lines"] if "lines" in previous else [previous["body"]]
    new = [json.loads(line) for line in found.text.splitlines()]
    if is_sync:
        old = [_renamed(each) for each in old]
        new = [_comparable(each, path) for each in new]
    expected, shown = map(_without_ignored, (old, new))
    assert shown == expected
    if not is_sync:  # also the order of fields, which is part of the text
        assert json.dumps(shown) == json.dumps(expected)


@pytest.mark.parametrize("state", ["Queued", "Running", "Succeeded", "Failed", "Cancelled"])
def test_upgraded_jobs_are_selected_by_their_new_state(server, state):
    path = f"{SYNC}v1/importjobs"
    every = server.admin.get(path).json()["items"]
    query = {"fieldSelector": f"status.state={state}"}
    found = server.admin.get(path, params=query).json()["items"]
    assert found == [each for each in every if each["status"]["state"] == state]
    assert found


def test_upgraded_jobs_without_an_imported_tag_are_failed(server):
    found = server.admin.get(f"{SYNC}v1/importjobs").json()["items"]
    for status in (each["status"] for each in found):
        imported = sum(status.get(f"tags{each}", 0) for each in ("New", "Updated", "Unchanged"))
        if status.get("tagsFailed") and not imported and status.get("completionTime"):
            assert status["state"] in {"Failed", "Cancelled"}
            assert [each["type"] for each in status["conditions"]] == ["Failed"]


class _Broker:
    """A Celery application that records the messages."""

    def __init__(self):
        self.sent = []

    def send_task(self, name, *, args, queue, **_options):
        self.sent.append((name, args[0], queue))

    def connection_for_write(self):
        return Celery(broker="memory://").connection_for_write()


def test_reaper_publishes_queued_jobs_of_an_upgraded_store(engine):
    with transaction(engine, write=False) as session:
        queued = list_jobs(session, state=JobState.QUEUED, limit=1000)
        now = max(job.created for job in queued) + timedelta(minutes=1)
        lost = list_abandoned_jobs(session, now=now, published_before=now, limit=1000)
    waiting = {str(job.id) for job in queued if job.request.selector is None}
    assert waiting
    assert waiting <= {str(job.id) for job in lost}
    broker = _Broker()
    sweep_jobs(engine, broker, Settings())
    queues = {str(job.id): job.request.priority.value for job in queued}
    published = {job: (name, queue) for name, job, queue in broker.sent if job in waiting}
    assert published == {job: ("tagstream.import", queues[job]) for job in waiting}


def test_equal_job_of_an_upgraded_store_still_serves_both(engine):
    with engine.connect() as connection:
        query = text("SELECT id FROM jobs WHERE state = 'queued' AND dedupe_key IS NOT NULL")
        ids = {str(row.id).replace("-", "") for row in connection.execute(query)}
    with transaction(engine) as session:
        jobs = list_jobs(session, state=JobState.QUEUED, limit=1000)
        coalescing = [job for job in jobs if job.id.hex in ids]
        for job in coalescing:
            again = create_job(session, job.request, now=datetime.now(UTC).replace(microsecond=0))
            assert again.id == job.id


def _get(server, path, accept):
    headers = {"Authorization": f"Bearer {ANSWERS['token']}"}
    headers |= {} if accept is None else {"Accept": accept}
    return server.admin.get(path, headers=headers)


def _renamed_path(path):
    if not path.startswith(SYNC):
        return path
    for old, new in renamed_fields.SELECTORS.items():
        encoded = f"={old.replace('=', '%3D')}"
        if path.endswith(encoded) or f"{encoded}&" in path:
            return path.replace(encoded, f"={new.replace('=', '%3D')}")
    return path


def _renamed(answer):
    if answer.get("kind") == "Status":
        return answer
    return renamed_fields.rename(answer)


def _comparable(answer, path):
    """The new answer; of a Table only what can be derived from the old one."""
    if "object" in answer and "type" in answer:
        return {**answer, "object": _comparable(answer["object"], path)}
    if answer.get("kind") != "Table":
        return answer
    return renamed_fields.comparable_table(answer, schedule="scheduledtags" in path)


def _without_ignored(value):
    """The value without what depends on the clock."""
    if isinstance(value, list):
        return [_without_ignored(each) for each in value]
    if not isinstance(value, dict):
        return value
    if value.get("kind") == "Table" and value.get("columnDefinitions"):
        names = [column["name"] for column in value["columnDefinitions"]]
        compared = [i for i, name in enumerate(names) if name not in ANSWERS["ignore"]["columns"]]
        value = {**value, "columnDefinitions": None}
        rows = [{**row, "cells": [row["cells"][i] for i in compared]} for row in value["rows"]]
        value["rows"] = rows
    ignored = {*ANSWERS["ignore"]["keys"], "lateness", "columnDefinitions"}
    return {key: _without_ignored(each) for key, each in value.items() if key not in ignored}
