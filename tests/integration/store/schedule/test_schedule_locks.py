"""A scheduler and an import that lock the same tags do not deadlock."""

from datetime import timedelta

import pytest
from sqlalchemy import select, text

from models.resources.stream import ImageStream
from models.store.database.session import open_engine, transaction, upgrade_database
from models.store.streams.stream_store import load_stream, save_stream
from models.store.tables.schedule import ScheduledTagRow
from models.streams.schedule.check_schedule import Cadence
from scheduler.dispatch import DispatchConfig, claim_round
from scheduler.pacing import CheckRatePolicy
from worker.job_queue import precise_utc_now

CONFIG = DispatchConfig(Cadence(), timedelta(seconds=30), lambda _host: CheckRatePolicy(50.0))
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
    upgrade_database(engine)
    yield engine
    engine.dispose()


def test_claim_round_does_not_wait_for_locked_stream(engine):
    """The round writes a row twice, after which PostgreSQL checks that the stream still exists."""
    with transaction(engine) as session:
        save_stream(session, None, ImageStream.model_validate(STREAM), now=precise_utc_now())
    with transaction(engine) as import_session:
        load_stream(import_session, "team", "app", for_update=True)
        with transaction(engine) as session:
            session.execute(text("SET LOCAL lock_timeout = '2s'"))
            counts = claim_round(session, CONFIG, now=precise_utc_now() + timedelta(seconds=1))[2]
    assert counts.first_scheduled == 1
    with transaction(engine, write=False) as session:
        assert session.scalars(select(ScheduledTagRow.needs_due_time)).all() == [False]
