"""A clock that is set forward or back: no turn is lost, and nothing bursts."""

from dataclasses import replace
from datetime import timedelta

from models.config.import_config import build_cadence
from models.resources.registries import RegistrySpec
from models.store.database.session import transaction
from models.store.schedule.clock_skew import notice_cadence, notice_clock
from models.streams.registries.registry_policies import NO_POLICIES, Policies
from models.streams.schedule.check_schedule import Cadence
from scheduler.pacing import Pace
from tests import fixtures as fx
from tests.integration.imports.conftest import img, isi
from worker.job_queue import moment

CADENCE = Cadence()


def notice(house, now):
    with transaction(house.engine) as session:
        return notice_clock(session, cadence=CADENCE, now=now)


def test_turns_of_a_clock_that_went_ahead_are_called_back(house, reg):
    house.run(isi(img(f"{reg.host}/a/b:t", to="t", scheduled=True)))
    now = moment()
    assert notice(house, now + timedelta(hours=5)) == 0
    house.come_due(by=-5 * 3600)
    assert notice(house, now) == 1
    assert house.tick().sent == 1
    assert notice(house, now + timedelta(seconds=15)) == 0


def test_clocks_that_differ_a_little_and_turns_that_are_far_ahead_by_right_are_let_be(house, reg):
    house.run(isi(img(f"{reg.host}/a/b:t", to="t", scheduled=True)))
    due = house.calendar()["is:t"].due
    now = moment()
    notice(house, now + timedelta(seconds=50))
    assert notice(house, now) == 0
    notice(house, now + timedelta(hours=5))
    assert notice(house, now) == 0
    assert house.calendar()["is:t"].due == due


def test_a_clock_set_forward_makes_a_backlog_that_stands_in_line(house, reg):
    names = [f"n{number}" for number in range(8)]
    for name in names:
        reg.push("a/b", tag=name, manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)
    house.run(isi(*(img(f"{reg.host}/a/b:{name}", to=name, scheduled=True) for name in names)))
    house.come_due(by=5 * 3600)
    ticked = house.tick(pace=Pace(rate=1.0), carry=False)
    assert (ticked.claimed, ticked.sent, ticked.put_off) == (8, 3, 5)
    waiting = sorted(row.next_look for row in house.calendar().values())
    assert (waiting[-1] - moment()).total_seconds() > 5


def test_a_shorter_interval_of_the_operators_finds_new_turns(house, reg):
    """Or else a tag that waits for a week goes on waiting."""
    house.run(isi(img(f"{reg.host}/a/b:t", to="t", scheduled=True)))
    weekly = Cadence(of_host={reg.host: 7 * 24 * 3600}.get, mark=1)
    now = moment()
    house.come_due(by=-5 * 24 * 3600)
    with transaction(house.engine) as session:
        assert notice_cadence(session, cadence=weekly, now=now) == 0
        assert notice_cadence(session, cadence=replace(CADENCE, mark=2), now=now) == 1
        assert notice_cadence(session, cadence=replace(CADENCE, mark=2), now=now) == 0
    assert house.tick().placed == 1
    row = house.calendar()["is:t"]
    assert 0.8 * 900 <= (row.due - now).total_seconds() <= 1.1 * 900


def test_what_a_registrys_interval_puts_far_ahead_is_there_by_right(house, reg):
    house.run(isi(img(f"{reg.host}/a/b:t", to="t", scheduled=True)))
    house.come_due(by=-5 * 24 * 3600)
    weekly = Cadence(of_host={reg.host: 7 * 24 * 3600}.get)
    now = moment()
    with transaction(house.engine) as session:
        notice_clock(session, cadence=weekly, now=now + timedelta(hours=5))
        assert notice_clock(session, cadence=weekly, now=now) == 0


def test_registry_objects_and_settings_mark_the_cadence(house):
    often = Policies([RegistrySpec(host="quay.io", interval="5m")])
    marks = {build_cadence(house.settings, each).mark for each in (NO_POLICIES, often)}
    assert len(marks) == 2
    assert 0 not in marks
    assert build_cadence(house.settings, often).mark in marks
