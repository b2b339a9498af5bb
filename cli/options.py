"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from cli.target import target_of

Command = TypeVar("Command", bound=Callable[..., Any])

OUTPUT_FORMATS = ("table", "wide", "json", "yaml", "name")


def namespace_option(command: Command) -> Command:
    """Add `-n NS`; the default is the namespace of the kubeconfig's context, else `default`."""

    def choose(context: click.Context, _option: click.Parameter, typed: str | None) -> str | None:
        if typed is not None or context.resilient_parsing:
            return typed
        return target_of(context).namespace

    return click.option(
        "-n",
        "--namespace",
        callback=choose,
        metavar="NS",
        help="Namespace [default: that of the kubeconfig's context, else default].",
    )(command)


def all_namespaces_option(command: Command) -> Command:
    """Add `-A`."""
    return click.option("-A", "--all-namespaces", is_flag=True, help="Use all namespaces.")(command)


def output_option(command: Command) -> Command:
    """Add `-o FORMAT`."""
    return click.option(
        "-o",
        "--output",
        "style",
        type=click.Choice(OUTPUT_FORMATS),
        default="table",
        show_default=True,
        help="Output format.",
    )(command)
