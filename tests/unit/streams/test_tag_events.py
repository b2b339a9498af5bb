"""Tag history: recording, reading, resolving (`import.md` 5.5, 6.12)."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import NotFoundError, StreamConflictError
from models.resources.stream import NamedTagEventList, TagEvent
from models.streams.tags.tag_history import (
    latest_event,
    pull_spec_of_tag,
    record_event,
    resolve_image,
    trim_history,
)
from tests.unit.streams.scenes import NOON, event, history, stream_of, wish

LATER = NOON + timedelta(hours=1)
CONDITION = {"type": "ImportSuccess", "status": "False", "reason": "NotFound"}


def tag_event(reference, image, generation=1, at=LATER):
    return TagEvent.model_validate(event(reference, image, generation, at=at))


def recorded(new, *old):
    before = NamedTagEventList.model_validate(
        history("latest", *old, conditions=[CONDITION] if old else ())
    )
    after, changed = record_event(before, new)
    shown = [(e.docker_image_reference, e.image, e.generation) for e in after.items]
    return shown, changed, after


@pytest.mark.case("import 5-1")
@pytest.mark.parametrize(
    ("old", "new", "items", "changed"),
    [
        ([], ("ref", "image"), [("ref", "image", 1)], True),
        ([("ref", "image")], ("ref", "image"), [("ref", "image", 1)], False),
        ([("ref", "image")], ("ref", "newimage"), [("ref", "newimage", 1)], True),
        ([("ref", "image")], ("newref", "image"), [("newref", "image", 1)], True),
        (
            [("ref", "image")],
            ("newref", "newimage"),
            [("newref", "newimage", 1), ("ref", "image", 1)],
            True,
        ),
    ],
)
def test_an_event_collapses_into_the_newest_or_comes_on_top(old, new, items, changed):
    shown, did, after = recorded(tag_event(*new), *(event(*each) for each in old))
    assert (shown, did) == (items, changed)
    assert bool(after.conditions) is (not changed)
    if old:
        assert after.items[-1].created == NOON


@pytest.mark.case("import 5-2")
def test_another_generation_alone_raises_it_and_clears_conditions():
    shown, changed, after = recorded(tag_event("ref", "image", 2), event("ref", "image", 1))
    assert (shown, changed) == ([("ref", "image", 2)], True)
    assert after.conditions == []
    assert after.items[0].created == NOON


names = st.sampled_from(["a", "b", "c"])


@given(st.lists(st.tuples(names, names, st.integers(1, 3)), max_size=12))
def test_neighbours_never_share_reference_or_image_and_recording_again_changes_nothing(events):
    tag = NamedTagEventList(tag="t")
    for each in events:
        tag, _ = record_event(tag, tag_event(*each))
        again, changed = record_event(tag, tag.items[0])
        assert (again, changed) == (tag, False)
        head = tag.items[0]
        assert (head.docker_image_reference, head.image, head.generation) == each
    assert len(tag.items or []) <= len(events)


@given(st.lists(st.tuples(names, names, st.integers(1, 3)), min_size=1, max_size=12))
def test_the_newest_event_alone_decides(events):
    """The store hands out heads only: the same events go on top as over the whole history."""
    whole = NamedTagEventList(tag="t")
    kept = 0
    head = NamedTagEventList(tag="t")
    for each in events:
        whole, _ = record_event(whole, tag_event(*each))
        before = len(head.items or [])
        head, _ = record_event(head, tag_event(*each))
        kept += len(head.items) - before
        head = head.replace(items=head.items[:1])
        assert head.items[0] == whole.items[0]
    assert kept == len(whole.items)


@pytest.mark.case("import 6-36")
def test_latest_event():
    stream = stream_of(
        status=[
            history("latest", event("latest-ref", "")),
            history("foo", event("foo-ref", "")),
            history("empty"),
        ]
    )
    assert latest_event(stream, "nope") is None
    assert latest_event(stream, "empty") is None
    assert latest_event(stream, "").docker_image_reference == "latest-ref"
    assert latest_event(stream, "foo").docker_image_reference == "foo-ref"


@pytest.mark.case("import 6-37")
@pytest.mark.parametrize(
    ("policy", "repository", "image", "wanted"),
    [
        ("Source", "test.server/a/b", "sha256:4ab1", "latest-ref"),
        ("Local", "", "sha256:4ab1", "latest-ref"),
        ("Local", "test.server/a/b", "", "latest-ref"),
        ("Local", "NOT a name", "sha256:4ab1", "latest-ref"),
        ("Local", "test.server/a/b", "sha256:4ab1", "test.server/a/b@sha256:4ab1"),
    ],
)
def test_pull_specs_follow_the_reference_policy(policy, repository, image, wanted):
    stream = stream_of([wish("latest", "x", referencePolicy={"type": policy})])
    stream = stream.replace(status=stream.status.replace(docker_image_repository=repository))
    assert pull_spec_of_tag(stream, "latest", tag_event("latest-ref", image)) == wanted


DIGEST = "sha256:3c87c572822935df60f0f5d3665bd376841a7fcfeb806b5f212de6a00e9a7b25"


@pytest.mark.case("import 6-38")
def test_images_are_found_by_their_beginning():
    found = [[tag_event("r1", DIGEST), tag_event("r2", "mytag")], [tag_event("r3", "mytag2")]]
    assert resolve_image(found, DIGEST.removeprefix("sha256:")).docker_image_reference == "r1"
    assert resolve_image(found, DIGEST).docker_image_reference == "r1"
    assert resolve_image(found, "mytag2").docker_image_reference == "r3"
    with pytest.raises(StreamConflictError) as several:
        resolve_image(found, "mytag")
    assert several.value.message == (
        "Operation cannot be fulfilled on imagestreamimage.image.openshift.io "
        '"mytag": multiple images match the prefix "mytag": mytag, mytag2'
    )
    with pytest.raises(NotFoundError) as none:
        resolve_image(found, "999")
    assert none.value.message == 'imagestreamimage.image.openshift.io "999" not found'


def test_one_image_seen_twice_is_one_image():
    found = [[tag_event("new", DIGEST), tag_event("old", DIGEST)]]
    assert resolve_image(found, "3c87").docker_image_reference == "new"


def test_a_cap_keeps_the_newest_events_and_protected_images():
    events = [tag_event("r", name) for name in "abcd"]
    assert [e.image for e in trim_history(events, most=2)] == ["a", "b"]
    assert [e.image for e in trim_history(events, most=2, keep={"d"})] == ["a", "b", "d"]
    assert trim_history(events, most=0) == events
