"""The secrets that the settings name, each read with ``op read``; asked for at most every five minutes."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from hermes import ConfigError, HermesError, PluginContext, PluginError, SecretQuery, Secrets, program_answer

PLUGIN = "onepassword"
KEPT_SECONDS = 300.0
FAILED_SECONDS = 30.0
"""For so long a failure is told again, and not tried."""
AT_ONCE = 4
"""Programs that run at the same time."""
TOKEN = "OP_SERVICE_ACCOUNT_TOKEN"


class Kept(NamedTuple):
    """Until then, by the monotonic clock."""

    until: float
    value: str
    failure: HermesError | None = None


class OnePassword:
    """Implements `SecretSource`. Who asks makes no difference: the account is one for all."""

    def __init__(self, ctx: PluginContext) -> None:
        self._ctx = ctx
        self._kept: dict[str, Kept] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._at_once = asyncio.Semaphore(AT_ONCE)

    async def get(self, query: SecretQuery) -> Secrets:
        """Raises:
        ConfigError: a reference of the settings is none.
        PluginError: 1Password does not answer, or has nothing where the settings say that it has.
        """
        settings = await self._ctx.config()
        wanted = [name for name in query.names if name in settings["references"] and name != TOKEN]
        values = await asyncio.gather(*(self._read(name, settings) for name in wanted))
        return Secrets(values=dict(zip(wanted, values, strict=True)), source=PLUGIN)

    async def _read(self, name: str, settings: dict[str, Any]) -> str:
        reference = settings["references"][name]
        if not (isinstance(reference, str) and reference.startswith("op://")):
            raise ConfigError(
                f"onepassword.references.{name} is no reference to a secret.",
                hint=f"hermes config set onepassword.references.{name} op://vault/item/field",
            )
        async with self._locks.setdefault(reference, asyncio.Lock()):
            kept = self._kept.get(reference)
            if kept is None or self._ctx.clock.monotonic() >= kept.until:
                kept = self._kept[reference] = await self._ask(name, reference, settings)
        if kept.failure is not None:
            raise kept.failure
        return kept.value

    async def _ask(self, name: str, reference: str, settings: dict[str, Any]) -> Kept:
        command = ["op", "read", "--no-newline"]
        if settings["account"]:
            command += ["--account", settings["account"]]
        hint = f"Try it: op read '{reference}' - or mend onepassword.references.{name}: hermes config edit"
        try:
            async with self._at_once:
                token = await self._ctx.secrets(TOKEN)
                printed = await program_answer(
                    [*command, reference], plugin=PLUGIN, hint=hint, seconds=settings["timeout"], secrets=token
                )
            return Kept(self._ctx.clock.monotonic() + KEPT_SECONDS, printed.decode())
        except UnicodeDecodeError:
            failure: HermesError = PluginError(f"What 1Password has for {name} is no text.", plugin=PLUGIN, hint=hint)
        except HermesError as error:
            failure = error
        return Kept(self._ctx.clock.monotonic() + FAILED_SECONDS, "", failure)
