"""``hermes bitwarden``."""

from __future__ import annotations

import click

from hermes import PluginContext, with_context

from .source import Bitwarden


@click.command(help="Check that Bitwarden answers, and list the names of its secrets.")
def bitwarden() -> None:
    async def work(ctx: PluginContext) -> list[str]:
        return sorted(await Bitwarden(ctx).all())

    names = with_context(work)
    click.echo(f"Bitwarden answers, with {len(names)} secret{'s' * (len(names) != 1)}.")
    for name in names:
        click.echo(f"  {name}")
