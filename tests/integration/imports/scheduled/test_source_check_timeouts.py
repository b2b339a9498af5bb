"""Checks of one batch at one registry: hanging ones are interrupted and delay no others."""

import pytest

import worker.checks.source_checks
from tests.integration.imports.scheduled.scheduled_tags import schedule_tags, update_tag


@pytest.fixture
def one_check_at_a_time(monkeypatch):
    """Allow one check at a time for each registry."""
    monkeypatch.setattr(worker.checks.source_checks, "MAX_CONCURRENT_CHECKS_PER_REGISTRY", 1)


def schedule_six_tags(harness, reg):
    tags = [f"t{number}" for number in range(6)]
    for tag in tags:
        update_tag(reg, tag)
    schedule_tags(harness, reg, *tags)


def test_slow_check_is_interrupted_and_others_complete(
    harness, reg, one_check_at_a_time, monkeypatch
):
    monkeypatch.setattr(worker.checks.source_checks, "SOURCE_CHECK_TIMEOUT_SECONDS", 1.0)
    schedule_six_tags(harness, reg)
    reg.delay(4.0, "/a/b/manifests/t(0|3)", method="HEAD")
    harness.check_now()
    rows = harness.schedule_rows()
    slow = {f"is:{tag}": rows[f"is:{tag}"] for tag in ("t0", "t3")}
    assert [(row.last_outcome, row.error_code) for row in slow.values()] == [
        ("failed", "net.deadline")
    ] * 2
    assert all("took longer than 1 s" in row.message for row in slow.values())
    assert {rows[f"is:{tag}"].reason for tag in ("t1", "t2", "t4", "t5")} == {"Unchanged"}
    assert all(row.batch is None for row in rows.values())


def test_checks_waiting_behind_slow_check_run_concurrently(
    harness, reg, one_check_at_a_time, monkeypatch
):
    monkeypatch.setattr(worker.checks.source_checks, "MAX_SCHEDULED_WAIT_SECONDS", 0.2)
    schedule_six_tags(harness, reg)
    reg.delay(3.0, "/a/b/manifests/t0", method="HEAD")
    harness.check_now()
    rows = harness.schedule_rows()
    assert {row.reason for row in rows.values()} == {"Unchanged"}
    slow = rows["is:t0"].last_check_at
    assert all(
        (slow - row.last_check_at).total_seconds() > 0.5
        for name, row in rows.items()
        if name != "is:t0"
    )
