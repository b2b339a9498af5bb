"""Results of claimed checks: the last outcome, the present reason, and since when it holds."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from models.resources.stream import ImageStream
from models.store.database.session import transaction
from models.store.schedule.claimed_checks import SettledCheck, defer_checks, settle_checks
from models.store.schedule.schedule_claims import claim_due
from models.store.streams.stream_store import save_stream
from models.store.tables.schedule import ScheduledTagRow
from models.streams.schedule.check_schedule import ScheduleReason
from worker.job_queue import precise_utc_now

NOW = precise_utc_now()
TAG = {
    "from": {"kind": "DockerImage", "name": "quay.io/team/app:1"},
    "importPolicy": {"scheduled": True},
}
TAGS = ("a", "b", "c")


@pytest.fixture
def schedule(engine):
    """A stream with three scheduled tags, in an engine."""
    tags = [{"name": name, **TAG} for name in TAGS]
    wire = {"metadata": {"name": "is", "namespace": "ns"}, "spec": {"tags": tags}}
    with transaction(engine) as session:
        save_stream(session, None, ImageStream.model_validate(wire), now=NOW)
    return engine


def settle(engine, save, now, **reasons):
    """Claim all rows at `now`, and save a result with the reason that is given for each tag."""
    with transaction(engine) as session:
        session.execute(update(ScheduledTagRow).values(next_check_at=now))
        claim = claim_due(session, now=now, until=now + timedelta(seconds=30), limit=9)
        tag_of = dict(session.execute(select(ScheduledTagRow.id, ScheduledTagRow.tag)).all())
        results = [
            SettledCheck(
                row.id,
                now,
                now,
                reasons[tag_of[row.id]],
                last_transition_at=now,
                last_check_at=now if save is settle_checks else None,
                last_outcome="unchanged" if save is settle_checks else "",
            )
            for row in claim.rows
        ]
        assert save(session, claim.batch, results) == len(TAGS)


def rows(engine):
    with transaction(engine, write=False) as session:
        return {row.tag: row for row in session.scalars(select(ScheduledTagRow))}


@pytest.mark.parametrize("other", ["Unchanged", "Updated"], ids=["one reason", "two reasons"])
def test_settled_check_keeps_the_transition_time_while_the_reason_stays(schedule, other):
    later = NOW + timedelta(minutes=15)
    settle(schedule, settle_checks, NOW, a="Unchanged", b="Unchanged", c="Updated")
    settle(schedule, settle_checks, later, a="Unchanged", b="Unchanged", c=other)
    found = rows(schedule)
    assert {row.last_check_at for row in found.values()} == {later}
    assert (found["a"].last_transition_at, found["b"].last_transition_at) == (NOW, NOW)
    assert found["c"].last_transition_at == (NOW if other == "Updated" else later)


def test_deferred_check_keeps_the_last_outcome(schedule):
    later = NOW + timedelta(minutes=15)
    settle(schedule, settle_checks, NOW, **dict.fromkeys(TAGS, ScheduleReason.UNCHANGED))
    settle(schedule, defer_checks, later, **dict.fromkeys(TAGS, ScheduleReason.RATE_LIMITED))
    for row in rows(schedule).values():
        assert (row.last_outcome, row.last_check_at) == ("unchanged", NOW)
        assert (row.reason, row.last_transition_at) == ("RateLimited", later)
