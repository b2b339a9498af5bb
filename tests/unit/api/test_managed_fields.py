"""Who owns which field, written down as Kubernetes does (`api.md` C9, tier 2)."""

import copy
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.patch.field_set import fields_of, format_path, read_fields, write_fields
from api.patch.managed_fields import ANCIENT, choose_manager, own_changes, read_owners
from api.patch.merge_keys import shape_of

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
    return own_changes(old, new, manager=manager, now=NOW, **more)


def labelled(current, **labels):
    changed = copy.deepcopy(current)
    changed["metadata"]["labels"] = labels
    return changed


def fields_by_manager(current):
    return {e["manager"]: e["fieldsV1"] for e in current["metadata"]["managedFields"]}


def test_whoever_makes_an_object_owns_all_that_a_client_can_say():
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


def test_a_changed_field_changes_its_owner():
    made = updated(None, STREAM, manager="a")
    changed = updated(made, labelled(made, **{"app.io/x": "2"}), manager="b")
    assert fields_by_manager(changed)["b"] == {"f:metadata": {"f:labels": {"f:app.io/x": {}}}}
    assert "f:labels" not in fields_by_manager(changed)["a"]["f:metadata"]


def test_a_removed_field_is_nobodys():
    made = updated(None, STREAM, manager="a")
    emptied = copy.deepcopy(made)
    emptied["spec"]["tags"] = []
    removed = updated(made, emptied, manager="b")
    assert [*fields_by_manager(removed)] == ["a"]
    assert fields_by_manager(removed)["a"]["f:spec"] == {"f:lookupPolicy": {"f:local": {}}}


def test_a_write_that_changes_nothing_leaves_the_owners_as_they_were():
    made = updated(None, STREAM, manager="a")
    again = {**made, "metadata": dict(made["metadata"])}
    del again["metadata"]["managedFields"]
    assert own_changes(made, again, manager="b", now=NOW + timedelta(hours=1)) == made


def test_an_owner_of_the_last_field_clears_the_list_when_the_field_goes():
    made = updated(None, {"kind": "ImageStream", "metadata": {"labels": {"a": "1"}}})
    cleared = updated(made, {"kind": "ImageStream", "metadata": {"labels": {}}})
    assert cleared["metadata"]["managedFields"] == [{}]


def test_the_status_is_owned_through_status_alone():
    observed = copy.deepcopy(STREAM)
    observed["status"]["dockerImageRepository"] = "other"
    assert "managedFields" not in updated(STREAM, observed)["metadata"]
    entry = updated(STREAM, observed, subresource="status")["metadata"]["managedFields"][0]
    assert entry["subresource"] == "status"
    assert entry["fieldsV1"] == {"f:status": {"f:dockerImageRepository": {}}}


def test_a_client_may_hand_over_what_it_owned():
    """kubectl's first server-side apply renames its client-side manager with a JSON patch."""
    made = updated(None, STREAM, manager="kubectl-client-side-apply")
    renamed = copy.deepcopy(made)
    renamed["metadata"]["managedFields"][0] |= {"manager": "kubectl", "operation": "Apply"}
    handed = updated(made, renamed, manager="kubectl")
    assert handed == renamed


def test_a_client_may_clear_the_owners():
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
def test_owners_that_cannot_be_read_are_left_aside(garbage):
    made = updated(None, STREAM, manager="a")
    sent = {**made, "metadata": {**made["metadata"], "managedFields": garbage}}
    assert updated(made, sent) == made


def test_views_of_a_stream_remember_nobody():
    view = {"kind": "ImageStreamTag", "metadata": {"name": "app:v1"}, "tag": {"name": "v1"}}
    assert updated(None, view) is view


def test_ten_updaters_keep_their_names():
    current = STREAM
    for number in range(15):
        labels = {f"l{each}": "x" for each in range(number + 1)}
        moment = NOW + timedelta(seconds=number)
        current = own_changes(
            current, labelled(current, **labels), manager=f"m{number}", now=moment
        )
    names = [entry["manager"] for entry in current["metadata"]["managedFields"]]
    assert len(names) == 10
    assert set(names) == {ANCIENT, *(f"m{number}" for number in range(6, 15))}
    inherited = fields_by_manager(current)[ANCIENT]["f:metadata"]["f:labels"]
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
def test_an_ordinary_write_is_by_its_field_manager_or_client(field_manager, agent, name):
    assert choose_manager(field_manager, agent) == name


def test_paths_are_named_as_in_kubernetes():
    path = ("f:spec", "f:tags", 'k:{"name":"v1"}', "f:from")
    assert format_path(path) == '.spec.tags[name="v1"].from'
    assert format_path(("f:metadata", "f:finalizers", 'v:"x.io/y"')) == (
        '.metadata.finalizers[="x.io/y"]'
    )
    assert format_path(("f:a", "i:3")) == ".a[3]"


STEPS = st.sampled_from(["f:spec", "f:a", "f:.", 'k:{"name":"v1"}', 'v:"x"', "i:0"])
PATHS = st.sets(st.lists(STEPS, min_size=1, max_size=4).map(tuple), max_size=8)


@given(PATHS)
def test_a_written_set_of_fields_reads_back_to_itself(paths):
    assert read_fields(json.loads(json.dumps(write_fields(paths)))) == paths


PARTS = st.sampled_from(["metadata", "labels", "spec", "tags", "name", "managedFields", "f:a", "."])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 1) | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PARTS, inner, max_size=3),
)
OBJECTS = st.dictionaries(PARTS, VALUES, max_size=4)


@given(OBJECTS, OBJECTS)
def test_any_change_of_any_object_can_be_owned(old, new):
    for kind in ("ImageStream", "Image", "Secret", "ImageTag"):
        before = copy.deepcopy((old, new))
        owned = updated({**old, "kind": kind}, {**new, "kind": kind})
        assert (old, new) == before
        assert isinstance(owned, dict)


@given(VALUES)
def test_any_value_has_fields_and_any_list_of_owners_is_read_or_left(value):
    assert isinstance([*fields_of(value, shape_of("ImageStream"))], list)
    assert read_owners(value) is None or isinstance(read_owners(value), list)
