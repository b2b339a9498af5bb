"""The target of a command: the server of a kubeconfig, or this machine with a data directory."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from models.errors import UsageError

if TYPE_CHECKING:
    from cli.backend.kubeconfig import KubeconfigContext

Command = TypeVar("Command", bound=Callable[..., Any])

DEFAULT_NAMESPACE = "default"
_META_KEY = "cli.target"


@dataclass(frozen=True)
class Target:
    """The target that the command line names.

    Without a `kubeconfig` it is this machine: embedded, or with the workers of
    TAGSTREAM_BROKER_URL.
    """

    data_dir: Path | None = None
    kubeconfig: Path | None = None
    context_name: str = ""

    @functools.cached_property
    def server_context(self) -> KubeconfigContext | None:
        """Return the context of the server, or None if the command runs locally."""
        if self.kubeconfig is None:
            return None
        from cli.backend.kubeconfig import read_kubeconfig_context

        return read_kubeconfig_context(self.kubeconfig, self.context_name)

    @property
    def namespace(self) -> str:
        """Return the default namespace: that of the context, as in kubectl."""
        return DEFAULT_NAMESPACE if self.server_context is None else self.server_context.namespace


def set_target(
    context: click.Context,
    data: Path | None,
    kubeconfig: Path | None,
    context_name: str,
    local_commands: frozenset[str],
) -> None:
    """Store the target of the command. Command line options take precedence over the environment.

    `local_commands` work on a database or process of this machine. Raises UsageError if one of them
    is combined with a server.
    """
    source = click.core.ParameterSource.COMMANDLINE
    typed = context.get_parameter_source("kubeconfig") is source
    command = context.invoked_subcommand or ""
    if data is not None or command in local_commands:
        if typed or context_name:
            reason = (
                f"`tagstream {command}` works on this machine"
                if command in local_commands
                else "--data names a local database"
            )
            raise UsageError(f"{reason}; leave out {'--kubeconfig' if typed else '--context'}")
        kubeconfig = None
    if context_name and kubeconfig is None:
        raise UsageError("--context names a context of a kubeconfig; add --kubeconfig FILE")
    context.meta[_META_KEY] = Target(data, kubeconfig, context_name)


def pass_target(command: Command) -> Command:
    """Pass the target to a command as its first argument."""

    @click.pass_context
    def with_target(context: click.Context, /, *args: Any, **kwargs: Any) -> Any:
        return context.invoke(command, target_of(context), *args, **kwargs)

    return functools.update_wrapper(with_target, command)  # type: ignore[return-value]


def target_of(context: click.Context) -> Target:
    """Return the target of the command line."""
    target: Target = context.meta[_META_KEY]
    return target
