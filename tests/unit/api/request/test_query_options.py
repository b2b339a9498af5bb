"""Options of queries and of bodies of deletes (api-1.5, api-9.2, api-9.3, api-9.4)."""

import contextlib
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.request.query_options import (
    CreateOptions,
    DeleteOptions,
    parse_create_options,
    parse_delete_options,
    parse_list_options,
    parse_patch_options,
    parse_update_options,
)
from models.api_errors import BadRequestError
from models.errors import InvalidObjectError, status_of

APPLY, MERGE = "application/apply-patch+yaml", "application/merge-patch+json"


def query(text):
    return parse_qs(text, keep_blank_values=True)


def refusal(parse, *arguments, **more):
    with pytest.raises(InvalidObjectError) as refused:
        parse(*arguments, **more)
    return refused.value.message


def test_create_options_default_to_field_validation_warn():
    assert parse_create_options({}) == CreateOptions(field_validation="Warn")
    assert parse_create_options(query("fieldValidation=")).field_validation == "Warn"
    assert parse_create_options(query("pretty=true&timeout=5s&nonsense=1")) == CreateOptions()


def test_write_options_are_parsed():
    options = parse_update_options(query("dryRun=All&dryRun=All&fieldValidation=Strict"))
    assert options.dry_run
    assert options.field_validation == "Strict"
    assert parse_create_options(query("fieldManager=kubectl")).field_manager == "kubectl"


@pytest.mark.case("api 86")
@pytest.mark.parametrize(
    ("text", "shown"),
    [("dryRun=Foo", '["Foo"]'), ("dryRun=", '[""]'), ("dryRun=All&dryRun=x", '["All","x"]')],
)
def test_dry_run_other_than_all_is_invalid(text, shown):
    detail = f'dryRun: Unsupported value: {shown}: supported values: "All"'
    assert refusal(parse_create_options, query(text)) == (
        f'CreateOptions.meta.k8s.io "" is invalid: {detail}'
    )
    assert refusal(parse_update_options, query(text)).startswith('UpdateOptions.meta.k8s.io ""')
    assert refusal(parse_patch_options, query(text), MERGE).startswith("PatchOptions.")
    assert refusal(parse_delete_options, query(text), None) == (
        f'DeleteOptions.meta.k8s.io "" is invalid: {detail}'
    )


@pytest.mark.case("api 86")
def test_invalid_option_status_names_group_and_kind():
    with pytest.raises(InvalidObjectError) as refused:
        parse_create_options(query("dryRun=Foo"))
    status = status_of(refused.value)
    assert (status["code"], status["reason"]) == (422, "Invalid")
    assert status["details"]["group"] == "meta.k8s.io"
    assert status["details"]["kind"] == "CreateOptions"
    assert status["details"]["causes"][0]["reason"] == "FieldValueNotSupported"


@pytest.mark.case("api 92")
def test_field_validation_of_unknown_value_is_invalid():
    assert refusal(parse_create_options, query("fieldValidation=Foo")) == (
        'CreateOptions.meta.k8s.io "" is invalid: fieldValidation: Unsupported value: "Foo": '
        'supported values: "", "Ignore", "Strict", "Warn"'
    )


def test_field_manager_is_printable_and_at_most_128_bytes():
    parse_create_options({"fieldManager": ["é" * 64]})
    assert refusal(parse_create_options, {"fieldManager": ["é" * 65]}).endswith(
        "fieldManager: Too long: may not be more than 128 bytes"
    )
    assert "fieldManager: Invalid value: " in refusal(
        parse_create_options, {"fieldManager": ["a\x07"]}
    )


@pytest.mark.case("api 84")
def test_force_is_forbidden_unless_apply():
    assert refusal(parse_patch_options, query("force=true"), MERGE) == (
        'PatchOptions.meta.k8s.io "" is invalid: '
        "force: Forbidden: may not be specified for non-apply patch"
    )
    assert parse_patch_options(query("force=true&fieldManager=a"), APPLY).force
    assert not parse_patch_options(query("force=false&fieldManager=a"), APPLY).force
    assert not parse_patch_options({}, MERGE).force


def test_apply_options_require_field_manager():
    assert refusal(parse_patch_options, {}, f"{APPLY}; charset=utf-8") == (
        'PatchOptions.meta.k8s.io "" is invalid: '
        "fieldManager: Required value: is required for apply patch"
    )


def test_delete_options_without_body_are_read_from_query():
    assert parse_delete_options({}, None) == DeleteOptions()
    options = parse_delete_options(query("dryRun=All&propagationPolicy=Orphan"), None)
    assert options.dry_run
    assert parse_delete_options(query("orphanDependents=false"), None).orphan is False


def test_delete_options_of_body_replace_query():
    assert parse_delete_options(query("dryRun=Foo"), {}) == DeleteOptions()
    body = {"dryRun": ["All"], "preconditions": {"uid": "u", "resourceVersion": "7"}}
    options = parse_delete_options({}, body)
    assert (options.dry_run, options.uid, options.resource_version) == (True, "u", "7")
    nulls = {"preconditions": None, "propagationPolicy": None, "dryRun": None}
    assert parse_delete_options({}, nulls) == DeleteOptions()


@pytest.mark.case("api 97")
def test_delete_options_reject_unknown_propagation_policy():
    text = (
        'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Unsupported value: "Foo": '
        'supported values: "Foreground", "Background", "Orphan", "nil"'
    )
    assert refusal(parse_delete_options, query("propagationPolicy=Foo"), None) == text
    assert refusal(parse_delete_options, {}, {"propagationPolicy": "Foo"}) == text
    for known in ("Foreground", "Background", "Orphan"):
        parse_delete_options({}, {"propagationPolicy": known, "gracePeriodSeconds": 0})


