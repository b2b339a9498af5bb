"""Who follows the same source falls in step, but never sooner and never much later than asked."""

from datetime import timedelta

import pytest
from sqlalchemy import update

from models.store.database.session import transaction
from models.store.tables.schedule import ScheduleRow
from tests.integration.imports.conftest import img, isi
from worker.job_queue import moment

INTERVAL = "sync.tagstream.io/interval"


def follow(house, reg, name, *, interval=None):
    """A stream that follows `a/b:t`; its interval is written before its first turn is found."""
    house.run(isi(img(f"{reg.host}/a/b:t", to="t", scheduled=True), name=name))
    if interval is not None:
        old = house.stream(name)
        annotations = {**old.metadata.annotations, INTERVAL: interval}
        house.save_stream(old, old.replace(metadata=old.metadata.replace(annotations=annotations)))
        house.tick()


def turn(house, name):
    return house.calendar()[f"{name}:t"].due


def test_a_newcomer_falls_in_step(house, reg):
    follow(house, reg, "first")
    follow(house, reg, "second")
    assert turn(house, "first") == turn(house, "second")


@pytest.mark.parametrize("by", ["import", "tick"])
def test_who_looks_once_a_week_keeps_nobody_from_looking_more_often(house, reg, by):
    follow(house, reg, "seldom", interval="7d")
    assert turn(house, "seldom") > moment() + timedelta(days=6)
    follow(house, reg, "often", interval="15m" if by == "tick" else None)
    assert turn(house, "often") < moment() + timedelta(seconds=2 * 900)


def test_nobody_falls_in_step_with_a_retry(house, reg):
    follow(house, reg, "first")
    with transaction(house.engine) as session:
        later = moment() + timedelta(seconds=1.05 * 900)
        session.execute(update(ScheduleRow).values(failures=7, due=later, next_look=later))
    follow(house, reg, "second")
    assert turn(house, "second") != turn(house, "first")


def test_a_sibling_that_has_just_come_due_makes_nobody_look_twice(house, reg):
    follow(house, reg, "first")
    house.come_due("first:t")
    follow(house, reg, "second")
    now = moment()
    assert turn(house, "second") > now + timedelta(seconds=0.89 * 900)
    house.tick()
    assert turn(house, "second") > now + timedelta(seconds=0.89 * 900)
    assert turn(house, "first") > now + timedelta(seconds=0.89 * 900)
