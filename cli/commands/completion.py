"""`tagstream completion`: the script that teaches a shell our words."""

from __future__ import annotations

import click

VARIABLE = "_TAGSTREAM_COMPLETE"


@click.command("completion", short_help="Print a shell's completion script.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the completion script of SHELL.

    In bash and zsh: eval "$(tagstream completion bash)"

    In fish: tagstream completion fish | source
    """
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    assert made is not None
    script = made(context.find_root().command, {}, "tagstream", VARIABLE)
    click.echo(script.source_template % script.source_vars())
