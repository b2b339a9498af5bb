"""The options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from cli.target import place_of

Command = TypeVar("Command", bound=Callable[..., Any])

FORMATS = ("table", "wide", "json", "yaml", "name")


def namespace_option(command: Command) -> Command:
    """`-n NS`; without it the namespace of the kubeconfig's context, else `default`."""

    def choose(context: click.Context, _option: click.Parameter, typed: str | None) -> str | None:
        if typed is not None or context.resilient_parsing:
            return typed
        return place_of(context).namespace

    return click.option(
        "-n",
        "--namespace",
        callback=choose,
        metavar="NS",
        help="Namespace of the streams [default: the context's, else default].",
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
