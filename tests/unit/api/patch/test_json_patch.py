"""JSON patches: RFC 6902, the `jsonpatch` library as reference, hostile patches."""

import copy
import json
import time

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.patch.patch_types import apply_json_patch, find_unknown_members
from models.api_errors import BadRequestError, InvalidPatchError, TooLargeError
from models.errors import TagstreamError

STREAM = {
    "metadata": {"name": "app", "labels": {"a": "1"}},
    "spec": {"tags": [{"name": "only"}]},
}
NAMES = st.sampled_from(["a", "b", "0", "-", "", "~", "/"])
SCALARS = st.none() | st.booleans() | st.integers(-2, 2) | st.floats(-1, 1) | NAMES
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3)
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=4)
POINTERS = st.lists(st.sampled_from(["a", "b", "0", "1", "-", "~0", "~1"]), max_size=3).map(
    lambda parts: "".join(f"/{part}" for part in parts)
)
OPERATIONS = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]), "path": POINTERS},
    optional={"from": POINTERS, "value": VALUES},
)
# `jsonpatch` raises errors of Python itself where a path leads through a string.
REFUSALS = (
    jsonpatch.JsonPatchException,
    jsonpatch.JsonPointerException,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)


def patch(current, *operations):
    return apply_json_patch(current, json.dumps(operations).encode())


@pytest.mark.case("api 75")
def test_json_patch_add_appends_element():
    added = patch(STREAM, {"op": "add", "path": "/spec/tags/-", "value": {"name": "new"}})
    assert added["spec"]["tags"] == [{"name": "only"}, {"name": "new"}]
    assert STREAM["spec"]["tags"] == [{"name": "only"}]


@pytest.mark.case("api 76")
def test_json_patch_with_failing_test_is_rejected_as_a_whole():
    with pytest.raises(InvalidPatchError) as caught:
        patch(
            STREAM,
            {"op": "remove", "path": "/metadata/labels/a"},
            {"op": "test", "path": "/metadata/name", "value": "other"},
        )
    text = "the server rejected our request due to an error in our request"
    assert (caught.value.http, caught.value.reason) == (422, "Invalid")
    assert (caught.value.message, caught.value.details()) == (text, {})
    assert STREAM["metadata"]["labels"] == {"a": "1"}


@pytest.mark.case("api 77")
@pytest.mark.parametrize("body", [b'{"a":1}', b"nonsense", b"", b"[1]", b"[NaN]", b"[1e999]"])
def test_json_patch_body_that_is_no_operation_list_is_bad_request(body):
    with pytest.raises(BadRequestError, match=r"^error decoding patch: "):
        apply_json_patch(STREAM, body)


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "unknown", "path": "/spec"},
        {"op": "add", "value": 1},
        {"op": "add", "path": "/spec/x"},
        {"op": "add", "path": "spec", "value": 1},
        {"op": "add", "path": "/nowhere/x", "value": 1},
        {"op": "add", "path": "/spec/tags/2", "value": 1},
        {"op": "add", "path": "/spec/tags/01", "value": 1},
        {"op": "add", "path": "/spec/tags/-1", "value": 1},
        {"op": "add", "path": "/spec/~2", "value": 1},
        {"op": "remove", "path": "/spec/none"},
        {"op": "remove", "path": "/spec/tags/-"},
        {"op": "replace", "path": "/spec/none", "value": 1},
        {"op": "copy", "path": "/spec/x", "from": "/none"},
        {"op": "move", "path": "/spec/x"},
        {"op": "move", "from": "/spec", "path": "/spec/tags/0"},
        {"op": "test", "path": "/metadata/labels/a", "value": 1},
        {"op": "remove", "path": ""},
        {"op": "replace", "path": "", "value": []},
        {"op": ["add"], "path": {}},
    ],
)
def test_json_patch_rejects_invalid_operation(operation):
    with pytest.raises(InvalidPatchError):
        patch(STREAM, operation)


