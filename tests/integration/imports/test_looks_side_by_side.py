"""Looks of one batch at one registry: those that hang are interrupted, and hold up no others."""

import pytest

import worker.checks.source_checks
from tests.integration.imports.test_batches_that_break import move, scheduled


@pytest.fixture
def narrow(monkeypatch):
    """One look at a time, which nobody waits for long."""
    monkeypatch.setattr(worker.checks.source_checks, "SIDE_BY_SIDE", 1)


def six_tags(house, reg):
    tags = [f"t{number}" for number in range(6)]
    for tag in tags:
        move(reg, tag)
    scheduled(house, reg, *tags)


def test_a_look_that_takes_too_long_is_interrupted_and_the_next_ones_are_done(
    house, reg, narrow, monkeypatch
):
    monkeypatch.setattr(worker.checks.source_checks, "LONGEST_LOOK", 1.0)
    six_tags(house, reg)
    reg.delay(4.0, "/a/b/manifests/t(0|3)", method="HEAD")
    house.look()
    rows = house.calendar()
    slow = {f"is:{tag}": rows[f"is:{tag}"] for tag in ("t0", "t3")}
    assert [(row.decision, row.reason) for row in slow.values()] == [("failed", "net.deadline")] * 2
    assert all("took longer than 1 s" in row.message for row in slow.values())
    assert {rows[f"is:{tag}"].decision for tag in ("t1", "t2", "t4", "t5")} == {"same"}
    assert all(row.batch is None for row in rows.values())


def test_those_who_wait_behind_a_slow_look_go_side_by_side_after_a_while(
    house, reg, narrow, monkeypatch
):
    monkeypatch.setattr(worker.checks.source_checks, "LONGEST_LINE", 0.2)
    six_tags(house, reg)
    reg.delay(3.0, "/a/b/manifests/t0", method="HEAD")
    house.look()
    rows = house.calendar()
    assert {row.decision for row in rows.values()} == {"same"}
    slow = rows["is:t0"].checked
    assert all(
        (slow - row.checked).total_seconds() > 0.5 for name, row in rows.items() if name != "is:t0"
    )
