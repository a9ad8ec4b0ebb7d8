"""``hermes onepassword``."""

from __future__ import annotations

import click

from hermes import HermesError, PluginContext, SecretQuery, with_context

from .source import OnePassword


@click.command(help="Check that 1Password gives each secret that is named in the settings.")
def onepassword() -> int:
    async def work(ctx: PluginContext) -> list[tuple[str, str]]:
        source, told = OnePassword(ctx), []
        for name in sorted((await ctx.config())["references"]):
            try:
                found = (await source.get(SecretQuery(names=(name,), scope=ctx.scope))).values[name]
                told.append((name, "" if found else "it is blank, and counts as unset"))
            except HermesError as error:
                told.append((name, f"{error} {error.hint}"))
        return told

    told = with_context(work)
    for name, problem in told:
        click.echo(f"{'problem' if problem else 'ok':8} {name}{f': {problem}' if problem else ''}")
    if not told:
        click.echo("No secret is named: hermes config set onepassword.references.NAME op://vault/item/field", err=True)
    return int(any(problem for _, problem in told))
