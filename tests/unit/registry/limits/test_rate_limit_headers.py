"""Rate limit headers of registries are parsed, and ignored where they are malformed."""

from email.utils import formatdate

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.registry.limits.rate_limit_headers import (
    MAX_RETRY_AFTER_SECONDS,
    ReportedQuota,
    parse_limit_headers,
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
        ("999999", MAX_RETRY_AFTER_SECONDS),
        ("1000000000", MAX_RETRY_AFTER_SECONDS),
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
def test_parse_retry_after_reads_seconds_unix_time_and_date(text, seconds):
    assert parse_retry_after(text, now=NOW) == seconds


@given(st.text(max_size=200))
def test_parse_retry_after_stays_within_bounds(text):
    wait = parse_retry_after(text, now=NOW)
    assert wait is None or 1.0 <= wait <= MAX_RETRY_AFTER_SECONDS


def parsed_quota(**headers):
    named = httpx.Headers({name.replace("_", "-"): value for name, value in headers.items()})
    limits = parse_limit_headers(named.raw, now=NOW)
    return limits.quota if limits else None


@pytest.mark.case("registry 161")
@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (
            {"RateLimit_Limit": "100;w=21600", "RateLimit_Remaining": "97;w=21600"},
            ReportedQuota(100, 97, 21600, 21600),
        ),
        ({"ratelimit_remaining": "3;w=21600"}, ReportedQuota(0, 3, 21600, 21600)),
        (
            {"ratelimit_limit": "100;w=60", "ratelimit_remaining": "3"},
            ReportedQuota(100, 3, 60, 60),
        ),
        ({"ratelimit_remaining": "3", "ratelimit_reset": "50"}, ReportedQuota(0, 3, 50, 0, 50)),
        (
            {"x_ratelimit_remaining": "4", "x_ratelimit_reset": str(int(NOW) + 30)},
            ReportedQuota(0, 4, 30, 0, 30),
        ),
        (
            {"x_ratelimit_remaining": "4", "x_ratelimit_reset": str(int(NOW) - 30)},
            ReportedQuota(0, 4, 0),
        ),
        (
            {"ratelimit_remaining": "5;w=9999999999"},
            ReportedQuota(0, 5, MAX_RETRY_AFTER_SECONDS, MAX_RETRY_AFTER_SECONDS),
        ),
        (
            {
                "ratelimit_limit": "100, 100;w=60",
                "ratelimit_remaining": "50",
                "ratelimit_reset": "7",
            },
            ReportedQuota(100, 50, 7, 60, 7),
        ),
        (
            {
                "ratelimit_limit": "100",
                "ratelimit_remaining": "50",
                "ratelimit_policy": "100;w=60",
            },
            ReportedQuota(100, 50, 60, 60),
        ),
        (
            {"ratelimit": "limit=100, remaining=50, reset=7", "ratelimit_policy": "100;w=60"},
            ReportedQuota(100, 50, 7, 60, 7),
        ),
        (
            {"ratelimit": '"hour";r=50;t=7', "ratelimit_policy": '"hour";q=100;w=3600'},
            ReportedQuota(100, 50, 7, 3600, 7),
        ),
        ({"ratelimit": "plenty"}, None),
        ({"ratelimit_remaining": "three;w=21600"}, None),
        ({"ratelimit_remaining": "3;w="}, None),
        ({"ratelimit_remaining": "-3"}, None),
        ({"ratelimit_limit": "100"}, None),
        ({"content_type": "text/plain"}, None),
    ],
)
def test_quota_is_parsed_from_every_known_header(headers, expected):
    assert parsed_quota(**headers) == expected


@pytest.mark.parametrize(
    ("limit", "remaining", "is_low"),
    [(100, 6, False), (100, 5, True), (1000, 51, False), (1000, 50, True), (0, 6, False)],
)
def test_quota_is_low_at_five_requests_or_percent(limit, remaining, is_low):
    assert ReportedQuota(limit, remaining, 60).is_low == is_low


def test_response_without_limit_headers_yields_none():
    assert (
        parse_limit_headers(httpx.Headers({"Docker-Content-Digest": "sha256:0"}).raw, now=NOW)
        is None
    )
