"""Server-side apply: merge, ownership, removal and conflicts (api-8.1, api-8.4, api-8.5)."""

import contextlib
import copy
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.patch.managed_fields import update_managed_fields
from api.patch.server_side_apply import apply_server_side
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
    return apply_server_side(
        current, applied, manager=manager, force=force, kind=kind, now=now, **more
    )


def owners_of(applied):
    return {
        (entry["manager"], entry["operation"]): entry["fieldsV1"]
        for entry in applied["metadata"].get("managedFields", [])
    }


def without_owners(applied):
    metadata = {k: v for k, v in applied["metadata"].items() if k != "managedFields"}
    return {**applied, "metadata": metadata}


@pytest.mark.case("api 81")
def test_apply_creates_object_with_managed_fields():
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
def test_apply_of_field_of_other_manager_conflicts_until_forced():
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


def test_apply_conflict_lists_fields_by_manager():
    current = apply(None, stream(tag("v1"), tag("v2")))
    with pytest.raises(ApplyConflictError) as caught:
        apply(current, stream(tag("v1", "q:2"), tag("v2", "q:2")), manager="b")
    assert caught.value.message == (
        'Apply failed with 2 conflicts: conflicts with "a":\n'
        '- .spec.tags[name="v1"].from\n- .spec.tags[name="v2"].from'
    )


def test_apply_of_equal_value_adds_owner_without_conflict():
    current = apply(None, stream(tag("v1")))
    shared = apply(current, stream(tag("v1")), manager="b")
    assert owners_of(shared)["a", "Apply"] == owners_of(shared)["b", "Apply"]
    left = apply(shared, stream(), manager="a")
    assert left["spec"]["tags"] == [tag("v1")]
    assert [*owners_of(left)] == [("b", "Apply")]


def test_apply_removes_tag_dropped_by_its_owner():
    current = apply(None, stream(tag("v1"), tag("v2")))
    current["spec"]["tags"][0]["generation"] = 3  # a field set by the server does not keep the tag
    assert apply(current, stream(tag("v2")))["spec"]["tags"] == [tag("v2")]


def test_apply_removes_dropped_field_and_keeps_others():
    labels = {"x": "1", "y": "2"}
    current = apply(None, stream(tag("v1", importPolicy={"scheduled": True}), labels=labels))
    current["spec"]["tags"][0]["importPolicy"]["importMode"] = "Legacy"
    dropped = apply(current, stream(tag("v1"), labels={"y": "2"}))
    assert dropped["metadata"]["labels"] == {"y": "2"}
    assert dropped["spec"]["tags"] == [tag("v1", importPolicy={"importMode": "Legacy"})]


def test_apply_keeps_fields_of_other_manager_in_dropped_tag():
    current = apply(None, stream(tag("v1")))
    annotated = stream({"name": "v1", "annotations": {"n": "1"}})
    both = apply(current, annotated, manager="b")
    left = apply(both, stream(), manager="a")
    assert left["spec"]["tags"] == [{"name": "v1", "annotations": {"n": "1"}}]


def test_apply_conflicts_with_field_of_update_manager():
    current = apply(None, stream(tag("v1")))
    changed = copy.deepcopy(current)
    changed["spec"]["tags"][0]["from"] = source("q/x:2")
    updated = update_managed_fields(current, changed, manager="kubectl-edit", now=NOW)
    with pytest.raises(ApplyConflictError) as caught:
        apply(updated, stream(tag("v1", "q/x:3")))
    assert caught.value.message == (
        "Apply failed with 1 conflict: conflict with "
        '"kubectl-edit" using image.openshift.io/v1 at 2026-01-02T03:04:05Z: '
        '.spec.tags[name="v1"].from'
    )
    # A tag stays as long as a manager owns a field of it.
    assert apply(updated, stream())["spec"]["tags"] == [tag("v1", "q/x:2")]


def test_apply_replaces_tag_source_as_one_value():
    current = apply(None, stream(tag("v1")))
    only_name = stream({"name": "v1", "from": {"name": "other"}})
    assert apply(current, only_name)["spec"]["tags"] == [{"name": "v1", "from": {"name": "other"}}]


def test_apply_of_unchanged_object_keeps_managed_fields_time():
    current = apply(None, stream(tag("v1"), labels={"x": "1"}))
    later = NOW + timedelta(hours=1)
    again = apply(current, stream(tag("v1"), labels={"x": "1"}), now=later)
    assert again == current


def test_apply_ignores_null_fields():
    current = apply(None, stream(tag("v1"), labels={"x": "1"}))
    nulls = stream(tag("v1", generation=None, annotations=None), labels={"x": "1", "y": None})
    assert apply(current, nulls) == current


