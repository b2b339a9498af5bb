"""Rows of a saturated registry are deferred and do not delay those of others."""

from datetime import timedelta

from models.store.database.session import transaction
from models.streams.schedule.check_schedule import Cadence, ScheduleReason
from scheduler.backpressure import ClaimLimiter
from scheduler.dispatch import DispatchConfig, claim_round
from scheduler.pacing import CheckRatePolicy
from tests.integration.imports.import_requests import img, isi
from worker.job_queue import precise_utc_now

LEASE = timedelta(seconds=30)


def test_saturated_registry_defers_only_its_own_rows(harness, reg):
    harness.run(isi(img(f"{reg.host}/a/b:t", to="t", scheduled=True), name="first"))
    harness.run(isi(img(f"{reg.host}/a/c:t", to="t", scheduled=True), name="second"))
    harness.run(isi(img(f"localhost:{reg.port}/a/b:u", to="u", scheduled=True), name="other"))
    rules = DispatchConfig(
        Cadence(), LEASE, lambda _host: CheckRatePolicy(), ClaimLimiter(min_limit=1)
    )

    def claim():
        with transaction(harness.engine) as session:
            return claim_round(session, rules, now=precise_utc_now())[1]

    harness.make_due("first:t")
    assert claim() == [[harness.schedule_rows()["first:t"].id]]
    harness.make_due("second:t")
    harness.make_due("other:u", by=0.5)
    before, now = harness.schedule_rows()["second:t"], precise_utc_now()
    assert claim() == [[harness.schedule_rows()["other:u"].id]]
    after = harness.schedule_rows()["second:t"]
    assert (after.due_at, after.batch, after.reason) == (
        before.due_at,
        None,
        ScheduleReason.DEFERRED,
    )
    assert now < after.next_check_at < now + LEASE
