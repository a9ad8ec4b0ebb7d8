"""Writes a model into the settings, after a look whether there is one of that name."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from hermes import App, ConfigError, HermesError
from hermes.cli.settings_file import replace_settings
from hermes.config.load import read_yaml
from hermes.config.schema import ENVIRONMENT
from hermes.models.catalog import known_models
from hermes.models.credentials import shown_address

from .listing import Listing, listing
from .near import nearest_anywhere, nearest_models
from .settings_edit import with_values

Tell = Callable[[str], None]


class Wanted(NamedTuple):
    provider: str
    model: str

    @property
    def name(self) -> str:
        return f"{self.provider}:{self.model}"


async def wanted(app: App, name: str) -> Wanted:
    """``PROVIDER:MODEL`` as two names; ``VENDOR/MODEL`` as ``-m`` takes it; a provider alone with its default.

    Raises:
        ConfigError: there is no such provider, or one of the two is missing.
    """
    routing = app.router.routing
    provider, model = routing.split(name)
    if provider and model:
        return Wanted(provider, model)
    if (alone := provider or routing.named(name)) in app.router.specs:
        return Wanted(alone, await _default(app, alone))
    prefix, colon, _ = name.partition(":")
    if "/" in name and (found := await _of_vendor(app, name)):
        return found
    if colon:
        raise routing.unknown(prefix)
    near = await nearest_anywhere(app, name, first="")
    raise ConfigError(
        f'"{name}" has to be a provider and a model.' + (f" Did you mean {' or '.join(near)}?" if near else ""),
        hint="Write PROVIDER:MODEL; see: hermes model list",
    )


async def _default(app: App, provider: str) -> str:
    """What the provider's plugin or the settings name first, else its own list."""
    if known := known_models(app.router.specs[provider]):
        return known[0].id
    found = await listing(app, provider)
    if not found.models:
        raise ConfigError(
            f'No model of "{provider}" is known{f": {found.note}" if found.note else "."}',
            hint=f"Name one: hermes model set {provider}:MODEL",
        )
    return found.ids[0]


async def _of_vendor(app: App, name: str) -> Wanted | None:
    """Where ``vendor/model`` is to be had: at the aggregator that is set or whose key is found, else at the vendor."""
    router = app.router
    configured = router.routing.named(app.settings.model.provider)
    if (spec := router.specs.get(configured)) and spec.aggregator:
        return Wanted(configured, name)
    prefix, _, rest = name.partition("/")
    vendor = router.routing.named(prefix)
    try:
        choice = await router.routing.changed(provider="", default="").choose(app.scope, model=name)
    except ConfigError:
        return Wanted(vendor, rest) if vendor in router.specs else None
    if choice.provider == vendor or router.specs[choice.provider].aggregator:
        return Wanted(choice.provider, choice.model)
    return Wanted(vendor, rest) if vendor in router.specs else None


def check(found: Listing, chosen: Wanted, tell: Tell) -> None:
    """Raises ConfigError: the provider's own list has no such model, nor has the plugin."""
    if chosen.model in found.ids:
        return
    near = nearest_models(chosen.model, found.ids)
    if found.live is None:
        tell(f"Whether there is {chosen.name} could not be checked: {found.note}")
        if near:
            tell(f"Known of {chosen.provider}, and like it: {', '.join(near)}")
        return
    meant = f" Did you mean {' or '.join(near)}?" if near else ""
    raise ConfigError(
        f'{chosen.provider} lists no model "{chosen.model}".{meant}',
        hint=f"See: hermes model list {chosen.provider} - to set it all the same: --unchecked",
    )


async def choose(app: App, name: str, tell: Tell, *, checked: bool = True) -> Wanted:
    """Sets ``model.provider`` and ``model.default``.

    Raises:
        ConfigError: there is no such provider or model, or the file cannot be changed.
    """
    chosen = await wanted(app, name)
    if checked:
        check(await listing(app, chosen.provider), chosen, tell)
    write(app, chosen, tell)
    await _warn(app, chosen, tell)
    return chosen


def write(app: App, chosen: Wanted, tell: Tell) -> None:
    file = app.home.config_file
    before = read_yaml(file).get("model") or {}
    values = {"provider": chosen.provider, "default": chosen.model}
    if (
        isinstance(before, dict)
        and before.get("base_url")
        and app.router.routing.named(str(before.get("provider", ""))) != chosen.provider
    ):
        # The old provider's address must not be sent the new one's key.
        values["base_url"] = ""
        old = shown_address(str(before["base_url"]))
        tell(f"model.base_url was {old}; it is removed, as it was the other provider's.")
    text = file.read_bytes().decode("utf-8") if file.exists() else ""
    replace_settings(app.home, with_values(text, "model", values))
    tell(f"{chosen.name} is set in {file}")


async def _warn(app: App, chosen: Wanted, tell: Tell) -> None:
    """What keeps the choice from being used."""
    for variable, key in ENVIRONMENT.items():
        value = app.environ.get(variable, "").strip()
        if key in ("model.provider", "model.default") and value:
            tell(f"{variable}={value} is set in the environment and comes before it.")
    try:
        await app.router.target(app.scope, provider=chosen.provider, model=chosen.model)
    except HermesError as error:
        tell(f"It cannot be used yet: {error} {error.hint}".rstrip())
