"""The options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

DEFAULT_NAMESPACE = "default"
FORMATS = ("table", "wide", "json", "yaml", "name")


def namespace_option(command: Command) -> Command:
    """`-n NS`."""
    return click.option(
        "-n",
        "--namespace",
        default=DEFAULT_NAMESPACE,
        show_default=True,
        metavar="NS",
        help="Namespace of the streams.",
    )(command)


def everywhere_option(command: Command) -> Command:
    """`-A`."""
    return click.option("-A", "--all-namespaces", "everywhere", is_flag=True, help="Every one.")(
        command
    )


def output_option(command: Command) -> Command:
    """`-o FORMAT`."""
    return click.option(
        "-o",
        "--output",
        "style",
        type=click.Choice(FORMATS),
        default="table",
        show_default=True,
        help="How the result is printed.",
    )(command)
