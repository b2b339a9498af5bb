"""A registry that has no room left: its rows wait where they are, and keep nobody else waiting."""

from datetime import timedelta

from models.store.schedule import claim_due
from models.store.session import transaction
from tests.integration.imports.conftest import img, isi
from worker.queue import moment


def test_rows_of_a_full_registry_stay_and_those_behind_them_are_claimed(house, reg):
    house.run(isi(img(f"{reg.host}/a/b:t", to="t", scheduled=True)))
    elsewhere = f"localhost:{reg.port}"
    house.run(isi(img(f"{elsewhere}/a/b:u", to="u", scheduled=True), name="other"))
    house.come_due()
    house.come_due("other:u", by=0.5)
    before = house.calendar()["is:t"]
    with transaction(house.engine) as session:
        now = moment()
        claim = claim_due(
            session, now=now, until=now + timedelta(seconds=30), limit=10, full={before.host}
        )
    assert [row.host for row in claim.rows] == [elsewhere]
    after = house.calendar()["is:t"]
    assert (after.next_look, after.batch) == (before.next_look, None)
