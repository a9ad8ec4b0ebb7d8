"""Which provider and model are chosen, why, and what would change it."""

from __future__ import annotations

from typing import Any, NamedTuple

from hermes import App, HermesError, Scope
from hermes.config.schema import ENVIRONMENT
from hermes.models.credentials import key_names
from hermes.models.router import Target
from hermes.models.routing import Place

SHOWN = 6
"""Providers that would come first, told with their variables."""


class Fallback(NamedTuple):
    """``problem``: why it cannot be used; blank: it can."""

    name: str
    provider: str = ""
    model: str = ""
    problem: str = ""


class Explanation(NamedTuple):
    """``window``: tokens; 0: unknown. No key is in it."""

    provider: str
    model: str
    transport: str
    base_url: str
    key_source: str
    why: str
    carrier: str
    window: int
    changes: list[str]
    fallbacks: list[Fallback]

    def as_dict(self) -> dict[str, Any]:
        return {**self._asdict(), "fallbacks": [fallback._asdict() for fallback in self.fallbacks]}


async def explain(app: App, *, provider: str = "", model: str = "") -> Explanation:
    """What ``-m`` and ``--provider``, the settings and the keys found come to.

    Raises:
        HermesError: nothing can be chosen, or its wire is not installed; the same as a chat's.
    """
    router, scope = app.router, app.scope
    target = await router.target(scope, provider=provider, model=model)
    await router.provider(target)
    known = await router.catalog.model(target.provider, target.spec, target.model)
    changes = await _flag_changes(app, target) if provider or model else ["-m PROVIDER:MODEL, for one call"]
    if not provider and not app.router.split(model)[0]:
        changes += await _choice_changes(app, target, model)
    return Explanation(
        provider=target.provider,
        model=target.model,
        transport=target.spec.transport,
        base_url=target.endpoint.base_url,
        key_source=target.endpoint.key_source,
        why=target.why,
        carrier=target.endpoint.carrier,
        window=target.window or known.info.context_window,
        changes=[*changes, *await _key_changes(app, target, scope)],
        fallbacks=[await _fallback(app, name) for name in app.settings.fallback_providers],
    )


async def _flag_changes(app: App, target: Target) -> list[str]:
    try:
        other = await app.router.target(app.scope)
    except HermesError as error:
        return [f"Without -m and --provider nothing is chosen: {error}"]
    return [f"Without -m and --provider: {other.name}"] if other.name != target.name else []


async def _choice_changes(app: App, target: Target, model: str) -> list[str]:
    """What would choose another provider, where it is not asked for by name."""
    settings, told = app.settings.model, _variables_over_settings(app)
    if settings.provider or (app.router.split(settings.default)[0] and not model):
        found = _first(await app.router.routing.places(app.scope))
        named_by = "model.provider" if settings.provider else "the provider in model.default"
        instead = f"{found.provider} ({found.source})" if found else "nothing, for no key is found"
        return [*told, f"Without {named_by}: {instead}"]
    return [*told, *await _order_changes(app, target)]


def _variables_over_settings(app: App) -> list[str]:
    return [
        f"{variable} is set, and comes before {key} in the settings"
        for variable, key in ENVIRONMENT.items()
        if key in ("model.provider", "model.default", "model.base_url") and app.environ.get(variable, "").strip()
    ]


async def _order_changes(app: App, target: Target) -> list[str]:
    """Where the keys decide: those that would come first, the one that comes next, and the other orders."""
    routing, chosen = app.router.routing, app.settings.model.routing
    places = await routing.places(app.scope)
    position = next((number for number, place in enumerate(places) if place.provider == target.provider), len(places))
    before = [place for place in places[:position] if place.keys and not place.source]
    told = [f"{place.provider}, if one of these were set: {', '.join(place.keys)}" for place in before[:SHOWN]]
    if more := [place.provider for place in before[SHOWN:]]:
        told.append(f"A key of one that comes before it, too: {', '.join(more)}")
    after = next((place for place in places[position + 1 :] if place.source), None)
    if position < len(places) and after:
        told.append(f"Without {places[position].source}: {after.provider} ({after.source})")
    for order in routing.orders:
        first = _first(await routing.places(app.scope, order))
        if order != chosen and first is not None and first.provider != target.provider:
            told.append(f"model.routing: {order} prefers {first.provider} ({first.source})")
    return told


def _first(places: list[Place]) -> Place | None:
    return next((place for place in places if place.source), None)


async def _key_changes(app: App, target: Target, scope: Scope) -> list[str]:
    """Other keys of the same provider, and what sets its address."""
    told, spec = [], target.spec
    found = [name for name in key_names(spec) if (await app.find_secret(name, scope))[0]]
    for name in found[1:]:
        told.append(f"{name} is set, too; {found[0]} comes first")
    if app.settings.model.base_url and target.endpoint.base_url == app.settings.model.base_url.rstrip("/"):
        told.append("The address is that of model.base_url")
    elif spec.base_url_env:
        value, source = await app.find_secret(spec.base_url_env, scope)
        told.append(f"The address is that of {source}" if value else f"Another address, by {spec.base_url_env}")
    return told


async def _fallback(app: App, name: str) -> Fallback:
    try:
        target = await app.router.target(app.scope, model=name)
        await app.router.provider(target)
    except HermesError as error:
        return Fallback(name, problem=str(error))
    return Fallback(name, target.provider, target.model)


def as_lines(found: Explanation) -> list[str]:
    lines = [
        f"provider   {found.provider}",
        f"model      {found.model}",
        f"wire       {found.transport}, by {found.carrier}",
        f"address    {found.base_url or '-'}",
        f"key        {found.key_source or 'none'}",
        f"window     {f'{found.window:,} tokens' if found.window else 'unknown'}",
        f"why        {found.why}",
    ]
    if found.changes:
        lines += ["what would change it", *(f"  - {change}" for change in found.changes)]
    if found.fallbacks:
        lines += ["if it fails"]
        lines += [f"  {number}. {_told(fallback)}" for number, fallback in enumerate(found.fallbacks, start=1)]
    return lines


def _told(fallback: Fallback) -> str:
    return f"{fallback.name}: left out: {fallback.problem}" if fallback.problem else fallback.name
