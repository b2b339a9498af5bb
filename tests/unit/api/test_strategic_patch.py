"""Strategic merge patches: what `oc apply`, `oc patch` and `oc set` send (`api.md` C8)."""

import contextlib
import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.patch.patch_types import apply_strategic_patch
from models.api_errors import BadRequestError
from models.errors import TagstreamError

NAMES = st.sampled_from(["a", "b", "c"])
SCALARS = st.none() | st.booleans() | st.integers(-2, 2) | st.text(max_size=2)
PARTS = st.sampled_from(
    [
        "metadata",
        "spec",
        "tags",
        "name",
        "status",
        "finalizers",
        "annotations",
        "signatures",
        "$patch",
        "$retainKeys",
        "$setElementOrder/tags",
        "$deleteFromPrimitiveList/finalizers",
        "delete",
    ]
)
VALUES = st.recursive(
    SCALARS | PARTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PARTS, inner, max_size=3),
)
SOURCES = st.fixed_dictionaries({"kind": st.just("DockerImage"), "name": NAMES})
TAGS = st.lists(
    st.fixed_dictionaries(
        {"name": st.sampled_from(["v1", "v2", "v3", "v4"])},
        optional={"from": SOURCES, "annotations": st.dictionaries(NAMES, NAMES, max_size=2)},
    ),
    max_size=4,
    unique_by=lambda tag: tag["name"],
)
STREAMS = st.fixed_dictionaries(
    {
        "metadata": st.fixed_dictionaries(
            {
                "name": st.just("app"),
                "annotations": st.dictionaries(NAMES, NAMES, max_size=2),
                "finalizers": st.lists(NAMES, max_size=3, unique=True),
            }
        ),
        "spec": st.fixed_dictionaries({"tags": TAGS}),
    }
)


def patch(current, body, kind="ImageStream"):
    return apply_strategic_patch(current, json.dumps(body).encode(), kind)


def stream(*names):
    return {"metadata": {"name": "app"}, "spec": {"tags": [{"name": name} for name in names]}}


def tags_of(patched):
    return [tag["name"] for tag in patched["spec"]["tags"]]


@pytest.mark.case("api 71")
def test_a_new_tag_comes_beside_the_others():
    source = {"kind": "DockerImage", "name": "q/9"}
    patched = patch(stream("v1"), {"spec": {"tags": [{"name": "v9", "from": source}]}})
    assert patched["spec"]["tags"] == [{"name": "v1"}, {"name": "v9", "from": source}]


@pytest.mark.case("api 72")
def test_a_tag_is_deleted_by_its_key():
    body = {"spec": {"tags": [{"name": "v9", "$patch": "delete"}]}}
    assert tags_of(patch(stream("v1", "v9"), body)) == ["v1"]
    assert tags_of(patch(stream("v1"), body)) == ["v1"]


@pytest.mark.case("api 73")
def test_an_order_of_elements_is_followed():
    order = [{"name": "zz"}, {"name": "v1"}]
    body = {"spec": {"$setElementOrder/tags": order, "tags": [{"name": "zz"}]}}
    assert sorted(tags_of(patch(stream("v1"), body))) == ["v1", "zz"]
    assert tags_of(patch(stream("v1"), body)) == ["zz", "v1"]
    assert tags_of(patch(stream("other", "v1", "last"), body)) == ["other", "zz", "v1", "last"]


@pytest.mark.case("api 80")
def test_null_removes_an_annotation_and_the_others_stay():
    current = {"metadata": {"annotations": {"a": "1", "b": "2"}}}
    patched = patch(current, {"metadata": {"annotations": {"a": None, "c": "3"}}})
    assert patched == {"metadata": {"annotations": {"b": "2", "c": "3"}}}


