"""Label and field selectors: matching and error texts (api-11.2, api-11.3)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.request.object_selectors import parse_field_selector, parse_label_selector
from models.api_errors import BadRequestError
from models.errors import TagstreamError

KNOWN = ("metadata.name", "metadata.namespace", "status.phase")
pieces = st.sampled_from(
    ["a", "b/c", "1", "in", "notin", "(", ")", ",", "=", "==", "!=", "!", ">", "<", " ", "\\", "é"]
)
texts = st.text() | st.lists(pieces).map("".join)


@pytest.mark.parametrize(
    ("text", "labels", "expected"),
    [
        ("a=b", {"a": "b"}, True),
        ("a==b", {"a": "c"}, False),
        ("a = b , c", {"a": "b", "c": ""}, True),
        ("a!=b", {}, True),
        ("a!=b", {"a": "b"}, False),
        ("a in (x, y)", {"a": "y"}, True),
        ("a in (x,)", {"a": ""}, True),
        ("a in (x,y)", {}, False),
        ("a notin (x,y)", {}, True),
        ("a notin (x,y)", {"a": "x"}, False),
        ("a", {"a": ""}, True),
        ("a", {"b": ""}, False),
        ("!a", {}, True),
        ("!a", {"a": ""}, False),
        ("a>5", {"a": "6"}, True),
        ("a>5", {"a": "5"}, False),
        ("a<5", {"a": "-1"}, True),
        ("a<5", {"a": "many"}, False),
        ("a<5", {}, False),
        ("a=", {"a": ""}, True),
        ("in=notin", {"in": "notin"}, True),
        ("example.com/a=b", {"example.com/a": "b"}, True),
        ("", {"anything": "goes"}, True),
    ],
)
def test_label_selector_matches_labels(text, labels, expected):
    assert parse_label_selector(text).matches(labels) is expected


@pytest.mark.case("api 103")
def test_label_selector_requires_every_requirement():
    selector = parse_label_selector("g in (x,y),n!=1")
    chosen = [{"g": "x"}, {"g": "y", "n": "2"}]
    others = [{"g": "z"}, {"g": "x", "n": "1"}, {}]
    assert all(map(selector.matches, chosen))
    assert not any(map(selector.matches, others))


@pytest.mark.case("api 103")
@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("a===b", "found '=', expected: identifier"),
        ("a b", "found 'b', expected: in, notin, =, ==, !=, <, >"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("a=b,", "found '', expected: identifier after ','"),
        ("a in x", "found 'x' expected: '('"),
        ("a in (x", "found '', expected: ',' or ')'"),
        ("!a=b", "found '=', expected: ',' or 'end of string'"),
        ("=b", "found '=', expected: identifier"),
    ],
)
def test_label_selector_of_invalid_syntax_is_bad_request(text, detail):
    with pytest.raises(BadRequestError) as refused:
        parse_label_selector(text)
    assert refused.value.message == f"unable to parse requirement: {detail}"


@pytest.mark.parametrize(
    "text", ["-a=b", "a=-b", "A_b/c=d", "/a", "a/", "a=b/c", "a>x", "a in ()", f"a={'x' * 64}"]
)
def test_label_selector_rejects_invalid_key_or_value(text):
    with pytest.raises(BadRequestError, match=r"unable to parse requirement: (key|values)"):
        parse_label_selector(text)


def test_selector_without_text_is_false():
    assert not parse_label_selector("")
    assert not parse_label_selector("  ")
    assert not parse_field_selector("", KNOWN)
    assert parse_label_selector("a")
    assert parse_field_selector("metadata.name=a", KNOWN)


@pytest.mark.case("api 102")
@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("metadata.name=l1", ["l1"]),
        ("metadata.name==l1", ["l1"]),
        ("metadata.name!=l1", ["l2", "l3"]),
        ("metadata.name=l1,metadata.name=l1", ["l1"]),
        ("metadata.name=l1,metadata.name=l2", []),
        ("metadata.name!=l1,metadata.namespace=n", ["l2", "l3"]),
        ("status.phase=", ["l1", "l2", "l3"]),
    ],
)
def test_field_selector_matches_fields(text, chosen):
    selector = parse_field_selector(text, KNOWN)
    objects = [{"metadata.name": name, "metadata.namespace": "n"} for name in ("l1", "l2", "l3")]
    assert [each["metadata.name"] for each in objects if selector.matches(each)] == chosen


@pytest.mark.case("api 102")
def test_field_selector_of_unknown_field_is_bad_request():
    with pytest.raises(BadRequestError) as refused:
        parse_field_selector("spec.foo=x", KNOWN)
    assert refused.value.message == (
        '"spec.foo" is not a known field selector: only "metadata.name", "metadata.namespace"'
    )


@pytest.mark.case("api 102")
def test_field_selector_of_invalid_syntax_is_bad_request():
    with pytest.raises(BadRequestError) as refused:
        parse_field_selector("garbage", KNOWN)
    assert refused.value.message == "invalid selector: 'garbage'; can't understand 'garbage'"


def test_field_selector_value_escapes_comma_and_equals_sign():
    selector = parse_field_selector(r"metadata.name=a\,b\=c\\d,metadata.namespace=n", KNOWN)
    assert selector.matches({"metadata.name": r"a,b=c\d", "metadata.namespace": "n"})
    for broken in ("metadata.name=a=b", r"metadata.name=a\b", "metadata.name=a\\"):
        with pytest.raises(BadRequestError):
            parse_field_selector(broken, KNOWN)


def test_field_selector_exact_value_returns_requested_name():
    assert parse_field_selector("metadata.name=a", KNOWN).exact_value("metadata.name") == "a"
    assert parse_field_selector("metadata.name!=a", KNOWN).exact_value("metadata.name") is None
    assert parse_field_selector("status.phase=x", KNOWN).exact_value("metadata.name") is None


def test_selector_of_too_many_parts_is_rejected():
    with pytest.raises(BadRequestError):
        parse_label_selector(",".join(["a"] * 2000))
    with pytest.raises(BadRequestError):
        parse_field_selector(",".join(["metadata.name=a"] * 2000), KNOWN)


@given(texts)
def test_selector_of_any_text_raises_only_typed_errors(text):
    for parse in (parse_label_selector, lambda each: parse_field_selector(each, KNOWN)):
        try:
            selector = parse(text)
        except TagstreamError:
            continue
        assert selector.matches({"a": "1"}) in {True, False}


@given(
    st.dictionaries(
        st.from_regex(r"[a-z]([a-z0-9.-]{0,8}[a-z0-9])?", fullmatch=True),
        st.from_regex(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,8}[A-Za-z0-9])?)?", fullmatch=True),
        min_size=1,
    )
)
def test_label_selector_of_own_labels_matches_object(labels):
    selector = parse_label_selector(",".join(f"{key}={value}" for key, value in labels.items()))
    assert selector.matches(labels)
    first = next(iter(labels))
    assert not selector.matches({**labels, first: labels[first] + "x"})
