"""A registry that has no room left: its rows line up, and keep nobody else waiting."""

from datetime import timedelta

from models.store.database.session import transaction
from models.streams.schedule.check_schedule import Cadence, Decision
from scheduler.backpressure import Flow
from scheduler.dispatch import Rules, claim_round
from scheduler.pacing import Pace
from tests.integration.imports.conftest import img, isi
from worker.job_queue import moment

LEASE = timedelta(seconds=30)


def test_rows_of_a_full_registry_line_up_and_those_behind_them_are_claimed(house, reg):
    house.run(isi(img(f"{reg.host}/a/b:t", to="t", scheduled=True), name="first"))
    house.run(isi(img(f"{reg.host}/a/c:t", to="t", scheduled=True), name="second"))
    house.run(isi(img(f"localhost:{reg.port}/a/b:u", to="u", scheduled=True), name="other"))
    rules = Rules(Cadence(), LEASE, lambda _host: Pace(), Flow(least=1))

    def claim():
        with transaction(house.engine) as session:
            return claim_round(session, rules, now=moment())[1]

    house.come_due("first:t")
    assert claim() == [[house.calendar()["first:t"].id]]
    house.come_due("second:t")
    house.come_due("other:u", by=0.5)
    before, now = house.calendar()["second:t"], moment()
    assert claim() == [[house.calendar()["other:u"].id]]
    after = house.calendar()["second:t"]
    assert (after.due, after.batch, after.decision) == (before.due, None, Decision.WAITED)
    assert now < after.next_look < now + LEASE
