"""Transactions: all or nothing, one snapshot, and database errors as errors of our own."""

from datetime import datetime

import pytest
from sqlalchemy import text

from models.errors import StoreError, UsageError
from models.store.changes.change_log import Change, Verb, latest_version, record_changes
from models.store.database.session import open_engine, transaction, upgrade_database
from models.store.streams.stream_store import list_streams, load_stream
from tests.integration.store.sample_objects import (
    INITIAL_VERSION,
    NOW,
    commit_stream,
    read_stream,
    spec_tag,
    stream,
)

CHANGE = Change("ImageStream", "app", Verb.ADDED, "ns")


def test_read_transaction_sees_one_snapshot(engine):
    commit_stream(engine, None, stream())
    with transaction(engine, write=False) as session:
        before = load_stream(session, "ns", "app")
        commit_stream(engine, before, before.with_spec_tag(spec_tag("1")))
        commit_stream(engine, None, stream("new"))
        assert load_stream(session, "ns", "app") == before
        assert list_streams(session, limit=9) == [before]
    assert read_stream(engine) != before


def test_failed_transaction_leaves_no_gap_in_versions(engine):
    def fail():
        with transaction(engine) as session:
            record_changes(session, [CHANGE], now=NOW)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with transaction(engine) as session:
        assert record_changes(session, [CHANGE, CHANGE], now=NOW) == INITIAL_VERSION + 1
    with transaction(engine, write=False) as session:
        assert latest_version(session) == INITIAL_VERSION + 2


def test_transaction_refuses_naive_datetime(engine):
    with pytest.raises(StoreError), transaction(engine) as session:
        record_changes(session, [CHANGE], now=datetime(2026, 1, 1))
    with transaction(engine, write=False) as session:
        assert latest_version(session) == INITIAL_VERSION


def test_connection_serves_reads_and_writes_alternately(database_url):
    """Settings of one transaction do not stay on the connection for the next transaction."""
    engine = open_engine(database_url, pool_size=1)
    upgrade_database(engine)
    for number in range(3):
        commit_stream(engine, None, stream(f"s{number}"))
        assert read_stream(engine, f"s{number}") is not None
    engine.dispose()


def test_sqlite_engine_uses_wal_and_foreign_keys(tmp_path):
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


def test_load_from_database_without_tables_raises_store_error(database_url):
    engine = open_engine(database_url)
    with pytest.raises(StoreError, match="tables are missing"):
        read_stream(engine)
    engine.dispose()


def test_unreachable_database_error_shows_no_password():
    engine = open_engine("postgresql://eva:hunter2@127.0.0.1:1/tagstream?options=-csecret%3Dx")
    with pytest.raises(StoreError, match=r"postgresql at 127\.0\.0\.1:1, database tag") as raised:
        read_stream(engine)
    assert "the database is unavailable or refuses the connection" in raised.value.message
    assert all(secret not in raised.value.message for secret in ("hunter2", "eva", "secret"))
    engine.dispose()


def test_upgrade_refuses_file_that_is_no_database(tmp_path):
    path = tmp_path / "t.db"
    path.write_bytes(b"this is not a database, though it is long enough" * 50)
    engine = open_engine(f"sqlite:///{path}")
    with pytest.raises(StoreError, match=r"t\.db"):
        upgrade_database(engine)
    engine.dispose()


@pytest.mark.parametrize(
    "url", ["", "nonsense", "mysql://eva:hunter2@db/x", "sqlite://", "sqlite:///:memory:"]
)
def test_open_engine_refuses_unusable_url_without_showing_it(url):
    with pytest.raises(UsageError, match="postgresql://user@host/database") as raised:
        open_engine(url)
    assert "hunter2" not in raised.value.message


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_open_engine_uses_psycopg_for_every_postgresql_scheme(scheme):
    engine = open_engine(f"{scheme}://u@h/d")
    assert engine.dialect.driver == "psycopg"
    engine.dispose()
