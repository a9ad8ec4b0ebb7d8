"""What a provider has: its own list where it can be had, else what is known without it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from hermes import App, ConfigError, HermesError, ModelInfo
from hermes.models.catalog import KnownModel, LiveList, known_models
from hermes.models.credentials import shown_address

PRICES = ("input_usd", "output_usd", "cache_read_usd", "cache_write_usd")


class Listing(NamedTuple):
    """``live``: the provider's own list, from when it was last asked. ``note``: why it was not asked now.

    ``added``: models that its list lacks, each with whose word it is that they are there.
    """

    provider: str
    models: Sequence[KnownModel]
    live: LiveList | None = None
    note: str = ""
    added: Mapping[str, str] = {}

    @property
    def ids(self) -> list[str]:
        return [known.info.id for known in self.models]

    def as_dict(self) -> dict[str, Any]:
        return {
            "provider": self.provider,
            "listed_at": _moment(self.live.at) if self.live else None,
            "base_url": shown_address(self.live.base_url) if self.live else None,
            "note": self.note,
            "models": [{**_as_dict(known), "added_by": self.added.get(known.info.id, "")} for known in self.models],
        }


async def listing(app: App, name: str, *, refresh: bool = False) -> Listing:
    """The provider's models with their prices: its own list, then what the settings or its plugin know beside it.

    Raises:
        HermesError: there is no such provider.
    """
    router, provider = app.router, app.router.routing.named(name)
    live, note = None, ""
    try:
        target = await router.lister(app.scope, provider)
        if (await router.provider(target)).capabilities.model_list:
            live = await router.models(target, refresh=refresh)
        else:
            note = "Its wire has no list of models."
    except HermesError as error:
        if provider not in router.specs:
            raise
        live, note = router.catalog.live(provider), str(error)
    spec = router.specs.get(provider) or target.spec
    listed = [info.id for info in live.models] if live else []
    known = [info.id for info in known_models(spec) if info.id not in listed]
    models = await router.catalog.models(provider, spec, [*listed, *known])
    return Listing(provider, models, live, note, _added(app, provider, known) if live else {})


def _added(app: App, provider: str, names: Sequence[str]) -> dict[str, str]:
    own = app.settings.providers.get(provider)
    mine = {info.id for info in known_models(own)} if own is not None else set()
    return {name: "your settings" if name in mine else "its plugin" for name in names}


async def usual(app: App) -> list[str]:
    """The providers that are of use here: those whose key is found, and the one that the settings name.

    Raises:
        ConfigError: a key is found whose provider is not installed, or the settings name an order that is none.
    """
    routing = app.router.routing
    sources = [place.source for place in await routing.places(app.scope) if place.source]
    found = [name for name, _ in await app.router.keys_found(app.scope)]
    if app.settings.model.provider:
        found.insert(0, routing.named(app.settings.model.provider))
    elif not found:
        try:
            found.append((await routing.choose(app.scope)).provider)
        except ConfigError:
            if sources:
                raise
    return list(dict.fromkeys(found))


def as_lines(found: Listing) -> list[str]:
    if found.live is not None:
        whence = f"its own list, of {_moment(found.live.at)}"
    else:
        whence = "what is known without asking it"
    count = len(found.models)
    head = f"{found.provider}: {count} model{'s' * (count != 1)}; {whence}"
    width = max((len(name) for name in found.ids), default=0)
    return [head, *(f"  {known.info.id:{width}}  {_told(known)}{_mark(found, known)}" for known in found.models)]


def _mark(found: Listing, known: KnownModel) -> str:
    by = found.added.get(known.info.id)
    return f"  not in its list; from {by}" if by else ""


def _told(known: KnownModel) -> str:
    info = known.info
    window = f"{info.context_window:>11,}" if info.context_window else f"{'?':>11}"
    return f"{window}  {price_of(known)}{f'  ends {info.retires}' if info.retires else ''}"


def price_of(known: KnownModel) -> str:
    """Of a million tokens, with where it is from and of which day."""
    info = known.info
    if info.input_usd is None or info.output_usd is None:
        return "price unknown"
    whence = f"{known.source} of {known.date}" if known.date else known.source
    return f"${info.input_usd:g} in, ${info.output_usd:g} out  ({whence})"


def _as_dict(known: KnownModel) -> dict[str, Any]:
    info: ModelInfo = known.info
    values: dict[str, Any] = {field: getattr(info, field) for field in info.__struct_fields__}
    priced = any(values[field] is not None for field in PRICES)
    told = {"price_source": known.source, "price_date": known.date} if priced else {}
    return {**msgspec.to_builtins(values), "price_source": "", "price_date": "", **told}


def _moment(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at))
