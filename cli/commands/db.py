"""`tagstream db`: manages the database schema."""

from __future__ import annotations

from pathlib import Path

import click


@click.group("db", short_help="Manage the database.")
def command() -> None:
    """Manage the database."""


@command.command("upgrade", short_help="Upgrade the schema to this version.")
@click.pass_obj
def upgrade_command(data: Path | None) -> None:
    """Create the tables, or upgrade them to this version. Safe to run repeatedly."""
    from cli.bootstrap import open_database, read_settings
    from cli.rendering.output import print_message
    from models.store.database.session import load_schema_version, upgrade_database

    with open_database(read_settings(data)) as engine:
        upgrade_database(engine)
        print_message(f"database schema version: {load_schema_version(engine)}", style="green")
