"""Durations: one notation for settings, annotations and options of the command line."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.durations import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("900", 900),
        ("900s", 900),
        ("15m", 900),
        (" 15m ", 900),
        ("1h30m", 5400),
        ("1w2d", 777600),
        ("1.5h", 5400),
        ("100ms", 0.1),
        ("1m100ms", 60.1),
        ("2m5s", 125),
        ("PT15M", 900),
        ("PT1.5S", 1.5),
        ("P1D", 86400),
        ("P1DT2H3M4S", 93784),
    ],
)
def test_duration_is_parsed_into_seconds(text, seconds):
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["", " ", "m", "15x", "15 m", "-5m", "+5m", "30m1h", "1h1h", "1e3", "٣m", "9" * 10, ".5s"],
)
def test_text_that_is_no_go_duration_is_refused(text):
    with pytest.raises(
        ValueError, match="must be a duration such as 15m, 1h30m, 1d, PT15M, or a number of seconds"
    ):
        parse_duration(text)


@pytest.mark.parametrize(
    "text", ["P", "PT", "P1DT", "P15M", "PT15", "-PT15M", "pt15m", "15M", "1h PT1M", "PT1..5S"]
)
def test_text_that_is_no_iso_duration_is_refused(text):
    with pytest.raises(
        ValueError, match="must be a duration such as 15m, 1h30m, 1d, PT15M, or a number of seconds"
    ):
        parse_duration(text)


@given(st.text(max_size=30))
def test_no_text_gives_a_negative_duration(text):
    with contextlib.suppress(ValueError):
        assert parse_duration(text) >= 0
