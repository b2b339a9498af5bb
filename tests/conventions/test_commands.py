"""Every command and every option stands in docs/reference/commands.md, and helps itself."""

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from cli.main import tagstream

HOME = Path(__file__).parents[2]
PAGE = (HOME / "docs" / "reference" / "commands.md").read_text()


def commands(group=tagstream, words=("tagstream",)):
    """The words of every command that does something, with the command."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*words, name))
        else:
            yield " ".join((*words, name)), command


COMMANDS = dict(commands())


def section(name):
    """What the page says of a command."""
    found = re.search(rf"^## {re.escape(name)}\b.*?(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"{name} has no section"
    return found.group()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_commands_options_stand_in_its_section(name):
    text = section(name)
    options = [p for p in COMMANDS[name].params if isinstance(p, click.Option) and not p.hidden]
    missing = [o for each in options for o in each.opts if not re.search(rf"`{o}[ `\\]", text)]
    assert missing == []


def test_every_section_is_a_command():
    sections = re.findall(r"^## (tagstream [a-z ]*[a-z])", PAGE, re.MULTILINE)
    assert sorted(sections) == sorted(
        name + (" bash" if name.endswith("completion") else "") for name in COMMANDS
    )


@pytest.mark.parametrize("name", ["tagstream", "tagstream job", "tagstream secret", *COMMANDS])
def test_every_command_helps(name):
    words = name.split()[1:]
    ended = subprocess.run(
        [Path(sys.executable).with_name("tagstream"), *words, "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.startswith(f"Usage: {name}")
    assert ended.stderr == ""