def test_json_patch_test_compares_numbers_but_not_booleans():
    assert patch({"a": 1}, {"op": "test", "path": "/a", "value": 1.0}) == {"a": 1}
    with pytest.raises(InvalidPatchError):
        patch({"a": 1}, {"op": "test", "path": "/a", "value": True})


def test_json_patch_test_for_null_accepts_missing_member():
    assert patch({"a": 1}, {"op": "test", "path": "/b", "value": None}) == {"a": 1}


def test_json_patch_copy_is_independent_of_source():
    copied = patch(
        {"a": {"x": [1]}},
        {"op": "replace", "path": "/a/x/0", "value": 2},
        {"op": "copy", "from": "/a", "path": "/b"},
        {"op": "add", "path": "/b/x/-", "value": 3},
    )
    assert copied == {"a": {"x": [2]}, "b": {"x": [2, 3]}}


def test_json_patch_replaces_lone_surrogates():
    patched = apply_json_patch({}, b'[{"op":"add","path":"/\\ud800","value":"\\udc00"}]')
    assert patched == {"�": "�"}


def test_find_unknown_members_names_each_member():
    body = b'[{"op":"add","path":"/a","value":1},{"x":1,"op":"remove","path":"/a"}]'
    assert find_unknown_members(body) == ['json patch unknown field "[1].x"']


def test_json_patch_with_doubling_copies_is_rejected_early():
    doubling = [{"op": "copy", "from": "/a", "path": f"/a/{number}"} for number in range(200)]
    started = time.perf_counter()
    with pytest.raises(InvalidPatchError):
        patch({"a": {}}, *doubling)
    assert time.perf_counter() - started < 5


def test_json_patch_rejects_too_deep_nesting():
    nested = [{"op": "add", "path": "/a" * depth, "value": {}} for depth in range(1, 200)]
    with pytest.raises(InvalidPatchError):
        patch({}, *nested)
    with pytest.raises(BadRequestError, match="nested deeper than"):
        apply_json_patch({}, b"[" * 5_000 + b"]" * 5_000)


def test_json_patch_with_too_many_operations_is_too_large():
    with pytest.raises(TooLargeError, match="10000, got 10001"):
        patch({}, *[{"op": "test", "path": "", "value": {}}] * 10_001)


def test_json_patch_of_ten_thousand_operations_is_fast():
    tags = [{"name": f"v{number}"} for number in range(10_000)]
    many = [{"op": "add", "path": f"/tags/{index}/x", "value": index} for index in range(10_000)]
    started = time.perf_counter()
    patched = patch({"tags": tags}, *many)
    assert time.perf_counter() - started < 5
    assert patched["tags"][7] == {"name": "v7", "x": 7}
    assert tags[7] == {"name": "v7"}


@given(OBJECTS, st.lists(OPERATIONS, max_size=5))
def test_json_patch_agrees_with_jsonpatch_library(current, operations):
    before = copy.deepcopy(current)
    try:
        ours = patch(current, *operations)
    except InvalidPatchError:
        ours = None
    assert current == before
    try:
        theirs = jsonpatch.apply_patch(current, operations)
    except REFUSALS:
        theirs = None
    if ours is not None and theirs is not None:
        assert ours == theirs


@given(OBJECTS, VALUES)
def test_json_patch_of_any_json_returns_object_or_raises_typed_error(current, body):
    try:
        patched = apply_json_patch(current, json.dumps(body).encode())
    except TagstreamError:
        return
    assert isinstance(patched, dict)


@given(OBJECTS, OBJECTS)
def test_json_patch_of_difference_returns_other_object(one, other):
    operations = json.loads(jsonpatch.make_patch(one, other).to_string())
    assert patch(one, *operations) == other


@given(st.binary(max_size=40))
def test_json_patch_of_any_bytes_raises_only_typed_errors(body):
    try:
        apply_json_patch({"a": 1}, body)
    except TagstreamError:
        return
