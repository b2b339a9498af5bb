"""Printing of ages, at every boundary (api-13.7, api-13.8)."""

from datetime import UTC, datetime, timedelta

import pytest

from api.printers.age_format import format_age, format_ago, format_long, format_short

MINUTE, HOUR, DAY, YEAR = 60, 3600, 86400, 365 * 86400


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "Less than a second"),
        (0.9, "Less than a second"),
        (1.9, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (119, "About a minute"),
        (120, "2 minutes"),
        (HOUR - 1, "59 minutes"),
        (HOUR, "About an hour"),
        (1.5 * HOUR - 1, "About an hour"),
        (1.5 * HOUR, "2 hours"),
        (47 * HOUR, "47 hours"),
        (47.5 * HOUR, "2 days"),
        (14 * DAY - HOUR, "13 days"),
        (14 * DAY, "2 weeks"),
        (60 * DAY - HOUR, "8 weeks"),
        (60 * DAY, "2 months"),
        (2 * YEAR - HOUR, "24 months"),
        (2 * YEAR, "2 years"),
        (9.5 * YEAR, "9 years"),
    ],
)
def test_format_long_prints_age_of_image_kinds(seconds, text):
    assert format_long(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-2, "<invalid>"),
        (-1.5, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (599, "9m59s"),
        (600, "10m"),
        (3 * HOUR - 1, "179m"),
        (3 * HOUR, "3h"),
        (3 * HOUR + 5 * MINUTE, "3h5m"),
        (8 * HOUR, "8h"),
        (48 * HOUR - 1, "47h"),
        (48 * HOUR, "2d"),
        (7 * DAY + 3 * HOUR, "7d3h"),
        (8 * DAY, "8d"),
        (2 * YEAR - 1, "729d"),
        (2 * YEAR, "2y"),
        (2 * YEAR + 4 * DAY, "2y4d"),
        (8 * YEAR, "8y"),
    ],
)
def test_format_short_prints_age_of_core_kinds(seconds, text):
    assert format_short(timedelta(seconds=seconds)) == text


def test_age_of_missing_time_is_empty_or_unknown():
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert format_ago(None, now) == ""
    assert format_ago("yesterday", now) == ""
    assert format_age("", now) == "<unknown>"
    assert format_ago("2026-01-02T03:01:05Z", now) == "3 minutes ago"
    assert format_age("2026-01-02T03:01:05", now) == "3m"
