"""The gauges that a scrape reads from the database: scheduled and overdue tags, open jobs."""

from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import insert, select, update

from models.job_types import JobRequest, Priority
from models.resources.imports import ImageStreamImport
from models.resources.stream import ImageStream
from models.store.database import metrics_queries
from models.store.database.session import transaction
from models.store.jobs.job_store import create_job
from models.store.streams.stream_store import save_stream
from models.store.tables.schedule import ScheduledTagRow
from models.store.tables.streams import StreamRow
from models.telemetry.metrics import (
    MAX_OVERDUE_SECONDS,
    OLDEST_JOB_AGE_SECONDS,
    OVERDUE_TAGS,
    SCHEDULED_TAGS,
    UNFINISHED_JOBS,
)
from tests.integration.store.sample_objects import NOW


def read_gauges(engine, now=NOW):
    """Return every value by the gauge's name and its labels."""
    with transaction(engine, write=False) as session:
        found = list(metrics_queries.load_gauges(session, now=now))
    return {(value.gauge.name, *value.labels): value.value for value in found}


@pytest.fixture
def schedule_tag(engine):
    """Schedule a tag: due `ago` seconds ago, with the next check then or in `check_in` seconds."""
    with transaction(engine) as session:
        stream = ImageStream.model_validate({"metadata": {"name": "is", "namespace": "ns"}})
        save_stream(session, None, stream, now=NOW)
        owner = session.scalar(select(StreamRow.id))

    def insert_tag(tag, *, ago, check_in=None, batch=None):
        due_at = NOW - timedelta(seconds=ago)
        row = {
            "stream_id": owner,
            "namespace": "ns",
            "stream": "is",
            "tag": tag,
            "host": "quay.io",
            "key": f"quay.io/a/b {tag}",
            "source": f"quay.io/a/b:{tag}",
            "insecure": False,
            "scheduled": True,
            "suspended": False,
            "needs_due_time": False,
            "due_at": due_at,
            "next_check_at": due_at if check_in is None else NOW + timedelta(seconds=check_in),
            "consecutive_failures": 0,
            "reason": "Unchanged",
            "error_code": "",
            "message": "",
            "wait_seconds": 0,
            "etag": "",
            "batch": batch,
            "worker": "",
        }
        with transaction(engine) as session:
            session.execute(insert(ScheduledTagRow), [row])

    return insert_tag


def test_gauges_of_empty_database_are_zero(engine):
    found = read_gauges(engine)
    assert set(found.values()) == {0}
    assert len([name for name in found if name[0] == UNFINISHED_JOBS.name]) == 6


def test_overdue_tags_include_waiting_deferred_and_claimed_tags(engine, schedule_tag):
    schedule_tag("later", ago=-60)
    assert read_gauges(engine)[OVERDUE_TAGS.name,] == 0
    assert read_gauges(engine)[MAX_OVERDUE_SECONDS.name,] == 0
    schedule_tag("waits", ago=5)
    schedule_tag("put-off", ago=40, check_in=20)
    schedule_tag("held", ago=9, check_in=30, batch=uuid4())
    found = read_gauges(engine)
    assert found[SCHEDULED_TAGS.name,] == 4
    assert found[OVERDUE_TAGS.name,] == 3
    assert found[MAX_OVERDUE_SECONDS.name,] == 40


def test_overdue_tags_count_tag_of_expired_claim_once(engine, schedule_tag):
    schedule_tag("lost", ago=90, check_in=-10, batch=uuid4())
    found = read_gauges(engine)
    assert found[OVERDUE_TAGS.name,] == 1
    assert found[MAX_OVERDUE_SECONDS.name,] == 90


def test_overdue_tags_are_counted_up_to_maximum(engine, schedule_tag, monkeypatch):
    for number in range(5):
        schedule_tag(f"t{number}", ago=number)
    monkeypatch.setattr(metrics_queries, "MAX_COUNTED_TAGS", 3)
    found = read_gauges(engine)
    assert found[OVERDUE_TAGS.name,] == 3
    assert found[MAX_OVERDUE_SECONDS.name,] == 4


def test_overdue_tags_exclude_tag_without_due_time(engine, schedule_tag):
    schedule_tag("resting", ago=5)
    with transaction(engine) as session:
        session.execute(update(ScheduledTagRow).values(due_at=None, next_check_at=None))
    found = read_gauges(engine)
    assert found[SCHEDULED_TAGS.name,] == 1
    assert found[OVERDUE_TAGS.name,] == 0


def test_unfinished_jobs_are_counted_by_state_and_priority_with_oldest_age(engine):
    for name, priority, ago in (
        ("a", Priority.BULK, 30),
        ("b", Priority.BULK, 10),
        ("c", Priority.SCHEDULED, 5),
    ):
        stream_import = ImageStreamImport.model_validate(
            {"metadata": {"name": name, "namespace": "ns"}}
        )
        with transaction(engine) as session:
            request = JobRequest(request=stream_import, priority=priority)
            create_job(session, request, now=NOW - timedelta(seconds=ago))
    found = read_gauges(engine)
    assert found[UNFINISHED_JOBS.name, "queued", "bulk"] == 2
    assert found[UNFINISHED_JOBS.name, "queued", "scheduled"] == 1
    assert found[UNFINISHED_JOBS.name, "running", "bulk"] == 0
    assert found[OLDEST_JOB_AGE_SECONDS.name, "queued"] == 30
    assert found[OLDEST_JOB_AGE_SECONDS.name, "running"] == 0
