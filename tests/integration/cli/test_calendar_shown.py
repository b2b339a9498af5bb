"""Why is my tag here? The calendar as `describe` and `get scheduledtags` show it."""

import re
from datetime import UTC, datetime, timedelta

from sqlalchemy import update

from models.store.database.session import open_engine, transaction
from models.store.tables.schedule import ScheduleRow

TIME = r"(\d\d:\d\d:\d\dZ|\d{4}-\d\d-\d\d \d\d:\d\dZ)"


def decide(cli, tag, **values):
    """What the schedule would have written down about a tag."""
    engine = open_engine(f"sqlite:///{cli.data}/tagstream.db")
    with transaction(engine) as session:
        session.execute(update(ScheduleRow).where(ScheduleRow.tag == tag).values(**values))
    engine.dispose()


def test_a_stream_tells_why_each_of_its_tags_is_where_it_is(cli, shop):
    cli("import", shop.address, "--all", "--scheduled")
    now = datetime.now(UTC)
    later = now + timedelta(hours=2, seconds=59)
    decide(cli, "1.0", decision="same", due=later, next_look=later, waited=43)
    decide(
        cli,
        "1.1",
        decision="failed",
        failures=3,
        reason="net.refused",
        message="connection refused",
        due=later,
        next_look=later,
    )
    decide(cli, "latest", decision="suspended", suspended=True, due=None, next_look=None)
    shown = cli("describe", "app").out
    assert re.search(r"^Schedule +3 tags, next look in 2h$", shown, re.MULTILINE)
    table = shown[shown.index("TAG      EVERY") :].splitlines()
    assert table[1].endswith("suspended by annotation: not looked at until that is gone")
    assert re.search(
        rf"failed 3 times in a row: connection refused \(net.refused\); tried again at {TIME}",
        table[2],
    )
    assert re.search(
        rf"same as before at {TIME} \(\d+s ago\), after waiting 43 s for the registry; "
        rf"not due until {TIME} \(in 2h\)$",
        table[3],
    )
    assert [line.split()[0] for line in table[1:]] == ["latest", "1.1", "1.0"]
    rows = cli("get", "scheduledtags").rows
    assert [[row[0], row[2], *row[-2:]] for row in rows] == [
        ["app:1.0", "15m", "same", "0"],
        ["app:1.1", "15m", "failed", "3"],
        ["app:latest", "15m", "suspended", "0"],
    ]
    one = cli("get", "st", "app:1.1", "-o", "json").json()
    assert (one["kind"], one["status"]["reason"]) == ("ScheduledTag", "net.refused")


def test_a_calendar_without_such_tags_says_so(cli):
    assert cli("get", "st", "nope").err == "no scheduled tags of nope in namespace default\n"
    ended = cli("get", "st", "nope:1")
    assert (ended.code, ended.out) == (1, "")
    assert 'scheduledtags.sync.tagstream.io "nope:1" not found' in ended.err
