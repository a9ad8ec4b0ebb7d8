"""Answers what isolated plugins ask of the kernel, each under its own name and within its permissions."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol

import msgspec

from hermes.contracts.errors import PluginError
from hermes.contracts.host import ForeignPlugin, Host
from hermes.logs.plain import plain

from .border import contract_of, decode, describe, serve_call, serve_stream
from .framing import EMPTY, Target
from .permissions import CheckedHost

LOG_LIMIT = 10_000
"""Characters of one line of a plugin's log."""


class Provisions(Protocol):
    """The part of the plugin manager that other plugins' provisions come from."""

    async def provided(self, contract: str, name: str) -> Any: ...
    async def load_foreign(self, plugin: ForeignPlugin, by: str) -> None: ...
    def contract_type(self, contract: str) -> type | None: ...


class KernelServer:
    """The kernel's end of one plugin host. ``names``: the plugins that live there; no other's name is taken."""

    def __init__(
        self,
        names: frozenset[str],
        provisions: Provisions,
        host_for: Callable[[str], CheckedHost],
        log: logging.Logger,
    ) -> None:
        self._names = names
        self._provisions = provisions
        self._host_for = host_for
        self._log = log

    def _checked(self, target: Target) -> tuple[CheckedHost, tuple[str, ...]]:
        if len(target) < 2 or target[1] not in self._names:
            raise PluginError(f"The call {'.'.join(target)[:100]} comes from no plugin of this host.")
        return self._host_for(target[1]), target[2:]

    async def call(self, target: Target, body: msgspec.Raw) -> bytes:
        checked, rest = self._checked(target)
        match (target[0], *rest):
            case ("host", method):
                return await serve_call(checked, Host, method, body)
            case ("resolve", contract, name):
                checked.require_provision(contract)
                made = await self._provisions.provided(contract, name)
                return describe(made, self._type(contract))
            case ("provided", contract, name, method):
                checked.require_provision(contract)
                made = await self._provisions.provided(contract, name)
                return await serve_call(made, self._type(contract), method, body)
            case ("load_foreign",):
                checked.require("load_foreign")
                await self._provisions.load_foreign(decode(body, ForeignPlugin), target[1])
                return EMPTY
        raise PluginError(f"The kernel does not know the call {'.'.join(target)[:100]}.")

    async def stream(self, target: Target, body: msgspec.Raw) -> AsyncIterator[bytes]:
        checked, rest = self._checked(target)
        match (target[0], *rest):
            case ("host", method):
                items = serve_stream(checked, Host, method, body)
            case ("provided", contract, name, method):
                checked.require_provision(contract)
                made = await self._provisions.provided(contract, name)
                items = serve_stream(made, self._type(contract), method, body)
            case _:
                raise PluginError(f"The kernel does not know the stream {'.'.join(target)[:100]}.")
        try:
            async for item in items:
                yield item
        finally:
            await items.aclose()  # type: ignore[attr-defined]

    def cast(self, target: Target, body: msgspec.Raw) -> None:
        """Lines for the log; whatever else it may be is dropped."""
        if len(target) == 3 and target[0] == "log" and target[1] in self._names and target[2].isdigit():
            self._log.log(min(int(target[2]), logging.ERROR), "[%s] %s", target[1], plain(decode(body, str), LOG_LIMIT))

    def _type(self, contract: str) -> type | None:
        return contract_of(contract) or self._provisions.contract_type(contract)
