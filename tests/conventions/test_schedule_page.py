"""docs/explanation/schedule.md describes reasons, retries and events as the code has them."""

import re

import pytest

from models.streams.imports import import_events
from models.streams.schedule.check_schedule import RetryClass, ScheduleReason, classify_failure
from tests.conventions.test_files import ROOT

PAGE = (ROOT / "docs/explanation/schedule.md").read_text()
RETRIES = {
    "soon": RetryClass.SOON,
    "at the interval, and at once": RetryClass.ON_CREDENTIAL_CHANGE,
    "at the interval": RetryClass.AT_INTERVAL,
    "hourly": RetryClass.HOURLY,
    "weekly": RetryClass.WEEKLY,
}


def table_of(heading):
    """Return the rows of the table in a section, without its head."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]


CODES = [
    (code, when)
    for codes, when in table_of("After a failure")
    for code in re.findall(r"`([a-z0-9_.]+)`", codes)
]


def test_every_reason_is_explained_once():
    names = [name for row in table_of("Reasons") for name in re.findall(r"`(\w+)`", row[0])]
    errors = ["NotFound", "Unauthorized"]  # of the error; examples
    assert sorted(names) == sorted([*(reason.value for reason in ScheduleReason), *errors])


@pytest.mark.parametrize(("code", "when"), CODES)
def test_retry_class_of_a_failure_is_that_of_the_page(code, when):
    expected = next(found for text, found in RETRIES.items() if when.startswith(text))
    assert classify_failure(f"{code}any" if code.endswith(".") else code) is expected


def test_every_retry_class_has_a_row():
    found = {classify_failure(f"{code}any" if code.endswith(".") else code) for code, _ in CODES}
    assert found == set(RetryClass)


def test_every_event_is_explained():
    listed = {(row[0].strip("`"), row[1]) for row in table_of("Events")}
    warnings = (
        import_events.IMPORT_FAILED,
        import_events.TAG_LIST_INCOMPLETE,
        import_events.TAG_LIST_SHRUNK,
    )
    normal = (import_events.TAG_UPDATED, import_events.IMPORT_RECOVERED)
    assert listed == {
        *((reason, import_events.WARNING) for reason in warnings),
        *((reason, import_events.NORMAL) for reason in normal),
    }
