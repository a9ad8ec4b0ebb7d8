"""All plugin hosts of one `App`: which plugin runs in which, and what becomes of them when plugins are replaced."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from hermes.contracts.errors import HermesError

from .border import encode
from .guest import LoadRequest
from .indexed import IndexedPlugin
from .isolated import PluginHost, Surroundings
from .remote import RemotePlugin


class HostPool:
    """The hosts of one `App`: plugins of one group, with equal permissions and packages, share one."""

    def __init__(self, around: Surroundings, gave_up: Callable[[PluginHost, str], None]) -> None:
        self._around = around
        self._gave_up = gave_up
        self._hosts: dict[tuple[Any, ...], PluginHost] = {}
        self._aside: list[PluginHost] = []
        """Those that were replaced and still have something to do."""

    def hosts(self) -> list[PluginHost]:
        return [*self._hosts.values(), *self._aside]

    def host_of(
        self, plugin: IndexedPlugin, all_isolated: Sequence[IndexedPlugin], loader: IndexedPlugin | None = None
    ) -> PluginHost:
        key = self._key(plugin)
        host = self._hosts.get(key)
        if host is None or host.failed or plugin.name not in host.plugins:
            members = [other for other in all_isolated if self._key(other) == key]
            host = self._hosts[key] = PluginHost(members, loader, self._around, self._gave_up)
        return host

    def _key(self, plugin: IndexedPlugin) -> tuple[Any, ...]:
        shared = plugin.manifest.group or f"/{plugin.name}"
        if plugin.loaded_by:
            shared += f"/{plugin.name}"
        return shared, encode(plugin.permissions), plugin.environment

    async def load(
        self,
        plugin: IndexedPlugin,
        all_isolated: Sequence[IndexedPlugin],
        contract: Callable[[str], type | None],
        loader: IndexedPlugin | None = None,
    ) -> RemotePlugin:
        """Raises PluginError: it cannot be loaded."""
        host = self.host_of(plugin, all_isolated, loader)
        return RemotePlugin(host, plugin.name, await host.load(self._request(plugin, loader)), contract)

    def begin(self, plugin: IndexedPlugin, all_isolated: Sequence[IndexedPlugin]) -> None:
        """Has a plugin loaded that will be asked for soon."""
        self.host_of(plugin, all_isolated).begin(self._request(plugin, None))

    def _request(self, plugin: IndexedPlugin, loader: IndexedPlugin | None) -> LoadRequest:
        return LoadRequest(
            plugin=plugin, scope=self._around.scope, data_root=str(self._around.data_root), loader=loader
        )

    def set_aside(self, plugin: IndexedPlugin) -> PluginHost | None:
        """Makes room for a new host in the place of the one that the plugin would run in, which goes on for now."""
        host = self._hosts.pop(self._key(plugin), None)
        if host is not None:
            self._aside.append(host)
        return host

    async def put_back(self, plugin: IndexedPlugin, host: PluginHost | None) -> None:
        """Undoes `set_aside`: the new one is of no use."""
        useless = self._hosts.pop(self._key(plugin), None)
        if host is not None:
            self._aside.remove(host)
            self._hosts[self._key(plugin)] = host
        if useless is not None:
            await useless.close()

    async def leave(self, remote: RemotePlugin) -> None:
        """A plugin that was replaced: it ends what it is doing, and with the last of its plugins ends its host."""
        await remote.host.drain()
        with contextlib.suppress(HermesError, TimeoutError):
            await remote.host.unload(remote.name)
        if not remote.host.in_use:
            await remote.host.close()
            self._aside = [host for host in self._aside if host is not remote.host]
            self._hosts = {key: host for key, host in self._hosts.items() if host is not remote.host}

    async def close(self) -> None:
        await asyncio.gather(*(host.close() for host in self.hosts()))