def test_apply_changes_status_only_through_subresource():
    current = stream(tag("v1"), finalizers=["x.io/y"])
    history = {"tags": [{"tag": "v1", "items": []}]}
    both = {**stream(tag("v2")), "status": history}
    assert "status" not in apply(current, both)
    observed = apply(current, both, subresource="status")
    assert (observed["status"], observed["spec"]["tags"]) == (history, [tag("v1")])
    entry = observed["metadata"]["managedFields"][0]
    assert entry["subresource"] == "status"
    assert [*entry["fieldsV1"]] == ["f:status"]


def test_apply_owns_each_finalizer():
    current = apply(None, stream(finalizers=["x.io/a", "x.io/b"]))
    both = apply(current, stream(finalizers=["x.io/c"]), manager="b")
    assert both["metadata"]["finalizers"] == ["x.io/a", "x.io/b", "x.io/c"]
    assert owners_of(both)["b", "Apply"]["f:metadata"] == {"f:finalizers": {'v:"x.io/c"': {}}}
    left = apply(both, stream(finalizers=["x.io/b"]))
    assert left["metadata"]["finalizers"] == ["x.io/b", "x.io/c"]


def test_apply_to_virtual_object_stores_no_managed_fields():
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
def test_apply_rejects_invalid_body(body, text):
    with pytest.raises(BadRequestError, match=text):
        apply(None, body)


def test_apply_with_uid_of_missing_object_is_conflict():
    with pytest.raises(StreamConflictError) as caught:
        apply(None, stream(uid="u-1"))
    assert caught.value.message == (
        'Operation cannot be fulfilled on imagestreams.image.openshift.io "app": uid mismatch: '
        "the provided object specified uid u-1, and no existing object was found"
    )


def test_apply_of_ten_thousand_tags_is_fast():
    many = stream(*(tag(f"v{number}") for number in range(10_000)))
    started = time.perf_counter()
    current = apply(None, many)
    fewer = apply(current, stream(*many["spec"]["tags"][:9_000]))
    assert time.perf_counter() - started < 10
    assert len(fewer["spec"]["tags"]) == 9_000


NAMES = st.sampled_from(["v1", "v2", "v3"])
ANNOTATIONS = st.dictionaries(st.sampled_from(["m", "n"]), st.sampled_from("12"), max_size=2)
TAGS = st.lists(
    st.builds(
        lambda name, spec, annotations: tag(
            name, spec, **({"annotations": annotations} if annotations else {})
        ),
        NAMES,
        st.sampled_from(["q:1", "q:2"]),
        ANNOTATIONS,
    ),
    max_size=3,
    unique_by=lambda each: each["name"],
)
STREAMS = st.builds(lambda tags, labels: stream(*tags, labels=labels), TAGS, ANNOTATIONS)


def plain(applied):
    """Return tags and labels of the object, whatever their order."""
    tags = {each["name"]: each for each in applied["spec"]["tags"]}
    return tags, applied["metadata"].get("labels") or {}


@given(STREAMS, STREAMS)
def test_apply_by_only_manager_returns_its_last_object(one, other):
    assert plain(apply(apply(None, one), other)) == plain(other)


@given(STREAMS, STREAMS, STREAMS)
def test_apply_by_leaving_manager_removes_its_fields(mine, theirs, later):
    """Fields that only b applied go away with b; the fields that a applied stay."""
    current = apply(apply(None, mine), theirs, manager="b", force=True)
    current = apply(current, later, force=True)
    remaining = apply(current, stream(), manager="b")
    tags, labels = plain(remaining)
    wanted_tags, wanted_labels = plain(later)
    assert tags == wanted_tags
    assert labels == wanted_labels


@given(STREAMS, STREAMS)
def test_apply_is_idempotent_and_keeps_its_arguments(one, other):
    current = apply(None, one)
    before = copy.deepcopy((current, other))
    result = apply(current, other, manager="b", force=True)
    assert (current, other) == before
    assert apply(result, other, manager="b", now=NOW + timedelta(days=1)) == result


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
def test_apply_of_any_object_returns_object_or_raises_typed_error(current, applied):
    for kind in ("ImageStream", "Image", "Namespace", "Secret", "ImageTag", "Unknown"):
        with contextlib.suppress(TagstreamError):
            assert isinstance(apply(current, applied, kind=kind), dict)
        with contextlib.suppress(TagstreamError):
            assert isinstance(apply(None, applied, kind=kind, subresource="status"), dict)
