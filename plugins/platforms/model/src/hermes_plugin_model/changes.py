"""What would change which provider and model are chosen: the router is asked again, with one thing different."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from hermes import App, ConfigError
from hermes.config.load import environment_layer, merge, settings_of_environment
from hermes.config.schema import ENVIRONMENT
from hermes.models.catalog import known_models
from hermes.models.credentials import find_options, key_names
from hermes.models.router import Target
from hermes.models.routing import Place, Routing

SHOWN = 6
"""Providers that would be chosen for a key, told with their variables."""
CHOOSING = ("provider", "default")
"""The settings of ``model`` that name what is chosen."""


class Question(NamedTuple):
    """What was asked for, and what came of it."""

    app: App
    provider: str
    model: str
    target: Target

    async def again(self, routing: Routing, places: Sequence[Place] | None = None) -> str:
        """The answer of another routing, or with other keys, as ``provider:model``; blank: the same."""
        answer = await answered(self.app, routing, self.provider, self.model, places)
        return "" if answer == self.target.name else answer


async def answered(
    app: App, routing: Routing, provider: str = "", model: str = "", places: Sequence[Place] | None = None
) -> str:
    try:
        choice = await routing.choose(app.scope, provider=provider, model=model, places=places)
        routing.address_for(choice.provider)
        name = choice.model or routing.default_of(choice.provider)
    except ConfigError as error:
        return f"nothing, for: {error}"
    spec = app.router.specs.get(choice.provider)
    known = known_models(spec) if spec else []
    return f"{choice.provider}:{name or (known[0].id if known else '(no model)')}"


async def changes(asked: Question) -> list[str]:
    """What would give another answer, and which of several keys and addresses are used."""
    app, router = asked.app, asked.app.router
    told = ["-m PROVIDER:MODEL, for one call"]
    if asked.provider or asked.model:
        without = await answered(app, router.routing)
        told = [f"Without -m and --provider: {without}"] if without != asked.target.name else []
    if not asked.provider and not router.split(asked.model)[0]:
        told += await _of_settings(asked)
        if await _decided_by_keys(asked):
            told += await _of_keys(asked)
    return [*told, *await _of_the_provider(app, asked.target)]


async def _decided_by_keys(asked: Question) -> bool:
    settings = asked.app.settings.model
    return not settings.provider and (bool(asked.model) or not asked.app.router.split(settings.default)[0])


async def _of_settings(asked: Question) -> list[str]:
    """Without each of the variables, and each of the settings in files, that name a provider or a model."""
    app, told = asked.app, []
    here = settings_of_environment(app.environ)
    for variable, key in ENVIRONMENT.items():
        section, _, name = key.partition(".")
        if section != "model" or name not in CHOOSING or not app.environ.get(variable, "").strip():
            continue
        if here[key] != variable:
            told.append(f"{variable} is set, too; {here[key]} comes before it")
            continue
        others = {other: value for other, value in app.environ.items() if other != variable}
        section_then = merge(app.index.settings, environment_layer(others)).get("model") or {}
        then = {choosing: str(section_then.get(choosing) or "") for choosing in CHOOSING}
        if answer := await asked.again(app.router.routing.changed(**then)):
            told.append(f"Without {variable}: {answer}")
    for name in CHOOSING:
        if not getattr(app.settings.model, name) or f"model.{name}" in here:
            continue
        if answer := await asked.again(app.router.routing.changed(**{name: ""})):
            told.append(f"Without model.{name}: {answer}")
    return told


async def _of_keys(asked: Question) -> list[str]:
    """Without the key that is found, with each of the others, and in each of the other orders."""
    app, target = asked.app, asked.target
    routing = app.router.routing
    places = await routing.places(app.scope)
    told = []
    for place in places:
        if place.provider == target.provider and place.source:
            answer = await asked.again(routing, _with(places, place._replace(source="")))
            if answer:
                told.append(f"Without {await _sources(app, target, place)}: {answer}")
    wanting = [place for place in places if place.keys and not place.source and place.installed]
    able = []
    for place in wanting:
        answer = await asked.again(routing, _with(places, place._replace(source=f"env:{place.keys[0]}")))
        if answer.startswith(f"{place.provider}:"):
            able.append((place, answer))
    told += [f"{answer}, if one of these were set: {', '.join(place.keys)}" for place, answer in able[:SHOWN]]
    if more := [place.provider for place, _ in able[SHOWN:]]:
        told.append(f"A key of one of these, too: {', '.join(more)}")
    for order in routing.orders:
        if order != app.settings.model.routing and (answer := await asked.again(routing.changed(routing=order))):
            told.append(f"model.routing: {order}: {answer}")
    return told


def _with(places: Iterable[Place], changed: Place) -> list[Place]:
    return [changed if place.provider == changed.provider else place for place in places]


async def _sources(app: App, target: Target, place: Place) -> str:
    """All places in which a key of the provider is found."""
    spec, credentials = target.spec, app.router.credentials
    found = [await app.find_secret(name, app.scope) for name in key_names(spec)]
    options = await find_options(spec, app.scope, app.find_secret)
    names = [source for value, source in found if value]
    names += [key.source for key in await credentials.all(target.provider, spec, app.scope)]
    names += [options[option][1] for option in spec.key_options if option in options]
    return " and ".join(dict.fromkeys(names)) or place.source


async def _of_the_provider(app: App, target: Target) -> list[str]:
    """Other keys of the same provider, and what sets its address."""
    told, spec = [], target.spec
    found = [name for name in key_names(spec) if (await app.find_secret(name, app.scope))[0]]
    for name in found[1:]:
        told.append(f"{name} is set, too; {found[0]} comes first")
    if app.router.routing.address_for(target.provider):
        whose = settings_of_environment(app.environ).get("model.base_url", "model.base_url")
        told.append(f"The address is that of {whose}")
    elif spec.base_url_env:
        value, source = await app.find_secret(spec.base_url_env, app.scope)
        told.append(f"The address is that of {source}" if value else f"Another address, by {spec.base_url_env}")
    return told
