"""Cells of the table of Registries."""

from datetime import UTC, datetime

import pytest

from api.printers.registry_printer import registry_cells

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
RATE, IN_FLIGHT, QUOTA, TAGS, BREAKER = 3, 4, 5, 6, 7


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
def test_registry_rate_cell_shows_rate_or_state(spec, rate, shown):
    assert cells(spec, rate=rate)[RATE] == shown


def test_registry_quota_cell_shows_lowest_remainder():
    quotas = [
        {"credential": "anonymous", "limit": 100, "remaining": 30},
        {"credential": "a1b2c3d4", "limit": 5000, "remaining": 200},
    ]
    assert cells(quotas=quotas)[QUOTA] == "200/5000"


def test_registry_cells_show_none_for_unknown_and_count_overdue_tags():
    row = cells(tagsScheduled=12, tagsOverdue=3)
    assert (row[IN_FLIGHT], row[QUOTA], row[TAGS], row[BREAKER]) == (
        *("<none>", "<none>"),
        "12 (3 overdue)",
        "<none>",
    )
    assert cells(requestsInFlight=0, concurrency=8)[IN_FLIGHT] == "0/8"
    assert cells(circuitBreaker={"state": "Open"})[BREAKER] == "Open"
