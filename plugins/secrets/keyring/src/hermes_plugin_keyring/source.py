"""Secrets by their names in the keyring; asked for at most every five minutes."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from hermes import HermesError, PluginContext, SecretQuery, Secrets

from .backend import PLUGIN, NoKeyring, ask

KEPT_SECONDS = 300.0
FAILED_SECONDS = 30.0
"""For so long a failure is told again, and not tried."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")


def is_name(text: str) -> bool:
    return bool(_NAME.fullmatch(text))


class Keyring:
    """Implements `SecretSource`. Who asks makes no difference: the keyring is of the person at this machine."""

    def __init__(self, ctx: PluginContext) -> None:
        self._ctx = ctx
        self._kept: dict[str, tuple[float, str | None]] = {}
        """Until then, by the monotonic clock; None: it is not there."""
        self._failure: tuple[float, HermesError] | None = None
        self._asking = asyncio.Lock()

    async def get(self, query: SecretQuery) -> Secrets:
        """Nothing where the machine has no keyring. Raises PluginError: it has one, which does not answer."""
        wanted = [name for name in query.names if is_name(name)]
        async with self._asking:
            now = self._ctx.clock.monotonic()
            new = [name for name in wanted if name not in self._kept or now >= self._kept[name][0]]
            if new:
                try:
                    await self._ask(new, now)
                except NoKeyring as error:
                    self._ctx.log.debug("%s", error)
                    return Secrets()
        found = {name: value for name in wanted if (value := self._kept[name][1]) is not None}
        return Secrets(values=found, source=PLUGIN)

    async def _ask(self, names: list[str], now: float) -> None:
        if self._failure is not None and now < self._failure[0]:
            raise self._failure[1]
        settings = await self._ctx.config()
        service = settings["service"]

        def read(backend: Any) -> dict[str, str | None]:
            return {name: backend.get_password(service, name) for name in names}

        try:
            answers = await ask(read, settings["timeout"])
        except HermesError as error:
            self._failure = (self._ctx.clock.monotonic() + FAILED_SECONDS, error)
            raise
        self._failure = None
        until = self._ctx.clock.monotonic() + KEPT_SECONDS
        self._kept.update({name: (until, value) for name, value in answers.items()})
