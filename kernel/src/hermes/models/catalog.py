"""What is known of models: windows and prices, from manifests, settings, providers' own lists, and a catalog."""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable, Collection, Iterable
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from hermes.contracts.credential import CatalogEntry, CatalogQuery
from hermes.contracts.host import Clock
from hermes.contracts.messages import Usage
from hermes.contracts.provider import ModelInfo, ProviderSpec
from hermes.contracts.values import Value

LIST_AGE = 24 * 3600.0
ENTRY_AGE = 7 * 24 * 3600.0
"""Seconds after which what was learnt is asked for again."""
_FILE_NAME = re.compile(r"[^a-z0-9._-]")

Kept = TypeVar("Kept")
Lookup = Callable[[CatalogQuery], Awaitable[CatalogEntry | None]]
"""None: nobody could be asked."""


def known_models(spec: ProviderSpec) -> list[ModelInfo]:
    return [ModelInfo(id=model) if isinstance(model, str) else model for model in spec.models]


def cost_of(usage: Usage, info: ModelInfo) -> float | None:
    """US dollars: as the provider reported, else by its prices; None where those are not known."""
    if usage.cost_usd is not None:
        return usage.cost_usd
    if info.input_usd is None or info.output_usd is None:
        return None
    cache_read = info.input_usd if info.cache_read_usd is None else info.cache_read_usd
    cache_write = info.input_usd if info.cache_write_usd is None else info.cache_write_usd
    millionths = (
        usage.input_tokens * info.input_usd
        + usage.output_tokens * info.output_usd
        + usage.cache_read_tokens * cache_read
        + usage.cache_write_tokens * cache_write
    )
    return millionths / 1_000_000


class LiveList(Value, kw_only=True):
    """What a provider answered when it was asked for its models. ``at``: seconds since the epoch."""

    at: float
    base_url: str
    models: tuple[ModelInfo, ...]


class Learnt(Value, kw_only=True):
    at: float
    entry: CatalogEntry


class KnownModel(NamedTuple):
    """``source``: where its prices are from; ``date``: of which day."""

    info: ModelInfo
    source: str = ""
    date: str = ""


class Catalog:
    """``lookup`` asks the plugin that has prices; what it says is kept in ``folder``, as are providers' lists.

    ``own``: providers whose models are the settings' word, not their manifest's.
    """

    def __init__(
        self, folder: Callable[[], Path], lookup: Lookup, clock: Clock, own: Collection[str] = frozenset()
    ) -> None:
        self._own = own
        self._folder = folder
        self._lookup = lookup
        self._clock = clock
        self._lists: dict[str, LiveList | None] = {}
        self._learnt: dict[str, Learnt] | None = None
        self._unkept = False

    async def model(self, provider: str, spec: ProviderSpec, model: str) -> KnownModel:
        """All that is known of it, the manifest's or the user's word first."""
        return (await self.models(provider, spec, [model]))[0]

    async def models(self, provider: str, spec: ProviderSpec, models: Iterable[str]) -> list[KnownModel]:
        """The same of several."""
        told = {info.id: info for info in known_models(spec)}
        live = self.live(provider)
        listed = {info.id: info for info in live.models} if live else {}
        source = "your settings" if provider in self._own else f"the manifest of {provider}"
        found = []
        for name in models:
            known = _filled(KnownModel(ModelInfo(id=name)), told.get(name), source, spec.prices_of)
            if live is not None:
                known = _filled(known, listed.get(name), f"the list of {provider}", _day(live.at))
            if not _complete(known.info):
                entry = await self._entry(provider, name)
                known = _filled(known, entry.info, entry.source, entry.date)
            found.append(known)
        self._keep_entries()
        return found

    def window(self, provider: str, spec: ProviderSpec, model: str) -> int:
        """Tokens, as the manifest or the provider says; 0: unknown."""
        told = next((info.context_window for info in known_models(spec) if info.id == model), 0)
        live = None if told else self.live(provider)
        return told or next((info.context_window for info in live.models if info.id == model), 0) if live else told

    def live(self, provider: str) -> LiveList | None:
        """What the provider listed when it was last asked, however long ago."""
        if provider not in self._lists:
            self._lists[provider] = _read(self._list_file(provider), LiveList)
        return self._lists[provider]

    def fresh(self, provider: str, base_url: str) -> LiveList | None:
        """The list, if it is of this address and not too old."""
        live = self.live(provider)
        return live if live and live.base_url == base_url and self._clock.now() - live.at < LIST_AGE else None

    def keep(self, provider: str, base_url: str, models: tuple[ModelInfo, ...]) -> LiveList:
        live = LiveList(at=self._clock.now(), base_url=base_url, models=models)
        self._lists[provider] = live
        _write(self._list_file(provider), live)
        return live

    async def _entry(self, provider: str, model: str) -> CatalogEntry:
        if self._learnt is None:
            self._learnt = _read(self._entries_file(), dict[str, Learnt]) or {}
        name, now = f"{provider}:{model}", self._clock.now()
        learnt = self._learnt.get(name)
        if learnt is not None and now - learnt.at < ENTRY_AGE:
            return learnt.entry
        entry = await self._lookup(CatalogQuery(provider=provider, model=model))
        if entry is None:
            return learnt.entry if learnt is not None else CatalogEntry()
        self._learnt[name] = Learnt(at=now, entry=entry)
        self._unkept = True
        return entry

    def _keep_entries(self) -> None:
        if self._unkept:
            _write(self._entries_file(), self._learnt)
            self._unkept = False

    def _entries_file(self) -> Path:
        return self._folder() / "catalog.json"

    def _list_file(self, provider: str) -> Path:
        return self._folder() / f"models-{_FILE_NAME.sub('_', provider.lower())}.json"


def _complete(info: ModelInfo) -> bool:
    return bool(info.context_window) and _priced(info)


def _priced(info: ModelInfo) -> bool:
    return info.input_usd is not None and info.output_usd is not None


def _filled(known: KnownModel, more: ModelInfo | None, source: str, date: str = "") -> KnownModel:
    """With what ``more`` adds, and where its prices are from if these are."""
    joined = _joined(known.info, more)
    return KnownModel(joined, source, date) if _priced(joined) and not known.source else known._replace(info=joined)


def _joined(first: ModelInfo, second: ModelInfo | None) -> ModelInfo:
    """What the first leaves open is the second's. Prices are taken together or not at all."""
    if second is None:
        return first
    taken: dict[str, object] = {
        field: getattr(second, field)
        for field in ("context_window", "max_output", "inputs", "retires")
        if not getattr(first, field)
    }
    if not _priced(first):
        prices = ("input_usd", "output_usd", "cache_read_usd", "cache_write_usd")
        taken.update({field: getattr(second, field) for field in prices})
    return msgspec.structs.replace(first, **taken)


def _day(at: float) -> str:
    import time

    return time.strftime("%Y-%m-%d", time.gmtime(at))


def _read(file: Path, kind: type[Kept]) -> Kept | None:
    """What was kept; None where there is none, or where it cannot be read: it is only a copy."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError):
        return None


def _write(file: Path, value: object) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        new = file.with_name(f".{file.name}.{os.getpid()}")
        new.write_bytes(msgspec.json.encode(value))
        os.replace(new, file)
    except OSError:
        return  # a copy that cannot be kept is made again
