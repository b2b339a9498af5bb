"""Metadata of objects: fields of clients and of the server (api-5.1, api-5.3 to api-5.6)."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.object_meta import (
    MAX_ANNOTATIONS_BYTES,
    prepare_metadata_create,
    prepare_metadata_update,
    validate_metadata,
)
from models.api_errors import BadRequestError
from models.resources.meta import ObjectMeta

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LABEL_KEY_ERROR = (
    'metadata.labels: Invalid value: "bad key!": name part must consist of alphanumeric '
    "characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. "
    "'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
LABEL_VALUE_ERROR = (
    'metadata.labels: Invalid value: "-": a valid label must be an empty string or consist of '
    "alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)


def create(namespace="ns1", **fields):
    meta = ObjectMeta(**fields)
    return prepare_metadata_create(meta, namespace=namespace, suffix=lambda: "x2b4z", now=NOW)


def errors_of(rule="stream", **fields):
    meta = ObjectMeta(**{"name": "app", "namespace": "ns1", **fields})
    return [str(error) for error in validate_metadata(meta, rule=rule)]


@pytest.mark.case("api 14")
def test_stream_name_rejects_upper_case():
    text = 'metadata.name: Invalid value: "Bad_Name": must match "[a-z0-9]+(?:[._-][a-z0-9]+)*"'
    assert errors_of(name="Bad_Name") == [text]


@pytest.mark.case("api 15")
@pytest.mark.parametrize("name", ["bad..name", "-bad", "a__b", "bad-", "é"])
def test_stream_name_rejects_misplaced_separators(name):
    assert len(errors_of(name=name)) == 1
    assert "must match" in errors_of(name=name)[0]


@pytest.mark.case("api 16")
def test_namespace_and_name_are_at_most_255_characters():
    text = "'namespace/name' cannot be longer than 255 characters"
    assert [error.endswith(text) for error in errors_of(name="a" * 300)] == [True]
    assert errors_of(name="a" * 251) == []
    assert errors_of(name="a" * 252) != []


@pytest.mark.case("api 17")
def test_metadata_requires_name():
    assert errors_of(name="") == ["metadata.name: Required value: name or generateName is required"]


@pytest.mark.case("api 18")
def test_metadata_create_generates_name_from_prefix():
    meta = create(generate_name="gen-")
    assert (meta.name, meta.generate_name) == ("gen-x2b4z", "gen-")
    assert validate_metadata(meta, rule="stream") == []
    assert create(generate_name="a" * 80).name == "a" * 58 + "x2b4z"
    assert create(name="app", generate_name="gen-").name == "app"


@pytest.mark.parametrize("prefix", ["Gen-", "gen--", "a/b"])
def test_metadata_rejects_invalid_generate_name(prefix):
    errors = errors_of(generate_name=prefix)
    assert errors
    assert all(error.startswith("metadata.generateName: Invalid value") for error in errors)


@pytest.mark.case("api 19")
def test_metadata_create_rejects_other_namespace():
    meta = ObjectMeta(name="app", namespace="ns2")
    with pytest.raises(BadRequestError) as caught:
        prepare_metadata_create(meta, namespace="ns1", suffix=str, now=NOW)
    assert caught.value.message == (
        "the namespace of the provided object does not match the namespace sent on the request"
    )


def test_metadata_create_sets_namespace_of_request():
    meta = ObjectMeta(name="app", namespace="ns1")
    prepared = prepare_metadata_create(meta, namespace="", suffix=str, now=NOW)
    assert prepared.namespace == ""
    assert create(name="app").namespace == "ns1"


@pytest.mark.case("api 21")
def test_metadata_create_ignores_server_owned_fields():
    theirs = datetime(2001, 1, 1, tzinfo=UTC)
    meta = create(
        name="app",
        uid="theirs",
        resource_version="7",
        generation=77,
        creation_timestamp=theirs,
        deletion_timestamp=theirs,
        labels={"a": "1"},
    )
    expected = {"name": "app", "namespace": "ns1", "creation_timestamp": NOW, "labels": {"a": "1"}}
    assert meta == ObjectMeta(**expected)


def test_metadata_update_keeps_server_owned_fields():
    old = ObjectMeta(
        name="app",
        namespace="ns1",
        uid="ours",
        resource_version="7",
        generation=3,
        creation_timestamp=NOW,
        labels={"a": "1"},
        managed_fields=[{"manager": "x"}],
    )
    later = datetime(2030, 1, 1, tzinfo=UTC)
    sent = ObjectMeta(
        name="app",
        uid="theirs",
        generation=9,
        creation_timestamp=later,
        deletion_timestamp=later,
        labels={"b": "2"},
        finalizers=["x.io/y"],
    )
    updated = prepare_metadata_update(old, sent)
    assert updated == old.replace(labels={"b": "2"}, finalizers=["x.io/y"])


def test_metadata_update_takes_managed_fields_of_client():
    old = ObjectMeta(name="app", managed_fields=[{"manager": "x"}])
    changed = prepare_metadata_update(old, ObjectMeta(managed_fields=[{"manager": "y"}]))
    cleared = prepare_metadata_update(old, ObjectMeta(managed_fields=[{}]))
    assert changed.managed_fields == [{"manager": "y"}]
    assert cleared.managed_fields == []


@pytest.mark.case("api 25")
def test_invalid_label_key_has_upstream_message():
    assert errors_of(labels={"bad key!": "x"}) == [LABEL_KEY_ERROR]


def test_invalid_label_value_has_upstream_message():
    assert errors_of(labels={"a": "-"}) == [LABEL_VALUE_ERROR]


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("/a", "prefix part must be non-empty"),
        ("x.io/", "name part must be non-empty"),
        ("-x/a", "prefix part a lowercase RFC 1123 subdomain must consist of"),
        ("a/b/c", "a qualified name must consist of"),
        ("a" * 64, "name part must be no more than 63 characters"),
        ("a" * 254 + "/b", "prefix part must be no more than 253 characters"),
        ("a\n", "name part must consist of"),
    ],
)
def test_label_and_annotation_keys_follow_one_grammar(key, text):
    for field in ("labels", "annotations"):
        errors = errors_of(**{field: {key: "x"}})
        assert any(text in error and error.startswith(f"metadata.{field}: ") for error in errors)


def test_common_labels_and_annotations_are_valid():
    keys = ["app", "app.kubernetes.io/name", "a_b", "x-1.io/A.b_c-D"]
    assert (
        errors_of(labels=dict.fromkeys(keys, "v1.2_b"), annotations=dict.fromkeys(keys, "!")) == []
    )
    assert errors_of(labels={"a": ""}, annotations={"Example.COM/a": "\n"}) == []


def test_annotations_have_maximum_total_size():
    fits = {"a": "é" * ((MAX_ANNOTATIONS_BYTES - 1) // 2)}
    assert errors_of(annotations=fits) == []
    text = "metadata.annotations: Too long: may not be more than 262144 bytes"
    assert errors_of(annotations=fits | {"bb": ""}) == [text]


@pytest.mark.case("api 26")
def test_finalizer_must_be_qualified_or_standard():
    assert errors_of(finalizers=["x.io/y", "orphan", "a"]) == [
        (
            'metadata.finalizers[2]: Invalid value: "a": name is neither a standard finalizer name '
            "nor is it fully qualified"
        )
    ]


@pytest.mark.case("api 98")
def test_deleted_object_rejects_new_finalizers():
    old = ObjectMeta(name="app", deletion_timestamp=NOW, finalizers=["x.io/y"])
    fewer = validate_metadata(old.replace(finalizers=[]), rule="stream", old=old)
    more = validate_metadata(old.replace(finalizers=["x.io/y", "x.io/z"]), rule="stream", old=old)
    assert fewer == []
    assert [str(error) for error in more] == [
        (
            "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being "
            'deleted, found new finalizers []string{"x.io/z"}'
        )
    ]


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        ("segment", ["sha256:abc", "a:b", "A B"], [".", "..", "a/b", "a%b"]),
        ("label", ["a", "a-b", "1"], ["A", "a.b", "-a", "a" * 64]),
        ("subdomain", ["a.b-c", "x"], ["a..b", "A", "a" * 254, ".a"]),
        ("stream", ["a.b_c-d"], [".", "a/b"]),
    ],
)
def test_name_rule_accepts_and_rejects_names(rule, good, bad):
    assert [name for name in good if errors_of(rule, name=name)] == []
    assert [name for name in bad if not errors_of(rule, name=name)] == []


@given(
    st.text(max_size=8),
    st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3),
    st.sampled_from(["segment", "stream", "label", "subdomain"]),
)
def test_validate_metadata_accepts_any_input(name, texts, rule):
    meta = ObjectMeta(
        name=name, generate_name=name, labels=texts, annotations=texts, finalizers=[*texts]
    )
    assert isinstance(validate_metadata(meta, rule=rule), list)
