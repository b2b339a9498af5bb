"""A clock that is set forward or back loses no check and causes no burst."""

from dataclasses import replace
from datetime import timedelta

from models.config.import_config import build_cadence
from models.resources.registries import RegistrySpec
from models.store.database.session import transaction
from models.store.schedule.clock_skew import handle_clock_change, handle_interval_change
from models.streams.registries.registry_policies import NO_POLICIES, RegistryPolicies
from models.streams.schedule.check_schedule import Cadence
from scheduler.pacing import CheckRatePolicy
from tests import fixtures as fx
from tests.integration.imports.import_requests import img, isi
from worker.job_queue import precise_utc_now

CADENCE = Cadence()


def handle_change(harness, now):
    with transaction(harness.engine) as session:
        return handle_clock_change(session, cadence=CADENCE, now=now)


def test_due_times_of_fast_clock_are_corrected(harness, reg):
    harness.run(isi(img(f"{reg.host}/a/b:t", to="t", scheduled=True)))
    now = precise_utc_now()
    assert handle_change(harness, now + timedelta(hours=5)) == 0
    harness.make_due(by=-5 * 3600)
    assert handle_change(harness, now) == 1
    assert harness.tick().sent == 1
    assert handle_change(harness, now + timedelta(seconds=15)) == 0


def test_small_clock_differences_leave_due_times_unchanged(harness, reg):
    harness.run(isi(img(f"{reg.host}/a/b:t", to="t", scheduled=True)))
    due = harness.schedule_rows()["is:t"].due_at
    now = precise_utc_now()
    handle_change(harness, now + timedelta(seconds=50))
    assert handle_change(harness, now) == 0
    handle_change(harness, now + timedelta(hours=5))
    assert handle_change(harness, now) == 0
    assert harness.schedule_rows()["is:t"].due_at == due


def test_clock_set_forward_creates_paced_backlog(harness, reg):
    names = [f"n{number}" for number in range(8)]
    for name in names:
        reg.push("a/b", tag=name, manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)
    harness.run(isi(*(img(f"{reg.host}/a/b:{name}", to=name, scheduled=True) for name in names)))
    harness.make_due(by=5 * 3600)
    ticked = harness.tick(rate_policy=CheckRatePolicy(rate=1.0), execute=False)
    assert (ticked.claimed, ticked.sent, ticked.deferred) == (8, 3, 5)
    waiting = sorted(row.next_check_at for row in harness.schedule_rows().values())
    assert (waiting[-1] - precise_utc_now()).total_seconds() > 5


def test_shorter_interval_reschedules_tags(harness, reg):
    """Otherwise a tag that is due in a week would still wait a week."""
    harness.run(isi(img(f"{reg.host}/a/b:t", to="t", scheduled=True)))
    weekly = Cadence(host_interval={reg.host: 7 * 24 * 3600}.get, fingerprint=1)
    now = precise_utc_now()
    harness.make_due(by=-5 * 24 * 3600)
    with transaction(harness.engine) as session:
        assert handle_interval_change(session, cadence=weekly, now=now) == 0
        assert (
            handle_interval_change(session, cadence=replace(CADENCE, fingerprint=2), now=now) == 1
        )
        assert (
            handle_interval_change(session, cadence=replace(CADENCE, fingerprint=2), now=now) == 0
        )
    assert harness.tick().first_scheduled == 1
    row = harness.schedule_rows()["is:t"]
    assert 0.8 * 900 <= (row.due_at - now).total_seconds() <= 1.1 * 900


def test_clock_change_respects_registry_interval(harness, reg):
    harness.run(isi(img(f"{reg.host}/a/b:t", to="t", scheduled=True)))
    harness.make_due(by=-5 * 24 * 3600)
    weekly = Cadence(host_interval={reg.host: 7 * 24 * 3600}.get)
    now = precise_utc_now()
    with transaction(harness.engine) as session:
        handle_clock_change(session, cadence=weekly, now=now + timedelta(hours=5))
        assert handle_clock_change(session, cadence=weekly, now=now) == 0


def test_registry_policies_change_cadence_fingerprint(harness):
    often = RegistryPolicies([RegistrySpec(host="quay.io", interval="5m")])
    fingerprints = {
        build_cadence(harness.settings, each).fingerprint for each in (NO_POLICIES, often)
    }
    assert len(fingerprints) == 2
    assert 0 not in fingerprints
    assert build_cadence(harness.settings, often).fingerprint in fingerprints
