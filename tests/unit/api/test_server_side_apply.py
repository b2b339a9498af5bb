"""Server-side apply: merging, owning, letting go, and conflicts (`api.md` C9)."""

import contextlib
import copy
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.patch.managed_fields import own_changes
from api.patch.server_side_apply import apply_object
from models.api_errors import ApplyConflictError, BadRequestError
from models.errors import StreamConflictError, TagstreamError

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
API_VERSION = "image.openshift.io/v1"


def source(name):
    return {"kind": "DockerImage", "name": name}


def tag(name, pull_spec="q/x:1", **more):
    return {"name": name, "from": source(pull_spec), **more}


def stream(*tags, **metadata):
    return {
        "apiVersion": API_VERSION,
        "kind": "ImageStream",
        "metadata": {"name": "app", **metadata},
        "spec": {"tags": [*tags]},
    }


def apply(current, applied, *, manager="a", force=False, now=NOW, kind="ImageStream", **more):
    return apply_object(current, applied, manager=manager, force=force, kind=kind, now=now, **more)


def owners_of(applied):
    return {
        (entry["manager"], entry["operation"]): entry["fieldsV1"]
        for entry in applied["metadata"].get("managedFields", [])
    }


def without_owners(applied):
    metadata = {k: v for k, v in applied["metadata"].items() if k != "managedFields"}
    return {**applied, "metadata": metadata}


@pytest.mark.case("api 81")
def test_a_new_object_is_what_was_applied_and_remembers_its_manager():
    applied = apply(None, stream(tag("v1"), labels={"x": "1"}))
    assert without_owners(applied) == stream(tag("v1"), labels={"x": "1"})
    assert applied["metadata"]["managedFields"] == [
        {
            "manager": "a",
            "operation": "Apply",
            "apiVersion": API_VERSION,
            "time": "2026-01-02T03:04:05Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:metadata": {"f:labels": {"f:x": {}}},
                "f:spec": {"f:tags": {'k:{"name":"v1"}': {".": {}, "f:name": {}, "f:from": {}}}},
            },
        }
    ]


@pytest.mark.case("api 83")
def test_another_managers_value_is_a_conflict_until_forced():
    current = apply(None, stream(tag("v1", "q/x:1")))
    with pytest.raises(ApplyConflictError) as caught:
        apply(current, stream(tag("v1", "q/x:2")), manager="b")
    field = '.spec.tags[name="v1"].from'
    assert (caught.value.http, caught.value.reason) == (409, "Conflict")
    assert caught.value.message == f'Apply failed with 1 conflict: conflict with "a": {field}'
    cause = {"reason": "FieldManagerConflict", "message": 'conflict with "a"', "field": field}
    assert caught.value.details() == {"causes": [cause]}

    forced = apply(current, stream(tag("v1", "q/x:2")), manager="b", force=True)
    assert forced["spec"]["tags"] == [tag("v1", "q/x:2")]
    tags = {'k:{"name":"v1"}': {".": {}, "f:name": {}}}
    assert owners_of(forced)["a", "Apply"] == {"f:spec": {"f:tags": tags}}


def test_several_conflicts_are_listed_by_manager():
    current = apply(None, stream(tag("v1"), tag("v2")))
    with pytest.raises(ApplyConflictError) as caught:
        apply(current, stream(tag("v1", "q:2"), tag("v2", "q:2")), manager="b")
    assert caught.value.message == (
        'Apply failed with 2 conflicts: conflicts with "a":\n'
        '- .spec.tags[name="v1"].from\n- .spec.tags[name="v2"].from'
    )


def test_the_same_value_is_shared_without_a_conflict():
    current = apply(None, stream(tag("v1")))
    shared = apply(current, stream(tag("v1")), manager="b")
    assert owners_of(shared)["a", "Apply"] == owners_of(shared)["b", "Apply"]
    left = apply(shared, stream(), manager="a")
    assert left["spec"]["tags"] == [tag("v1")]
    assert [*owners_of(left)] == [("b", "Apply")]


def test_a_tag_goes_away_when_its_owner_drops_it():
    current = apply(None, stream(tag("v1"), tag("v2")))
    current["spec"]["tags"][0]["generation"] = 3  # the server's own word does not keep it
    assert apply(current, stream(tag("v2")))["spec"]["tags"] == [tag("v2")]


