"""A scheduler and an import that meet at the same tags never embrace."""

from datetime import timedelta

import pytest
from sqlalchemy import select, text

from models.resources.stream import ImageStream
from models.store.database.session import open_engine, transaction, upgrade
from models.store.streams.stream_store import load_stream, save_stream
from models.store.tables.schedule import ScheduleRow
from models.streams.schedule.check_schedule import Cadence
from scheduler.dispatch import Rules, claim_round
from scheduler.pacing import Pace
from worker.job_queue import moment

RULES = Rules(Cadence(), timedelta(seconds=30), lambda _host: Pace(50.0))
STREAM = {
    "metadata": {"name": "app", "namespace": "team"},
    "spec": {
        "tags": [
            {
                "name": "latest",
                "from": {"kind": "DockerImage", "name": "quay.io/team/app:latest"},
                "importPolicy": {"scheduled": True},
            }
        ]
    },
}


@pytest.fixture
def engine(postgres_url):
    engine = open_engine(postgres_url)
    upgrade(engine)
    yield engine
    engine.dispose()


def test_a_tick_does_not_wait_for_an_import_that_holds_the_stream(engine):
    """It writes a row twice, after which PostgreSQL looks whether the stream is still there."""
    with transaction(engine) as session:
        save_stream(session, None, ImageStream.model_validate(STREAM), now=moment())
    with transaction(engine) as held:
        load_stream(held, "team", "app", for_update=True)
        with transaction(engine) as session:
            session.execute(text("SET LOCAL lock_timeout = '2s'"))
            ticked = claim_round(session, RULES, now=moment() + timedelta(seconds=1))[2]
    assert ticked.placed == 1
    with transaction(engine, write=False) as session:
        assert session.scalars(select(ScheduleRow.fresh)).all() == [False]
