"""All secrets that Bitwarden gives, by their names; asked for at most every five minutes."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import msgspec

from hermes import HermesError, PluginContext, PluginError, SecretQuery, Secrets, program_answer

PLUGIN = "bitwarden"
KEPT_SECONDS = 300.0
FAILED_SECONDS = 30.0
"""For so long a failure is told again, and not tried."""
TOKENS = {"bws": "BWS_ACCESS_TOKEN", "bw": "BW_SESSION"}
HINTS = {
    "bws": "Try it: bws secret list - with BWS_ACCESS_TOKEN set to an access token of a machine account.",
    "bw": "Unlock it: bw unlock --raw - and put what it prints into BW_SESSION.",
}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class NotSetUp(PluginError):
    """No token is there. Nobody who only has the plugin installed is to hear of it with every command."""


class BwsSecret(msgspec.Struct):
    key: str
    value: str


class BwLogin(msgspec.Struct):
    password: str | None = None


class BwItem(msgspec.Struct):
    """A login's secret is its password; that of a note is its text."""

    name: str
    login: BwLogin | None = None
    notes: str | None = None


class BwFolder(msgspec.Struct):
    name: str
    id: str | None = None


class Bitwarden:
    """Implements `SecretSource`. Who asks makes no difference: the token is one for all."""

    def __init__(self, ctx: PluginContext) -> None:
        self._ctx = ctx
        self._kept: dict[str, str] = {}
        self._failure: HermesError | None = None
        self._until = -1.0
        self._asking = asyncio.Lock()

    async def get(self, query: SecretQuery) -> Secrets:
        """Nothing while it is not set up. Raises PluginError: Bitwarden does not answer."""
        wanted = [name for name in query.names if _NAME.fullmatch(name) and name not in TOKENS.values()]
        if not wanted:
            return Secrets()
        try:
            kept = await self.all()
        except NotSetUp as error:
            self._ctx.log.debug("%s", error)
            return Secrets()
        return Secrets(values={name: kept[name] for name in wanted if name in kept}, source=PLUGIN)

    async def all(self) -> dict[str, str]:
        """Name to value. Of several with one name the first counts.

        Raises:
            PluginError: as `get`.
        """
        async with self._asking:
            if self._ctx.clock.monotonic() >= self._until:
                await self._ask()
        if self._failure is not None:
            raise self._failure
        return self._kept

    async def _ask(self) -> None:
        self._kept, self._failure = {}, None
        try:
            settings = await self._ctx.config()
            program, token = await self._program(settings)
            self._kept = await (_from_bws if program == "bws" else _from_bw)(settings, token)
        except HermesError as error:
            self._failure = error
        seconds = KEPT_SECONDS if self._failure is None else FAILED_SECONDS
        self._until = self._ctx.clock.monotonic() + seconds

    async def _program(self, settings: dict[str, Any]) -> tuple[str, str]:
        """The program that is set up, and its token."""
        chosen = settings["program"]
        for program in TOKENS if chosen == "auto" else (chosen,):
            if token := (await self._ctx.secrets(TOKENS[program])).get(TOKENS[program]):
                return program, token
        names = " or ".join(TOKENS.values()) if chosen == "auto" else TOKENS[chosen]
        raise (NotSetUp if chosen == "auto" else PluginError)(
            f"Bitwarden needs {names}, which is not set.",
            plugin=PLUGIN,
            hint="Put it into the home's .env file, or: hermes plugins disable bitwarden",
        )


async def _answer(program: str, command: list[str], token: str, settings: dict[str, Any]) -> bytes:
    secrets = {TOKENS[program]: token}
    return await program_answer(
        command, plugin=PLUGIN, hint=HINTS[program], seconds=settings["timeout"], secrets=secrets
    )


async def _from_bws(settings: dict[str, Any], token: str) -> dict[str, str]:
    command = ["bws", "secret", "list", "--output", "json"]
    if settings["server_url"]:
        command += ["--server-url", settings["server_url"]]
    if settings["project"]:
        command += ["--", settings["project"]]
    printed = await _answer("bws", command, token, settings)
    return {found.key: found.value for found in reversed(_read(printed, list[BwsSecret], "bws"))}


async def _from_bw(settings: dict[str, Any], token: str) -> dict[str, str]:
    async def read(kind: Any, *arguments: str) -> Any:
        command = ["bw", "--nointeraction", "list", *arguments]
        return _read(await _answer("bw", command, token, settings), kind, "bw")

    folders: list[BwFolder] = await read(list[BwFolder], "folders")
    folder = next((found for found in folders if found.name == settings["folder"] and found.id), None)
    if folder is None:
        raise PluginError(
            f'The vault has no folder "{settings["folder"]}".',
            plugin=PLUGIN,
            hint="Make it, or name another: hermes config set bitwarden.folder NAME",
        )
    items: list[BwItem] = await read(list[BwItem], "items", "--folderid", str(folder.id))
    return {item.name: _secret_of(item) for item in reversed(items)}


def _secret_of(item: BwItem) -> str:
    return (item.login.password if item.login is not None else item.notes) or ""


def _read(printed: bytes, kind: Any, program: str) -> Any:
    try:
        return msgspec.json.decode(printed, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise PluginError(
            f"{program} did not print the JSON that it prints by its documentation.", plugin=PLUGIN, hint=HINTS[program]
        ) from None
