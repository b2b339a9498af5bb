"""What a scrape reads of the database: the calendar's length, who waits, and since when."""

from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import insert, select, update

from models.job_types import JobRequest, Lane
from models.resources.imports import ImageStreamImport
from models.resources.stream import ImageStream
from models.store.database import metrics_queries
from models.store.database.session import transaction
from models.store.jobs.job_store import create_job
from models.store.streams.stream_store import save_stream
from models.store.tables.schedule import ScheduleRow
from models.store.tables.streams import StreamRow
from models.telemetry.metrics import JOBS, OLDEST_DUE, OLDEST_JOB, TAGS_PENDING, TAGS_SCHEDULED
from tests.integration.store.things import NOW


def read(engine, now=NOW):
    """Every value by the gauge's name and its labels."""
    with transaction(engine, write=False) as session:
        found = list(metrics_queries.load_gauges(session, now=now))
    return {(value.reading.name, *value.labels): value.number for value in found}


@pytest.fixture
def enter(engine):
    """Puts a tag into the calendar: due so many seconds ago, looked at then or in a while."""
    with transaction(engine) as session:
        stream = ImageStream.model_validate({"metadata": {"name": "is", "namespace": "ns"}})
        save_stream(session, None, stream, now=NOW)
        owner = session.scalar(select(StreamRow.id))

    def put(tag, *, ago, look=None, batch=None):
        due = NOW - timedelta(seconds=ago)
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
            "fresh": False,
            "due": due,
            "next_look": due if look is None else NOW + timedelta(seconds=look),
            "failures": 0,
            "decision": "same",
            "reason": "",
            "message": "",
            "waited": 0,
            "etag": "",
            "batch": batch,
            "carrier": "",
        }
        with transaction(engine) as session:
            session.execute(insert(ScheduleRow), [row])

    return put


def test_an_empty_house_tells_nothing_but_noughts(engine):
    found = read(engine)
    assert set(found.values()) == {0}
    assert len([name for name in found if name[0] == JOBS.name]) == 6


def test_tags_are_pending_while_they_wait_are_put_off_or_are_in_somebodys_hands(engine, enter):
    enter("later", ago=-60)
    assert read(engine)[TAGS_PENDING.name,] == 0
    assert read(engine)[OLDEST_DUE.name,] == 0
    enter("waits", ago=5)
    enter("put-off", ago=40, look=20)
    enter("held", ago=9, look=30, batch=uuid4())
    found = read(engine)
    assert found[TAGS_SCHEDULED.name,] == 4
    assert found[TAGS_PENDING.name,] == 3
    assert found[OLDEST_DUE.name,] == 40


def test_a_lease_that_ran_out_is_counted_once(engine, enter):
    enter("lost", ago=90, look=-10, batch=uuid4())
    found = read(engine)
    assert found[TAGS_PENDING.name,] == 1
    assert found[OLDEST_DUE.name,] == 90


def test_tags_are_counted_up_to_a_bound(engine, enter, monkeypatch):
    for number in range(5):
        enter(f"t{number}", ago=number)
    monkeypatch.setattr(metrics_queries, "MOST_TAGS", 3)
    found = read(engine)
    assert found[TAGS_PENDING.name,] == 3
    assert found[OLDEST_DUE.name,] == 4


def test_a_tag_without_a_turn_is_not_pending(engine, enter):
    enter("resting", ago=5)
    with transaction(engine) as session:
        session.execute(update(ScheduleRow).values(due=None, next_look=None))
    found = read(engine)
    assert found[TAGS_SCHEDULED.name,] == 1
    assert found[TAGS_PENDING.name,] == 0


def test_jobs_are_told_by_state_and_lane_with_the_age_of_the_oldest(engine):
    for name, lane, ago in (("a", Lane.BULK, 30), ("b", Lane.BULK, 10), ("c", Lane.SCHEDULED, 5)):
        wish = ImageStreamImport.model_validate({"metadata": {"name": name, "namespace": "ns"}})
        with transaction(engine) as session:
            request = JobRequest(request=wish, lane=lane)
            create_job(session, request, now=NOW - timedelta(seconds=ago))
    found = read(engine)
    assert found[JOBS.name, "queued", "bulk"] == 2
    assert found[JOBS.name, "queued", "scheduled"] == 1
    assert found[JOBS.name, "running", "bulk"] == 0
    assert found[OLDEST_JOB.name, "queued"] == 30
    assert found[OLDEST_JOB.name, "running"] == 0
