"""`tagstream version`: prints the version."""

from __future__ import annotations

import sys

import click


@click.command("version", short_help="Show the version.")
def command() -> None:
    """Show the version of tagstream and of Python."""
    from importlib.metadata import version

    python = ".".join(str(part) for part in sys.version_info[:3])
    click.echo(f"tagstream {version('tagstream')} (Python {python})")
