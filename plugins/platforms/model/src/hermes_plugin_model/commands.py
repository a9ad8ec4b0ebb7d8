"""``hermes model``."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import click

from hermes.cli.output import complain

from .running import print_json, running, with_app

if TYPE_CHECKING:
    from hermes import App

    from .listing import Listing

json_option = click.option("--json", "as_json", is_flag=True, help="As JSON.")
model_option = click.option(
    "-m", "--model", "model_name", default="", metavar="[PROVIDER:]MODEL", help="As for a chat."
)
provider_option = click.option("--provider", default="", metavar="NAME", help="As for a chat.")


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

    with running() as here:
        chosen = pick(here)
        here.wait_for(choose(here.app, chosen.name, complain, checked=False))


@model.command("list", short_help="List models, with windows and prices; or the providers.")
@click.argument("provider", required=False, default="")
@click.option("--refresh", is_flag=True, help="Ask the provider again, even if it was asked a short time ago.")
@click.option("--providers", is_flag=True, help="List the providers, and what each wants, in place of models.")
@json_option
@click.pass_context
def list_(ctx: click.Context, provider: str, refresh: bool, providers: bool, as_json: bool) -> None:
    """List a provider's models, or those of all whose key is found, with windows and prices per million tokens."""
    if provider and providers:
        raise click.UsageError("Either one provider's models, or --providers.", ctx)
    if providers:
        _list_providers(as_json)
        return
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
    if not found:
        complain("No key is found. Put one into the environment or the home's .env, add it (hermes auth add PROVIDER),")
        complain("or name a server on this machine: -m PROVIDER:MODEL. The providers:")
        _list_providers(as_json)


def _list_providers(as_json: bool) -> None:
    from .standing import as_lines, standings

    found = with_app(standings)
    if as_json:
        print_json([standing._asdict() for standing in found])
    else:
        click.echo("\n".join(as_lines(found)))


@model.command("set", short_help="Write a model into config.yaml.")
@click.argument("name", metavar="PROVIDER[:MODEL]")
@click.option("--unchecked", is_flag=True, help="Even if the provider lists no such model.")
def set_(name: str, unchecked: bool) -> None:
    """Write the model into config.yaml; comments in it are kept. A provider alone: with its default model."""
    from .choosing import choose

    with_app(lambda app: choose(app, name, complain, checked=not unchecked))


@model.command(short_help="Make one tiny call: does it answer?")
@click.argument("name", metavar="[PROVIDER:]MODEL", required=False, default="")
@model_option
@provider_option
@json_option
@click.pass_context
def test(ctx: click.Context, name: str, model_name: str, provider: str, as_json: bool) -> None:
    """Make one tiny call; its cost is booked. Exit code 0: it answers; 2: it cannot be called; 3: over the budget;
    4: the key; 1: all else."""
    from .trial import ONCE, trial

    if name and model_name and name != model_name:
        raise click.UsageError(f"Two models are named: {name}, and -m {model_name}.", ctx)
    found = with_app(lambda app: trial(app, provider=provider, model=name or model_name), ONCE)
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


@model.command(short_help="Say which model is chosen, and why.")
@model_option
@provider_option
@json_option
def explain(model_name: str, provider: str, as_json: bool) -> None:
    """Say which provider and model are chosen, why, and what would change it. No key is shown."""
    from .explain import as_lines
    from .explain import explain as explained

    found = with_app(lambda app: explained(app, provider=provider, model=model_name))
    if as_json:
        print_json(found.as_dict())
    else:
        click.echo("\n".join(as_lines(found)))
