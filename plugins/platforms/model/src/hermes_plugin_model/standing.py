"""How the providers stand: whose key is found, who needs none, and what the others want."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit

from hermes import App, ProviderSpec
from hermes.models.credentials import shown_address, variables

LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Standing(NamedTuple):
    """``source``: where a key is found; blank: nowhere. ``about``: that, or what would get the provider going."""

    provider: str
    source: str
    about: str


async def standings(app: App) -> list[Standing]:
    """In the order in which they are of use: those with a key, servers on this machine, then by preference."""
    router = app.router
    places = [place for place in await router.routing.places(app.scope) if place.installed]
    found = {place.provider: place.source for place in places}
    others = sorted(name for name in router.specs if name not in found)
    for name in others:
        found[name] = await router.credentials.source(name, router.specs[name], app.scope)
    addresses = {name: await _address(app, router.specs[name]) for name in found}
    local = {name for name in found if needs_no_key(router.specs[name]) and _is_here(addresses[name])}
    first = [name for name, source in found.items() if source and name not in others]
    names = [*first, *(name for name in found if name in local), *found]
    return [
        _standing(app, name, found[name], addresses[name] if name in local else "") for name in dict.fromkeys(names)
    ]


def needs_no_key(spec: ProviderSpec) -> bool:
    return spec.key_optional or not (variables(spec) or spec.oauth)


async def _address(app: App, spec: ProviderSpec) -> str:
    found = (await app.find_secret(spec.base_url_env, app.scope))[0] if spec.base_url_env else ""
    return found or spec.base_url


def _is_here(address: str) -> bool:
    try:
        return urlsplit(address).hostname in LOOPBACK
    except ValueError:
        return False


def _standing(app: App, name: str, source: str, here: str) -> Standing:
    if here:
        return Standing(name, source, f"on this machine, {shown_address(here)}" + (f"; {source}" if source else ""))
    return Standing(name, source, source or wanted_by(name, app.router.specs[name]))


def wanted_by(name: str, spec: ProviderSpec) -> str:
    """What a provider without a key wants."""
    keys = variables(spec)
    if needs_no_key(spec):
        return "takes no key" if not keys else f"needs no key; takes {', '.join(keys)}"
    ways = [f"no key: {', '.join(keys)}"] if keys else []
    return "; ".join([*ways, *([f"hermes auth login {name}"] if spec.oauth else [])])


def as_lines(found: list[Standing]) -> list[str]:
    width = max((len(standing.provider) for standing in found), default=0)
    return [f"  {standing.provider:{width}}  {standing.about}" for standing in found]
