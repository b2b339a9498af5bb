"""Entry point of the `tagstream` command: dispatches to a command and reports errors in one line.

Exit codes: 0 done, 1 error, 2 wrong usage, 3 done with errors, 130 interrupted.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import click

from cli.target import set_target

EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
# Command -> module in cli.commands, imported only when the command is called.
COMMANDS = {
    "up": "up",
    "import": "import_",
    "get": "get",
    "describe": "describe",
    "history": "history",
    "reimport": "reimport",
    "jobs": "jobs",
    "job": "job",
    "secret": "secret",
    "registry": "registry",
    "token": "token",
    "db": "db",
    "api": "api",
    "ready": "ready",
    "worker": "worker",
    "completion": "completion",
    "version": "version",
}
# Commands that work on a database or process of this machine and never call a server.
LOCAL_COMMANDS = frozenset(COMMANDS) - {
    "import",
    "get",
    "describe",
    "history",
    "reimport",
    "jobs",
    "job",
    "secret",
    "registry",
}

SUGGESTED_COMMANDS = {
    "Docker logins": "docker login --help",
    "images": "tagstream get images --all-namespaces",
    "jobs": "tagstream jobs --all-namespaces",
    "registries": "tagstream get registries",
    "secrets": "tagstream secret list --all-namespaces",
    "tokens": "tagstream token list",
}


class LazyGroup(click.Group):
    """A click group that imports the module of a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """List the commands in the order in which a new user needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of the command and return the command."""
        module = COMMANDS.get(cmd_name)
        if module is None:
            return super().get_command(ctx, cmd_name)
        command: click.Command = importlib.import_module(f"cli.commands.{module}").command
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run the command. A reader that closes our output's pipe (`| head`) is not an error."""
        try:
            result: object = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        return result


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Directory of the embedded database [default: ~/.local/share/tagstream].",
)
@click.option(
    "--kubeconfig",
    type=click.Path(path_type=Path),
    envvar="TAGSTREAM_KUBECONFIG",
    metavar="FILE",
    help="Use the server that FILE names [env: TAGSTREAM_KUBECONFIG; default: work locally].",
)
@click.option(
    "--context",
    "context_name",
    default="",
    metavar="NAME",
    help="Context of the kubeconfig [default: its current context].",
)
@click.pass_context
def tagstream(
    context: click.Context, data: Path | None, kubeconfig: Path | None, context_name: str
) -> None:
    """Import images from registries, check tags for updates, and keep the history of every tag."""
    context.obj = data
    set_target(context, data, kubeconfig, context_name, local_commands=LOCAL_COMMANDS)


def main() -> NoReturn:
    """Run the command line of this process and exit; the console script calls it."""
    gc.disable()  # saves a tenth of a cold start; long-running commands enable it again
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code."""
    try:
        code = tagstream.main(list(arguments), prog_name="tagstream", standalone_mode=False)
    except click.ClickException as error:
        return _print_error(_format_usage_error(error), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        return _print_error("interrupted", EXIT_INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - a top-level handler: reported in one line
        return _report_error(error)
    return code if isinstance(code, int) else 0


def _format_usage_error(error: click.ClickException) -> str:
    text = " ".join(error.format_message().split())
    context = getattr(error, "ctx", None)
    if context is None:
        return text
    return f"{text.rstrip('.')}; see `{context.command_path} --help`"


def _report_error(error: Exception) -> int:
    """Print an error as one line, never a traceback, and return the exit code."""
    from models.errors import (
        AlreadyExistsError,
        InvalidReferenceError,
        NotFoundError,
        TagstreamError,
        UsageError,
    )

    if isinstance(error, AlreadyExistsError):
        return _print_error(f"{error}; use --replace to replace it", EXIT_ERROR)
    if isinstance(error, NotFoundError):
        suggestion = SUGGESTED_COMMANDS.get(error.resource, "tagstream get --all-namespaces")
        return _print_error(f"{error}; see `{suggestion}`", EXIT_ERROR)
    if isinstance(error, TagstreamError):
        wrong = isinstance(error, UsageError | InvalidReferenceError)
        return _print_error(str(error) or error.message, EXIT_USAGE if wrong else EXIT_ERROR)
    if isinstance(error, OSError):
        filename = f" ({error.filename})" if error.filename else ""
        return _print_error(f"{error.strerror or type(error).__name__}{filename}", EXIT_ERROR)
    import structlog

    structlog.get_logger().debug("command.failed", exc_info=error)
    return _print_error(
        f"unexpected {type(error).__name__} in tagstream itself; please report it with what "
        "TAGSTREAM_LOG_LEVEL=DEBUG shows",
        EXIT_ERROR,
    )


def _print_error(text: str, code: int) -> int:
    from cli.rendering.output import strip_control_characters

    print(f"tagstream: {strip_control_characters(text)}", file=sys.stderr)  # noqa: T201 - the error
    return code