def test_a_partial_element_merges_into_the_tag_of_its_name():
    """What `kubectl apply` sends for a changed pull spec; `from` is no single piece here."""
    current = stream("v1")
    current["spec"]["tags"][0]["from"] = {"kind": "DockerImage", "name": "quay.io/a/b:v1"}
    body = {
        "spec": {
            "$setElementOrder/tags": [{"name": "v1"}],
            "tags": [{"from": {"name": "quay.io/a/b:v2"}, "name": "v1"}],
        }
    }
    source = {"kind": "DockerImage", "name": "quay.io/a/b:v2"}
    assert patch(current, body)["spec"]["tags"] == [{"name": "v1", "from": source}]


@pytest.mark.parametrize(
    ("kind", "path", "key"),
    [
        ("ImageStream", ("spec", "tags"), "name"),
        ("ImageStream", ("status", "tags"), "tag"),
        ("ImageStream", ("metadata", "ownerReferences"), "uid"),
        ("Secret", ("metadata", "ownerReferences"), "uid"),
        ("Namespace", ("status", "conditions"), "type"),
    ],
)
def test_each_keyed_list_of_the_table_merges_by_its_key(kind, path, key):
    outer, inner = path
    current = {outer: {inner: [{key: "x", "old": 1}, {key: "y"}]}}
    patched = patch(current, {outer: {inner: [{key: "x", "new": 2}]}}, kind)
    assert patched == {outer: {inner: [{key: "x", "old": 1, "new": 2}, {key: "y"}]}}


def test_signatures_are_told_apart_by_the_name_in_their_metadata():
    current = {"signatures": [{"metadata": {"name": "i@a"}, "type": "x"}]}
    added = {"metadata": {"name": "i@b"}, "type": "y"}
    condition = {"type": "Trusted", "status": "True"}
    changed = {"metadata": {"name": "i@a"}, "conditions": [condition]}
    patched = patch(current, {"signatures": [added, changed]}, "Image")
    assert patched["signatures"] == [
        {"metadata": {"name": "i@a"}, "type": "x", "conditions": [condition]},
        added,
    ]


@pytest.mark.parametrize(
    ("kind", "current", "body"),
    [
        ("Image", {"dockerImageLayers": [{"name": "a"}]}, {"dockerImageLayers": [{"name": "b"}]}),
        ("Image", {"dockerImageMetadata": {"Id": "a", "Size": 1}}, {"dockerImageMetadata": {}}),
        (
            "ImageStream",
            {"status": {"tags": [{"tag": "a", "items": [{"image": "x"}]}]}},
            {"status": {"tags": [{"tag": "a", "items": []}]}},
        ),
    ],
)
def test_what_has_no_key_is_replaced_whole(kind, current, body):
    assert patch(current, body, kind) == body


def test_finalizers_unite_those_of_the_patch_first():
    current = {"metadata": {"finalizers": ["a/1", "b/2"]}}
    patched = patch(current, {"metadata": {"finalizers": ["c/3", "a/1"]}})
    assert patched["metadata"]["finalizers"] == ["c/3", "a/1", "b/2"]


def test_finalizers_are_taken_out_by_value():
    current = {"metadata": {"finalizers": ["a/1", "b/2"]}}
    body = {
        "metadata": {
            "$deleteFromPrimitiveList/finalizers": ["a/1"],
            "$setElementOrder/finalizers": ["b/2"],
        }
    }
    assert patch(current, body) == {"metadata": {"finalizers": ["b/2"]}}


def test_a_map_may_be_replaced_by_its_siblings_or_emptied():
    current = {"metadata": {"labels": {"a": "1", "b": "2"}, "name": "app"}}
    replaced = patch(current, {"metadata": {"labels": {"$patch": "replace", "c": "3"}}})
    assert replaced == {"metadata": {"labels": {"c": "3"}, "name": "app"}}
    emptied = patch(current, {"metadata": {"labels": {"$patch": "delete"}}})
    assert emptied == {"metadata": {"labels": {}, "name": "app"}}


