"""Writes a model into the settings, after a look whether there is one of that name."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from hermes import App, ConfigError, HermesError
from hermes.cli.settings_file import replace_settings
from hermes.config.load import read_yaml
from hermes.config.schema import ENVIRONMENT
from hermes.contracts.errors import nearest_few
from hermes.models.catalog import known_models

from .listing import Listing, listing
from .settings_edit import with_values

Tell = Callable[[str], None]


class Wanted(NamedTuple):
    provider: str
    model: str

    @property
    def name(self) -> str:
        return f"{self.provider}:{self.model}"


def wanted(app: App, name: str) -> Wanted:
    """``PROVIDER:MODEL`` as two names.

    Raises:
        ConfigError: there is no such provider, or one of the two is missing.
    """
    provider, model = app.router.split(name)
    if provider and model:
        return Wanted(provider, model)
    prefix, colon, _ = name.partition(":")
    if colon and not provider:
        raise app.router.routing.unknown(prefix)
    raise ConfigError(
        f'"{name}" has to be a provider and a model.', hint="Write PROVIDER:MODEL; see: hermes model list"
    )


def check(found: Listing, chosen: Wanted, spec_ids: set[str], tell: Tell) -> None:
    """Raises ConfigError: the provider's own list has no such model, nor has the plugin."""
    known = {*found.ids, *spec_ids}
    if chosen.model in known:
        return
    if found.live is None:
        tell(f"Whether there is {chosen.name} could not be checked: {found.note}")
        return
    near = nearest_few(chosen.model, known)
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
    chosen = wanted(app, name)
    if checked:
        spec = app.router.specs[chosen.provider]
        check(await listing(app, chosen.provider), chosen, {info.id for info in known_models(spec)}, tell)
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
        tell(f"model.base_url was {before['base_url']}; it is removed, as it was the other provider's.")
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
