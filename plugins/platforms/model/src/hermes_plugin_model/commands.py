"""``hermes model``."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import click

from hermes.cli.output import complain

from .running import print_json, with_app

if TYPE_CHECKING:
    from hermes import App

    from .listing import Listing

json_option = click.option("--json", "as_json", is_flag=True, help="As JSON.")


@click.group(help="Pick, list, set, test or explain the model. Alone: pick one.", invoke_without_command=True)
@click.pass_context
def model(ctx: click.Context) -> None:
    if ctx.invoked_subcommand is not None:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError(
            "Picking a model needs a terminal. Use: hermes model list, then: hermes model set PROVIDER:MODEL", ctx
        )
    from .choosing import choose
    from .picking import pick

    async def work(app: App) -> None:
        chosen = await pick(app)
        await choose(app, chosen.name, complain, checked=False)

    with_app(work)


@model.command("list")
@click.argument("provider", required=False, default="")
@click.option("--refresh", is_flag=True, help="Ask the provider again, even if it was asked a short time ago.")
@json_option
def list_(provider: str, refresh: bool, as_json: bool) -> None:
    """List a provider's models, or those of all whose key is found, with windows and prices per million tokens."""
    from .listing import as_lines, listing, usual

    async def work(app: App) -> list[Listing]:
        names = [provider] if provider else await usual(app)
        return await asyncio.gather(*(listing(app, name, refresh=refresh) for name in names))

    found = with_app(work)
    if as_json:
        print_json([listed.as_dict() for listed in found])
        return
    for listed in found:
        click.echo("\n".join(as_lines(listed)))
        if listed.note:
            complain(f"{listed.provider} was not asked: {listed.note}")


@model.command("set")
@click.argument("name", metavar="PROVIDER:MODEL")
@click.option("--unchecked", is_flag=True, help="Even if the provider lists no such model.")
def set_(name: str, unchecked: bool) -> None:
    """Write the model into config.yaml; comments in it are kept."""
    from .choosing import choose

    with_app(lambda app: choose(app, name, complain, checked=not unchecked))


@model.command()
@click.argument("name", metavar="[PROVIDER:]MODEL", required=False, default="")
@json_option
def test(name: str, as_json: bool) -> None:
    """Make one tiny call. Exit code 0: it answers; 2: it cannot be called; 4: the key; 1: all else."""
    from .trial import trial

    found = with_app(lambda app: trial(app, model=name), {"agent": {"retries": 0}})
    usage = found.usage
    if as_json:
        print_json(
            {
                "model": found.name,
                "text": found.text,
                "seconds": round(found.seconds, 3),
                "first_seconds": round(found.first_seconds, 3),
                "input_tokens": usage.prompt_tokens,
                "output_tokens": usage.output_tokens,
                "cost_usd": found.cost_usd,
            }
        )
        return
    cost = "cost unknown" if found.cost_usd is None else f"${found.cost_usd:.6f}"
    click.echo(f"{found.name} answers: {' '.join(found.text.split())[:70]}")
    click.echo(
        f"{found.seconds:.2f} s, the first word after {found.first_seconds:.2f} s; "
        f"{usage.prompt_tokens} tokens in, {usage.output_tokens} out; {cost}"
    )


@model.command()
@click.option("-m", "--model", "name", default="", metavar="[PROVIDER:]MODEL", help="As for a chat.")
@click.option("--provider", default="", metavar="NAME", help="As for a chat.")
@json_option
def explain(name: str, provider: str, as_json: bool) -> None:
    """Say which provider and model are chosen, why, and what would change it. No key is shown."""
    from .explain import as_lines
    from .explain import explain as explained

    found = with_app(lambda app: explained(app, provider=provider, model=name))
    if as_json:
        print_json(found.as_dict())
    else:
        click.echo("\n".join(as_lines(found)))
