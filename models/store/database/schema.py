"""The schema's version, and the way to the newest.

An empty database is made at once from the models, which a test holds equal to the migrations; any
other goes through alembic. Whoever comes second waits and finds it done.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.orm import Session

from models.errors import StoreError
from models.store.access.namespace_store import FIRST_NAMESPACES, ensure_namespace
from models.store.schedule.schedule_triggers import keep_places
from models.store.tables.all_tables import METADATA

HEAD = "0004"
MIGRATIONS = Path(__file__).parents[1] / "migrations"
_LOCK = 7_416_110_231  # any number of our own, for PostgreSQL's advisory lock


def upgrade_schema(engine: Engine) -> None:
    """Create or migrate the tables, in one transaction."""
    with engine.connect() as connection:
        if read_version(connection) == HEAD:
            return
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        version = read_version(connection)
        if version is None and not inspect(connection).get_table_names():
            create_schema(connection)
        elif version != HEAD:
            migrate_schema(connection)
        if version != HEAD:
            make_first_namespaces(connection)


def create_schema(connection: Connection) -> None:
    """All tables at once, marked as being at the newest migration."""
    METADATA.create_all(connection, checkfirst=False)
    keep_places(connection)
    connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
    connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": HEAD})


def make_first_namespaces(connection: Connection) -> None:
    """The namespaces that everybody expects (`api.md` E)."""
    with Session(connection, join_transaction_mode="rollback_only") as session:
        for name in FIRST_NAMESPACES:
            ensure_namespace(session, name, now=datetime.now(UTC).replace(microsecond=0))


def migrate_schema(connection: Connection, target: str = "head") -> None:
    """From whatever the database stands at to `target`, step by step."""
    from alembic import command  # noqa: PLC0415 - 0.15 s that only a migration needs
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, target)
    except CommandError as error:
        version = read_version(connection)
        raise StoreError(
            f"the database's schema {version!r} is not one that this version of tagstream knows; "
            "run the version that made it, or a newer one"
        ) from error


def read_version(connection: Connection) -> str | None:
    """The migration that the database stands at; None where there are no tables yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found
