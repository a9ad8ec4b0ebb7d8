"""`Host` as one plugin may use it: under its own name, and within what its manifest asks for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import msgspec

from hermes.contracts.errors import PluginError
from hermes.contracts.host import CallOutput, Host

from .manifest import Permissions

NEEDED = {
    "config": "",
    "secrets": "",
    "get_state": "",
    "set_state": "",
    "list_state": "",
    "llm": "llm",
    "call_tool": "call_tool",
    "find_sessions": "sessions",
    "history": "sessions",
    "search": "sessions",
    "inject": "inject",
    "ask": "ask",
    "emit": "",
    "subscribe": "",
    "provider_names": "",
    "terminal": "terminal",
    "output": "",
    "redact": "",
}
"""Which of ``permissions.calls`` each call needs; blank: none. A call that is not here is refused."""


class CheckedHost:
    """Stands before the kernel's `Host`. ``permissions`` None: the plugin is the user's own, and may do all.

    ``section``: a plugin's settings. ``serving``: plugin, session and id of each tool call that is running.

    Whatever name a request carries, the plugin acts under its own.
    """

    def __init__(
        self,
        host: Callable[[], Host],
        plugin: str,
        permissions: Permissions | None,
        section: Callable[[str], Mapping[str, Any]] = lambda plugin: {},
        serving: Collection[tuple[str, str, str]] = (),
    ) -> None:
        self._section = section
        self._serving = serving
        self._host = host
        self._plugin = plugin
        self._permissions = permissions

    def __getattr__(self, name: str) -> Callable[[Any], Any]:
        if name not in NEEDED:
            raise AttributeError(name)

        def call(request: Any) -> Any:
            return getattr(self._host(), name)(self._own(name, request))

        self.__dict__[name] = call
        return call

    def _own(self, name: str, request: Any) -> Any:
        if self._permissions is not None:
            self.require(NEEDED[name])
            for secret in request.names if name == "secrets" else ():
                if secret not in self._secrets(self._permissions):
                    raise self._denied(f"read the secret {secret}", f"secrets: [{secret}]")
        if name == "output" and self._permissions is not None and not self._serves(request):
            raise self._denied("show output of a call that it is not serving", "")
        if name == "emit" and not request.topic.startswith(f"{self._plugin}."):
            raise self._denied(f"speak as {request.topic.partition('.')[0]}", "")
        if getattr(request, "plugin", self._plugin) != self._plugin:
            request = msgspec.structs.replace(request, plugin=self._plugin)
        return request

    def _serves(self, output: CallOutput) -> bool:
        return (self._plugin, output.session_id, output.call_id) in self._serving

    def _secrets(self, permissions: Permissions) -> set[str]:
        """The names it may ask for; ``config:key`` stands for the name that the user put into its settings."""
        named = {entry.removeprefix("config:") for entry in permissions.secrets if entry.startswith("config:")}
        section = self._section(self._plugin) if named else {}
        return {*permissions.secrets, *(str(section[key]) for key in named if section.get(key))}

    def require(self, call: str) -> None:
        """Raises PluginError: the manifest does not ask for that call."""
        if call and self._permissions is not None and call not in self._permissions.calls:
            raise self._denied(f"call ctx.{call}", f"calls: [{call}]")

    def require_provision(self, contract: str) -> None:
        """Raises PluginError: the manifest does not ask for what others provide of that contract."""
        self.require("terminal" if contract == "terminal" else "provider")

    def _denied(self, what: str, line: str) -> PluginError:
        hint = f"Its manifest has to ask for it: permissions: {{{line}}}" if line else ""
        return PluginError(f'The plugin "{self._plugin}" may not {what}.', plugin=self._plugin, hint=hint)