def test_a_list_may_be_replaced_whole():
    body = {"spec": {"tags": [{"name": "new"}, {"$patch": "replace"}]}}
    assert tags_of(patch(stream("v1", "v2"), body)) == ["new"]


def test_only_retained_keys_stay():
    current = {"spec": {"lookupPolicy": {"local": True}, "dockerImageRepository": "q/a"}}
    body = {"spec": {"$retainKeys": ["dockerImageRepository"], "dockerImageRepository": "q/b"}}
    assert patch(current, body) == {"spec": {"dockerImageRepository": "q/b"}}


def test_directives_on_what_is_not_there_leave_nothing_behind():
    body = {
        "metadata": {"labels": {"a": None}},
        "spec": {"tags": [{"name": "v1", "$patch": "delete"}], "$setElementOrder/tags": []},
    }
    assert patch({}, body) == {"metadata": {"labels": {}}, "spec": {"tags": []}}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (
            {"spec": {"tags": [{"from": {"name": "x"}}]}},
            r"map: map\[from:…\] does not contain declared merge key: name",
        ),
        ({"spec": {"tags": [{"$patch": "delete"}]}}, "does not contain declared merge key: name"),
        ({"spec": {"tags": ["v1"]}}, "expected an object with name, got string"),
        ({"spec": {"tags": [{"name": "v1", "$patch": "merge"}]}}, "unknown patch type found"),
        ({"$patch": "fly"}, "unknown patch type found"),
        ({"spec": {"$fly": 1}}, "unknown directive"),
        ({"$retainKeys": 1}, "needs a list, got number"),
    ],
)
def test_a_patch_that_makes_no_sense_is_refused(body, text):
    with pytest.raises(BadRequestError, match=text):
        patch(stream("v1"), body)


@pytest.mark.parametrize("body", [b"nonsense", b"[]", b"null"])
def test_a_body_that_is_no_object_cannot_be_decoded(body):
    with pytest.raises(BadRequestError, match=r"^error decoding patch: "):
        apply_strategic_patch({}, body, "ImageStream")


def difference(one, other):
    """What `kubectl apply` would send to lead from one stream to the other."""
    body = map_difference(one["metadata"], other["metadata"])
    old, new = one["metadata"]["finalizers"], other["metadata"]["finalizers"]
    body["$deleteFromPrimitiveList/finalizers"] = [each for each in old if each not in new]
    body["$setElementOrder/finalizers"] = new
    body["finalizers"] = [each for each in new if each not in old]
    old, new = ({tag["name"]: tag for tag in each["spec"]["tags"]} for each in (one, other))
    tags = [{"$patch": "delete", "name": name} for name in old if name not in new]
    tags += [map_difference(old.get(name, {}), tag) | {"name": name} for name, tag in new.items()]
    order = [{"name": name} for name in new]
    return {"metadata": body, "spec": {"tags": tags, "$setElementOrder/tags": order}}


def map_difference(one, other):
    found = {name: None for name in one if name not in other}
    for name, item in other.items():
        if isinstance(item, dict):
            found[name] = map_difference(one.get(name, {}), item)
        elif one.get(name) != item:
            found[name] = item
    return found


@given(STREAMS, STREAMS)
def test_the_difference_of_two_streams_leads_from_one_to_the_other(one, other):
    assert patch(one, difference(one, other)) == other


@given(STREAMS, st.dictionaries(PARTS, VALUES, max_size=3))
def test_any_patch_ends_in_an_object_or_a_refusal_and_leaves_its_object_alone(current, body):
    before = copy.deepcopy(current)
    for kind in ("ImageStream", "Image", "ImageStreamTag", "Unheard"):
        with contextlib.suppress(TagstreamError):
            assert isinstance(patch(current, body, kind), dict)
    assert current == before


@given(st.dictionaries(PARTS, VALUES, max_size=3), STREAMS)
def test_any_object_can_be_patched(current, body):
    assert isinstance(patch(current, body), dict)
