"""What a provider has: its own list where it can be had, else what is known without it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from hermes import App, HermesError, ModelInfo
from hermes.models.catalog import KnownModel, LiveList, known_models

PRICES = ("input_usd", "output_usd", "cache_read_usd", "cache_write_usd")


class Listing(NamedTuple):
    """``live``: the provider's own list, from when it was last asked. ``note``: why it was not asked now."""

    provider: str
    models: Sequence[KnownModel]
    live: LiveList | None = None
    note: str = ""

    @property
    def ids(self) -> list[str]:
        return [known.info.id for known in self.models]

    def as_dict(self) -> dict[str, Any]:
        return {
            "provider": self.provider,
            "listed_at": _moment(self.live.at) if self.live else None,
            "base_url": self.live.base_url if self.live else None,
            "note": self.note,
            "models": [_as_dict(known) for known in self.models],
        }


async def listing(app: App, name: str, *, refresh: bool = False) -> Listing:
    """The provider's models with their prices.

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
    ids = [info.id for info in live.models] if live else [info.id for info in known_models(spec)]
    return Listing(provider, await router.catalog.models(provider, spec, ids), live, note)


async def usual(app: App) -> list[str]:
    """The providers that are of use here: those whose key is found, and the one that the settings name.

    Raises:
        ConfigError: there is none.
    """
    found = [name for name, _ in await app.router.keys_found(app.scope)]
    if app.settings.model.provider or not found:
        found.insert(0, (await app.router.routing.choose(app.scope)).provider)
    return list(dict.fromkeys(found))


def as_lines(found: Listing) -> list[str]:
    if found.live is not None:
        whence = f"its own list, of {_moment(found.live.at)}"
    else:
        whence = "what is known without asking it"
    head = f"{found.provider}: {len(found.models)} models; {whence}"
    width = max((len(name) for name in found.ids), default=0)
    return [head, *(f"  {known.info.id:{width}}  {_told(known)}" for known in found.models)]


def _told(known: KnownModel) -> str:
    info = known.info
    window = f"{info.context_window:>11,}" if info.context_window else f"{'?':>11}"
    if info.input_usd is None or info.output_usd is None:
        price = "price unknown"
    else:
        price = f"${info.input_usd:g} in, ${info.output_usd:g} out  ({' '.join(filter(None, known[1:]))})"
    return f"{window}  {price}{f'  ends {info.retires}' if info.retires else ''}"


def _as_dict(known: KnownModel) -> dict[str, Any]:
    info: ModelInfo = known.info
    values: dict[str, Any] = {field: getattr(info, field) for field in info.__struct_fields__}
    priced = any(values[field] is not None for field in PRICES)
    told = {"price_source": known.source, "price_date": known.date} if priced else {}
    return {**msgspec.to_builtins(values), "price_source": "", "price_date": "", **told}


def _moment(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at))
