"""Tags that were scheduled before there was a calendar are in it after the upgrade."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import MetaData, delete, select, update

from models.store.database.schema import migrate_schema
from models.store.database.session import open_engine, transaction, upgrade
from models.store.tables.schedule import PlaceRow, ScheduleRow
from models.streams.schedule.check_schedule import Cadence
from scheduler.dispatch import Rules, claim_round
from scheduler.pacing import Pace
from worker.job_queue import moment

THEN = datetime(2026, 1, 2, 3, 4, 5)
DIGEST = "sha256:" + "1" * 64
CADENCE = Cadence()
RULES = Rules(CADENCE, timedelta(seconds=30), lambda _host: Pace(50.0))
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
    """A database that came from the version before the schedule, with a stream in it."""
    engine = open_engine(database_url)
    with engine.begin() as connection:
        migrate_schema(connection, "0002")
        _fill_as_of_old(connection)
    upgrade(engine)
    yield engine
    engine.dispose()


def _fill_as_of_old(connection):
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
        return claim_round(session, RULES, now=now)[2]


def calendar(engine):
    with transaction(engine, write=False) as session:
        return {row.tag: row for row in session.scalars(select(ScheduleRow))}


def test_they_are_entered_by_the_migration_and_completed_by_the_first_ticks(upgraded):
    assert set(calendar(upgraded)) == {"latest", "often", "paused", "pinned", "awaited", "unread"}
    now = moment() + timedelta(seconds=1)
    assert tick(upgraded, now).sent == 0
    tick(upgraded, now + timedelta(seconds=1))

    rows = calendar(upgraded)
    assert set(rows) == {"latest", "often", "paused", "awaited"}
    for tag, interval in (("latest", 900), ("often", 300)):
        row = rows[tag]
        assert (row.host, row.asked or 900, row.decision) == ("quay.io", interval, "new")
        assert timedelta(0) < row.due - now <= timedelta(seconds=1.2 * interval)
        assert row.next_look == row.due
    assert rows["paused"].suspended
    assert rows["paused"].next_look is None


def test_their_first_turn_is_a_look_like_any_other(upgraded):
    now = datetime.now(UTC) + timedelta(seconds=1)
    for step in range(2):
        tick(upgraded, now + timedelta(seconds=step))
    assert tick(upgraded, now + timedelta(seconds=2)).claimed == 0
    ticked = tick(upgraded, now + timedelta(hours=1))
    assert (ticked.claimed, ticked.sent) == (3, 3)
    with transaction(upgraded, write=False) as session:
        held = session.scalars(select(ScheduleRow.tag).where(ScheduleRow.batch.is_not(None)))
        assert set(held) == {"latest", "often", "awaited"}


def places(engine):
    with transaction(engine, write=False) as session:
        words = PlaceRow.namespace, PlaceRow.stream, PlaceRow.tag, PlaceRow.host, PlaceRow.key
        return {row.tag: tuple(row) for row in session.execute(select(*words))}


def test_every_row_has_its_place_and_the_database_keeps_it(upgraded):
    assert places(upgraded).keys() == calendar(upgraded).keys()
    tick(upgraded, moment())
    for tag, row in calendar(upgraded).items():
        assert places(upgraded)[tag] == (row.namespace, row.stream, tag, row.host, row.key)
        assert row.key
    with transaction(upgraded) as session:
        mine = ScheduleRow.tag == "often"
        session.execute(update(ScheduleRow).where(mine).values(host="gcr.io", key="gcr.io/a 1"))
        session.execute(delete(ScheduleRow).where(ScheduleRow.tag == "latest"))
    assert places(upgraded)["often"][3:] == ("gcr.io", "gcr.io/a 1")
    assert "latest" not in places(upgraded)
