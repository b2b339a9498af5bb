"""Strategic merge patches, as `oc apply`, `oc patch` and `oc set` send them (api-7.5, api-7.6)."""

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
def test_strategic_merge_adds_tag_to_list():
    source = {"kind": "DockerImage", "name": "q/9"}
    patched = patch(stream("v1"), {"spec": {"tags": [{"name": "v9", "from": source}]}})
    assert patched["spec"]["tags"] == [{"name": "v1"}, {"name": "v9", "from": source}]


@pytest.mark.case("api 72")
def test_strategic_merge_deletes_tag_by_key():
    body = {"spec": {"tags": [{"name": "v9", "$patch": "delete"}]}}
    assert tags_of(patch(stream("v1", "v9"), body)) == ["v1"]
    assert tags_of(patch(stream("v1"), body)) == ["v1"]


@pytest.mark.case("api 73")
def test_strategic_merge_follows_set_element_order():
    order = [{"name": "zz"}, {"name": "v1"}]
    body = {"spec": {"$setElementOrder/tags": order, "tags": [{"name": "zz"}]}}
    assert sorted(tags_of(patch(stream("v1"), body))) == ["v1", "zz"]
    assert tags_of(patch(stream("v1"), body)) == ["zz", "v1"]
    assert tags_of(patch(stream("other", "v1", "last"), body)) == ["other", "zz", "v1", "last"]


@pytest.mark.case("api 80")
def test_strategic_merge_null_removes_only_that_annotation():
    current = {"metadata": {"annotations": {"a": "1", "b": "2"}}}
    patched = patch(current, {"metadata": {"annotations": {"a": None, "c": "3"}}})
    assert patched == {"metadata": {"annotations": {"b": "2", "c": "3"}}}


def test_strategic_merge_merges_partial_element_by_name():
    """`kubectl apply` sends this for a changed pull spec; `from` is merged, not replaced."""
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
def test_strategic_merge_merges_each_keyed_list_by_its_key(kind, path, key):
    outer, inner = path
    current = {outer: {inner: [{key: "x", "old": 1}, {key: "y"}]}}
    patched = patch(current, {outer: {inner: [{key: "x", "new": 2}]}}, kind)
    assert patched == {outer: {inner: [{key: "x", "old": 1, "new": 2}, {key: "y"}]}}


def test_strategic_merge_merges_signatures_by_metadata_name():
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
def test_strategic_merge_replaces_list_without_key(kind, current, body):
    assert patch(current, body, kind) == body


def test_strategic_merge_unites_finalizers():
    current = {"metadata": {"finalizers": ["a/1", "b/2"]}}
    patched = patch(current, {"metadata": {"finalizers": ["c/3", "a/1"]}})
    assert patched["metadata"]["finalizers"] == ["c/3", "a/1", "b/2"]


def test_strategic_merge_deletes_finalizers_by_value():
    current = {"metadata": {"finalizers": ["a/1", "b/2"]}}
    body = {
        "metadata": {
            "$deleteFromPrimitiveList/finalizers": ["a/1"],
            "$setElementOrder/finalizers": ["b/2"],
        }
    }
    assert patch(current, body) == {"metadata": {"finalizers": ["b/2"]}}


def test_strategic_merge_directive_replaces_or_empties_map():
    current = {"metadata": {"labels": {"a": "1", "b": "2"}, "name": "app"}}
    replaced = patch(current, {"metadata": {"labels": {"$patch": "replace", "c": "3"}}})
    assert replaced == {"metadata": {"labels": {"c": "3"}, "name": "app"}}
    emptied = patch(current, {"metadata": {"labels": {"$patch": "delete"}}})
    assert emptied == {"metadata": {"labels": {}, "name": "app"}}


def test_strategic_merge_directive_replaces_list():
    body = {"spec": {"tags": [{"name": "new"}, {"$patch": "replace"}]}}
    assert tags_of(patch(stream("v1", "v2"), body)) == ["new"]


def test_strategic_merge_keeps_only_retained_keys():
    current = {"spec": {"lookupPolicy": {"local": True}, "dockerImageRepository": "q/a"}}
    body = {"spec": {"$retainKeys": ["dockerImageRepository"], "dockerImageRepository": "q/b"}}
    assert patch(current, body) == {"spec": {"dockerImageRepository": "q/b"}}


def test_strategic_merge_removes_directives_on_missing_fields():
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
        ({"$patch": "unknown"}, "unknown patch type found"),
        ({"spec": {"$unknown": 1}}, "unknown directive"),
        ({"$retainKeys": 1}, "needs a list, got number"),
    ],
)
def test_strategic_merge_rejects_invalid_patch(body, text):
    with pytest.raises(BadRequestError, match=text):
        patch(stream("v1"), body)


@pytest.mark.parametrize("body", [b"nonsense", b"[]", b"null"])
def test_strategic_merge_body_that_is_no_object_is_bad_request(body):
    with pytest.raises(BadRequestError, match=r"^error decoding patch: "):
        apply_strategic_patch({}, body, "ImageStream")


def difference(one, other):
    """Return what `kubectl apply` would send to get from one stream to the other."""
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
def test_strategic_merge_of_difference_returns_other_stream(one, other):
    assert patch(one, difference(one, other)) == other


@given(STREAMS, st.dictionaries(PARTS, VALUES, max_size=3))
def test_strategic_merge_of_any_patch_keeps_its_argument(current, body):
    before = copy.deepcopy(current)
    for kind in ("ImageStream", "Image", "ImageStreamTag", "Unknown"):
        with contextlib.suppress(TagstreamError):
            assert isinstance(patch(current, body, kind), dict)
    assert current == before


@given(st.dictionaries(PARTS, VALUES, max_size=3), STREAMS)
def test_strategic_merge_accepts_any_current_object(current, body):
    assert isinstance(patch(current, body), dict)