def test_a_dropped_field_goes_away_and_its_neighbours_stay():
    labels = {"x": "1", "y": "2"}
    current = apply(None, stream(tag("v1", importPolicy={"scheduled": True}), labels=labels))
    current["spec"]["tags"][0]["importPolicy"]["importMode"] = "Legacy"
    dropped = apply(current, stream(tag("v1"), labels={"y": "2"}))
    assert dropped["metadata"]["labels"] == {"y": "2"}
    assert dropped["spec"]["tags"] == [tag("v1", importPolicy={"importMode": "Legacy"})]


def test_a_tag_whose_parts_another_manager_owns_stays_with_them():
    current = apply(None, stream(tag("v1")))
    noted = stream({"name": "v1", "annotations": {"n": "1"}})
    both = apply(current, noted, manager="b")
    left = apply(both, stream(), manager="a")
    assert left["spec"]["tags"] == [{"name": "v1", "annotations": {"n": "1"}}]


def test_what_an_updater_wrote_is_its_own():
    current = apply(None, stream(tag("v1")))
    changed = copy.deepcopy(current)
    changed["spec"]["tags"][0]["from"] = source("q/x:2")
    updated = own_changes(current, changed, manager="kubectl-edit", now=NOW)
    with pytest.raises(ApplyConflictError) as caught:
        apply(updated, stream(tag("v1", "q/x:3")))
    assert caught.value.message == (
        "Apply failed with 1 conflict: conflict with "
        '"kubectl-edit" using image.openshift.io/v1 at 2026-01-02T03:04:05Z: '
        '.spec.tags[name="v1"].from'
    )
    # The tag stays with whoever owns a part of it.
    assert apply(updated, stream())["spec"]["tags"] == [tag("v1", "q/x:2")]


def test_a_source_is_one_piece():
    current = apply(None, stream(tag("v1")))
    only_name = stream({"name": "v1", "from": {"name": "other"}})
    assert apply(current, only_name)["spec"]["tags"] == [{"name": "v1", "from": {"name": "other"}}]


def test_applying_the_same_again_changes_nothing_not_even_a_time():
    current = apply(None, stream(tag("v1"), labels={"x": "1"}))
    later = NOW + timedelta(hours=1)
    again = apply(current, stream(tag("v1"), labels={"x": "1"}), now=later)
    assert again == current


def test_null_says_nothing():
    current = apply(None, stream(tag("v1"), labels={"x": "1"}))
    nulls = stream(tag("v1", generation=None, annotations=None), labels={"x": "1", "y": None})
    assert apply(current, nulls) == current


def test_the_status_is_applied_through_status_alone():
    current = stream(tag("v1"), finalizers=["x.io/y"])
    history = {"tags": [{"tag": "v1", "items": []}]}
    both = {**stream(tag("v2")), "status": history}
    assert "status" not in apply(current, both)
    observed = apply(current, both, subresource="status")
    assert (observed["status"], observed["spec"]["tags"]) == (history, [tag("v1")])
    entry = observed["metadata"]["managedFields"][0]
    assert entry["subresource"] == "status"
    assert [*entry["fieldsV1"]] == ["f:status"]


def test_finalizers_are_owned_one_by_one():
    current = apply(None, stream(finalizers=["x.io/a", "x.io/b"]))
    both = apply(current, stream(finalizers=["x.io/c"]), manager="b")
    assert both["metadata"]["finalizers"] == ["x.io/a", "x.io/b", "x.io/c"]
    assert owners_of(both)["b", "Apply"]["f:metadata"] == {"f:finalizers": {'v:"x.io/c"': {}}}
    left = apply(both, stream(finalizers=["x.io/b"]))
    assert left["metadata"]["finalizers"] == ["x.io/b", "x.io/c"]


