"""A plugin as the index knows it: found, read, and not imported."""

from __future__ import annotations

import os
from typing import Any, Literal

import msgspec

from hermes.contracts.tool import ToolEntry

from .manifest import Manifest, Permissions

Source = Literal["installed", "package", "home", "project", "given", "foreign"]
"""``installed``: beside Hermes, with pip; ``package``: by ``hermes plugins install``, into the home; ``foreign``:
brought by another plugin that knows its format.
"""


class IndexedPlugin(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A plugin as found. With a ``problem`` it is not activated, and its hooks are those it may have had."""

    name: str
    source: Source
    manifest: Manifest
    module: str = ""
    path: str = ""
    """Of its manifest or its only file."""
    root: str = ""
    """What has to be on ``sys.path`` for it; blank: it is found without."""
    environment: str = ""
    """The folder of the packages that it needs and Hermes does not have."""
    agreed: Permissions | None = None
    """What the user agreed to when it was installed."""
    first_party: bool = False
    """It comes with Hermes."""
    isolation: Literal["host", "isolated"] = "host"
    """Where it runs: in Hermes's own process, or in a plugin host."""
    loader: str = ""
    loaded_by: str = ""
    """The plugin that brought it, and the function there that loads it."""
    tools: dict[str, ToolEntry] = {}
    clash: str = ""
    """Another one of its name that was set aside."""
    enabled: bool = True
    problem: str = ""
    hint: str = ""

    @property
    def permissions(self) -> Permissions:
        return self.agreed if self.agreed is not None else self.manifest.permissions

    @property
    def place(self) -> str:
        """The folder or the only file of its code."""
        return self.path if self.path.endswith(".py") else os.path.dirname(self.path)

    @property
    def import_path(self) -> list[str]:
        """What has to come first on ``sys.path`` for it."""
        return [entry for entry in (self.root, self.environment) if entry]

    @property
    def trusted(self) -> bool:
        """Whether it may make things easier, and not only stricter: it runs in Hermes itself."""
        return self.isolation == "host"

    @property
    def restricted(self) -> bool:
        """Whether it may ask of the kernel only what its manifest says: all but the user's own and those given."""
        return self.isolation == "isolated" or self.source not in ("home", "given")


def placed(plugin: IndexedPlugin, entries: Any) -> IndexedPlugin:
    """The plugin with where it runs. ``entries``: the setting ``plugins.entries``, whose ``isolation`` decides.

    Else what comes with Hermes and the user's own files run in Hermes's process; all others in a plugin host. So does
    what needs other packages than Hermes has, whatever the setting.
    """
    entry = entries.get(plugin.name) if isinstance(entries, dict) else None
    setting = entry.get("isolation") if isinstance(entry, dict) else None
    trusted = plugin.first_party or plugin.source in ("home", "given")
    inside = setting == "host" or (setting != "isolated" and trusted)
    isolation: Literal["host", "isolated"] = "host" if inside and not plugin.environment else "isolated"
    return plugin if plugin.isolation == isolation else msgspec.structs.replace(plugin, isolation=isolation)
