"""Merge patches: the rules and examples of RFC 7386."""

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.codec.json_decoder import parse_json
from api.patch.patch_types import apply_merge_patch, merge_json
from models.api_errors import BadRequestError
from models.errors import TagstreamError

NAMES = st.sampled_from(["a", "b", "c"])
SCALARS = st.none() | st.booleans() | st.integers(-2, 2) | st.text(max_size=2)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3)
)


def as_read(value):
    """Return the value as decoded from a body: characters that no database stores are replaced."""
    return parse_json(json.dumps(value).encode())


OBJECTS = st.dictionaries(NAMES, VALUES, max_size=3).map(as_read)


def patch(current, body):
    return apply_merge_patch(current, json.dumps(body).encode())


def without_nulls(value):
    if not isinstance(value, dict):
        return value
    return {name: without_nulls(item) for name, item in value.items() if item is not None}


def difference(one, other):
    """Return the smallest merge patch between two objects without nulls."""
    found = {name: None for name in one if name not in other}
    for name, item in other.items():
        if isinstance(item, dict) and isinstance(one.get(name), dict):
            found[name] = difference(one[name], item)
        elif name not in one or one[name] is not item:
            found[name] = item
    return found


@pytest.mark.case("api 74")
def test_merge_patch_replaces_list():
    stream = {"spec": {"tags": [{"name": "v1"}, {"name": "zz"}], "lookupPolicy": {"local": True}}}
    patched = patch(stream, {"spec": {"tags": [{"name": "only"}]}})
    assert patched == {"spec": {"tags": [{"name": "only"}], "lookupPolicy": {"local": True}}}


@pytest.mark.case("api 77")
@pytest.mark.parametrize("body", [b"[1]", b"nonsense", b'"a"', b"null", b"", b"{", b'{"a":NaN}'])
def test_merge_patch_body_that_is_no_object_is_bad_request(body):
    with pytest.raises(BadRequestError, match=r"^error decoding patch: "):
        apply_merge_patch({}, body)


# RFC 7386, appendix A.
@pytest.mark.parametrize(
    ("current", "body", "expected"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_json_matches_examples_of_rfc_7386(current, body, expected):
    assert merge_json(current, body) == expected


@given(OBJECTS)
def test_merge_patch_without_members_changes_nothing(current):
    assert patch(current, {}) == current


@given(OBJECTS, OBJECTS)
def test_merge_patch_is_idempotent(current, body):
    patched = patch(current, body)
    assert patch(patched, body) == patched


@given(OBJECTS, OBJECTS)
def test_merge_patch_of_difference_returns_other_object(one, other):
    one, other = without_nulls(one), without_nulls(other)
    assert patch(one, difference(one, other)) == other


@given(OBJECTS, OBJECTS)
def test_merge_patch_keeps_its_argument(current, body):
    before = copy.deepcopy(current)
    patch(current, body)
    assert current == before


@given(OBJECTS, OBJECTS)
def test_merge_patch_keeps_members_it_does_not_name(current, body):
    patched = patch(current, body)
    assert all(patched[name] == current[name] for name in current.keys() - body.keys())


@given(OBJECTS, VALUES)
def test_merge_patch_of_any_json_returns_object_or_raises_typed_error(current, body):
    try:
        assert isinstance(patch(current, body), dict)
    except TagstreamError:
        return
