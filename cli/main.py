"""The `tagstream` command: finds the verb, and turns whatever goes wrong into one clear line.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done with errors.
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

from cli.target import set_place

FAILED = 1
WRONG_USAGE = 2
INTERRUPTED = 130
# Each verb has a module of its own, which is imported when the verb is spoken.
VERBS = {
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
# Verbs that care for a database or a process of this machine, and never speak to a server.
LOCAL = frozenset(VERBS) - {
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

WHERE_TO_LOOK = {
    "Docker logins": "docker login --help",
    "images": "tagstream get images --all-namespaces",
    "jobs": "tagstream jobs --all-namespaces",
    "registries": "tagstream get registries",
    "secrets": "tagstream secret list --all-namespaces",
    "tokens": "tagstream token list",
}


class Verbs(click.Group):
    """A group whose commands live in modules of their own."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The verbs, in the order in which a person meets them."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb's command; the module is imported only now."""
        module = VERBS.get(cmd_name)
        if module is None:
            return super().get_command(ctx, cmd_name)
        command: click.Command = importlib.import_module(f"cli.commands.{module}").command
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Carry out the verb. Whoever reads our output may have seen enough (`| head`)."""
        try:
            result: object = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        return result


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
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
    help="Speak to the server that FILE names [env: TAGSTREAM_KUBECONFIG]; without, work here.",
)
@click.option(
    "--context",
    "context_name",
    default="",
    metavar="NAME",
    help="Which of the kubeconfig's contexts [default: its current one].",
)
@click.pass_context
def tagstream(
    context: click.Context, data: Path | None, kubeconfig: Path | None, context_name: str
) -> None:
    """Watch image registries: import images and remember what every tag meant, and when."""
    context.obj = data
    set_place(context, data, kubeconfig, context_name, local=LOCAL)


def main() -> NoReturn:
    """What the shell calls."""
    gc.disable()  # a tenth of a cold start; whoever works for longer turns it on again
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Carry out one command line; the exit code."""
    try:
        code = tagstream.main(list(arguments), prog_name="tagstream", standalone_mode=False)
    except click.ClickException as error:
        return _complain(_usage_line(error), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        return _complain("interrupted", INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - one of the three places that may
        return _explain(error)
    return code if isinstance(code, int) else 0


def _usage_line(error: click.ClickException) -> str:
    text = " ".join(error.format_message().split())
    context = getattr(error, "ctx", None)
    if context is None:
        return text
    return f"{text.rstrip('.')}; see `{context.command_path} --help`"


def _explain(error: Exception) -> int:
    """One line for a failure of ours or of the machine's; never a traceback."""
    from models.errors import (
        AlreadyExistsError,
        InvalidReferenceError,
        NotFoundError,
        TagstreamError,
        UsageError,
    )

    if isinstance(error, AlreadyExistsError):
        return _complain(f"{error}; say --replace to replace it", FAILED)
    if isinstance(error, NotFoundError):
        where = WHERE_TO_LOOK.get(error.resource, "tagstream get --all-namespaces")
        return _complain(f"{error}; look at `{where}`", FAILED)
    if isinstance(error, TagstreamError):
        wrong = isinstance(error, UsageError | InvalidReferenceError)
        return _complain(str(error) or error.message, WRONG_USAGE if wrong else FAILED)
    if isinstance(error, OSError):
        place = f" ({error.filename})" if error.filename else ""
        return _complain(f"{error.strerror or type(error).__name__}{place}", FAILED)
    import structlog

    structlog.get_logger().debug("command.failed", exc_info=error)
    return _complain(
        f"unexpected {type(error).__name__} in tagstream itself; please report it with what "
        "TAGSTREAM_LOG_LEVEL=DEBUG shows",
        FAILED,
    )


def _complain(text: str, code: int) -> int:
    from cli.rendering.output import clean

    print(f"tagstream: {clean(text)}", file=sys.stderr)  # noqa: T201 - the command's last word
    return code