def test_delete_options_reject_policy_beside_orphan_dependents():
    body = {"propagationPolicy": "Orphan", "orphanDependents": True}
    assert refusal(parse_delete_options, {}, body).endswith(
        'propagationPolicy: Invalid value: "Orphan": '
        "orphanDependents and deletionPropagation cannot be both set"
    )


@pytest.mark.parametrize(
    "body",
    [
        {"dryRun": "All"},
        {"dryRun": [1]},
        {"preconditions": "u"},
        {"preconditions": {"uid": 1}},
        {"orphanDependents": "true"},
        {"propagationPolicy": 3},
    ],
)
def test_delete_options_of_wrong_type_are_bad_request(body):
    with pytest.raises(BadRequestError, match="cannot be handled as a DeleteOptions"):
        parse_delete_options({}, body)


def test_list_options_are_parsed():
    options = parse_list_options(
        query("limit=500&continue=abc&labelSelector=a%3Db&fieldSelector=metadata.name%3Dx")
    )
    assert (options.limit, options.continue_token) == (500, "abc")
    assert options.label_selector.matches({"a": "b"})
    assert options.field_selector == "metadata.name=x"
    assert not options.watch


@pytest.mark.parametrize(("text", "limit"), [("limit=-5", 0), ("limit=0", 0), ("limit=", 0)])
def test_list_limit_below_one_is_no_limit(text, limit):
    assert parse_list_options(query(text)).limit == limit


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("limit=abc", 'strconv.ParseInt: parsing "abc": invalid syntax'),
        ("limit=1_0", 'strconv.ParseInt: parsing "1_0": invalid syntax'),
        ("limit=--1", 'strconv.ParseInt: parsing "--1": invalid syntax'),
        (f"limit={2**63}", f'strconv.ParseInt: parsing "{2**63}": value out of range'),
        ("timeoutSeconds=1s", 'strconv.ParseInt: parsing "1s": invalid syntax'),
    ],
)
def test_list_options_reject_invalid_number(text, message):
    with pytest.raises(BadRequestError) as refused:
        parse_list_options(query(text))
    assert refused.value.message == message


def test_list_limit_of_five_thousand_digits_is_parsed_or_rejected():
    with pytest.raises(BadRequestError, match="value out of range"):
        parse_list_options({"limit": ["9" * 5000]})
    assert parse_list_options({"limit": ["0" * 5000 + "7"]}).limit == 7


@pytest.mark.case("api 101")
def test_list_options_reject_resource_version_with_continue():
    with pytest.raises(BadRequestError) as refused:
        parse_list_options(query("continue=abc&resourceVersion=5"))
    assert refused.value.message == (
        "specifying resource version is not allowed when using continue"
    )
    parse_list_options(query("continue=abc&resourceVersion=0"))


@pytest.mark.case("api 106")
def test_resource_version_match_requires_resource_version():
    assert refusal(parse_list_options, query("resourceVersionMatch=Exact")) == (
        'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: '
        "resourceVersionMatch is forbidden unless resourceVersion is provided"
    )


@pytest.mark.case("api 106")
def test_resource_version_match_of_unknown_value_is_invalid():
    text = query("resourceVersion=1&resourceVersionMatch=Foo")
    assert refusal(parse_list_options, text).endswith(
        'resourceVersionMatch: Unsupported value: "Foo": '
        'supported values: "Exact", "NotOlderThan", ""'
    )
    text = query("resourceVersion=0&resourceVersionMatch=Exact")
    assert refusal(parse_list_options, text).endswith(
        'Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
    )


def test_send_initial_events_requires_watch():
    assert refusal(parse_list_options, query("sendInitialEvents=true")).endswith(
        "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"
    )
    assert refusal(parse_list_options, query("watch=1&sendInitialEvents=true")).endswith(
        "resourceVersionMatch: Forbidden: "
        "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
    )


def test_watch_options_of_oc_wait_are_parsed():
    """The query is recorded from `oc wait` (clients-3.3)."""
    options = parse_list_options(
        query(
            "allowWatchBookmarks=true&fieldSelector=metadata.name%3DX&resourceVersionMatch="
            "NotOlderThan&sendInitialEvents=true&timeoutSeconds=30&watch=true"
        )
    )
    assert (options.watch, options.bookmarks, options.send_initial_events) == (True, True, True)
    assert options.timeout_seconds == 30.0


@pytest.mark.parametrize(
    ("text", "watch"),
    [("watch=1", True), ("watch=yes", True), ("watch=0", False), ("watch=", False), ("", False)],
)
def test_watch_option_is_true_unless_false_value(text, watch):
    assert parse_list_options(query(text)).watch is watch
    assert parse_list_options(query(text), watching=True).watch


NAMES = """
dryRun fieldManager fieldValidation force limit continue watch resourceVersion timeoutSeconds
resourceVersionMatch labelSelector propagationPolicy orphanDependents sendInitialEvents
"""
names = st.sampled_from(NAMES.split())
values = st.text() | st.sampled_from(["All", "true", "0", "1", "Exact", "NotOlderThan", "Strict"])
queries = st.dictionaries(names, st.lists(values, max_size=3), max_size=6)
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
bodies = st.none() | st.dictionaries(names | st.just("preconditions"), documents, max_size=4)


@given(queries, bodies)
def test_options_of_any_query_raise_only_typed_errors(parsed, body):
    for parse in (
        lambda: parse_create_options(parsed),
        lambda: parse_update_options(parsed),
        lambda: parse_patch_options(parsed, APPLY),
        lambda: parse_list_options(parsed),
        lambda: parse_delete_options(parsed, body),
    ):
        with contextlib.suppress(BadRequestError, InvalidObjectError):
            parse()
