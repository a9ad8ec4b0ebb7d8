"""Which provider and model are chosen, why, and what would change it."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from hermes import App, HermesError
from hermes.models.catalog import KnownModel
from hermes.models.credentials import shown_address
from hermes.models.router import Target

from .changes import Question, changes
from .listing import price_of
from .near import known_ids, nearest_anywhere


class Fallback(NamedTuple):
    """``problem``: why it cannot be used; blank: it can."""

    name: str
    provider: str = ""
    model: str = ""
    problem: str = ""


class Explanation(NamedTuple):
    """``window``: tokens; 0: unknown. ``notes``: what may keep it from answering. No secret is in it."""

    provider: str
    model: str
    transport: str
    base_url: str
    key_source: str
    why: str
    carrier: str
    window: int
    price: KnownModel
    notes: list[str]
    changes: list[str]
    fallbacks: list[Fallback]

    def as_dict(self) -> dict[str, Any]:
        info, source, date = self.price
        price = {
            "input_usd": info.input_usd,
            "output_usd": info.output_usd,
            "source": source,
            "date": date,
        }
        return {**self._asdict(), "price": price, "fallbacks": [fallback._asdict() for fallback in self.fallbacks]}


async def explain(app: App, *, provider: str = "", model: str = "") -> Explanation:
    """What ``-m`` and ``--provider``, the settings and the keys found come to.

    Raises:
        HermesError: nothing can be chosen, or its wire is not installed; the same as a chat's.
    """
    router = app.router
    target = await router.target(app.scope, provider=provider, model=model)
    await router.provider(target)
    known = await router.catalog.model(target.provider, target.spec, target.model)
    return Explanation(
        provider=target.provider,
        model=target.model,
        transport=target.spec.transport,
        base_url=shown_address(target.endpoint.base_url),
        key_source=target.endpoint.key_source,
        why=target.why,
        carrier=target.endpoint.carrier,
        window=target.window or known.info.context_window,
        price=known,
        notes=await _notes(app, target),
        changes=await changes(Question(app, provider, model, target)),
        fallbacks=[await _fallback(app, name) for name in app.settings.fallback_providers],
    )


async def _notes(app: App, target: Target) -> list[str]:
    notes = [f"No key can be used now: {target.failure}"] if target.failure else await _resting(app, target)
    provider, live = target.provider, app.router.catalog.live(target.provider)
    known = known_ids(app, provider)
    if target.model in known or not known or (target.spec.aggregator and live is None):
        return notes
    if live is not None:
        told = f'{provider} lists no "{target.model}"'
    else:
        told = f'"{target.model}" is not known to be a model of {provider} (ask it: hermes model list {provider})'
    near = await nearest_anywhere(app, target.model, first=provider)
    return [*notes, told + (f"; nearest: {', '.join(near)}" if near else "")]


async def _resting(app: App, target: Target) -> list[str]:
    """The keys that stand before the chosen one, or behind it, and are not used for now."""
    told = []
    for key in await app.router.credentials.all(target.provider, target.spec, app.scope):
        rest = app.router.credentials.pools.rests.of(key.id)
        if rest is not None and key.source != target.endpoint.key_source:
            until = time.strftime("%Y-%m-%d %H:%M", time.localtime(rest.until))
            told.append(f"{key.source} rests until {until}: {app.redact(rest.reason)}")
    return told


async def _fallback(app: App, name: str) -> Fallback:
    try:
        target = await app.router.fallback(name, app.scope)
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
        f"price      {price_of(found.price)}",
        f"why        {found.why}",
        *(f"note       {note}" for note in found.notes),
    ]
    if found.changes:
        lines += ["what would change it", *(f"  - {change}" for change in found.changes)]
    if found.fallbacks:
        lines += ["if it fails"]
        lines += [f"  {number}. {_told(fallback)}" for number, fallback in enumerate(found.fallbacks, start=1)]
    return lines


def _told(fallback: Fallback) -> str:
    return f"{fallback.name}: left out: {fallback.problem}" if fallback.problem else fallback.name
