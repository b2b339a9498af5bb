"""Limits of images and tags of a stream (imports-5.12, imports-5.13, imports-5.14)."""

import pytest

from models.errors import InvalidObjectError, status_of
from models.streams.imports.apply_import import record_limit_failure
from models.streams.imports.import_rules import ImportRules
from models.streams.writes.stream_quota import StreamUsage, check_limits, is_limit_error
from tests.unit.streams.import_simulation import (
    DIGEST_1,
    DIGEST_2,
    DIGEST_3,
    NOON,
    REG,
    InMemoryStore,
    RegistryContents,
    event,
    failure,
    history,
    img,
    isi,
    items,
    spec_tag,
    stream_of,
)

T, U = f"{REG}/a/b:t", f"{REG}/a/b:u"
IMAGES = (
    "requested usage of openshift.io/images exceeds the maximum limit per openshift.io/ImageStream"
)
TAGS = IMAGES.replace("io/images", "io/image-tags")
ONE = ImportRules(max_images=1, max_tags_per_stream=1)


@pytest.fixture
def memory():
    contents = RegistryContents()
    contents.put(T, DIGEST_1)
    contents.put(U, DIGEST_2)
    memory = InMemoryStore(contents, rules=ONE)
    memory.run(isi(img(T), name="f"))
    return memory


def refused(memory, request, usage=None):
    with pytest.raises(InvalidObjectError) as caught:
        memory.run(request, usage=usage)
    return caught.value


@pytest.mark.case("import 5-30")
def test_import_beyond_tag_quota_records_condition(memory):
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
    assert items(marked, "t") == [(DIGEST_1, 1)]


@pytest.mark.case("import 5-31")
def test_import_beyond_image_quota_records_nothing_for_existing_tag(memory):
    memory.contents.put(T, DIGEST_2)
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
def test_import_beyond_quota_creates_no_stream():
    contents = RegistryContents()
    contents.put(T, DIGEST_1)
    contents.put(U, DIGEST_2)
    memory = InMemoryStore(contents, rules=ONE)
    assert is_limit_error(refused(memory, isi(img(T), img(U))))
    assert memory.stream is None


def test_image_quota_counts_stored_history():
    contents = RegistryContents()
    contents.put(T, DIGEST_3)
    old = stream_of([spec_tag("t", T)], [history("t", event(f"{REG}/a/b@{DIGEST_2}", DIGEST_2))])
    memory = InMemoryStore(contents, old, rules=ImportRules(max_images=2))
    error = refused(memory, isi(img(T)), usage=StreamUsage(frozenset({DIGEST_1, DIGEST_2})))
    assert "(3 > 2)" in error.message
    memory.run(isi(img(T)), usage=StreamUsage(frozenset({DIGEST_2})))


@pytest.mark.case("import 5-33")
def test_quota_allows_write_that_does_not_grow_stream():
    spec = [spec_tag("a", "x:1"), spec_tag("b", "x:2")]
    old = stream_of(
        spec, [history("a", event("r@" + DIGEST_1, DIGEST_1), event("r@" + DIGEST_2, DIGEST_2))]
    )
    labelled = old.replace(metadata=old.metadata.replace(labels={"a": "b"}))
    check_limits(old, labelled, rules=ONE)
    smaller = stream_of([spec_tag("a", "x:2")], [history("a", event("r@" + DIGEST_1, DIGEST_1))])
    check_limits(old, smaller, rules=ONE)
    check_limits(old, stream_of([*spec, spec_tag("c", "docker.io/library/x:1")]), rules=ONE)
    with pytest.raises(InvalidObjectError):
        check_limits(old, stream_of([*spec, spec_tag("c", "x:3")]), rules=ONE)


@pytest.mark.case("import 5-34")
@pytest.mark.parametrize(
    ("spec", "events", "named"),
    [
        ([spec_tag("a", "x:1")], [event("r@" + DIGEST_1, DIGEST_1)], []),
        (
            [spec_tag("a", "x:1")],
            [event("r@" + DIGEST_1, DIGEST_1), event("r@" + DIGEST_2, DIGEST_2)],
            ["images"],
        ),
        (
            [spec_tag("a", "x:1"), spec_tag("b", "x:2")],
            [event("r@" + DIGEST_1, DIGEST_1)],
            ["image-tags"],
        ),
        (
            [spec_tag("a", "x:1"), spec_tag("b", "x:2")],
            [event("r@" + DIGEST_1, DIGEST_1), event("r@" + DIGEST_2, DIGEST_2)],
            ["image-tags", "images"],
        ),
    ],
)
@pytest.mark.parametrize("old", [None, stream_of()])
def test_quota_error_names_exceeded_resources(spec, events, named, old):
    stream = stream_of(spec, [history("a", *events)])
    if not named:
        check_limits(old, stream, rules=ONE)
        return
    with pytest.raises(InvalidObjectError) as caught:
        check_limits(old, stream, rules=ONE)
    (error,) = caught.value.errors
    assert (error.field, error.reason) == ("[]", "InternalError")
    assert [
        resource for resource in ("image-tags", "images") if f"io/{resource} " in error.message
    ] == named


def test_tag_quota_counts_equal_sources_once():
    spec = [
        spec_tag("a", "busybox"),
        spec_tag("b", "docker.io/library/busybox:latest"),
        spec_tag("c", "t", kind="ImageStreamTag"),
        spec_tag("d", "is:t", kind="ImageStreamTag", namespace="ns"),
        spec_tag("e", "is@", kind="ImageStreamImage"),
        spec_tag("f"),
        spec_tag("g", "NOT VALID"),
    ]
    check_limits(None, stream_of(spec), rules=ImportRules(max_tags_per_stream=2))
    with pytest.raises(InvalidObjectError):
        check_limits(None, stream_of(spec), rules=ImportRules(max_tags_per_stream=1))


def test_record_limit_failure_ignores_other_errors():
    error = InvalidObjectError(kind="ImageStream", name="f", errors=[])
    request = isi(img(U))
    assert record_limit_failure(stream_of(), request, None, None, error=error, now=NOON) is None
