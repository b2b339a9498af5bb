"""What breaks in a batch of checks harms the one it belongs to, and costs nobody a turn."""

import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update

import worker.checks.check_batch
import worker.checks.scheduled_import
from models.errors import StreamConflictError
from models.store.database.session import transaction
from models.store.tables.schedule import ScheduleRow
from models.store.tables.secrets import SecretRow
from models.streams.registries.registry_allowlist import AllowList
from tests import fixtures as fx
from tests.integration.imports.conftest import img, isi, save
from worker.job_queue import moment


def scheduled(house, reg, *tags, name="is", namespace="ns"):
    """A stream whose tags of `a/b` are scheduled and imported."""
    images = [img(f"{reg.host}/a/b:{tag}", to=tag, scheduled=True) for tag in tags]
    house.run(isi(*images, name=name, namespace=namespace))
    reg.forget_requests()


def move(reg, tag="t"):
    return reg.push("a/b", tag=tag, manifest=fx.OCI_BARE, media_type=fx.OCI_TYPE, config=fx.CFG_A)


def head(house, name, namespace="ns"):
    [history] = house.stream(name, namespace).status.tags
    return history.items[0].image


def spoil(house, namespace):
    """Nobody can read the namespace's secrets any more."""
    with transaction(house.engine) as session:
        session.execute(
            update(SecretRow).where(SecretRow.namespace == namespace).values(sealed=b"spoilt")
        )


def test_a_secret_that_cannot_be_read_stands_in_nobody_elses_way(house, reg):
    scheduled(house, reg, "t", name="mine")
    scheduled(house, reg, "t", name="theirs", namespace="two")
    save(house, {"quay.io": ("me", "word")})
    spoil(house, "ns")
    digest = move(reg)
    before = house.stream("mine")
    house.look()
    rows = house.calendar()
    assert head(house, "theirs", "two") == digest
    assert (rows["mine:t"].decision, rows["mine:t"].reason) == ("failed", "auth.secret_unreadable")
    assert (rows["mine:t"].due - moment()).total_seconds() > 0.8 * 900
    assert house.stream("mine") == before
    save(house, {reg.host: ("me", "word")})
    assert house.tick().sent == 1
    assert head(house, "mine") == digest


def test_our_own_bug_in_one_stream_is_that_streams_alone(house, reg, monkeypatch):
    scheduled(house, reg, "t", name="cursed")
    scheduled(house, reg, "t", name="blessed")
    digest = move(reg)
    real = worker.checks.scheduled_import.apply_import

    def fail(stream, *rest, **more):
        if stream.metadata.name == "cursed":
            raise KeyError("bug")
        return real(stream, *rest, **more)

    monkeypatch.setattr(worker.checks.scheduled_import, "apply_import", fail)
    house.look()
    rows = house.calendar()
    assert head(house, "blessed") == digest
    assert rows["blessed:t"].decision == "moved"
    assert (rows["cursed:t"].decision, rows["cursed:t"].batch) == ("failed", None)
    assert rows["cursed:t"].next_look > moment()


def test_a_tag_that_is_not_allowed_any_more_holds_up_no_other_of_its_stream(house, reg, open_fake):
    other = open_fake()
    other.push("a/b", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)
    scheduled(house, reg, "t")
    house.run(isi(img(f"{other.host}/a/b:t", to="other", scheduled=True)))
    only = AllowList.parse([(reg.host, False)], internal_hostname="")
    house.runtime.rules = replace(house.runtime.rules, allow_list=only)
    digest = move(reg)
    move(other)
    house.look()
    rows = house.calendar()
    found = {each.tag: each.items[0].image for each in house.stream().status.tags}
    assert (rows["is:t"].decision, rows["is:other"].decision) == ("moved", "failed")
    assert found == {"t": digest, "other": fx.digest_of(fx.S2)}


def test_a_database_that_gives_way_once_costs_no_turn(house, reg, monkeypatch):
    scheduled(house, reg, "t", "u")
    real = worker.checks.check_batch.settle_checks
    calls = []

    def give_way(*args):
        calls.append(args)
        if len(calls) == 1:
            raise StreamConflictError("the database gave way to another writer", name="")
        return real(*args)

    monkeypatch.setattr(worker.checks.check_batch, "settle_checks", give_way)
    house.look()
    assert {row.decision for row in house.calendar().values()} == {"same"}
    assert len(reg.requests) == 2


def test_a_worker_that_leaves_in_the_middle_of_an_import_gives_the_row_back(house, reg):
    """It is no failure of the tag, and whoever comes next looks at once."""
    scheduled(house, reg, "t")
    digest = move(reg)
    before = house.stream()
    left = threading.Event()

    def leave():
        house.runtime.leave()
        left.set()

    reg.on(f"/a/b/manifests/{digest}", lambda _r: threading.Thread(target=leave).start(), times=1)
    reg.delay(0.5, f"/a/b/manifests/{digest}")
    house.look()
    assert left.wait(5)
    row = house.calendar()["is:t"]
    assert (row.decision, row.failures, row.batch, row.carrier) == ("waited", 0, None, "")
    assert house.stream() == before
    house.runtime.leaving.clear()
    assert house.tick().sent == 1
    assert head(house, "is") == digest


@pytest.mark.parametrize("slow", ["look", "import"])
def test_a_lease_is_kept_as_long_as_it_takes(open_house, reg, slow):
    house = open_house()
    scheduled(house, reg, "t")
    house.runtime.settings = house.settings.model_copy(
        update={"check_lease": timedelta(seconds=0.4)}
    )
    house.settings = house.runtime.settings
    digest = move(reg)
    reg.delay(0.9, f"/a/b/manifests/{'t' if slow == 'look' else digest}")
    house.come_due()
    carrying = threading.Thread(target=house.tick)
    carrying.start()
    claimed = 0
    while carrying.is_alive():
        carrying.join(0.1)
        claimed += house.tick(carry=False).claimed if reg.requests else 0
    assert claimed == 0
    assert head(house, "is") == digest
    assert len([line for line in reg.requests if line.startswith("HEAD")]) == 1


def test_a_row_that_no_tag_wants_goes_when_its_turn_comes(house, reg):
    """However it came to be there, it must not be looked at for ever."""
    scheduled(house, reg, "t", "u")
    with transaction(house.engine) as session:
        session.execute(update(ScheduleRow).where(ScheduleRow.tag == "t").values(tag="ghost"))
    house.look()
    assert list(house.calendar()) == ["is:u"]


def test_an_outage_that_asks_for_patience_is_told_of_after_a_turn(house, reg):
    """A 503 that says when to come again, and says so each time."""
    scheduled(house, reg, "t")
    reg.fail_next("/a/b/manifests/.*", status=503, times=100, Retry_After="60")
    house.look()
    assert house.calendar()["is:t"].decision == "limited"
    assert house.stream().status.tags[0].conditions == []
    house.come_due(by=1000)
    house.tick()
    [condition] = house.stream().status.tags[0].conditions
    assert condition.status == "False"
    assert house.calendar()["is:t"].decision == "failed"
