"""Tests of the column types: every value is storable in both databases, and times are UTC."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql, sqlite

from models.store.tables.table_base import TextColumn, UtcDateTime, format_document

DIALECTS = [sqlite.dialect(), postgresql.dialect()]
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


def is_storable(text):
    text.encode("utf-8")
    return "\x00" not in text


@given(st.text(st.characters(codec=None)))
def test_text_column_makes_every_text_storable(text):
    assert is_storable(TextColumn().process_bind_param(text, DIALECTS[0]))


@given(documents)
def test_format_document_makes_every_document_storable_without_nul(value):
    text = format_document(value)
    assert is_storable(text)
    assert "\x00" not in join_texts(json.loads(text))


def join_texts(value):
    """Return all texts inside a JSON value, joined."""
    if isinstance(value, dict):
        return "".join(key + join_texts(each) for key, each in value.items())
    if isinstance(value, list):
        return "".join(map(join_texts, value))
    return value if isinstance(value, str) else ""


@given(st.dictionaries(st.text(st.characters(codec="utf-8", exclude_characters="\x00")), st.text()))
def test_format_document_keeps_values_and_order_without_nul(value):
    clean = {key: each.replace("\x00", "") for key, each in value.items()}
    loaded = json.loads(format_document(clean))
    assert list(loaded.items()) == list(clean.items())


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("\x00", '"\ufffd"'),
        ("\\u0000", r'"\\u0000"'),
        ("\\\x00", '"\\\\\ufffd"'),
        ("\x00\x00", '"\ufffd\ufffd"'),
        ("ü", '"ü"'),
    ],
)
def test_format_document_replaces_only_real_nul(value, stored):
    assert format_document(value) == stored


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_utc_datetime_refuses_naive_time(dialect):
    with pytest.raises(ValueError, match="time zone"):
        UtcDateTime().process_bind_param(datetime(2026, 1, 1), dialect)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@given(time=st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5))])))
def test_utc_datetime_returns_stored_time_in_utc(dialect, time):
    try:
        time.astimezone(UTC)
    except OverflowError:
        return
    column_type = UtcDateTime()
    loaded = column_type.process_result_value(
        column_type.process_bind_param(time, dialect), dialect
    )
    assert loaded == time
    assert loaded.tzinfo is UTC
