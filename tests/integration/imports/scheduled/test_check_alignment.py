"""Followers of one source are due together, but never too early or much too late."""

from datetime import timedelta

import pytest
from sqlalchemy import update

from models.store.database.session import transaction
from models.store.tables.schedule import ScheduledTagRow
from tests.integration.imports.import_requests import img, isi
from worker.job_queue import precise_utc_now

INTERVAL = "sync.tagstream.io/interval"


def import_scheduled_stream(harness, reg, name, *, interval=None):
    """Import a stream that follows `a/b:t`; its interval is set before its first due time."""
    harness.run(isi(img(f"{reg.host}/a/b:t", to="t", scheduled=True), name=name))
    if interval is not None:
        old = harness.stream(name)
        annotations = {**old.metadata.annotations, INTERVAL: interval}
        harness.save_stream(
            old, old.replace(metadata=old.metadata.replace(annotations=annotations))
        )
        harness.tick()


def due_time(harness, name):
    return harness.schedule_rows()[f"{name}:t"].due_at


def test_new_follower_aligns_with_existing_due_time(harness, reg):
    import_scheduled_stream(harness, reg, "first")
    import_scheduled_stream(harness, reg, "second")
    assert due_time(harness, "first") == due_time(harness, "second")


@pytest.mark.parametrize("by", ["import", "tick"])
def test_long_interval_does_not_delay_shorter_interval(harness, reg, by):
    import_scheduled_stream(harness, reg, "seldom", interval="7d")
    assert due_time(harness, "seldom") > precise_utc_now() + timedelta(days=6)
    import_scheduled_stream(harness, reg, "often", interval="15m" if by == "tick" else None)
    assert due_time(harness, "often") < precise_utc_now() + timedelta(seconds=2 * 900)


def test_new_follower_does_not_align_with_retry(harness, reg):
    import_scheduled_stream(harness, reg, "first")
    with transaction(harness.engine) as session:
        later = precise_utc_now() + timedelta(seconds=1.05 * 900)
        session.execute(
            update(ScheduledTagRow).values(
                consecutive_failures=7, due_at=later, next_check_at=later
            )
        )
    import_scheduled_stream(harness, reg, "second")
    assert due_time(harness, "second") != due_time(harness, "first")


def test_due_sibling_does_not_cause_second_check(harness, reg):
    import_scheduled_stream(harness, reg, "first")
    harness.make_due("first:t")
    import_scheduled_stream(harness, reg, "second")
    now = precise_utc_now()
    assert due_time(harness, "second") > now + timedelta(seconds=0.89 * 900)
    harness.tick()
    assert due_time(harness, "second") > now + timedelta(seconds=0.89 * 900)
    assert due_time(harness, "first") > now + timedelta(seconds=0.89 * 900)
