"""Runs migrations on the connection that `models.store.database.schema` opened, in its transaction.

To write a new migration:

`alembic -c models/store/migrations/alembic.ini -x url=… revision --autogenerate -m …`
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, text

from models.store.database.session import open_engine
from models.store.tables.all_tables import METADATA


def run(connection: Connection) -> None:
    """Apply the requested migrations.

    On PostgreSQL a migration that waits 5 s for a lock fails instead of blocking all other users of
    the table.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL lock_timeout = '5s'"))
    context.configure(
        connection=connection,
        target_metadata=METADATA,
        render_as_batch=connection.dialect.name == "sqlite",
        transactional_ddl=True,
    )
    context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    with open_engine(context.get_x_argument(as_dictionary=True)["url"]).begin() as opened:
        run(opened)
