"""How many images and tags a stream may have (`import.md` 5.9)."""

import pytest

from models.errors import InvalidObjectError, status_of
from models.streams.imports.apply_import import record_limit_failure
from models.streams.imports.import_rules import ImportRules
from models.streams.writes.stream_quota import StreamUsage, check_limits, is_limit_error
from tests.unit.streams.scenes import (
    D1,
    D2,
    D3,
    NOON,
    REG,
    Memory,
    World,
    event,
    failure,
    history,
    img,
    isi,
    items,
    stream_of,
    wish,
)

T, U = f"{REG}/a/b:t", f"{REG}/a/b:u"
IMAGES = (
    "requested usage of openshift.io/images exceeds the maximum limit per openshift.io/ImageStream"
)
TAGS = IMAGES.replace("io/images", "io/image-tags")
ONE = ImportRules(max_images=1, max_tags_per_stream=1)


@pytest.fixture
def memory():
    world = World()
    world.put(T, D1)
    world.put(U, D2)
    memory = Memory(world, rules=ONE)
    memory.run(isi(img(T), name="f"))
    return memory


def refused(memory, request, usage=None):
    with pytest.raises(InvalidObjectError) as caught:
        memory.run(request, usage=usage)
    return caught.value


@pytest.mark.case("import 5-30")
def test_a_second_tag_is_refused_and_leaves_a_condition(memory):
    error = refused(memory, isi(img(U), name="f"))
    status = status_of(error)
    assert status["message"] == (
        'ImageStream.image.openshift.io "f" is invalid: []: Internal error: '
        f'ImageStream.image.openshift.io "f" is forbidden: [{TAGS} (2 > 1), {IMAGES} (2 > 1)]'
    )
    assert (status["code"], status["reason"]) == (422, "Invalid")
    (cause,) = status["details"]["causes"]
    assert (cause["reason"], cause["field"]) == ("InternalError", "[]")
    marked = record_limit_failure(
        memory.heads(), memory.request, memory.plan, memory.outcomes, error=error, now=NOON
    )
    assert failure(marked, "u") == ("Invalid", error.message, 2)
    assert marked.metadata.generation == 1
    assert marked.spec_tag("u") is None
    assert items(marked, "t") == [(D1, 1)]


@pytest.mark.case("import 5-31")
def test_a_new_image_on_an_existing_tag_is_refused_without_a_trace(memory):
    memory.world.put(T, D2)
    error = refused(memory, isi(img(T), name="f"))
    assert f"{IMAGES} (2 > 1)" in error.message
    assert "image-tags" not in error.message
    assert (
        record_limit_failure(
            memory.heads(), memory.request, memory.plan, memory.outcomes, error=error, now=NOON
        )
        is None
    )


@pytest.mark.case("import 5-32")
def test_a_new_stream_above_its_limits_is_not_made():
    world = World()
    world.put(T, D1)
    world.put(U, D2)
    memory = Memory(world, rules=ONE)
    assert is_limit_error(refused(memory, isi(img(T), img(U))))
    assert memory.stream is None


def test_images_of_the_stored_history_count():
    world = World()
    world.put(T, D3)
    old = stream_of([wish("t", T)], [history("t", event(f"{REG}/a/b@{D2}", D2))])
    memory = Memory(world, old, rules=ImportRules(max_images=2))
    error = refused(memory, isi(img(T)), usage=StreamUsage(frozenset({D1, D2})))
    assert "(3 > 2)" in error.message
    memory.run(isi(img(T)), usage=StreamUsage(frozenset({D2})))


@pytest.mark.case("import 5-33")
def test_a_stream_above_its_limits_may_be_written_as_long_as_it_does_not_grow():
    spec = [wish("a", "x:1"), wish("b", "x:2")]
    old = stream_of(spec, [history("a", event("r@" + D1, D1), event("r@" + D2, D2))])
    labelled = old.replace(metadata=old.metadata.replace(labels={"a": "b"}))
    check_limits(old, labelled, rules=ONE)
    smaller = stream_of([wish("a", "x:2")], [history("a", event("r@" + D1, D1))])
    check_limits(old, smaller, rules=ONE)
    check_limits(old, stream_of([*spec, wish("c", "docker.io/library/x:1")]), rules=ONE)
    with pytest.raises(InvalidObjectError):
        check_limits(old, stream_of([*spec, wish("c", "x:3")]), rules=ONE)


@pytest.mark.case("import 5-34")
@pytest.mark.parametrize(
    ("spec", "events", "named"),
    [
        ([wish("a", "x:1")], [event("r@" + D1, D1)], []),
        ([wish("a", "x:1")], [event("r@" + D1, D1), event("r@" + D2, D2)], ["images"]),
        ([wish("a", "x:1"), wish("b", "x:2")], [event("r@" + D1, D1)], ["image-tags"]),
        (
            [wish("a", "x:1"), wish("b", "x:2")],
            [event("r@" + D1, D1), event("r@" + D2, D2)],
            ["image-tags", "images"],
        ),
    ],
)
@pytest.mark.parametrize("old", [None, stream_of()])
def test_limits_name_what_is_too_many(spec, events, named, old):
    stream = stream_of(spec, [history("a", *events)])
    if not named:
        check_limits(old, stream, rules=ONE)
        return
    with pytest.raises(InvalidObjectError) as caught:
        check_limits(old, stream, rules=ONE)
    (error,) = caught.value.errors
    assert (error.field, error.reason) == ("[]", "InternalError")
    assert [word for word in ("image-tags", "images") if f"io/{word} " in error.message] == named


def test_tags_that_name_the_same_thing_count_once():
    spec = [
        wish("a", "busybox"),
        wish("b", "docker.io/library/busybox:latest"),
        wish("c", "t", kind="ImageStreamTag"),
        wish("d", "is:t", kind="ImageStreamTag", namespace="ns"),
        wish("e", "is@", kind="ImageStreamImage"),
        wish("f"),
        wish("g", "NOT VALID"),
    ]
    check_limits(None, stream_of(spec), rules=ImportRules(max_tags_per_stream=2))
    with pytest.raises(InvalidObjectError):
        check_limits(None, stream_of(spec), rules=ImportRules(max_tags_per_stream=1))


def test_other_refusals_leave_no_condition():
    error = InvalidObjectError(kind="ImageStream", name="f", errors=[])
    request = isi(img(U))
    assert record_limit_failure(stream_of(), request, None, None, error=error, now=NOON) is None
