"""docs/reference/commands.md documents every command and option, and every command has help."""

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from cli.main import tagstream

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "commands.md").read_text()


def commands(group=tagstream, path=("tagstream",)):
    """Yield the full name of every command that is not a group, and the command."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


COMMANDS = dict(commands())


def section(name):
    """Return the section of a command on the page."""
    found = re.search(rf"^## {re.escape(name)}\b.*?(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"{name} has no section"
    return found.group()


@pytest.mark.parametrize("name", COMMANDS)
def test_command_section_documents_every_option(name):
    text = section(name)
    options = [p for p in COMMANDS[name].params if isinstance(p, click.Option) and not p.hidden]
    missing = [o for each in options for o in each.opts if not re.search(rf"`{o}[ `\\]", text)]
    assert missing == []


def test_command_sections_are_the_commands():
    sections = re.findall(r"^## (tagstream [a-z ]*[a-z])", PAGE, re.MULTILINE)
    assert sorted(sections) == sorted(
        name + (" bash" if name.endswith("completion") else "") for name in COMMANDS
    )


@pytest.mark.parametrize("name", ["tagstream", "tagstream job", "tagstream secret", *COMMANDS])
def test_command_help_shows_usage(name):
    arguments = name.split()[1:]
    ended = subprocess.run(
        [Path(sys.executable).with_name("tagstream"), *arguments, "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.startswith(f"Usage: {name}")
    assert ended.stderr == ""
