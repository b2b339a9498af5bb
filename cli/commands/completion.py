"""`tagstream completion`: prints the completion script of a shell."""

from __future__ import annotations

import click

COMPLETION_VARIABLE = "_TAGSTREAM_COMPLETE"


@click.command("completion", short_help="Print the completion script of a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the completion script of SHELL.

    In bash and zsh: eval "$(tagstream completion bash)"

    In fish: tagstream completion fish | source
    """
    from click.shell_completion import get_completion_class

    completion_class = get_completion_class(shell)
    assert completion_class is not None
    script = completion_class(context.find_root().command, {}, "tagstream", COMPLETION_VARIABLE)
    click.echo(script.source_template % script.source_vars())
