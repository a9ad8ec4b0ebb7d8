"""The tools there are, whose they are, and how to reach their functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from hermes.contracts.errors import ConfigError, PluginError, nearest
from hermes.contracts.host import PluginContext
from hermes.contracts.tool import ToolEntry, ToolOutcome
from hermes.plugins.claims import Claim, settle
from hermes.plugins.loader import load_target
from hermes.plugins.manager import PluginManager
from hermes.plugins.plugin import Plugin

from .schema import arguments_type, registered_entry

if TYPE_CHECKING:
    from hermes.plugins.remote import RemotePlugin


class BoundTool(NamedTuple):
    """A tool's function, the type of its arguments, and whether it takes its plugin's context."""

    entry: ToolEntry
    function: Callable[..., Any]
    arguments: type[msgspec.Struct]
    wants_context: bool


class ToolRegistry:
    """Reads what plugins declare; imports a tool's module when the tool is first called."""

    def __init__(self, plugins: PluginManager, notify: Callable[[str], None]) -> None:
        self._plugins = plugins
        self._notify = notify
        self._bound: dict[str, BoundTool] = {}
        self._entries: dict[str, ToolEntry] | None = None

    def entries(self) -> dict[str, ToolEntry]:
        """All tools of the plugins that are enabled, by name, in the order of names."""
        if self._entries is None:
            claims = [
                Claim(tool_name, plugin.indexed, entry)
                for plugin in self._plugins.plugins.values()
                if plugin.usable
                for tool_name, entry in _entries_of(plugin).items()
            ]
            owners, refused = settle("tool", claims)
            for text in refused:
                self._notify(text)
            self._entries = {name: owners[name].value for name in sorted(owners)}
        return self._entries

    def refresh(self) -> None:
        """To be called when plugins were activated: they may have registered tools."""
        self._entries = None

    def forget(self, plugin: str) -> None:
        """To be called when a plugin was reloaded: its functions are others now."""
        self._entries = None
        self._bound = {name: bound for name, bound in self._bound.items() if bound.entry.plugin != plugin}

    def choose(self, toolsets: Sequence[str]) -> list[ToolEntry]:
        """The tools of these toolsets (or of those names); of all, where none are named.

        Raises:
            ConfigError: there is no such toolset.
        """
        entries = self.entries()
        known = {entry.options.toolset for entry in entries.values()} | set(entries)
        for wanted in toolsets:
            if wanted not in known:
                raise ConfigError(_no_toolset(wanted, sorted(entry.options.toolset for entry in entries.values())))
        return [
            entry
            for name, entry in entries.items()
            if not toolsets or entry.options.toolset in toolsets or name in toolsets
        ]

    def get(self, name: str) -> ToolEntry | None:
        return self.entries().get(name)

    async def bind(self, entry: ToolEntry) -> BoundTool:
        """The tool's function, imported with the first call.

        Raises:
            PluginError: its plugin cannot be activated, or the function is not where it was.
        """
        bound = self._bound.get(entry.name)
        if bound is None:
            plugin = await self._plugins.activate(entry.plugin)
            if plugin.remote is not None:
                bound = self._bound[entry.name] = _remote(plugin.remote, entry)
                return bound
            mark = plugin.tools.get(entry.name)
            function = mark.function if mark else _imported(plugin, entry)
            wants_context = "ctx" in function.__code__.co_varnames[: _parameters(function)]
            bound = self._bound[entry.name] = BoundTool(entry, function, arguments_type(function), wants_context)
        return bound


def _entries_of(plugin: Plugin) -> dict[str, ToolEntry]:
    """What its manifest says, what its plugin host told, and what was registered in this process."""
    entries = {**plugin.indexed.tools, **(plugin.remote.tools if plugin.remote else {})}
    for name, mark in plugin.tools.items():
        entries[name] = registered_entry(name, mark, plugin.name)
    return entries


def _remote(remote: RemotePlugin, entry: ToolEntry) -> BoundTool:
    """A tool in a plugin host."""
    from .foreign_schema import arguments_type_of

    async def call(*, ctx: PluginContext, **arguments: Any) -> ToolOutcome:
        given = {name: value for name, value in arguments.items() if value is not msgspec.UNSET}
        return await remote.call_tool(entry, ctx, given)

    return BoundTool(entry, call, arguments_type_of(entry.parameters, entry.name), True)


def _parameters(function: Callable[..., Any]) -> int:
    code = function.__code__
    return int(code.co_argcount + code.co_kwonlyargcount)


def _imported(plugin: Plugin, entry: ToolEntry) -> Callable[..., Any]:
    try:
        function: Callable[..., Any] = load_target(plugin.indexed, entry.target)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise PluginError(
            f'The tool "{entry.name}" cannot be loaded: {type(error).__name__}: {error}', plugin=entry.plugin
        ) from error
    if not inspect.isfunction(function):
        raise PluginError(f'The tool "{entry.name}" is no function: {entry.target}.', plugin=entry.plugin)
    return function


def _no_toolset(wanted: str, known: list[str]) -> str:
    names = sorted(set(known))
    near = nearest(wanted, names)
    return f'There is no toolset "{wanted}". ' + (
        f'Did you mean "{near}"?' if near else f"There are: {', '.join(names)}."
    )
