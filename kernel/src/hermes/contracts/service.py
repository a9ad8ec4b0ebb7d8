"""Services that the kernel supervises, sources of secrets, and what a plugin provides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Protocol

from .scope import Scope
from .values import Done, Value


class ServiceOptions(Value, kw_only=True):
    """``lease``: one in this process, or one in all the processes of a home."""

    lease: Literal["process", "home"] = "home"
    restart: bool = True


class Health(Value, kw_only=True):
    ok: bool
    detail: str = ""


class Service(Protocol):
    """``run`` returns when it is done or cancelled; ``drain`` asks it to take nothing new and finish."""

    options: ServiceOptions

    async def run(self, request: Done) -> Done: ...
    async def health(self, request: Done) -> Health: ...
    async def drain(self, request: Done) -> Done: ...


class SecretQuery(Value, kw_only=True):
    names: tuple[str, ...]
    scope: Scope


class Secrets(Value, kw_only=True):
    """Only the names that were found. A blank value hides those of the sources behind, and counts as unset."""

    values: dict[str, str] = {}
    source: str = ""

    def __repr__(self) -> str:
        return f"Secrets({sorted(self.values)})"


class SecretSource(Protocol):
    async def get(self, query: SecretQuery) -> Secrets: ...


class Provision(NamedTuple):
    """One thing a plugin provides: its contract, its name there, and what makes it.

    ``make`` is called once, on first need, with the plugin's `PluginContext` if it takes one.
    """

    contract: str
    name: str
    make: Callable[..., Any]
