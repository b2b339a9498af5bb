"""What goes into a column can be stored by every database, and times are UTC."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql, sqlite

from models.store.tables.table_base import Moment, Words, format_document

DIALECTS = [sqlite.dialect(), postgresql.dialect()]
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


def is_storable(text):
    text.encode("utf-8")
    return "\x00" not in text


@given(st.text(st.characters(codec=None)))
def test_every_text_can_be_stored(text):
    assert is_storable(Words().process_bind_param(text, DIALECTS[0]))


@given(documents)
def test_every_document_can_be_stored_and_holds_no_nul(value):
    text = format_document(value)
    assert is_storable(text)
    assert "\x00" not in repr_of(json.loads(text))


def repr_of(value):
    """Every text inside a JSON value, joined."""
    if isinstance(value, dict):
        return "".join(key + repr_of(each) for key, each in value.items())
    if isinstance(value, list):
        return "".join(map(repr_of, value))
    return value if isinstance(value, str) else ""


@given(st.dictionaries(st.text(st.characters(codec="utf-8", exclude_characters="\x00")), st.text()))
def test_a_document_without_nul_comes_back_as_it_was_in_its_order(value):
    clean = {key: each.replace("\x00", "") for key, each in value.items()}
    again = json.loads(format_document(clean))
    assert list(again.items()) == list(clean.items())


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
def test_only_a_real_nul_is_replaced(value, stored):
    assert format_document(value) == stored


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_a_naive_time_is_refused(dialect):
    with pytest.raises(ValueError, match="time zone"):
        Moment().process_bind_param(datetime(2026, 1, 1), dialect)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@given(moment=st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5))])))
def test_a_time_comes_back_in_utc(dialect, moment):
    try:
        moment.astimezone(UTC)
    except OverflowError:
        return
    kind = Moment()
    again = kind.process_result_value(kind.process_bind_param(moment, dialect), dialect)
    assert again == moment
    assert again.tzinfo is UTC