def test_views_of_a_stream_are_merged_and_remember_nobody():
    current = {"kind": "ImageStreamTag", "metadata": {"name": "app:v1"}, "tag": None}
    applied = {"kind": "ImageStreamTag", "metadata": {"name": "app:v1"}, "tag": {"name": "v1"}}
    assert apply(current, applied, kind="ImageStreamTag") == applied


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (stream(managedFields=[{}]), r"^metadata\.managedFields must be nil$"),
        (
            {"apiVersion": "v1", "kind": "Secret"},
            "^invalid object type: v1, Kind=Secret$",
        ),
        (
            stream(tag("a"), tag("a"), namespace="ns1"),
            (
                r"^failed to create typed patch object \(ns1/app; image.openshift.io/v1, "
                r'Kind=ImageStream\): \.spec\.tags: duplicate entries for key \[name="a"\]$'
            ),
        ),
        (
            stream({"from": source("x")}),
            (
                r"\.spec\.tags: element 0: associative list with keys has an element that omits "
                'key field "name"$'
            ),
        ),
        ({"spec": []}, r"\.spec: expected map, got array$"),
        ({"spec": {"tags": "x"}, "metadata": 1}, r"errors:\n  \.spec\.tags: expected list"),
    ],
)
def test_a_body_that_makes_no_sense_is_refused(body, text):
    with pytest.raises(BadRequestError, match=text):
        apply(None, body)


def test_a_uid_without_an_object_is_a_conflict():
    with pytest.raises(StreamConflictError) as caught:
        apply(None, stream(uid="u-1"))
    assert caught.value.message == (
        'Operation cannot be fulfilled on imagestreams.image.openshift.io "app": uid mismatch: '
        "the provided object specified uid u-1, and no existing object was found"
    )


def test_ten_thousand_tags_are_applied_in_a_few_seconds():
    many = stream(*(tag(f"v{number}") for number in range(10_000)))
    begun = time.perf_counter()
    current = apply(None, many)
    fewer = apply(current, stream(*many["spec"]["tags"][:9_000]))
    assert time.perf_counter() - begun < 10
    assert len(fewer["spec"]["tags"]) == 9_000


NAMES = st.sampled_from(["v1", "v2", "v3"])
ANNOTATIONS = st.dictionaries(st.sampled_from(["m", "n"]), st.sampled_from("12"), max_size=2)
TAGS = st.lists(
    st.builds(
        lambda name, spec, notes: tag(name, spec, **({"annotations": notes} if notes else {})),
        NAMES,
        st.sampled_from(["q:1", "q:2"]),
        ANNOTATIONS,
    ),
    max_size=3,
    unique_by=lambda each: each["name"],
)
STREAMS = st.builds(lambda tags, labels: stream(*tags, labels=labels), TAGS, ANNOTATIONS)


def plain(applied):
    """The object as far as it says something, in any order."""
    tags = {each["name"]: each for each in applied["spec"]["tags"]}
    return tags, applied["metadata"].get("labels") or {}


@given(STREAMS, STREAMS)
def test_a_lone_manager_gets_what_it_applied_last(one, other):
    assert plain(apply(apply(None, one), other)) == plain(other)


@given(STREAMS, STREAMS, STREAMS)
def test_who_comes_and_goes_leaves_nothing_of_its_own(mine, theirs, later):
    """What b alone added goes away with b; what a applied stays, whoever was there."""
    current = apply(apply(None, mine), theirs, manager="b", force=True)
    current = apply(current, later, force=True)
    alone = apply(current, stream(), manager="b")
    tags, labels = plain(alone)
    wanted_tags, wanted_labels = plain(later)
    assert tags == wanted_tags
    assert labels == wanted_labels


@given(STREAMS, STREAMS)
def test_applying_leaves_its_arguments_alone_and_is_idempotent(one, other):
    current = apply(None, one)
    before = copy.deepcopy((current, other))
    once = apply(current, other, manager="b", force=True)
    assert (current, other) == before
    assert apply(once, other, manager="b", now=NOW + timedelta(days=1)) == once


SCALARS = st.none() | st.booleans() | st.integers(-1, 1) | st.sampled_from(["v1", "x", "Apply"])
PARTS = st.sampled_from(
    [
        "metadata",
        "spec",
        "tags",
        "name",
        "from",
        "status",
        "finalizers",
        "managedFields",
        "labels",
        "uid",
        "f:spec",
        "fieldsV1",
        "operation",
        ".",
    ]
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PARTS, inner, max_size=4)
)
OBJECTS = st.dictionaries(PARTS, VALUES, max_size=4)


@given(OBJECTS, OBJECTS)
def test_any_object_is_applied_to_any_other_or_refused(current, applied):
    for kind in ("ImageStream", "Image", "Namespace", "Secret", "ImageTag", "Unheard"):
        with contextlib.suppress(TagstreamError):
            assert isinstance(apply(current, applied, kind=kind), dict)
        with contextlib.suppress(TagstreamError):
            assert isinstance(apply(None, applied, kind=kind, subresource="status"), dict)
