"""An upgrade from before the schedule (revision 0002) puts scheduled tags into the schedule."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import MetaData, delete, select, update

from models.store.database.schema import migrate_schema
from models.store.database.session import open_engine, transaction, upgrade_database
from models.store.tables.schedule import ScheduledTagRow, ScheduleLookupRow
from models.streams.schedule.check_schedule import Cadence
from scheduler.dispatch import DispatchConfig, claim_round
from scheduler.pacing import CheckRatePolicy
from worker.job_queue import precise_utc_now

THEN = datetime(2026, 1, 2, 3, 4, 5)
DIGEST = "sha256:" + "1" * 64
CADENCE = Cadence()
CONFIG = DispatchConfig(CADENCE, timedelta(seconds=30), lambda _host: CheckRatePolicy(50.0))
TAGS = {
    "latest": {"from_name": "quay.io/team/app"},
    "often": {
        "from_name": "quay.io/team/app:2",
        "spec_annotations": '{"sync.tagstream.io/interval": "5m"}',
    },
    "paused": {
        "from_name": "quay.io/team/app:3",
        "spec_annotations": '{"sync.tagstream.io/suspend": "true"}',
    },
    "pinned": {"from_name": f"quay.io/team/app@{DIGEST}"},  # imported, so it cannot change
    "awaited": {"from_name": f"quay.io/team/app@{DIGEST}", "seen": False},
    "unread": {"from_name": "Not A Reference"},
    "once": {"from_name": "quay.io/team/app:4", "scheduled": False},
    "link": {"from_kind": "ImageStreamTag", "from_name": "other:1"},
    "pointer": {"from_name": "quay.io/team/app:5", "spec_reference": True},
    "seen-only": {"wanted": False, "from_kind": None, "from_name": None},
}


@pytest.fixture
def upgraded(database_url):
    """An engine on a database with a stream, upgraded from the revision before the schedule."""
    engine = open_engine(database_url)
    with engine.begin() as connection:
        migrate_schema(connection, "0002")
        _insert_rows_of_0002(connection)
    upgrade_database(engine)
    yield engine
    engine.dispose()


def _insert_rows_of_0002(connection):
    old = MetaData()
    old.reflect(connection)
    stream, tags, events = (old.tables[name] for name in ("image_streams", "tags", "tag_events"))
    connection.execute(
        stream.insert(),
        {
            "id": 1,
            "namespace": "team",
            "name": "app",
            "uid": uuid4() if connection.dialect.name == "postgresql" else uuid4().hex,
            "version": 7,
            "generation": 1,
            "created": THEN,
            "lookup_local": False,
            "spec_repository": "",
            "status_repository": "",
            "public_repository": "",
        },
    )
    plain = {
        "stream_id": 1,
        "wanted": True,
        "from_kind": "DockerImage",
        "from_namespace": "",
        "spec_reference": False,
        "spec_generation": 1,
        "insecure": False,
        "scheduled": True,
        "import_mode": "Legacy",
        "reference_policy": "Source",
        "seen": True,
    }
    event = {"created": THEN, "image": DIGEST, "reference": "quay.io/team/app", "generation": 1}
    for number, (name, values) in enumerate(TAGS.items(), 1):
        row = {**plain, **values, "id": number, "name": name}
        head = number if row["seen"] else None
        connection.execute(tags.insert(), {**row, "head_id": head})
        if head:
            connection.execute(events.insert(), {**event, "id": head, "tag_id": number})


def tick(engine, now):
    with transaction(engine) as session:
        return claim_round(session, CONFIG, now=now)[2]


def read_schedule(engine):
    with transaction(engine, write=False) as session:
        return {row.tag: row for row in session.scalars(select(ScheduledTagRow))}


def test_migration_inserts_scheduled_tags_and_first_ticks_complete_them(upgraded):
    assert set(read_schedule(upgraded)) == {
        "latest",
        "often",
        "paused",
        "pinned",
        "awaited",
        "unread",
    }
    now = precise_utc_now() + timedelta(seconds=1)
    assert tick(upgraded, now).sent == 0
    tick(upgraded, now + timedelta(seconds=1))

    rows = read_schedule(upgraded)
    assert set(rows) == {"latest", "often", "paused", "awaited"}
    for tag, interval in (("latest", 900), ("often", 300)):
        row = rows[tag]
        assert (row.host, row.requested_interval or 900, row.reason) == (
            "quay.io",
            interval,
            "Pending",
        )
        assert timedelta(0) < row.due_at - now <= timedelta(seconds=1.2 * interval)
        assert row.next_check_at == row.due_at
    assert rows["paused"].suspended
    assert rows["paused"].next_check_at is None


def test_first_due_check_of_migrated_tags_is_claimed(upgraded):
    now = datetime.now(UTC) + timedelta(seconds=1)
    for step in range(2):
        tick(upgraded, now + timedelta(seconds=step))
    assert tick(upgraded, now + timedelta(seconds=2)).claimed == 0
    counts = tick(upgraded, now + timedelta(hours=1))
    assert (counts.claimed, counts.sent) == (3, 3)
    with transaction(upgraded, write=False) as session:
        claimed_tags = session.scalars(
            select(ScheduledTagRow.tag).where(ScheduledTagRow.batch.is_not(None))
        )
        assert set(claimed_tags) == {"latest", "often", "awaited"}


def read_lookup_rows(engine):
    with transaction(engine, write=False) as session:
        columns = (
            ScheduleLookupRow.namespace,
            ScheduleLookupRow.stream,
            ScheduleLookupRow.tag,
            ScheduleLookupRow.host,
            ScheduleLookupRow.key,
        )
        return {row.tag: tuple(row) for row in session.execute(select(*columns))}


def test_triggers_keep_lookup_rows_of_schedule(upgraded):
    assert read_lookup_rows(upgraded).keys() == read_schedule(upgraded).keys()
    tick(upgraded, precise_utc_now())
    for tag, row in read_schedule(upgraded).items():
        assert read_lookup_rows(upgraded)[tag] == (
            row.namespace,
            row.stream,
            tag,
            row.host,
            row.key,
        )
        assert row.key
    with transaction(upgraded) as session:
        is_often = ScheduledTagRow.tag == "often"
        session.execute(
            update(ScheduledTagRow).where(is_often).values(host="gcr.io", key="gcr.io/a 1")
        )
        session.execute(delete(ScheduledTagRow).where(ScheduledTagRow.tag == "latest"))
    assert read_lookup_rows(upgraded)["often"][3:] == ("gcr.io", "gcr.io/a 1")
    assert "latest" not in read_lookup_rows(upgraded)
