"""Edits of a stream while its tags are checked are not overwritten."""

import asyncio

import pytest

from tests import fixtures as fx
from tests.fakeregistry.content import error_reply
from tests.fakeregistry.wire import Reply
from tests.integration.imports.import_requests import img, isi


def schedule_tags(harness, reg, *tags, name="is"):
    """Import a stream whose tags follow those of `a/b` on schedule."""
    harness.run(
        isi(*(img(f"{reg.host}/a/b:{tag}", to=tag, scheduled=True) for tag in tags), name=name)
    )
    reg.forget_requests()


def update_tag(reg, tag="t"):
    return reg.push("a/b", tag=tag, manifest=fx.OCI_BARE, media_type=fx.OCI_TYPE, config=fx.CFG_A)


def rewrite(harness, change, name="is"):
    """Save the stream with `change` applied to each spec tag; None removes the tag."""
    old = harness.stream(name)
    tags = [new_tag for tag in old.spec.tags if (new_tag := change(tag)) is not None]
    generation = old.metadata.generation + 1
    new = old.replace(
        spec=old.spec.replace(tags=tags), metadata=old.metadata.replace(generation=generation)
    )
    harness.save_stream(old, new)


def edit_during_check(harness, reg, change):
    """Update `t`, and edit the stream while the new image is fetched."""
    schedule_tags(harness, reg, "t")
    digest = update_tag(reg)

    def edit(_request):
        rewrite(harness, change)

    reg.on(f"/a/b/manifests/{digest}", edit, times=1)
    harness.check_now()


def other_source(reg):
    reg.push("a/b", tag="v", manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)

    def change(tag):
        return tag.replace(from_=tag.from_.replace(name=f"{reg.host}/a/b:v"), generation=9)

    return change


def test_new_source_survives_check_of_old_source(harness, reg):
    before = fx.digest_of(fx.S2)
    edit_during_check(harness, reg, other_source(reg))
    [spec_tag] = harness.stream().spec.tags
    [history] = harness.stream().status.tags
    assert spec_tag.from_.name == f"{reg.host}/a/b:v"
    assert [event.image for event in history.items] == [before]
    row = harness.schedule_rows()["is:t"]
    assert (row.source, row.batch, row.needs_due_time) == (f"{reg.host}/a/b:v", None, True)


def test_unscheduled_tag_stays_unscheduled_after_check(harness, reg):
    edit_during_check(
        harness,
        reg,
        lambda tag: tag.replace(import_policy=tag.import_policy.replace(scheduled=False)),
    )
    [spec_tag] = harness.stream().spec.tags
    assert not spec_tag.import_policy.scheduled
    assert harness.schedule_rows() == {}


def test_deleted_tag_is_not_restored_by_check(harness, reg):
    edit_during_check(harness, reg, lambda _tag: None)
    assert harness.stream().spec.tags == []
    assert harness.schedule_rows() == {}


def test_tag_changed_to_reference_is_not_imported(harness, reg):
    edit_during_check(harness, reg, lambda tag: tag.replace(reference=True))
    [spec_tag] = harness.stream().spec.tags
    assert spec_tag.reference
    assert harness.schedule_rows() == {}


def test_edit_of_one_tag_does_not_affect_others(harness, reg):
    schedule_tags(harness, reg, "t", "u")
    digest = update_tag(reg)
    update_tag(reg, "u")

    def edit(_request):
        other = other_source(reg)
        rewrite(harness, lambda tag: other(tag) if tag.name == "u" else tag)

    reg.on(f"/a/b/manifests/{digest}", edit, times=1)
    harness.check_now()
    rows = harness.schedule_rows()
    images = {each.tag: each.items[0].image for each in harness.stream().status.tags}
    assert images["t"] == digest
    assert (rows["is:t"].reason, rows["is:t"].batch) == ("Updated", None)
    assert images["u"] != digest
    assert rows["is:u"].needs_due_time


def test_failed_tag_changed_to_reference_is_unscheduled(harness, reg):
    reg.fail_next("/a/b/manifests/.*", status=503, times=9)
    harness.run(isi(img(f"{reg.host}/a/b:t", to="t")))
    assert "is:t" in harness.schedule_rows()
    rewrite(harness, lambda tag: tag.replace(reference=True))
    assert harness.schedule_rows() == {}


@pytest.mark.parametrize("stays_scheduled", [True, False])
def test_failure_of_old_source_is_not_recorded_for_new(harness, reg, stays_scheduled):
    schedule_tags(harness, reg, "t")
    other = other_source(reg)

    def change(tag):
        policy = tag.import_policy.replace(scheduled=stays_scheduled)
        return other(tag).replace(import_policy=policy)

    def refuse(_request):
        rewrite(harness, change)
        return error_reply(403, "DENIED", "no")

    reg.on("/a/b/manifests/t", Reply(405), method="HEAD")
    reg.on("/a/b/manifests/t", refuse, method="GET")
    harness.check_now()
    assert all(not history.conditions for history in harness.stream().status.tags)
    rows = harness.schedule_rows()
    if stays_scheduled:
        assert rows["is:t"].consecutive_failures == 0
    else:
        assert rows == {}


def test_concurrent_user_import_is_not_overwritten_by_check(harness, reg):
    """The check fetches the second image while the tag gets a third, which a user imports."""
    schedule_tags(harness, reg, "t")
    second = update_tag(reg)

    async def import_meanwhile(_request):
        reg.push("a/b", tag="t", manifest=fx.OCI, media_type=fx.OCI_TYPE, config=fx.CFG_A)
        user_import = isi(img(f"{reg.host}/a/b:t", to="t", scheduled=True))
        await asyncio.to_thread(harness.run, user_import)

    reg.on(f"/a/b/manifests/{second}", import_meanwhile, times=1)
    harness.check_now()
    [history] = harness.stream().status.tags
    assert history.items[0].image == fx.digest_of(fx.OCI)
    assert [event.image for event in history.items].count(second) == 0
    row = harness.schedule_rows()["is:t"]
    assert (row.batch, row.worker) == (None, "")


def test_changed_platform_preference_requires_new_check(harness, reg):
    def change(tag):
        return tag.replace(annotations={"importer.image.openshift.io/prefer-arch": "arm64"})

    before = fx.digest_of(fx.S2)
    edit_during_check(harness, reg, change)
    [history] = harness.stream().status.tags
    assert [event.image for event in history.items] == [before]
    assert harness.schedule_rows()["is:t"].needs_due_time


def test_changed_reference_policy_is_rechecked_at_once(harness, reg):
    """The schedule stores no such policy: the row is released at once."""

    def change(tag):
        return tag.replace(reference_policy=tag.reference_policy.replace(type="Local"))

    edit_during_check(harness, reg, change)
    assert harness.stream().spec.tags[0].reference_policy.type == "Local"
    row = harness.schedule_rows()["is:t"]
    assert (row.reason, row.batch) == ("Deferred", None)
    assert harness.tick().sent == 1
    assert harness.stream().status.tags[0].items[0].image == fx.digest_of(fx.OCI_BARE)
