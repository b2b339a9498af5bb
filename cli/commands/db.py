"""`tagstream db`: the database's schema."""

from __future__ import annotations

from pathlib import Path

import click


@click.group("db", short_help="Care for the database.")
def command() -> None:
    """Care for the database."""


@command.command("upgrade", short_help="Bring the schema to this version.")
@click.pass_obj
def upgrade_command(data: Path | None) -> None:
    """Create the tables, or bring them to what this version needs. Safe to run at any time."""
    from cli.bootstrap import open_store, read_settings
    from cli.rendering.output import say
    from models.store.database.session import schema_version, upgrade

    with open_store(read_settings(data)) as engine:
        upgrade(engine)
        say(f"the database is at schema {schema_version(engine)}", style="green")
