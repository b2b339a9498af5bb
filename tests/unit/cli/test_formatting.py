"""Tests of formatting for terminals: times, ages, sizes and lists."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.rendering.formatting import format_age, format_size, join_some, parse_time
from cli.rendering.output import strip_control_characters
from models.errors import UsageError

NOW = datetime(2026, 3, 3, 14, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-03-03T14:05", NOW),
        ("2026-03-03 14:05", NOW),
        ("2026-03-03T15:05+01:00", NOW),
        ("2026-03-03T14:05:00Z", NOW),
        ("2026-03-03", datetime(2026, 3, 3, tzinfo=UTC)),
        ("90m", NOW - timedelta(minutes=90)),
        ("2h ago", NOW - timedelta(hours=2)),
        ("3d", NOW - timedelta(days=3)),
        ("1h30m", NOW - timedelta(minutes=90)),
        ("2w ago", NOW - timedelta(weeks=2)),
        ("PT90M", NOW - timedelta(minutes=90)),
    ],
)
def test_parse_time_reads_utc_or_an_age(text, time):
    assert parse_time(text, NOW) == time


@given(st.text(max_size=40))
def test_parse_time_returns_utc_or_raises_usage_error(text):
    try:
        assert parse_time(text, NOW).tzinfo is UTC
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
def test_format_size_has_at_most_three_digits_and_a_unit(size, text):
    assert format_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s ago"), (59, "59s ago"), (60, "1m ago"), (7199, "1h ago"), (86400 * 3, "3d ago")],
)
def test_format_age_uses_largest_unit_that_fits(seconds, text):
    assert format_age(NOW - timedelta(seconds=seconds), NOW) == text


def test_format_age_of_future_time_is_zero():
    assert format_age(NOW + timedelta(minutes=1), NOW) == "0s ago"


def test_join_some_lists_four_values_and_counts_the_rest():
    assert join_some("abcdef") == "a, b, c, d +2"
    assert join_some("ab") == "a, b"


@given(st.text())
def test_strip_control_characters_gives_one_printable_line(text):
    assert strip_control_characters(text).isprintable()
