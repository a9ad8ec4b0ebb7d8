"""``hermes auth``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from hermes import App, ConfigError, StoredCredential

from .logins import Wanted, add, asked_key, copy_existing, forget, log_in
from .status import as_dict, ids, lines, moment, provider_named, shown, states, stored

Answer = TypeVar("Answer")
json_option = click.option("--json", "as_json", is_flag=True, help="As JSON.")
label_option = click.option("--label", default="", metavar="TEXT", help="To tell several apart.")
user_option = click.option("--user", default="", metavar="ID", help="Only for this user, such as telegram:4711.")
keyring_option = click.option("--keyring", is_flag=True, help="Keep it in the system's keyring, not in auth.json.")


@click.group(help="Add and remove keys, log in, see which keys are used and which rest.")
def auth() -> None:
    pass


@contextmanager
def _running() -> Iterator[tuple[App, asyncio.Runner]]:
    """An app, and the event loop that it lives in. A person is asked outside of it, where Ctrl+C is seen at once."""
    profile = click.get_current_context().find_root().params.get("profile") or ""
    with asyncio.Runner() as runner:
        app = App(profile=profile)
        try:
            yield app, runner
        finally:
            runner.run(app.close())


def _with_app(work: Callable[[App], Coroutine[Any, Any, Answer]]) -> Answer:
    with _running() as (app, runner):
        return runner.run(work(app))


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _named(entry: StoredCredential) -> str:
    return f"{entry.id} ({entry.provider}{f', {entry.label}' if entry.label else ''})"


@auth.command("add")
@click.argument("provider")
@click.argument("key", nargs=-1, metavar="")
@label_option
@user_option
@keyring_option
def add_(provider: str, key: tuple[str, ...], label: str, user: str, keyring: bool) -> None:
    """Add an API key; it is asked for without an echo, or read from stdin."""
    with _running() as (app, runner):
        name, _ = provider_named(app, provider)
        if key:  # not told again: it is in the shell's history, and need not be in a log, too
            raise ConfigError(
                "A key is not given as an argument: other programs of this machine, and the shell's history, see it.",
                hint=f"It is asked for: hermes auth add {name} - or is read from stdin. Think of making a new key.",
            )
        added = runner.run(add(app, name, asked_key(name), Wanted(label, user, keyring)))
    click.echo(f"Added {_named(added)}.")


@auth.command()
@click.argument("provider")
@click.option("--flow", type=click.Choice(["device", "pkce"]), help="Default: as the provider says.")
@click.option("--no-browser", is_flag=True, help="Only show the address.")
@click.option("--import", "copy", is_flag=True, help="Copy the login of another program on this machine.")
@label_option
@user_option
@keyring_option
def login(provider: str, flow: str | None, no_browser: bool, copy: bool, label: str, user: str, keyring: bool) -> None:
    """Log in with an account, in a browser."""
    wanted = Wanted(label, user, keyring)

    async def work(app: App) -> StoredCredential:
        if copy:
            return await copy_existing(app, provider, wanted)
        return await log_in(app, provider, flow or "", wanted, browser=not no_browser)

    click.echo(f"Logged in: {_named(_with_app(work))}.")


@auth.command("list")
@click.argument("provider", default="")
@json_option
def list_(provider: str, as_json: bool) -> None:
    """List the keys and logins that were added."""

    async def work(app: App) -> list[StoredCredential]:
        return stored(app, provider_named(app, provider)[0] if provider else "")

    entries = _with_app(work)
    if as_json:
        _print_json([_as_dict(entry) for entry in entries])
        return
    for entry in entries:
        kind = "login" if entry.kind == "oauth" else "key"
        user = f"  only for {entry.user}" if entry.user else ""
        secret = shown(entry.secret, entry)
        click.echo(f"{entry.id}  {entry.provider:16} {kind:5}  {secret:15}  {moment(entry.added)}  {entry.label}{user}")
    if not entries:
        click.echo("None was added. See those of the environment with: hermes auth status", err=True)


def _as_dict(entry: StoredCredential) -> dict[str, Any]:
    names = ("id", "provider", "label", "kind", "user", "place", "expires", "added")
    return {**{name: getattr(entry, name) for name in names}, "stub": shown(entry.secret, entry)}


@auth.command()
@click.argument("provider", default="")
@user_option
@json_option
def status(provider: str, user: str, as_json: bool) -> None:
    """Show every key that is found, until when it is good, which rest, and which is used next (→)."""

    async def work(app: App) -> tuple[Any, float]:
        wanted = [provider_named(app, provider)[0]] if provider else list(app.router.specs)
        return await states(app, wanted, user), app.clock.now()

    found, now = _with_app(work)
    if as_json:
        _print_json([as_dict(state) for state in found])
        return
    for state in found:
        for line in lines(state, now):
            click.echo(line)
    if not found:
        click.echo("No key is found. Add one: hermes auth add PROVIDER - or: hermes auth login PROVIDER", err=True)


@auth.command()
@click.argument("provider", default="")
def reset(provider: str) -> None:
    """Let keys that rest be tried again at once."""

    async def work(app: App) -> int:
        rests = app.router.credentials.pools.rests
        named = [provider_named(app, provider)[0]] if provider else list(app.router.specs)
        resting = [name for one in named for name in ids(app, one) if rests.of(name) is not None]
        rests.end(resting)
        return len(resting)

    count = _with_app(work)
    click.echo(f"{count} key(s) rested and will be tried again." if count else "No key rests.")


@auth.command()
@click.argument("credential_id", metavar="ID")
def remove(credential_id: str) -> None:
    """Forget a key or a login."""

    async def work(app: App) -> StoredCredential:
        entry = next((entry for entry in stored(app) if entry.id == credential_id), None)
        if entry is None:
            raise ConfigError(f'There is no key "{credential_id}".', hint="See: hermes auth list")
        await forget(app, [entry])
        return entry

    click.echo(f"Removed {_named(_with_app(work))}.")


@auth.command()
@click.argument("provider")
@user_option
def logout(provider: str, user: str) -> None:
    """Forget the logins for a provider. The provider's own page ends them there."""

    async def work(app: App) -> list[StoredCredential]:
        name, _ = provider_named(app, provider)
        entries = [entry for entry in stored(app, name) if entry.kind == "oauth" and user in ("", entry.user)]
        if not entries:
            raise ConfigError(f'There is no login for "{name}".', hint="See: hermes auth list")
        await forget(app, entries)
        return entries

    for entry in _with_app(work):
        click.echo(f"Removed {_named(entry)}.")
