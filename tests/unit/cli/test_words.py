"""Numbers, times and digests as people read and write them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.rendering.formatting import format_age, format_size, list_some, parse_moment
from cli.rendering.output import clean
from models.errors import UsageError

NOW = datetime(2026, 3, 3, 14, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-03T14:05", NOW),
        ("2026-03-03 14:05", NOW),
        ("2026-03-03T15:05+01:00", NOW),
        ("2026-03-03T14:05:00Z", NOW),
        ("2026-03-03", datetime(2026, 3, 3, tzinfo=UTC)),
        ("90m", NOW - timedelta(minutes=90)),
        ("2h ago", NOW - timedelta(hours=2)),
        ("3d", NOW - timedelta(days=3)),
    ],
)
def test_a_moment_is_read_in_utc_or_as_an_age(text, moment):
    assert parse_moment(text, NOW) == moment


@given(st.text(max_size=40))
def test_any_text_is_a_moment_or_gets_a_usage_error(text):
    try:
        assert parse_moment(text, NOW).tzinfo is UTC
    except UsageError:
        return


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (99_949, "99.9 kB"),
        (99_960, "100 kB"),
        (999_499, "999 kB"),
        (999_600, "1.0 MB"),
        (27_300_000, "27.3 MB"),
        (4 * 10**15, "4000.0 TB"),
    ],
)
def test_sizes_have_three_digits_at_most_and_a_unit(size, text):
    assert format_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s ago"), (59, "59s ago"), (60, "1m ago"), (7199, "1h ago"), (86400 * 3, "3d ago")],
)
def test_ages_are_told_in_the_largest_unit_that_fits(seconds, text):
    assert format_age(NOW - timedelta(seconds=seconds), NOW) == text


def test_a_clock_that_is_behind_makes_no_negative_age():
    assert format_age(NOW + timedelta(minutes=1), NOW) == "0s ago"


def test_only_some_words_are_listed_and_the_rest_is_counted():
    assert list_some("abcdef") == "a, b, c, d +2"
    assert list_some("ab") == "a, b"


@given(st.text())
def test_cleaned_text_is_one_printable_line(text):
    assert clean(text).isprintable()
