"""`metadata.managedFields`: the owner of each field (api-8.4, api-8.6)."""

import copy
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.patch.field_set import field_paths_of, format_fields_v1, format_path, parse_fields_v1
from api.patch.managed_fields import (
    ANCIENT_MANAGER,
    choose_manager,
    parse_owners,
    update_managed_fields,
)
from api.patch.merge_keys import merge_schema_of

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
STREAM = {
    "kind": "ImageStream",
    "apiVersion": "image.openshift.io/v1",
    "metadata": {"name": "app", "uid": "u", "labels": {"app.io/x": "1"}, "finalizers": ["x.io/y"]},
    "spec": {
        "lookupPolicy": {"local": True},
        "tags": [{"name": "v1", "annotations": None, "from": {"kind": "DockerImage", "name": "q"}}],
    },
    "status": {"dockerImageRepository": "r"},
}


def updated(old, new, manager="a", **more):
    return update_managed_fields(old, new, manager=manager, now=NOW, **more)


def labelled(current, **labels):
    changed = copy.deepcopy(current)
    changed["metadata"]["labels"] = labels
    return changed


def fields_by_manager(current):
    return {e["manager"]: e["fieldsV1"] for e in current["metadata"]["managedFields"]}


def test_managed_fields_of_new_object_contain_client_fields():
    made = updated(None, STREAM, manager="oc")
    assert made["metadata"]["managedFields"] == [
        {
            "manager": "oc",
            "operation": "Update",
            "apiVersion": "image.openshift.io/v1",
            "time": "2026-01-02T03:04:05Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:metadata": {
                    "f:labels": {"f:app.io/x": {}},
                    "f:finalizers": {'v:"x.io/y"': {}},
                },
                "f:spec": {
                    "f:lookupPolicy": {"f:local": {}},
                    "f:tags": {'k:{"name":"v1"}': {".": {}, "f:name": {}, "f:from": {}}},
                },
            },
        }
    ]


def test_managed_fields_give_changed_field_to_writer():
    made = updated(None, STREAM, manager="a")
    changed = updated(made, labelled(made, **{"app.io/x": "2"}), manager="b")
    assert fields_by_manager(changed)["b"] == {"f:metadata": {"f:labels": {"f:app.io/x": {}}}}
    assert "f:labels" not in fields_by_manager(changed)["a"]["f:metadata"]


def test_managed_fields_drop_removed_field():
    made = updated(None, STREAM, manager="a")
    emptied = copy.deepcopy(made)
    emptied["spec"]["tags"] = []
    removed = updated(made, emptied, manager="b")
    assert [*fields_by_manager(removed)] == ["a"]
    assert fields_by_manager(removed)["a"]["f:spec"] == {"f:lookupPolicy": {"f:local": {}}}


def test_managed_fields_stay_after_unchanged_write():
    made = updated(None, STREAM, manager="a")
    again = {**made, "metadata": dict(made["metadata"])}
    del again["metadata"]["managedFields"]
    assert update_managed_fields(made, again, manager="b", now=NOW + timedelta(hours=1)) == made


def test_managed_fields_are_cleared_with_last_owned_field():
    made = updated(None, {"kind": "ImageStream", "metadata": {"labels": {"a": "1"}}})
    cleared = updated(made, {"kind": "ImageStream", "metadata": {"labels": {}}})
    assert cleared["metadata"]["managedFields"] == [{}]


def test_managed_fields_of_status_belong_to_subresource():
    observed = copy.deepcopy(STREAM)
    observed["status"]["dockerImageRepository"] = "other"
    assert "managedFields" not in updated(STREAM, observed)["metadata"]
    entry = updated(STREAM, observed, subresource="status")["metadata"]["managedFields"][0]
    assert entry["subresource"] == "status"
    assert entry["fieldsV1"] == {"f:status": {"f:dockerImageRepository": {}}}


def test_managed_fields_accept_renamed_manager():
    """The first server-side apply of kubectl renames its client-side manager with a JSON patch."""
    made = updated(None, STREAM, manager="kubectl-client-side-apply")
    renamed = copy.deepcopy(made)
    renamed["metadata"]["managedFields"][0] |= {"manager": "kubectl", "operation": "Apply"}
    handed_over = updated(made, renamed, manager="kubectl")
    assert handed_over == renamed


