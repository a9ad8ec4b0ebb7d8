"""``hermes keyring``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from hermes import ConfigError, PluginContext, with_context

from .backend import ask
from .source import is_name

Answer = TypeVar("Answer")


@click.group(help="Put secrets into the keyring of the system, and take them out.")
def keyring() -> None:
    pass


def _with_backend(work: Callable[[Any, str], Answer]) -> Answer:
    async def run(ctx: PluginContext) -> Answer:
        settings = await ctx.config()
        return await ask(lambda backend: work(backend, settings["service"]), settings["timeout"])

    return with_context(run)


def _checked(name: str) -> str:
    if not is_name(name):
        raise ConfigError(f"{name!r} is no name for a secret.", hint="Use letters, digits and _, as in OPENAI_API_KEY.")
    return name


@keyring.command("set")
@click.argument("name")
def set_(name: str) -> None:
    """Keep a secret; it is asked for without an echo, or read from stdin."""
    _checked(name)
    typed = sys.stdin.isatty()
    value = click.prompt(name, hide_input=True, err=True) if typed else sys.stdin.read().rstrip("\r\n")
    if not value:
        raise ConfigError(f"There is no value for {name}: nothing was changed.", hint=f"hermes keyring set {name}")
    _with_backend(lambda backend, service: backend.set_password(service, name, value))
    click.echo(f"{name} is in the keyring.")


@keyring.command()
@click.argument("name")
def remove(name: str) -> int:
    """Take a secret out."""
    _checked(name)

    def work(backend: Any, service: str) -> bool:
        there = backend.get_password(service, name) is not None
        if there:
            backend.delete_password(service, name)
        return there

    there = _with_backend(work)
    click.echo(f"{name} was taken out." if there else f"{name} is not in the keyring.", err=not there)
    return int(not there)


@keyring.command()
@click.argument("names", nargs=-1)
def check(names: tuple[str, ...]) -> int:
    """Check that the keyring answers, and whether it has NAMES."""
    checked = [_checked(name) for name in names]

    def work(backend: Any, service: str) -> tuple[str, list[bool]]:
        return backend.name, [backend.get_password(service, name) is not None for name in checked]

    backend, there = _with_backend(work)
    click.echo(f"The keyring answers: {backend}.")
    for name, is_there in zip(names, there, strict=True):
        click.echo(f"{'ok' if is_there else 'missing':8} {name}")
    return int(not all(there))
