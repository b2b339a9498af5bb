"""The schema version, and how a database gets to the newest one.

An empty database is created at once from the models, which a test compares with the migrations; any
other is migrated by alembic. When several processes start together, one does the work and the
others wait, then find it done.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.orm import Session

from models.errors import StoreError
from models.store.access.namespace_store import DEFAULT_NAMESPACES, ensure_namespace
from models.store.schedule.schedule_triggers import create_lookup_triggers
from models.store.tables.all_tables import METADATA

HEAD_REVISION = "0005"
MIGRATIONS = Path(__file__).parents[1] / "migrations"
_ADVISORY_LOCK_ID = 7_416_110_231  # an arbitrary key for PostgreSQL's advisory lock


def upgrade_schema(engine: Engine) -> None:
    """Create or migrate the tables, in one transaction."""
    with engine.connect() as connection:
        if load_schema_revision(connection) == HEAD_REVISION:
            return
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(
                text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _ADVISORY_LOCK_ID}
            )
        version = load_schema_revision(connection)
        if version is None and not inspect(connection).get_table_names():
            create_schema(connection)
        elif version != HEAD_REVISION:
            migrate_schema(connection)
        if version != HEAD_REVISION:
            create_default_namespaces(connection)


def create_schema(connection: Connection) -> None:
    """Create all tables at once and mark them as being at the newest migration."""
    METADATA.create_all(connection, checkfirst=False)
    create_lookup_triggers(connection)
    connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
    connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": HEAD_REVISION})


def create_default_namespaces(connection: Connection) -> None:
    """Create the namespaces that exist from the start (api-17.3)."""
    with Session(connection, join_transaction_mode="rollback_only") as session:
        for name in DEFAULT_NAMESPACES:
            ensure_namespace(session, name, now=datetime.now(UTC).replace(microsecond=0))


def migrate_schema(connection: Connection, target: str = "head") -> None:
    """Migrate from the revision of the database to `target`, step by step.

    Raise StoreError when the revision is unknown to this version of tagstream.
    """
    from alembic import command  # noqa: PLC0415 - 0.15 s that only a migration needs
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, target)
    except CommandError as error:
        version = load_schema_revision(connection)
        raise StoreError(
            f"the database's schema {version!r} is unknown to this version of tagstream; "
            "run the version that created it, or a newer one"
        ) from error


def load_schema_revision(connection: Connection) -> str | None:
    """Return the migration that the database is at; None if it has no tables yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found
