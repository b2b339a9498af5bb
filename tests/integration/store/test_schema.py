"""The models, the migrations and what a fresh database gets are one schema."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from models.errors import StoreError
from models.store.session import open_engine, schema_version, upgrade
from models.store.tables.schema import METADATA
from models.store.upgrade import HEAD, MIGRATIONS, create_schema, migrate_schema

CATALOGUE = {
    "sqlite": ["SELECT type, name, tbl_name, sql FROM sqlite_master"],
    "postgresql": [
        """SELECT table_name, column_name, data_type, is_nullable, column_default, collation_name
           FROM information_schema.columns WHERE table_schema = 'public'""",
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
        """SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
           WHERE connamespace = 'public'::regnamespace""",
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
