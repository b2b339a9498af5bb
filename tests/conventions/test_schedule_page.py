"""docs/explanation/schedule.md says what the schedule does."""

import re
from pathlib import Path

import pytest

from models.streams.schedule.check_schedule import Again, Decision, again_after

PAGE = (Path(__file__).parents[2] / "docs/explanation/schedule.md").read_text()
ROWS = [
    [cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.splitlines() if "|" in line
]
AGAIN = {
    "soon": Again.SOON,
    "at the interval, and": Again.WITH_OTHER_RIGHTS,
    "at the interval": Again.AT_THE_INTERVAL,
    "hourly": Again.HOURLY,
    "weekly": Again.WEEKLY,
}
CODES = [
    (code, when)
    for codes, when in (row for row in ROWS if len(row) == 2)
    for code in re.findall(r"`([a-z0-9]+\.[a-z0-9_]*)`", codes)
]


def test_every_decision_is_told():
    told = {row[0].strip("`") for row in ROWS}
    assert {decision.value for decision in Decision} <= told


@pytest.mark.parametrize(("code", "when"), CODES)
def test_a_failure_is_looked_at_again_when_the_page_says(code, when):
    said = next(again for words, again in AGAIN.items() if when.startswith(words))
    assert again_after(code if not code.endswith(".") else f"{code}whatever") is said


def test_the_page_names_some_codes():
    assert len(CODES) > 8
