"""Whoever edits a stream while the clock looks at it keeps what they wrote."""

import asyncio

import pytest

from tests import fixtures as fx
from tests.fakeregistry.content import error_reply
from tests.fakeregistry.wire import Reply
from tests.integration.imports.conftest import img, isi


def scheduled(house, reg, *tags, name="is"):
    """A stream whose tags of `a/b` are scheduled and imported."""
    house.run(
        isi(*(img(f"{reg.host}/a/b:{tag}", to=tag, scheduled=True) for tag in tags), name=name)
    )
    reg.forget_requests()


def move(reg, tag="t"):
    return reg.push("a/b", tag=tag, manifest=fx.OCI_BARE, media_type=fx.OCI_TYPE, config=fx.CFG_A)


def rewrite(house, change, name="is"):
    """Save the stream with each spec tag as `change` has it; None drops one."""
    old = house.stream(name)
    tags = [kept for tag in old.spec.tags if (kept := change(tag)) is not None]
    generation = old.metadata.generation + 1
    new = old.replace(
        spec=old.spec.replace(tags=tags), metadata=old.metadata.replace(generation=generation)
    )
    house.save_stream(old, new)


def edited_in_flight(house, reg, change):
    """Let `t` move, and somebody change the stream while its image is fetched."""
    scheduled(house, reg, "t")
    digest = move(reg)

    def edit(_request):
        rewrite(house, change)

    reg.on(f"/a/b/manifests/{digest}", edit, times=1)
    house.look()


def other_source(reg):
    reg.push("a/b", tag="v", manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)

    def change(tag):
        return tag.replace(from_=tag.from_.replace(name=f"{reg.host}/a/b:v"), generation=9)

    return change


def test_a_new_source_is_not_taken_back_by_a_look_at_the_old_one(house, reg):
    before = fx.digest_of(fx.S2)
    edited_in_flight(house, reg, other_source(reg))
    [wish] = house.stream().spec.tags
    [history] = house.stream().status.tags
    assert wish.from_.name == f"{reg.host}/a/b:v"
    assert [event.image for event in history.items] == [before]
    row = house.calendar()["is:t"]
    assert (row.source, row.batch, row.fresh) == (f"{reg.host}/a/b:v", None, True)


def test_a_tag_that_somebody_took_off_the_schedule_stays_off(house, reg):
    edited_in_flight(
        house,
        reg,
        lambda tag: tag.replace(import_policy=tag.import_policy.replace(scheduled=False)),
    )
    [wish] = house.stream().spec.tags
    assert not wish.import_policy.scheduled
    assert house.calendar() == {}


def test_a_tag_that_somebody_deleted_does_not_come_back(house, reg):
    edited_in_flight(house, reg, lambda _tag: None)
    assert house.stream().spec.tags == []
    assert house.calendar() == {}


def test_a_tag_that_became_a_reference_is_left_alone(house, reg):
    edited_in_flight(house, reg, lambda tag: tag.replace(reference=True))
    [wish] = house.stream().spec.tags
    assert wish.reference
    assert house.calendar() == {}


def test_who_edits_one_tag_takes_nothing_from_the_others(house, reg):
    scheduled(house, reg, "t", "u")
    digest = move(reg)
    move(reg, "u")

    def edit(_request):
        other = other_source(reg)
        rewrite(house, lambda tag: other(tag) if tag.name == "u" else tag)

    reg.on(f"/a/b/manifests/{digest}", edit, times=1)
    house.look()
    rows = house.calendar()
    heads = {each.tag: each.items[0].image for each in house.stream().status.tags}
    assert heads["t"] == digest
    assert (rows["is:t"].decision, rows["is:t"].batch) == ("moved", None)
    assert heads["u"] != digest
    assert rows["is:u"].fresh


def test_a_tag_that_fails_and_becomes_a_reference_costs_no_more_looks(house, reg):
    reg.fail_next("/a/b/manifests/.*", status=503, times=9)
    house.run(isi(img(f"{reg.host}/a/b:t", to="t")))
    assert "is:t" in house.calendar()
    rewrite(house, lambda tag: tag.replace(reference=True))
    assert house.calendar() == {}


@pytest.mark.parametrize("stays", [True, False])
def test_a_failure_of_the_old_source_is_none_of_the_new_one(house, reg, stays):
    scheduled(house, reg, "t")
    other = other_source(reg)

    def change(tag):
        policy = tag.import_policy.replace(scheduled=stays)
        return other(tag).replace(import_policy=policy)

    def refuse(_request):
        rewrite(house, change)
        return error_reply(403, "DENIED", "no")

    reg.on("/a/b/manifests/t", Reply(405), method="HEAD")
    reg.on("/a/b/manifests/t", refuse, method="GET")
    house.look()
    assert all(not history.conditions for history in house.stream().status.tags)
    rows = house.calendar()
    if stays:
        assert rows["is:t"].failures == 0
    else:
        assert rows == {}


def test_what_a_person_imported_meanwhile_is_not_replaced_by_what_was_seen_before(house, reg):
    """The clock fetches the second image while the tag gets its third, and a person imports it."""
    scheduled(house, reg, "t")
    second = move(reg)

    async def overtake(_request):
        reg.push("a/b", tag="t", manifest=fx.OCI, media_type=fx.OCI_TYPE, config=fx.CFG_A)
        theirs = isi(img(f"{reg.host}/a/b:t", to="t", scheduled=True))
        await asyncio.to_thread(house.run, theirs)

    reg.on(f"/a/b/manifests/{second}", overtake, times=1)
    house.look()
    [history] = house.stream().status.tags
    assert history.items[0].image == fx.digest_of(fx.OCI)
    assert [event.image for event in history.items].count(second) == 0
    row = house.calendar()["is:t"]
    assert (row.batch, row.carrier) == (None, "")


def test_another_platform_that_is_wanted_by_now_is_looked_at_for_itself(house, reg):
    def change(tag):
        return tag.replace(annotations={"importer.image.openshift.io/prefer-arch": "arm64"})

    before = fx.digest_of(fx.S2)
    edited_in_flight(house, reg, change)
    [history] = house.stream().status.tags
    assert [event.image for event in history.items] == [before]
    assert house.calendar()["is:t"].fresh


def test_another_reference_policy_costs_another_look_and_no_turn(house, reg):
    """Nothing that the calendar keeps: the row goes back at once."""

    def change(tag):
        return tag.replace(reference_policy=tag.reference_policy.replace(type="Local"))

    edited_in_flight(house, reg, change)
    assert house.stream().spec.tags[0].reference_policy.type == "Local"
    row = house.calendar()["is:t"]
    assert (row.decision, row.batch) == ("waited", None)
    assert house.tick().sent == 1
    assert house.stream().status.tags[0].items[0].image == fx.digest_of(fx.OCI_BARE)
