"""Which provider and model are meant: from what is asked for, the settings, and the keys that are found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from hermes.config.schema import ModelSection
from hermes.contracts.errors import ConfigError, nearest, nearest_few
from hermes.contracts.provider import ProviderSpec
from hermes.contracts.scope import Scope
from hermes.plugins.manifest import RouteEntry

from .catalog import known_models
from .credentials import Credentials, variables

REST = "*"
"""In an order: all providers that it does not name."""


class Choice(NamedTuple):
    """``why``: a sentence. ``model`` blank: the provider's default."""

    provider: str
    model: str
    why: str


class Place(NamedTuple):
    """Of a provider in an order of preference. ``keys``: where one is looked for; ``source``: where it is found."""

    provider: str
    keys: tuple[str, ...]
    source: str = ""
    installed: bool = True


class Routing:
    """``specs`` are the providers by id, ``orders`` the named orders of preference among keys found.

    ``off``: providers whose plugin the user has switched off, with the plugin's name. ``variables``: settings that are
    the environment's word, with the variable's name.
    """

    def __init__(
        self,
        settings: ModelSection,
        specs: Mapping[str, ProviderSpec],
        own: Sequence[str],
        orders: Mapping[str, Sequence[RouteEntry]],
        credentials: Credentials,
        off: Mapping[str, str],
        variables: Mapping[str, str],
    ) -> None:
        self._settings = settings
        self._specs = specs
        self._own = own
        self._orders = orders
        self._credentials = credentials
        self._off = off
        self._variables = variables
        self.aliases = aliases_of(specs)

    def named(self, name: str) -> str:
        """The provider's id, where ``name`` is an alias or differs in case; else ``name``."""
        lower = name.lower()
        return name if name in self._specs else lower if lower in self._specs else self.aliases.get(lower, name)

    def split(self, model: str) -> tuple[str, str]:
        """``provider:model`` into its halves, where the first is a provider; many models have colons too."""
        prefix, colon, rest = model.partition(":")
        provider = self.named(prefix)
        return (provider, rest) if colon and provider in self._specs else ("", model)

    def changed(self, **settings: str) -> Routing:
        """The same with other settings of ``model``: to see what they would change."""
        return Routing(
            msgspec.structs.replace(self._settings, **settings),
            self._specs,
            self._own,
            self._orders,
            self._credentials,
            self._off,
            {
                name: variable
                for name, variable in self._variables.items()
                if name.removeprefix("model.") not in settings
            },
        )

    async def choose(
        self, scope: Scope, *, provider: str = "", model: str = "", places: Sequence[Place] | None = None
    ) -> Choice:
        """What ``provider`` and ``model`` come to; blank: as the settings say, else as the keys found do.

        ``places``: to be taken for those that are found.

        Raises:
            ConfigError: no key is found, or one is whose provider is not installed.
        """
        settings = self._settings
        if provider:
            provider = self.named(provider)
            return Choice(provider, self._model_at(provider, model), "it is asked for by name")
        self._check_prefix(model or ("" if settings.provider else settings.default))
        prefix, model = self.split(model)
        if prefix:
            return Choice(prefix, model, f'"{prefix}:" stands before the model')
        if settings.provider:
            configured = self.named(settings.provider)
            model = model or self.default_of(configured)
            self._check_spelling(model, configured)
            return Choice(configured, model, f"{self._said('model.provider')} names it")
        default_provider, default = self.split(settings.default)
        if default_provider and not model:
            return Choice(default_provider, default, f'{self._said("model.default")} says "{settings.default}"')
        return await self._automatic(scope, model or default, places)

    def address_for(self, provider: str) -> str:
        """The setting ``model.base_url``, where it is meant for this provider: no other's key is sent there.

        Raises:
            ConfigError: nobody says whose address it is.
        """
        settings = self._settings
        owner = self.named(settings.provider) or self.split(settings.default)[0]
        if settings.base_url and not owner:
            raise ConfigError(
                f"{self._said('model.base_url')} is set, and nobody says whose address it is.",
                hint="Set model.provider (HERMES_PROVIDER), too; or in its place the provider's own variable, which "
                "ends in _BASE_URL.",
            )
        return settings.base_url if provider == owner else ""

    def default_of(self, provider: str) -> str:
        """The setting ``model.default``, where it is meant for this provider; else blank."""
        settings = self._settings
        if settings.provider:
            return self._model_at(provider, settings.default) if provider == self.named(settings.provider) else ""
        prefix, model = self.split(settings.default)
        return model if prefix in ("", provider) else ""

    def _model_at(self, provider: str, model: str) -> str:
        """Without the provider's own prefix. Another's is a part of the name: ``mistral:7b`` is a model at Ollama.

        Raises:
            ConfigError: it is a model of another provider, by that one's name.
        """
        prefix, rest = self.split(model)
        if prefix not in ("", provider) and _lists(self._specs[prefix], rest):
            raise ConfigError(
                f'The provider is to be "{provider}", and the model "{model}" is one of "{prefix}".',
                hint=f"Name the model alone, -m {model}, or another model of {provider}: hermes model list {provider}",
            )
        return rest if prefix == provider else model

    def _check_prefix(self, model: str) -> None:
        """Raises ConfigError: what stands before the colon is a provider that is known of and not there."""
        prefix, colon, _ = model.partition(":")
        ordered = {entry.provider for order in self._orders.values() for entry in order}
        if colon and self.named(prefix) not in self._specs and prefix.lower() in ordered | set(self._off):
            raise self.unknown(prefix.lower())

    def _check_spelling(self, model: str, provider: str) -> None:
        """Raises ConfigError: the model's beginning is almost a provider, and at this one names have no such parts."""
        spec = self._specs.get(provider)
        prefix, mark, _ = model.partition(":")
        if not mark:
            prefix, mark, _ = model.partition("/")
        if spec is None or not mark or spec.aggregator or not spec.models or _lists(spec, model):
            return
        if any(mark in info.id for info in known_models(spec)) or self.named(prefix) in self._specs:
            return
        self._check_near(prefix)

    def _check_near(self, prefix: str) -> None:
        """Raises ConfigError: it is almost a provider."""
        if nearest_few(prefix.lower(), [*self._specs, *self.aliases], most=1, alike=0.8):
            raise self.unknown(prefix)

    async def keys_found(self, scope: Scope) -> list[tuple[str, str]]:
        """The providers whose key is found and where, in order of preference."""
        return [
            (place.provider, place.source) for place in await self.places(scope) if place.source and place.installed
        ]

    async def _automatic(self, scope: Scope, model: str, places: Sequence[Place] | None) -> Choice:
        order = self._settings.routing
        places = await self.places(scope) if places is None else places
        found = [place for place in places if place.source]
        if not found:
            if len(self._own) == 1:
                return Choice(self._own[0], model, "it is the only one in the settings' providers")
            if ":" in model:
                self._check_near(model.partition(":")[0])
            raise self._nothing_found(places)
        name, source = found[0].provider, found[0].source
        if not found[0].installed:
            raise ConfigError(
                f'{source} is set, and the order "{order}" prefers its provider "{name}", which is not installed.',
                hint=f"pip install hermes-plugin-{name} - or name another provider: -m PROVIDER:MODEL",
            )
        why = f'{source} is set, and "{name}" comes first in the order "{order}"'
        usable = [(place.provider, place.source) for place in found if place.installed]
        chosen = self._for_model(model, usable)
        if chosen is None:
            self._check_spelling(model, name)
        return chosen or Choice(name, model, why)

    def _said(self, setting: str) -> str:
        """Whose word a setting is."""
        variable = self._variables.get(setting)
        return variable if variable else f"the setting {setting}"

    def _for_model(self, model: str, found: list[tuple[str, str]]) -> Choice | None:
        """Where a model is asked for: the first with a key that serves it; None if the first of all is to have it."""
        first = self._specs[found[0][0]]
        if not model or first.aggregator or _lists(first, model):
            return None
        vendor, slash, rest = model.partition("/")
        if slash:
            for name, source in found:
                if name == self.named(vendor):
                    return Choice(
                        name, self._own_id(name, rest), f'{source} is set, and "{vendor}/" stands before the model'
                    )
            for name, source in found:
                if self._specs[name].aggregator:
                    return Choice(name, model, f'{source} is set, and "{name}" serves models of many vendors')
        for name, source in found:
            if _lists(self._specs[name], model):
                return Choice(name, model, f'{source} is set, and "{name}" lists the model')
        return None

    def _own_id(self, provider: str, model: str) -> str:
        """As the vendor itself writes it: aggregators have ``4.5`` where some vendors have ``4-5``."""
        spec, dashed = self._specs[provider], model.replace(".", "-")
        return dashed if _lists(spec, dashed) and not _lists(spec, model) else model

    @property
    def orders(self) -> list[str]:
        """The names of the orders of preference."""
        return sorted({"hermes", *self._orders})

    async def places(self, scope: Scope, order: str = "") -> list[Place]:
        """The providers in the order of that name; blank: the one that the settings name.

        The rest stand by their priority where it has a ``*``, else behind those that it names.

        Raises:
            ConfigError: there is no order of that name.
        """
        order = order or self._settings.routing
        entries = self._orders.get(order)
        if entries is None and order != "hermes":
            near = nearest(order, self.orders)
            raise ConfigError(
                f'There is no order "{order}".' + (f' Did you mean "{near}"?' if near else ""),
                hint=f"model.routing may be: {', '.join(self.orders)}",
            )
        named = {entry.provider: entry for entry in entries or () if entry.provider not in self._off}
        rest = sorted(
            (name for name, spec in self._specs.items() if name not in named and spec.automatic),
            key=lambda name: (self._specs[name].priority, name),
        )
        names: list[str] = []
        for name in named if REST in named else (*named, REST):
            names += rest if name == REST else [name]
        return [await self._place(name, named.get(name), scope) for name in names]

    async def _place(self, name: str, entry: RouteEntry | None, scope: Scope) -> Place:
        spec = self._specs.get(name)
        if spec is not None:
            return Place(name, tuple(variables(spec)), await self._credentials.source(name, spec, scope))
        keys = entry.keys if entry else []
        return Place(name, tuple(keys), await self._first_set(keys, scope), installed=False)

    async def _first_set(self, names: Sequence[str], scope: Scope) -> str:
        for name in names:
            value, source = await self._credentials.find(name, scope)
            if value:
                return source
        return ""

    def unknown(self, name: str) -> ConfigError:
        """The error for a provider that there is not."""
        if plugin := self._off.get(name):
            return ConfigError(
                f'The provider "{name}" comes with the plugin "{plugin}", which is switched off.',
                hint=f"hermes plugins enable {plugin}",
            )
        if near := next(iter(nearest_few(name.lower(), [*self._specs, *self.aliases], most=1, alike=0.7)), ""):
            return ConfigError(
                f'No provider "{name}". Did you mean "{near}"?', hint="See them all: hermes model list --providers"
            )
        return ConfigError(
            f'No provider "{name}". There are: {", ".join(sorted(self._specs))}.',
            hint=f"If there is a plugin for it: pip install hermes-plugin-{name} - or describe it under providers: in "
            "the settings.",
        )

    def _nothing_found(self, places: Sequence[Place]) -> ConfigError:
        looked = "; ".join(f"{place.provider}: {', '.join(place.keys)}" for place in places if place.keys)
        example = next((place.keys[0] for place in places if place.keys), "SOME_API_KEY")
        return ConfigError(
            "No provider is chosen, and no key is found.",
            hint=f"Export a key, such as {example}=…, or put it into the home's .env; log in: hermes auth login "
            "PROVIDER; or name a provider that needs none: -m PROVIDER:MODEL. To look around without one: hermes demo. "
            f"Looked for, in this order: {looked or 'none'}.",
        )


def aliases_of(specs: Mapping[str, ProviderSpec]) -> dict[str, str]:
    """The one table of other names. An alias that is a provider's id, or that two claim, is nobody's."""
    claims: dict[str, set[str]] = {}
    for name, spec in specs.items():
        for alias in spec.aliases:
            claims.setdefault(alias.lower(), set()).add(name)
    return {alias: next(iter(names)) for alias, names in claims.items() if len(names) == 1 and alias not in specs}


def _lists(spec: ProviderSpec, model: str) -> bool:
    return any(info.id == model for info in known_models(spec))
