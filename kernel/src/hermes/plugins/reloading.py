"""Plugins that change while the program runs: new versions, new ones, ones that are gone."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from hermes.contracts.errors import PluginError

from .held import HeldByPlugins
from .index import Index
from .indexed import IndexedPlugin
from .manager import PluginManager


class Reloader:
    """``index`` reads all plugins again; ``changed`` is told whose functions are others now."""

    def __init__(
        self,
        plugins: PluginManager,
        run: Path,
        *,
        index: Callable[[], Index],
        place: Callable[[IndexedPlugin], IndexedPlugin],
        held: HeldByPlugins,
        changed: Callable[[str], None],
        notify: Callable[[str], None],
    ) -> None:
        self._plugins = plugins
        self._file = run / "reload.json"
        self._index = index
        self._place = place
        self._held = held
        self._changed = changed
        self._notify = notify
        self._seen = self._stamp()
        self._generation = 0

    def _stamp(self) -> int:
        try:
            return os.stat(self._file).st_mtime_ns
        except OSError:
            return 0

    async def look(self) -> None:
        """Reloads what was asked for since the last look; what fails is told, and the old version goes on."""
        stamp = self._stamp()
        if stamp == self._seen:
            return
        self._seen = stamp
        for name in msgspec.json.decode(self._file.read_bytes(), type=list[str]):
            try:
                self._notify(await self.reload(name))
            except PluginError as error:
                self._notify(str(error))

    async def reload(self, name: str) -> str:
        """Loads a plugin again, and says what happened.

        Raises:
            PluginError: there is none of that name, it is not one that can be reloaded, or its new version is broken;
                then the old one goes on.
        """
        found = {plugin.name: plugin for plugin in self._index().plugins}
        running = self._plugins.plugins.get(name)
        if name not in found:
            if running is None:
                raise PluginError(f'There is no plugin "{name}".', plugin=name, hint="See: hermes plugins list")
            await self._plugins.remove(name)
            self._changed(name)
            await self._held.release(self._held.of(name))
            return f'The plugin "{name}" is gone.'
        plugin = self._place(found[name])
        if running is not None and running.active and not self.can_reload(plugin):
            raise PluginError(
                f'The plugin "{name}" runs in Hermes itself and comes with it, or with pip.',
                plugin=name,
                hint="Restart Hermes to use its new version.",
            )
        before = self._held.of(name)
        try:
            await self._plugins.replace(self._renewed(plugin))
        except BaseException:
            await self._held.release([entry for entry in self._held.of(name) if entry not in before])
            raise
        self._changed(name)
        await self._held.release(before)
        return f'The plugin "{name}" was loaded again. What tools look like changes with the next session.'

    def _renewed(self, plugin: IndexedPlugin) -> IndexedPlugin:
        """Under a module name that is new in this process, so that nothing of the old version is found."""
        if plugin.isolation == "isolated" or not plugin.module:
            return plugin
        self._generation += 1
        module = f"{plugin.module}_{self._generation}"
        tools = {
            name: msgspec.structs.replace(entry, target=entry.target.replace(plugin.module, module, 1))
            for name, entry in plugin.tools.items()
        }
        return msgspec.structs.replace(plugin, module=module, tools=tools)

    @staticmethod
    def can_reload(plugin: IndexedPlugin) -> bool:
        """Isolated ones, and those in a folder of the user's."""
        return plugin.isolation == "isolated" or plugin.source in ("home", "project") or not plugin.module