def test_managed_fields_are_cleared_by_empty_entry():
    made = updated(None, STREAM, manager="a")
    reset = {**made, "metadata": {**made["metadata"], "managedFields": [{}]}}
    assert updated(made, reset)["metadata"]["managedFields"] == [{}]


@pytest.mark.parametrize(
    "garbage",
    [
        "text",
        {},
        [1],
        [{"manager": "x"}],
        [{"operation": ["Apply"]}],
        [{"operation": "Apply", "manager": 1}],
        [{"operation": "Apply", "fieldsV1": []}],
        [{"operation": "Apply", "fieldsV1": {"spec": {}}}],
        [{"operation": "Apply", "fieldsV1": {"k:nonsense": {}}}],
        [{"operation": "Apply", "fieldsV1": {"k:1": {}}}],
    ],
)
def test_managed_fields_ignore_unparsable_value(garbage):
    made = updated(None, STREAM, manager="a")
    sent = {**made, "metadata": {**made["metadata"], "managedFields": garbage}}
    assert updated(made, sent) == made


def test_managed_fields_are_not_stored_for_virtual_object():
    view = {"kind": "ImageStreamTag", "metadata": {"name": "app:v1"}, "tag": {"name": "v1"}}
    assert updated(None, view) is view


def test_managed_fields_merge_managers_beyond_ten():
    current = STREAM
    for number in range(15):
        labels = {f"l{each}": "x" for each in range(number + 1)}
        now = NOW + timedelta(seconds=number)
        current = update_managed_fields(
            current, labelled(current, **labels), manager=f"m{number}", now=now
        )
    names = [entry["manager"] for entry in current["metadata"]["managedFields"]]
    assert len(names) == 10
    assert set(names) == {ANCIENT_MANAGER, *(f"m{number}" for number in range(6, 15))}
    inherited = fields_by_manager(current)[ANCIENT_MANAGER]["f:metadata"]["f:labels"]
    assert {"f:l0", "f:l5"} <= inherited.keys()


@pytest.mark.parametrize(
    ("field_manager", "agent", "name"),
    [
        ("mine", "kubectl/v1.32", "mine"),
        ("", "kubectl/v1.32 (linux)", "kubectl"),
        ("", "", "unknown"),
        ("", "x" * 300, "x" * 128),
    ],
)
def test_choose_manager_prefers_field_manager_over_user_agent(field_manager, agent, name):
    assert choose_manager(field_manager, agent) == name


def test_format_path_follows_kubernetes():
    path = ("f:spec", "f:tags", 'k:{"name":"v1"}', "f:from")
    assert format_path(path) == '.spec.tags[name="v1"].from'
    assert format_path(("f:metadata", "f:finalizers", 'v:"x.io/y"')) == (
        '.metadata.finalizers[="x.io/y"]'
    )
    assert format_path(("f:a", "i:3")) == ".a[3]"


STEPS = st.sampled_from(["f:spec", "f:a", "f:.", 'k:{"name":"v1"}', 'v:"x"', "i:0"])
PATHS = st.sets(st.lists(STEPS, min_size=1, max_size=4).map(tuple), max_size=8)


@given(PATHS)
def test_fields_v1_round_trip_returns_equal_set(paths):
    assert parse_fields_v1(json.loads(json.dumps(format_fields_v1(paths)))) == paths


PARTS = st.sampled_from(["metadata", "labels", "spec", "tags", "name", "managedFields", "f:a", "."])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 1) | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PARTS, inner, max_size=3),
)
OBJECTS = st.dictionaries(PARTS, VALUES, max_size=4)


@given(OBJECTS, OBJECTS)
def test_managed_fields_accept_any_change_of_any_object(old, new):
    for kind in ("ImageStream", "Image", "Secret", "ImageTag"):
        before = copy.deepcopy((old, new))
        owned = updated({**old, "kind": kind}, {**new, "kind": kind})
        assert (old, new) == before
        assert isinstance(owned, dict)


@given(VALUES)
def test_field_paths_and_owners_accept_any_value(value):
    assert isinstance([*field_paths_of(value, merge_schema_of("ImageStream"))], list)
    assert parse_owners(value) is None or isinstance(parse_owners(value), list)
