"""Names that several plugins claim: who gets them, and what is told of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, NamedTuple, TypeVar

from hermes.contracts.provider import ProviderSpec

from .indexed import IndexedPlugin
from .limits import limited
from .manifest import ConfigSchema, RouteEntry

Claimed = TypeVar("Claimed")


class Claim(NamedTuple, Generic[Claimed]):
    name: str
    plugin: IndexedPlugin
    value: Claimed


def rank(plugin: IndexedPlugin) -> int:
    """The lower comes first: what was given by hand, the user's own files, what comes with Hermes, all others."""
    if plugin.isolation == "isolated":
        return 3
    return {"given": 0, "home": 1}.get(plugin.source, 2)


def settle(
    kind: str, claims: Iterable[Claim[Claimed]], *, ties: bool = True, order: Callable[[IndexedPlugin], int] = rank
) -> tuple[dict[str, Claim[Claimed]], list[str]]:
    """Who has which name, and a sentence for each claim that was refused.

    Of two of equal rank the first has it; without ``ties`` nobody does, where a wrong owner would be told secrets.
    """
    owners: dict[str, Claim[Claimed]] = {}
    told: list[str] = []
    disputed: set[str] = set()
    for claim in sorted(claims, key=lambda claim: order(claim.plugin)):
        rival = owners.setdefault(claim.name, claim)
        if rival is claim:
            continue
        mine, theirs = claim.plugin.name, rival.plugin.name
        if not ties and order(rival.plugin) == order(claim.plugin):
            disputed.add(claim.name)
            told.append(f'The {kind} "{claim.name}" is claimed by "{theirs}" and "{mine}"; neither is used.')
        else:
            told.append(
                f'The {kind} "{claim.name}" of the plugin "{mine}" is not used: "{theirs}" has one of that name.'
            )
    return {name: claim for name, claim in owners.items() if name not in disputed}, told


def complaints(
    plugins: Iterable[IndexedPlugin], commands: Iterable[str] = (), options: Iterable[str] = ()
) -> list[str]:
    """Of all that manifests claim. ``commands`` and ``options``: those that are the kernel's."""
    usable = [plugin for plugin in plugins if plugin.enabled and not plugin.problem]
    told = [plugin.clash for plugin in usable if plugin.clash]
    told += settle("provider", provider_claims(usable), ties=False)[1]
    told += settle("tool", [Claim(name, plugin, None) for plugin in usable for name in plugin.tools])[1]
    told += settle_sections(usable)[1]
    wanted = [Claim(name, plugin, None) for plugin in usable for name in plugin.manifest.commands]
    told += settle("command", wanted)[1] + _taken("command", wanted, set(commands))
    wanted = [Claim(name, plugin, None) for plugin in usable for name in plugin.manifest.options]
    return [*told, *settle("option", wanted)[1], *_taken("option", wanted, set(options))]


def _taken(kind: str, claims: Iterable[Claim[None]], taken: set[str]) -> list[str]:
    return [
        f'The {kind} "{claim.name}" of the plugin "{claim.plugin.name}" is not used: it is one of Hermes itself.'
        for claim in claims
        if claim.name in taken
    ]


def config_schemas(plugins: Iterable[IndexedPlugin]) -> list[tuple[str, ConfigSchema]]:
    """Each plugin's name and schema. A top-level section belongs to one plugin; others have theirs in its entry."""
    usable = [plugin for plugin in plugins if not plugin.problem]
    owners, _ = settle_sections(usable)
    schemas = []
    for plugin in plugins:
        schema = plugin.manifest.config
        owner = owners.get(schema.section)
        mine = not schema.section or (owner is not None and owner.plugin.name == plugin.name)
        schemas.append((plugin.name, schema if mine else ConfigSchema(properties=schema.properties)))
    return schemas


def settle_sections(plugins: Iterable[IndexedPlugin]) -> tuple[dict[str, Claim[None]], list[str]]:
    """What comes with Hermes keeps its section before all others: the settings in the file are meant for it."""
    found = [(plugin.manifest.config.section, plugin) for plugin in plugins if plugin.manifest.config.section]
    claims = [Claim(section, plugin, None) for section, plugin in found]
    return settle("section", claims, order=lambda plugin: -1 if plugin.first_party else rank(plugin))


def routing_claims(plugins: Iterable[IndexedPlugin]) -> list[Claim[list[RouteEntry]]]:
    """Named orders of preference, of plugins that run in Hermes's own process: they choose whose key is used."""
    trusted = [plugin for plugin in plugins if plugin.isolation == "host"]
    return [Claim(name, plugin, order) for plugin in trusted for name, order in plugin.manifest.routing.items()]


def provider_claims(plugins: Iterable[IndexedPlugin]) -> list[Claim[ProviderSpec]]:
    return [
        Claim(name, plugin, limited(plugin, spec))
        for plugin in plugins
        for name, spec in plugin.manifest.providers.items()
    ]
