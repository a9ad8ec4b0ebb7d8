"""What crosses the border when a plugin is loaded in a plugin host: the values both sides agree on."""

from __future__ import annotations

from typing import Any

from hermes.contracts.scope import Scope
from hermes.contracts.tool import ToolCall, ToolEntry
from hermes.contracts.values import Value

from .indexed import IndexedPlugin


class Hello(Value, kw_only=True):
    """The first words of either side."""

    api: int
    version: str
    memory_mb: int = 0
    """The most memory the process may have; 0: no limit."""
    egress: tuple[str, int] | None = None
    """The socket of the proxy to the network, if there is one, and the port that it is to have inside."""


class LoadRequest(Value, kw_only=True):
    """``data_root``: the folder of all plugins' data; the plugin sees its own in it."""

    plugin: IndexedPlugin
    scope: Scope
    data_root: str
    loader: IndexedPlugin | None = None
    """The plugin that knows how to load this one, where its format is foreign."""


class CommandRequest(Value, kw_only=True):
    """A command to run in a sandbox. ``connection``: the descriptor of a socket to the kernel."""

    load: LoadRequest
    target: str
    program: str
    """What the command calls itself, e.g. ``hermes dice``."""
    arguments: tuple[str, ...]
    connection: int


class HookMark(Value, kw_only=True):
    """A hook's implementation. ``attribute``: its name in the plugin's module."""

    attribute: str
    hook: str
    arguments: tuple[str, ...]
    deadline: float | None = None
    tools: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    tryfirst: bool = False
    trylast: bool = False


class Loaded(Value, kw_only=True):
    """What a plugin turned out to have. ``provisions``: pairs of contract and name."""

    hooks: tuple[HookMark, ...] = ()
    provisions: tuple[tuple[str, str], ...] = ()
    tools: dict[str, ToolEntry] = {}


class ToolInvocation(Value, kw_only=True):
    call: ToolCall
    arguments: dict[str, Any]
