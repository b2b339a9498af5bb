"""Where a verb works: at the server of a kubeconfig, or here, in a data directory of its own."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from models.errors import UsageError

if TYPE_CHECKING:
    from cli.backend.kubeconfig import Access

Command = TypeVar("Command", bound=Callable[..., Any])

DEFAULT_NAMESPACE = "default"
_KEY = "cli.target"


@dataclass(frozen=True)
class Place:
    """`kubeconfig` None: here, embedded or with the workers of TAGSTREAM_BROKER_URL."""

    data: Path | None = None
    kubeconfig: Path | None = None
    context: str = ""

    @functools.cached_property
    def access(self) -> Access | None:
        """The server to speak to; None: here."""
        if self.kubeconfig is None:
            return None
        from cli.backend.kubeconfig import read_access

        return read_access(self.kubeconfig, self.context)

    @property
    def namespace(self) -> str:
        """The namespace where none is typed: the context's, as kubectl has it."""
        return DEFAULT_NAMESPACE if self.access is None else self.access.namespace


def set_place(
    context: click.Context,
    data: Path | None,
    kubeconfig: Path | None,
    name: str,
    local: frozenset[str],
) -> None:
    """Remember where the verb works. What was typed counts before what the environment says.

    `local` verbs care for a database or a process of this machine.
    """
    source = click.core.ParameterSource.COMMANDLINE
    typed = context.get_parameter_source("kubeconfig") is source
    verb = context.invoked_subcommand or ""
    if data is not None or verb in local:
        if typed or name:
            why = (
                f"`tagstream {verb}` works on this machine" if verb in local else "--data is local"
            )
            raise UsageError(f"{why}; leave out {'--kubeconfig' if typed else '--context'}")
        kubeconfig = None
    if name and kubeconfig is None:
        raise UsageError("--context names a context of a kubeconfig; say --kubeconfig FILE too")
    context.meta[_KEY] = Place(data, kubeconfig, name)


def pass_place(command: Command) -> Command:
    """Hand the place to a verb, as its first argument."""

    @click.pass_context
    def found(context: click.Context, /, *args: Any, **kwargs: Any) -> Any:
        return context.invoke(command, place_of(context), *args, **kwargs)

    return functools.update_wrapper(found, command)  # type: ignore[return-value]


def place_of(context: click.Context) -> Place:
    """Where the command line's verb works."""
    place: Place = context.meta[_KEY]
    return place
