"""`describe` and `get scheduledtags` show the schedule of tags and the reason of their state."""

import re
from datetime import UTC, datetime, timedelta

from sqlalchemy import update

from models.store.database.session import open_engine, transaction
from models.store.tables.schedule import ScheduledTagRow

TIME = r"(\d\d:\d\d:\d\dZ|\d{4}-\d\d-\d\d \d\d:\d\dZ)"


def update_schedule_row(cli, tag, **values):
    """Set columns of a tag's row in the schedule."""
    engine = open_engine(f"sqlite:///{cli.data}/tagstream.db")
    with transaction(engine) as session:
        session.execute(update(ScheduledTagRow).where(ScheduledTagRow.tag == tag).values(**values))
    engine.dispose()


def test_describe_shows_schedule_and_reason_of_each_tag(cli, app_registry):
    cli("import", app_registry.repository, "--all", "--scheduled")
    now = datetime.now(UTC)
    later = now + timedelta(hours=2, seconds=59)
    update_schedule_row(
        cli, "1.0", reason="Unchanged", due_at=later, next_check_at=later, wait_seconds=43
    )
    update_schedule_row(
        cli,
        "1.1",
        last_outcome="failed",
        consecutive_failures=3,
        reason="InternalError",
        message="connection refused",
        due_at=later,
        next_check_at=later,
    )
    update_schedule_row(
        cli, "latest", reason="Suspended", suspended=True, due_at=None, next_check_at=None
    )
    text = cli("describe", "app").out
    assert re.search(r"^Schedule +3 tags, next check in 2h$", text, re.MULTILINE)
    table = text[text.index("TAG      INTERVAL") :].splitlines()
    assert table[1].endswith("suspended by annotation: not checked until it is removed")
    assert re.search(
        rf"failed 3 times in a row: connection refused \(InternalError\); next check at {TIME}",
        table[2],
    )
    assert re.search(
        rf"unchanged at {TIME} \(\d+s ago\), after waiting 43s for the registry; "
        rf"next due at {TIME} \(in 2h\)$",
        table[3],
    )
    assert [line.split()[0] for line in table[1:]] == ["latest", "1.1", "1.0"]
    rows = cli("get", "scheduledtags").rows
    assert [[row[0], row[2], *row[-3:]] for row in rows] == [
        ["app:1.0", "15m", "new", "Unchanged", "0"],
        ["app:1.1", "15m", "failed", "InternalError", "3"],
        ["app:latest", "15m", "new", "Suspended", "0"],
    ]
    scheduled_tag = cli("get", "st", "app:1.1", "-o", "json").json()
    assert (scheduled_tag["kind"], scheduled_tag["status"]["reason"]) == (
        "ScheduledTag",
        "InternalError",
    )


def test_get_scheduledtags_without_matches_reports_none(cli):
    assert cli("get", "st", "nope").err == "no scheduled tags of nope in namespace default\n"
    result = cli("get", "st", "nope:1")
    assert (result.code, result.out) == (1, "")
    assert 'scheduledtags.sync.tagstream.io "nope:1" not found' in result.err
