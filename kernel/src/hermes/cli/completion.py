"""``hermes completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from hermes.contracts.errors import ConfigError
from hermes.plugins.index import Index


def completion(index: Index) -> click.Command:
    @click.command("completion", help='Print the completion script: eval "$(hermes completion bash)"')
    @click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
    @click.pass_context
    def command(ctx: click.Context, shell: str) -> None:
        kind = get_completion_class(shell)
        if kind is None:
            raise ConfigError(f"No completion for {shell}.", hint="There is one for bash, zsh and fish.")
        click.echo(kind(ctx.find_root().command, {}, "hermes", "_HERMES_COMPLETE").source())

    return command
