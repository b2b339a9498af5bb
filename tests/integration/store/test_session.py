"""Transactions: all or nothing, one snapshot, and failures told in our own words."""

from datetime import datetime

import pytest
from sqlalchemy import text

from models.errors import StoreError, UsageError
from models.store.changes.change_log import Change, Verb, latest_version, record_changes
from models.store.database.session import open_engine, transaction, upgrade
from models.store.streams.stream_store import list_streams, load_stream
from tests.integration.store.things import NOW, START, loaded, stored, stream, wish

CHANGE = Change("ImageStream", "app", Verb.ADDED, "ns")


def test_a_read_sees_one_moment_whatever_is_written_meanwhile(engine):
    stored(engine, None, stream())
    with transaction(engine, write=False) as session:
        before = load_stream(session, "ns", "app")
        stored(engine, before, before.with_spec_tag(wish("1")))
        stored(engine, None, stream("new"))
        assert load_stream(session, "ns", "app") == before
        assert list_streams(session, limit=9) == [before]
    assert loaded(engine) != before


def test_a_write_that_failed_leaves_no_hole_in_the_numbers(engine):
    def fail():
        with transaction(engine) as session:
            record_changes(session, [CHANGE], now=NOW)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with transaction(engine) as session:
        assert record_changes(session, [CHANGE, CHANGE], now=NOW) == START + 1
    with transaction(engine, write=False) as session:
        assert latest_version(session) == START + 2


def test_a_naive_time_never_gets_into_the_database(engine):
    with pytest.raises(StoreError), transaction(engine) as session:
        record_changes(session, [CHANGE], now=datetime(2026, 1, 1))
    with transaction(engine, write=False) as session:
        assert latest_version(session) == START


def test_a_connection_serves_reads_and_writes_in_turn(database_url):
    """What one transaction set does not stick to the connection of the next."""
    engine = open_engine(database_url, pool_size=1)
    upgrade(engine)
    for number in range(3):
        stored(engine, None, stream(f"s{number}"))
        assert loaded(engine, f"s{number}") is not None
    engine.dispose()


def test_sqlite_keeps_a_log_and_checks_foreign_keys(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path / 'deep' / 'er' / 't.db'}")
    with transaction(engine) as session:
        pragmas = {
            name: session.scalar(text(f"PRAGMA {name}"))
            for name in ("journal_mode", "foreign_keys", "synchronous", "busy_timeout")
        }
    assert pragmas == {
        "journal_mode": "wal",
        "foreign_keys": 1,
        "synchronous": 1,
        "busy_timeout": 30_000,
    }
    engine.dispose()


def test_a_database_without_tables_says_what_to_do(database_url):
    engine = open_engine(database_url)
    with pytest.raises(StoreError, match="tables are missing"):
        loaded(engine)
    engine.dispose()


def test_a_server_that_is_away_is_named_without_its_password():
    engine = open_engine("postgresql://eva:hunter2@127.0.0.1:1/tagstream?options=-csecret%3Dx")
    with pytest.raises(StoreError, match=r"postgresql at 127\.0\.0\.1:1, database tag") as away:
        loaded(engine)
    assert "away" in away.value.message
    assert all(word not in away.value.message for word in ("hunter2", "eva", "secret"))
    engine.dispose()


def test_a_file_that_is_no_database_is_refused(tmp_path):
    path = tmp_path / "t.db"
    path.write_bytes(b"this is not a database, though it is long enough" * 50)
    engine = open_engine(f"sqlite:///{path}")
    with pytest.raises(StoreError, match=r"t\.db"):
        upgrade(engine)
    engine.dispose()


@pytest.mark.parametrize(
    "url", ["", "nonsense", "mysql://eva:hunter2@db/x", "sqlite://", "sqlite:///:memory:"]
)
def test_a_url_that_cannot_be_used_is_refused_without_being_shown(url):
    with pytest.raises(UsageError, match="postgresql://user@host/database") as refused:
        open_engine(url)
    assert "hunter2" not in refused.value.message


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_postgresql_is_always_spoken_to_by_the_same_driver(scheme):
    engine = open_engine(f"{scheme}://u@h/d")
    assert engine.dialect.driver == "psycopg"
    engine.dispose()
