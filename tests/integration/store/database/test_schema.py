"""The models, the migrations and a new database have one schema."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from uuid import uuid4

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, inspect, text

from models.errors import StoreError
from models.store.access.namespace_store import list_namespaces
from models.store.changes.change_events import list_objects_at, load_change_events
from models.store.changes.change_log import floor_version, latest_version
from models.store.database.schema import HEAD_REVISION, MIGRATIONS, create_schema, migrate_schema
from models.store.database.session import (
    load_schema_version,
    open_engine,
    transaction,
    upgrade_database,
)
from models.store.jobs.job_store import load_job_by_name
from models.store.streams.stream_store import list_streams
from models.store.tables.all_tables import METADATA

CATALOGUE = {
    "sqlite": ["SELECT type, name, tbl_name, sql FROM sqlite_master"],
    "postgresql": [
        """SELECT table_name, column_name, data_type, is_nullable, column_default, collation_name
           FROM information_schema.columns WHERE table_schema = 'public'""",
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
        """SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
           WHERE connamespace = 'public'::regnamespace""",
        "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
        """SELECT proname, pg_get_functiondef(oid) FROM pg_proc
           WHERE pronamespace = 'public'::regnamespace""",
        "SELECT relname, reloptions FROM pg_class WHERE reloptions IS NOT NULL",
    ],
}


@pytest.fixture
def empty_engine(database_url):
    engine = open_engine(database_url)
    yield engine
    engine.dispose()


def config(connection=None):
    alembic_config = Config()
    alembic_config.set_main_option("script_location", str(MIGRATIONS))
    alembic_config.attributes["connection"] = connection
    return alembic_config


def read_catalogue(connection):
    """Return all that the database knows of its schema, except alembic's own table."""
    rows = [
        tuple(" ".join(str(value).split()) for value in row)
        for query in CATALOGUE[connection.dialect.name]
        for row in connection.execute(text(query))
    ]
    return sorted(row for row in rows if not any("alembic_version" in value for value in row))


def test_migrations_have_one_head_that_equals_head_revision():
    assert ScriptDirectory.from_config(config()).get_heads() == [HEAD_REVISION]


def test_create_schema_equals_schema_of_migrations(empty_engine):
    with empty_engine.begin() as connection:
        create_schema(connection)
        made = read_catalogue(connection)
    with empty_engine.begin() as connection:
        command.downgrade(config(connection), "base")
        assert inspect(connection).get_table_names() == ["alembic_version"]
    with empty_engine.begin() as connection:
        migrate_schema(connection)
        assert read_catalogue(connection) == made
    assert len(made) > 20


def test_migrated_schema_equals_metadata_of_models(empty_engine):
    with empty_engine.begin() as connection:
        migrate_schema(connection)
    with empty_engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []


def test_upgrade_of_new_sqlite_takes_less_than_300_ms(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path / 'new' / 'tagstream.db'}")
    began = time.perf_counter()
    upgrade_database(engine)
    assert time.perf_counter() - began < 0.3
    assert load_schema_version(engine) == HEAD_REVISION
    engine.dispose()


def test_upgrade_reaches_head_and_can_run_again(empty_engine):
    with empty_engine.begin() as connection:
        connection.execute(text("CREATE TABLE foreign_table (x INTEGER)"))
    assert load_schema_version(empty_engine) is None
    upgrade_database(empty_engine)
    upgrade_database(empty_engine)
    assert load_schema_version(empty_engine) == HEAD_REVISION


def test_concurrent_upgrades_all_reach_head(database_url):
    engines = [open_engine(database_url) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(upgrade_database, engines))
    assert [load_schema_version(engine) for engine in engines] == [HEAD_REVISION] * 4
    for engine in engines:
        engine.dispose()


def test_upgrade_refuses_unknown_revision_and_keeps_it(empty_engine):
    upgrade_database(empty_engine)
    with empty_engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match="'9999' is unknown to this version of tagstream"):
        upgrade_database(empty_engine)
    assert load_schema_version(empty_engine) == "9999"


def test_constraints_and_indexes_have_names_of_convention(empty_engine):
    upgrade_database(empty_engine)
    found = inspect(empty_engine)
    names = [
        constraint["name"]
        for table in METADATA.tables
        for constraint in (
            *found.get_indexes(table),
            *found.get_foreign_keys(table),
            *found.get_unique_constraints(table),
            found.get_pk_constraint(table),
        )
    ]
    # SQLite gives no name to the primary key of a table with an automatic row id.
    assert all(name.startswith(("ix_", "uq_", "fk_", "pk_")) for name in names if name)


def test_upgrade_from_0001_creates_objects_and_restarts_change_log(empty_engine):
    """Jobs get their ids as names, namespaces are created, and old changes are deleted."""
    job = uuid4()
    with empty_engine.begin() as connection:
        migrate_schema(connection, "0001")
        _insert_rows_of_0001(connection, job)
    upgrade_database(empty_engine)
    with transaction(empty_engine, write=False) as session:
        names = [each.metadata.name for each in list_namespaces(session, limit=9)]
        assert names == ["default", "openshift", "team"]
        (stream,) = list_streams(session, limit=9)
        assert stream.metadata.resource_version == "7"
        assert load_job_by_name(session, "team", str(job)).version == 7
        assert floor_version(session) == 7
        assert latest_version(session) == 9
        found = load_change_events(session, after=7, limit=9)
        assert [(each.kind, each.name) for each in found] == [
            ("Namespace", "default"),
            ("Namespace", "openshift"),
        ]
        assert list_objects_at(session, "ImageStream", 6, limit=9) is None
        assert list_objects_at(session, "ImageStream", 7, limit=9) == [stream.wire()]


def _insert_rows_of_0001(connection, job):
    old = MetaData()
    old.reflect(connection)
    tables = old.tables
    then = datetime(2026, 1, 2, 3, 4, 5)
    connection.execute(tables["counters"].insert(), {"name": "version", "value": 7})
    change = {"kind": "ImageStream", "namespace": "team", "name": "app", "at": then}
    connection.execute(
        tables["changes"].insert(),
        [{**change, "version": step, "verb": "MODIFIED"} for step in range(1, 8)],
    )
    connection.execute(
        tables["image_streams"].insert(),
        {
            "namespace": "team",
            "name": "app",
            "uid": uuid4() if connection.dialect.name == "postgresql" else uuid4().hex,
            "version": 7,
            "generation": 1,
            "created": then,
            "lookup_local": False,
            "spec_repository": "",
            "status_repository": "",
            "public_repository": "",
        },
    )
    connection.execute(
        tables["jobs"].insert(),
        {
            "id": job if connection.dialect.name == "postgresql" else job.hex,
            "namespace": "team",
            "stream": "app",
            "state": "queued",
            "lane": "bulk",
            "asker": "user",
            "asked_by": "",
            "request": '{"metadata": {"name": "app", "namespace": "team"}}',
            "wants_answer": False,
            "coalesce": False,
            "attempt": 0,
            "done": 0,
            "total": 0,
            "with_errors": False,
            "cancel_asked": False,
            "worker": "",
            "created": then,
        },
    )
