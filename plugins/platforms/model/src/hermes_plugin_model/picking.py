"""Picks a provider and a model in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import click

from hermes import ConfigError
from hermes.cli.output import complain

from .choosing import Wanted
from .listing import as_lines, listing
from .running import Running
from .standing import standings

SHOWN = 20
"""Models at a time."""


class Entry(NamedTuple):
    """One that can be picked. ``about``: what is told of it."""

    name: str
    about: str


def pick(here: Running) -> Wanted:
    """Asks for a provider, then for one of its models.

    Raises:
        ConfigError: there is nothing to pick from.
        click.Abort: the person gave up.
    """
    found = [Entry(standing.provider, standing.about) for standing in here.wait_for(standings(here.app))]
    if not found:
        raise ConfigError("There is no provider.", hint="pip install hermes-plugin-openai")
    provider = picked("Provider", found)
    listed = here.wait_for(listing(here.app, provider))
    if listed.live is None:
        complain(f"Its list could not be had: {listed.note}" if listed.note else "It has no list of its own.")
    if not listed.models:
        return Wanted(provider, click.prompt("Model", err=True).strip())
    head, *lines = as_lines(listed)
    complain(head)
    named = zip(listed.ids, lines, strict=True)
    return Wanted(provider, picked("Model", [Entry(name, _rest(line, name)) for name, line in named]))


def _rest(line: str, name: str) -> str:
    return line.strip().removeprefix(name).strip()


def picked(what: str, entries: Sequence[Entry]) -> str:
    """One of the entries, by its number or name; other words narrow down what is shown."""
    shown = list(entries)
    while True:
        _show(shown)
        answer = click.prompt(f"{what} (number, name, or part of one)", err=True, default="", show_default=False)
        answer = answer.strip()
        if answer.isdigit() and 1 <= int(answer) <= len(shown[:SHOWN]):
            return shown[int(answer) - 1].name
        if any(entry.name == answer for entry in entries):
            return answer
        fitting = [entry for entry in entries if all(word in entry.name.lower() for word in answer.lower().split())]
        if len(fitting) == 1:
            complain(f"{what}: {fitting[0].name}")
            return fitting[0].name
        if not fitting:
            complain(f'Nothing is like "{answer}".')
        shown = fitting or list(entries)


def _show(entries: Sequence[Entry]) -> None:
    width = max(len(entry.name) for entry in entries[:SHOWN])
    for number, entry in enumerate(entries[:SHOWN], start=1):
        complain(f"{number:3}  {entry.name:{width}}  {entry.about}".rstrip())
    if len(entries) > SHOWN:
        complain(f"     and {len(entries) - SHOWN} more: type a part of the name")
