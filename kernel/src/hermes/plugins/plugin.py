"""A plugin of this process: what is known of it, and what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from hermes.contracts.service import Provision
from hermes.contracts.tool import OPTIONS_ATTRIBUTE, ToolOptions

from .indexed import IndexedPlugin

if TYPE_CHECKING:
    from .remote import RemotePlugin

State = Literal["idle", "active", "failed", "unmet", "disabled"]
"""``unmet``: something it requires is not there; it waits, and nobody is bothered with it."""


class ToolMark(NamedTuple):
    """A function that was registered as a tool while the program runs. A blank description: its docstring's."""

    function: Callable[..., Any]
    description: str
    options: ToolOptions


class Registrar:
    """What ``register_tools`` is given; see `hermes.contracts.tool.ToolRegistry`."""

    def __init__(self) -> None:
        self.tools: dict[str, ToolMark] = {}
        """What was registered, by name."""

    def add(self, function: Callable[..., Any], *, name: str = "", description: str = "", **options: Any) -> None:
        declared_name, declared = getattr(function, OPTIONS_ATTRIBUTE, (function.__name__, ToolOptions()))
        chosen = ToolMark(function, description, msgspec.structs.replace(declared, **options))
        self.tools[name or declared_name] = chosen


class Plugin(Registrar):
    """``given``: the object or module, where it was given to the `App` and not found."""

    def __init__(self, indexed: IndexedPlugin, given: object | None = None) -> None:
        super().__init__()
        self.indexed = indexed
        self.given = given
        self.state: State = "idle" if indexed.enabled else "disabled"
        self.activating = asyncio.Lock()
        self.problem = indexed.problem
        self.subject: Any = None
        """What has its hooks, once it is active."""
        self.remote: RemotePlugin | None = None
        """Itself in its plugin host, where it has one."""
        self.provisions: dict[tuple[str, str], Provision] = {}
        if indexed.problem and indexed.enabled:
            self.state = "failed"

    @property
    def name(self) -> str:
        return self.indexed.name

    @property
    def active(self) -> bool:
        return self.state == "active"

    @property
    def usable(self) -> bool:
        return self.state in ("idle", "active")
