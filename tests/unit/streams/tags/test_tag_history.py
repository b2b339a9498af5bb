"""Tag history: recording, reading, resolving (imports-5.5, imports-5.16, imports-5.17)."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import NotFoundError, StreamConflictError
from models.resources.stream import NamedTagEventList, TagEvent
from models.streams.tags.tag_history import (
    append_tag_event,
    latest_event,
    pull_spec_of_tag,
    resolve_image,
    trim_history,
)
from tests.unit.streams.import_simulation import NOON, event, history, spec_tag, stream_of

LATER = NOON + timedelta(hours=1)
CONDITION = {"type": "ImportSuccess", "status": "False", "reason": "NotFound"}


def tag_event(reference, image, generation=1, at=LATER):
    return TagEvent.model_validate(event(reference, image, generation, at=at))


def recorded(new, *old):
    before = NamedTagEventList.model_validate(
        history("latest", *old, conditions=[CONDITION] if old else ())
    )
    after, changed = append_tag_event(before, new)
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
def test_append_tag_event_replaces_newest_or_prepends(old, new, items, changed):
    shown, did, after = recorded(tag_event(*new), *(event(*each) for each in old))
    assert (shown, did) == (items, changed)
    assert bool(after.conditions) is (not changed)
    if old:
        assert after.items[-1].created == NOON


@pytest.mark.case("import 5-2")
def test_append_tag_event_of_other_generation_clears_conditions():
    shown, changed, after = recorded(tag_event("ref", "image", 2), event("ref", "image", 1))
    assert (shown, changed) == ([("ref", "image", 2)], True)
    assert after.conditions == []
    assert after.items[0].created == NOON


names = st.sampled_from(["a", "b", "c"])


@given(st.lists(st.tuples(names, names, st.integers(1, 3)), max_size=12))
def test_append_tag_event_is_idempotent(events):
    tag = NamedTagEventList(tag="t")
    for each in events:
        tag, _ = append_tag_event(tag, tag_event(*each))
        again, changed = append_tag_event(tag, tag.items[0])
        assert (again, changed) == (tag, False)
        head = tag.items[0]
        assert (head.docker_image_reference, head.image, head.generation) == each
    assert len(tag.items or []) <= len(events)


@given(st.lists(st.tuples(names, names, st.integers(1, 3)), min_size=1, max_size=12))
def test_append_tag_event_depends_only_on_newest_event(events):
    """The store loads only newest events: what is prepended is what the whole history would get."""
    whole = NamedTagEventList(tag="t")
    prepended = 0
    head = NamedTagEventList(tag="t")
    for each in events:
        whole, _ = append_tag_event(whole, tag_event(*each))
        before = len(head.items or [])
        head, _ = append_tag_event(head, tag_event(*each))
        prepended += len(head.items) - before
        head = head.replace(items=head.items[:1])
        assert head.items[0] == whole.items[0]
    assert prepended == len(whole.items)


@pytest.mark.case("import 6-36")
def test_latest_event_defaults_to_tag_latest():
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
def test_pull_spec_of_tag_follows_reference_policy(policy, repository, image, wanted):
    stream = stream_of([spec_tag("latest", "x", referencePolicy={"type": policy})])
    stream = stream.replace(status=stream.status.replace(docker_image_repository=repository))
    assert pull_spec_of_tag(stream, "latest", tag_event("latest-ref", image)) == wanted


DIGEST = "sha256:3c87c572822935df60f0f5d3665bd376841a7fcfeb806b5f212de6a00e9a7b25"


@pytest.mark.case("import 6-38")
def test_resolve_image_finds_unique_prefix():
    found = [[tag_event("r1", DIGEST), tag_event("r2", "mytag")], [tag_event("r3", "mytag2")]]
    assert resolve_image(found, DIGEST.removeprefix("sha256:")).docker_image_reference == "r1"
    assert resolve_image(found, DIGEST).docker_image_reference == "r1"
    assert resolve_image(found, "mytag2").docker_image_reference == "r3"
    with pytest.raises(StreamConflictError) as conflict:
        resolve_image(found, "mytag")
    assert conflict.value.message == (
        "Operation cannot be fulfilled on imagestreamimage.image.openshift.io "
        '"mytag": multiple images match the prefix "mytag": mytag, mytag2'
    )
    with pytest.raises(NotFoundError) as missing:
        resolve_image(found, "999")
    assert missing.value.message == 'imagestreamimage.image.openshift.io "999" not found'


def test_resolve_image_returns_newest_event_of_image():
    found = [[tag_event("new", DIGEST), tag_event("old", DIGEST)]]
    assert resolve_image(found, "3c87").docker_image_reference == "new"


def test_trim_history_keeps_newest_events_and_retained_images():
    events = [tag_event("r", name) for name in "abcd"]
    assert [e.image for e in trim_history(events, max_events=2)] == ["a", "b"]
    assert [e.image for e in trim_history(events, max_events=2, retained_images={"d"})] == [
        "a",
        "b",
        "d",
    ]
    assert trim_history(events, max_events=0) == events
