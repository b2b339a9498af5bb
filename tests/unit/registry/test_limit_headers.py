"""What registries say of their limits is understood, or it says nothing."""

from email.utils import formatdate

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.registry.limits.rate_limit_headers import (
    LONGEST_WAIT,
    Allowed,
    parse_limits,
    parse_retry_after,
)

NOW = 1_750_000_000.0


@pytest.mark.case("registry 159")
@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2", 2.0),
        (" 7 ", 7.0),
        ("0", 1.0),
        ("999999", LONGEST_WAIT),
        ("1000000000", LONGEST_WAIT),
        (str(int(NOW) + 90), 90.0),
        (str(int(NOW) - 90), None),
        (formatdate(NOW + 120, usegmt=True), 120.0),
        (formatdate(NOW - 120, usegmt=True), None),
        ("Fri, 99 Foo 2025 00:00:00 GMT", None),
        ("-1", None),
        ("abc", None),
        ("", None),
        ("1.5", None),
        ("12345678901", None),
        ("٣", None),
        (None, None),
    ],
)
def test_a_wait_is_seconds_or_unix_time_or_a_date_between_a_second_and_six_hours(text, seconds):
    assert parse_retry_after(text, now=NOW) == seconds


@given(st.text(max_size=200))
def test_no_text_asks_for_a_wait_outside_its_bounds(text):
    wait = parse_retry_after(text, now=NOW)
    assert wait is None or 1.0 <= wait <= LONGEST_WAIT


def allowed(**headers):
    named = httpx.Headers({name.replace("_", "-"): value for name, value in headers.items()})
    said = parse_limits(named.raw, now=NOW)
    return said.allowed if said else None


@pytest.mark.case("registry 161")
@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (
            {"RateLimit_Limit": "100;w=21600", "RateLimit_Remaining": "97;w=21600"},
            Allowed(100, 97, 21600, 21600),
        ),
        ({"ratelimit_remaining": "3;w=21600"}, Allowed(0, 3, 21600, 21600)),
        ({"ratelimit_limit": "100;w=60", "ratelimit_remaining": "3"}, Allowed(100, 3, 60, 60)),
        ({"ratelimit_remaining": "3", "ratelimit_reset": "50"}, Allowed(0, 3, 50, 0, 50)),
        (
            {"x_ratelimit_remaining": "4", "x_ratelimit_reset": str(int(NOW) + 30)},
            Allowed(0, 4, 30, 0, 30),
        ),
        (
            {"x_ratelimit_remaining": "4", "x_ratelimit_reset": str(int(NOW) - 30)},
            Allowed(0, 4, 0),
        ),
        ({"ratelimit_remaining": "5;w=9999999999"}, Allowed(0, 5, LONGEST_WAIT, LONGEST_WAIT)),
        (
            {
                "ratelimit_limit": "100, 100;w=60",
                "ratelimit_remaining": "50",
                "ratelimit_reset": "7",
            },
            Allowed(100, 50, 7, 60, 7),
        ),
        (
            {
                "ratelimit_limit": "100",
                "ratelimit_remaining": "50",
                "ratelimit_policy": "100;w=60",
            },
            Allowed(100, 50, 60, 60),
        ),
        (
            {"ratelimit": "limit=100, remaining=50, reset=7", "ratelimit_policy": "100;w=60"},
            Allowed(100, 50, 7, 60, 7),
        ),
        (
            {"ratelimit": '"hour";r=50;t=7', "ratelimit_policy": '"hour";q=100;w=3600'},
            Allowed(100, 50, 7, 3600, 7),
        ),
        ({"ratelimit": "plenty"}, None),
        ({"ratelimit_remaining": "three;w=21600"}, None),
        ({"ratelimit_remaining": "3;w="}, None),
        ({"ratelimit_remaining": "-3"}, None),
        ({"ratelimit_limit": "100"}, None),
        ({"content_type": "text/plain"}, None),
    ],
)
def test_what_is_left_is_read_from_every_known_header_and_guessed_from_none(headers, expected):
    assert allowed(**headers) == expected


@pytest.mark.parametrize(
    ("limit", "remaining", "is_low"),
    [(100, 6, False), (100, 5, True), (1000, 51, False), (1000, 50, True), (0, 6, False)],
)
def test_five_requests_or_five_per_cent_are_low(limit, remaining, is_low):
    assert Allowed(limit, remaining, 60).is_low == is_low


def test_an_answer_without_limits_says_nothing():
    assert parse_limits(httpx.Headers({"Docker-Content-Digest": "sha256:0"}).raw, now=NOW) is None
