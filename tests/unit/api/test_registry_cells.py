"""What a row of a Registry shows in little room."""

from datetime import UTC, datetime

import pytest

from api.printers.registry_printer import registry_cells

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
RATE, FLIGHT, QUOTA, TAGS, BREAKER = 3, 4, 5, 6, 7


def cells(spec=None, **status):
    registry = {"metadata": {"name": "quay.io"}, "spec": spec or {}, "status": status}
    return registry_cells(registry, NOW)


@pytest.mark.parametrize(
    ("spec", "rate", "shown"),
    [
        ({}, 50, "50/s"),
        ({}, 0.25, "0.25/s"),
        ({}, 0, "unlimited"),
        ({}, None, "<none>"),
        ({"suspended": True}, 50, "suspended"),
        ({"suspended": True, "blocked": True}, 50, "blocked"),
        ({"blocked": False}, 50, "50/s"),
    ],
)
def test_the_rate_or_why_there_is_none(spec, rate, shown):
    assert cells(spec, rate=rate)[RATE] == shown


def test_the_quota_nearest_to_its_end():
    quotas = [
        {"credential": "anonymous", "limit": 100, "remaining": 30},
        {"credential": "a1b2c3d4", "limit": 5000, "remaining": 200},
    ]
    assert cells(quotas=quotas)[QUOTA] == "200/5000"


def test_what_nobody_knows_is_none_and_what_is_due_is_told():
    row = cells(tagsFollowed=12, tagsPending=3)
    assert (row[FLIGHT], row[QUOTA], row[TAGS], row[BREAKER]) == (
        *("<none>", "<none>"),
        "12 (3 due)",
        "<none>",
    )
    assert cells(inFlight=0, limit=8, breaker={"state": "open"})[FLIGHT] == "0/8"
