"""The models, the migrations and what a fresh database gets are one schema."""

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
from models.store.changes.change_log import floor_version, latest_version, list_as_of, load_feed
from models.store.database.schema import HEAD, MIGRATIONS, create_schema, migrate_schema
from models.store.database.session import open_engine, schema_version, transaction, upgrade
from models.store.jobs.job_store import find_job
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
def empty(database_url):
    engine = open_engine(database_url)
    yield engine
    engine.dispose()


def config(connection=None):
    made = Config()
    made.set_main_option("script_location", str(MIGRATIONS))
    made.attributes["connection"] = connection
    return made


def catalogue(connection):
    """Everything the database says of its schema, but for alembic's own table."""
    rows = [
        tuple(" ".join(str(value).split()) for value in row)
        for query in CATALOGUE[connection.dialect.name]
        for row in connection.execute(text(query))
    ]
    return sorted(row for row in rows if not any("alembic_version" in value for value in row))


def test_there_is_one_head_and_the_code_knows_it():
    assert ScriptDirectory.from_config(config()).get_heads() == [HEAD]


def test_a_fresh_database_gets_what_the_migrations_make(empty):
    with empty.begin() as connection:
        create_schema(connection)
        made = catalogue(connection)
    with empty.begin() as connection:
        command.downgrade(config(connection), "base")
        assert inspect(connection).get_table_names() == ["alembic_version"]
    with empty.begin() as connection:
        migrate_schema(connection)
        assert catalogue(connection) == made
    assert len(made) > 20


def test_the_migrations_make_what_the_models_say(empty):
    with empty.begin() as connection:
        migrate_schema(connection)
    with empty.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []


def test_a_fresh_sqlite_is_ready_at_once(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path / 'new' / 'tagstream.db'}")
    began = time.perf_counter()
    upgrade(engine)
    assert time.perf_counter() - began < 0.3
    assert schema_version(engine) == HEAD
    engine.dispose()


def test_an_upgrade_brings_any_database_to_the_head_and_then_rests(empty):
    with empty.begin() as connection:
        connection.execute(text("CREATE TABLE somebody_elses (x INTEGER)"))
    assert schema_version(empty) is None
    upgrade(empty)
    upgrade(empty)
    assert schema_version(empty) == HEAD


def test_processes_that_upgrade_at_once_do_not_hurt_each_other(database_url):
    engines = [open_engine(database_url) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(upgrade, engines))
    assert [schema_version(engine) for engine in engines] == [HEAD] * 4
    for engine in engines:
        engine.dispose()


def test_a_schema_of_the_future_is_refused_and_left_alone(empty):
    upgrade(empty)
    with empty.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match="'9999' is not one that this version of tagstream knows"):
        upgrade(empty)
    assert schema_version(empty) == "9999"


def test_every_constraint_and_index_has_the_name_of_the_convention(empty):
    upgrade(empty)
    found = inspect(empty)
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
    # SQLite names no primary key of a table that counts by itself.
    assert all(name.startswith(("ix_", "uq_", "fk_", "pk_")) for name in names if name)


def test_what_was_there_before_the_api_becomes_objects_and_the_log_begins_anew(empty):
    """Jobs are named by their ids, namespaces come into being, and old changes are forgotten."""
    job = uuid4()
    with empty.begin() as connection:
        migrate_schema(connection, "0001")
        _fill_as_of_old(connection, job)
    upgrade(empty)
    with transaction(empty, write=False) as session:
        names = [each.metadata.name for each in list_namespaces(session, limit=9)]
        assert names == ["default", "openshift", "team"]
        (stream,) = list_streams(session, limit=9)
        assert stream.metadata.resource_version == "7"
        assert find_job(session, "team", str(job)).version == 7
        assert floor_version(session) == 7
        assert latest_version(session) == 9
        found = load_feed(session, after=7, limit=9)
        assert [(each.kind, each.name) for each in found] == [
            ("Namespace", "default"),
            ("Namespace", "openshift"),
        ]
        assert list_as_of(session, "ImageStream", 6, limit=9) is None
        assert list_as_of(session, "ImageStream", 7, limit=9) == [stream.wire()]


def _fill_as_of_old(connection, job):
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
