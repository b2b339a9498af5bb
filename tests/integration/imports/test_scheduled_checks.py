"""What the clock does to scheduled tags: one HEAD where nothing changed, an import where it did."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest

from models.job_types import Asker
from models.store.database.session import transaction
from models.store.jobs.job_store import list_jobs
from models.store.streams.stream_store import delete_stream
from models.streams.registries.registry_allowlist import AllowList
from models.streams.schedule.check_schedule import Cadence
from scheduler.dispatch import Rules, claim_round, tick
from scheduler.pacing import Pace
from tests import fixtures as fx
from tests.fakeregistry.server import FakeRegistry
from tests.integration.imports.conftest import img, isi, save
from worker.checks.check_batch import run_checks
from worker.job_queue import moment, utc_now

INTERVAL = "sync.tagstream.io/interval"
SUSPEND = "sync.tagstream.io/suspend"


@pytest.fixture
def other_registry():
    with FakeRegistry() as registry:
        yield registry


def scheduled(house, reg, *tags, name="is", **policy):
    """A stream whose tags of `a/b` are scheduled and imported."""
    images = [img(f"{reg.host}/a/b:{tag}", to=tag, scheduled=True, **policy) for tag in tags]
    house.run(isi(*images, name=name))
    reg.forget_requests()


def annotate(house, annotations):
    """Replace the annotations of the stream that the schedule reads."""
    old = house.stream()
    kept = {k: v for k, v in old.metadata.annotations.items() if "sync." not in k}
    metadata = old.metadata.replace(annotations={**kept, **annotations})
    house.save_stream(old, old.replace(metadata=metadata))


def heads(reg):
    return [line for line in reg.requests if line.startswith("HEAD")]


def jobs_of_the_clock(house):
    with transaction(house.engine, write=False) as session:
        return [job for job in list_jobs(session) if job.request.asker is Asker.SCHEDULE]


@pytest.mark.case("import 7-18")
def test_an_unchanged_tag_costs_one_head_and_only_its_row_moves(house, reg):
    scheduled(house, reg, "t")
    before = house.stream()
    house.look()
    after = house.calendar()["is:t"]
    assert reg.requests == ["HEAD /v2/a/b/manifests/t"]
    assert house.stream() == before
    assert (after.decision, after.failures, after.batch) == ("same", 0, None)
    assert (after.due - after.checked).total_seconds() >= 0.9 * 900
    assert jobs_of_the_clock(house) == []


@pytest.mark.case("import 7-19")
def test_a_moved_tag_is_imported_and_stays_scheduled(house, reg):
    scheduled(house, reg, "t")
    before = house.stream()
    digest = reg.push("a/b", tag="t", manifest=fx.OCI, media_type=fx.OCI_TYPE, config=fx.CFG_A)
    house.look()
    [history] = house.stream().status.tags
    [wish] = house.stream().spec.tags
    assert [event.image for event in history.items] == [
        digest,
        before.status.tags[0].items[0].image,
    ]
    assert history.items[0].generation == before.metadata.generation + 1
    assert wish.import_policy.scheduled
    [job] = jobs_of_the_clock(house)
    assert (job.state, job.result.changed) == ("succeeded", 1)
    assert house.calendar()["is:t"].decision == "moved"


def test_many_followers_of_one_source_share_one_head_and_one_fetch(house, reg):
    for number in range(5):
        scheduled(house, reg, "t", name=f"s{number}")
    house.look()
    assert reg.requests == ["HEAD /v2/a/b/manifests/t"]
    reg.forget_requests()
    digest = reg.push("a/b", tag="t", manifest=fx.OCI, media_type=fx.OCI_TYPE, config=fx.CFG_A)
    house.look()
    assert sorted(set(reg.requests)) == sorted(reg.requests)
    assert len(heads(reg)) == 1
    for number in range(5):
        assert house.stream(f"s{number}").status.tags[0].items[0].image == digest


@pytest.mark.case("import 7-13")
def test_a_stream_that_went_leaves_no_row_and_costs_no_request(house, reg):
    scheduled(house, reg, "t")
    house.come_due()
    with transaction(house.engine) as session:
        delete_stream(session, "ns", "is", now=utc_now())
    assert house.tick().claimed == 0
    assert (house.calendar(), reg.requests) == ({}, [])


def test_a_stream_that_goes_while_it_is_looked_at_harms_nobody(house, reg):
    scheduled(house, reg, "t")
    scheduled(house, reg, "u", name="other")

    def delete(_request):
        with transaction(house.engine) as session:
            delete_stream(session, "ns", "is", now=utc_now())

    reg.push("a/b", tag="t", manifest=fx.OCI, media_type=fx.OCI_TYPE, config=fx.CFG_A)
    reg.on("/a/b/manifests/t", delete, times=1)
    house.look()
    assert house.stream() is None
    assert list(house.calendar()) == ["other:u"]
    assert house.calendar()["other:u"].decision == "same"


@pytest.mark.case("import 7-14")
def test_a_turn_is_carried_once_and_comes_again(house, reg):
    scheduled(house, reg, "t")
    house.come_due()
    assert [house.tick().claimed for _ in range(3)] == [1, 0, 0]
    assert len(reg.requests) == 1
    house.come_due()
    assert house.tick().sent == 1
    assert len(reg.requests) == 2


@pytest.mark.case("import 7-15")
def test_with_the_schedule_off_nothing_is_claimed(open_house, reg):
    house = open_house(scheduled_imports=False)
    scheduled(house, reg, "t")
    house.come_due()
    assert tick(house.engine, None, house.settings).claimed == 0
    assert reg.requests == []


@pytest.mark.case("import 7-15")
def test_a_tag_that_is_no_longer_scheduled_leaves_the_calendar_with_its_stream(house, reg):
    scheduled(house, reg, "t", "u")
    old = house.stream()
    tags = [
        tag.replace(import_policy=tag.import_policy.replace(scheduled=tag.name == "u"))
        for tag in old.spec.tags
    ]
    house.save_stream(old, old.replace(spec=old.spec.replace(tags=tags)))
    assert list(house.calendar()) == ["is:u"]


@pytest.mark.case("import 7-20")
def test_a_registry_that_is_down_for_three_turns_leaves_one_condition(house, reg):
    scheduled(house, reg, "t")
    before = house.stream()
    reg.fail_next("/a/b/manifests/.*", status=500, times=100)
    seen = []
    for _ in range(3):
        house.look()
        seen.append(house.stream())
    [history] = seen[0].status.tags
    assert [condition.status for condition in history.conditions] == ["False"]
    assert history.items == before.status.tags[0].items
    assert seen[0].metadata.generation == before.metadata.generation + 1
    assert seen[0] == seen[1] == seen[2]
    row = house.calendar()["is:t"]
    assert (row.decision, row.failures, row.reason) == ("failed", 3, "http.5xx")


def test_a_failed_tag_is_looked_at_again_soon_and_later_each_time(house, reg):
    scheduled(house, reg, "t")
    reg.fail_next("/a/b/manifests/.*", status=500, times=100)
    waits = []
    for _ in range(6):
        house.look()
        row = house.calendar()["is:t"]
        waits.append((row.due - row.checked).total_seconds())
    for number, wait in enumerate(waits):
        assert 0.5 * 60 * 2**number <= wait <= 1.5 * 60 * 2**number


def test_a_tag_that_is_not_there_is_looked_at_again_at_the_interval(house, reg):
    scheduled(house, reg, "t")
    reg.delete("a/b", "t")
    house.look()
    row = house.calendar()["is:t"]
    assert (row.decision, row.reason) == ("failed", "notfound.tag")
    assert 0.9 * 900 <= (row.due - row.checked).total_seconds() <= 1.1 * 900
    assert house.stream().status.tags[0].conditions[0].reason == "NotFound"


def test_a_tag_that_recovers_loses_its_condition_though_it_never_moved(house, reg):
    scheduled(house, reg, "t")
    reg.fail_next("/a/b/manifests/.*", status=500, times=1)
    house.look()
    assert house.stream().status.tags[0].conditions
    house.look()
    assert house.stream().status.tags[0].conditions == []
    assert (house.calendar()["is:t"].failures, house.calendar()["is:t"].reason) == (0, "")


@pytest.mark.case("import 7-21")
def test_a_stream_that_is_edited_while_it_is_looked_at_gets_what_was_seen(house, reg):
    scheduled(house, reg, "t")

    def edit(_request):
        old = house.stream()
        labels = {"edited": "meanwhile"}
        house.save_stream(old, old.replace(metadata=old.metadata.replace(labels=labels)))

    digest = reg.push("a/b", tag="t", manifest=fx.OCI, media_type=fx.OCI_TYPE, config=fx.CFG_A)
    reg.on("/a/b/manifests/t", edit, times=1)
    house.look()
    stream = house.stream()
    assert stream.metadata.labels == {"edited": "meanwhile"}
    assert stream.status.tags[0].items[0].image == digest
    assert house.calendar()["is:t"].decision == "moved"


@pytest.mark.case("import 7-22")
def test_a_scheduled_import_takes_tags_with_it_that_wait_anyway(house, reg):
    scheduled(house, reg, "t")
    old = house.stream()
    waiting = old.spec.tags[0].replace(
        name="u",
        from_=old.spec.tags[0].from_.replace(name=f"{reg.host}/a/b:u"),
        generation=old.metadata.generation + 1,
        import_policy=old.spec.tags[0].import_policy.replace(scheduled=False),
    )
    spec = old.spec.replace(tags=[*old.spec.tags, waiting])
    house.save_stream(old, old.replace(spec=spec))
    reg.push("a/b", tag="t", manifest=fx.OCI, media_type=fx.OCI_TYPE, config=fx.CFG_A)
    house.look()
    [job] = jobs_of_the_clock(house)
    assert [image.to.name for image in job.request.request.spec.images] == ["t", "u"]
    assert {history.tag for history in house.stream().status.tags} == {"t", "u"}


@pytest.mark.case("import 7-23")
def test_what_a_registrys_rate_leaves_no_room_for_stands_in_line(house, reg):
    for number in range(6):
        reg.push("a/b", tag=f"n{number}", manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)
    scheduled(house, reg, *(f"n{number}" for number in range(6)))
    house.come_due()
    ticked = house.tick(pace=Pace(rate=1.0))
    assert (ticked.claimed, ticked.sent, ticked.put_off) == (6, 3, 3)
    assert len(reg.requests) == 3
    waiting = sorted(
        (row for row in house.calendar().values() if row.decision == "waited"),
        key=lambda row: row.next_look,
    )
    gaps = [(b.next_look - a.next_look).total_seconds() for a, b in pairwise(waiting)]
    assert gaps == [1.0, 1.0]
    assert {row.due == row.next_look for row in waiting} == {False}
    assert house.tick(pace=Pace(rate=1.0)).claimed == 0
    house.hurry()
    assert house.tick(pace=Pace(rate=1.0)).sent == 3
    assert {row.decision for row in house.calendar().values()} == {"same"}


def test_a_429_is_heeded_by_every_tag_of_the_registry(house, reg):
    scheduled(house, reg, "t", "u")
    before = house.stream()
    reg.fail_next("/a/b/manifests/.*", status=429, times=100, Retry_After="3600")
    house.look()
    asked = len(reg.requests)
    rows = house.calendar()
    assert {row.decision for row in rows.values()} == {"limited"}
    for row in rows.values():
        assert (row.next_look - row.decided).total_seconds() >= 3590
        assert row.failures == 0
    house.hurry()
    house.tick()
    assert len(reg.requests) == asked
    assert house.stream() == before


def test_a_registry_that_hangs_keeps_nobody_else_waiting(open_house, reg, other_registry):
    house = open_house()
    other_registry.push("a/b", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)
    scheduled(house, other_registry, "t", name="calm")
    scheduled(house, reg, "t", name="hung")
    house.runtime.client.config = replace(house.runtime.client.config, head_seconds=2.0)
    reg.stall(".*/manifests/.*")
    house.look()
    rows = house.calendar()
    assert rows["calm:t"].decision == "same"
    assert rows["hung:t"].decision == "failed"
    assert rows["calm:t"].decided < rows["hung:t"].decided


def test_suspended_tags_are_let_alone_until_they_are_wanted_again(house, reg):
    scheduled(house, reg, "t", "u")
    annotate(house, {SUSPEND: "true"})
    assert {row.decision for row in house.calendar().values()} == {"suspended"}
    assert {row.next_look for row in house.calendar().values()} == {None}
    annotate(house, {})
    assert house.tick().placed == 2
    assert {row.suspended for row in house.calendar().values()} == {False}
    house.look()
    assert len(heads(reg)) == 2


def test_an_interval_of_a_streams_own_is_kept_within_bounds(house, reg):
    scheduled(house, reg, "t")
    for asked, taken in (("1h", 3600), ("5s", 60), ("900d", 7 * 24 * 3600), ("nonsense", 900)):
        annotate(house, {INTERVAL: asked})
        house.tick()
        house.look()
        row = house.calendar()["is:t"]
        assert 0.9 * taken <= (row.due - row.checked).total_seconds() <= 1.1 * taken


def test_a_lost_message_costs_a_lease_and_no_turn(open_house, reg):
    house = open_house(check_lease=timedelta(seconds=5))
    scheduled(house, reg, "t")
    house.come_due()
    assert house.tick(carry=False).sent == 1
    assert house.tick().claimed == 0
    house.hurry()
    assert house.tick().sent == 1
    assert house.calendar()["is:t"].decision == "same"
    assert len(reg.requests) == 1


def test_a_batch_that_comes_twice_is_carried_once(house, reg):
    scheduled(house, reg, "t")
    house.come_due()
    with transaction(house.engine) as session:
        rules = Rules(Cadence(), house.settings.check_lease, lambda _host: Pace())
        batch, [ids], _ = claim_round(session, rules, now=moment())
    run_checks(batch, ids, house.runtime)
    run_checks(batch, ids, house.runtime)
    assert len(reg.requests) == 1


def test_a_persons_import_counts_as_a_look(house, reg):
    scheduled(house, reg, "t")
    house.come_due()
    house.run(isi(img(f"{reg.host}/a/b:t", to="t", scheduled=True)))
    assert house.tick().claimed == 0
    row = house.calendar()["is:t"]
    assert 0.9 * 900 <= (row.due - row.checked).total_seconds() <= 1.1 * 900


def test_a_transient_failure_of_an_import_is_tried_again_though_nobody_scheduled_it(house, reg):
    reg.fail_next("/a/b/manifests/.*", status=503, times=3)
    house.run(isi(img(f"{reg.host}/a/b:t", to="t")))
    row = house.calendar()["is:t"]
    assert (row.scheduled, row.failures) == (False, 1)
    assert 30 <= (row.due - row.checked).total_seconds() <= 90
    house.look()
    assert house.stream().status.tags[0].items
    assert house.calendar() == {}


def test_what_is_not_there_is_not_tried_again_where_nobody_scheduled_it(house, reg):
    house.run(isi(img(f"{reg.host}/a/b:nope", to="t")))
    assert house.calendar() == {}


def test_a_refused_tag_is_looked_at_as_soon_as_a_matching_secret_comes(house, reg):
    reg.require_basic("me", "word")
    house.run(isi(img(f"{reg.host}/a/b:t", to="t")))
    row = house.calendar()["is:t"]
    assert (row.scheduled, row.due, row.reason) == (False, None, "auth.required")
    save(house, {"quay.io": ("me", "word")}, name="other")
    assert house.tick().claimed == 0
    save(house, {f"{reg.host}/a": ("me", "word")})
    assert house.tick().sent == 1
    assert house.stream().status.tags[0].items
    assert house.calendar() == {}


def test_followers_with_other_rights_look_for_themselves(house, reg):
    reg.require_basic("me", "word")
    save(house, {reg.host: ("me", "word")})
    save(house, {reg.host: ("me", "word")}, namespace="two")
    for namespace in ("ns", "two"):
        image = img(f"{reg.host}/a/b:t", to="t", scheduled=True)
        house.run(isi(image, namespace=namespace, name=f"in-{namespace}"))
    reg.forget_requests()
    house.look()
    assert {row.decision for row in house.calendar().values()} == {"same"}
    assert len(heads(reg)) == 2


def test_a_tag_that_is_no_longer_allowed_is_not_asked_for(open_house, reg):
    house = open_house()
    scheduled(house, reg, "t")
    before = house.stream()
    house.runtime.rules = replace(
        house.runtime.rules, allow_list=AllowList.parse([("quay.io", False)], internal_hostname="")
    )
    reg.push("a/b", tag="t", manifest=fx.OCI, media_type=fx.OCI_TYPE, config=fx.CFG_A)
    house.look()
    assert house.stream() == before
    assert house.calendar()["is:t"].decision == "failed"
    assert [line for line in reg.requests if line.startswith("GET")] == []
