"""Finds secrets for a scope: what was given, files and the environment, then the plugins' sources."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from hermes.config.secrets import SECRET_NAME, ScopedSecrets, looks_like_path
from hermes.contracts.errors import HermesError
from hermes.contracts.scope import Scope
from hermes.contracts.service import SecretQuery
from hermes.plugins.manager import PluginManager


class SecretFinder:
    """``learn`` is told of every secret that is found, so that it is redacted."""

    def __init__(
        self,
        scoped: ScopedSecrets,
        plugins: Callable[[], PluginManager],
        *,
        learn: Callable[[str], None],
        log: logging.Logger,
        notify: Callable[[str], None],
    ) -> None:
        self._scoped = scoped
        self._plugins = plugins
        self._learn = learn
        self._log = log
        self._notify = notify
        self._told: set[str] = set()

    def is_set(self, name: str, scope: Scope) -> bool:
        """Whether it is there without asking a plugin."""
        found = self._scoped.get(name, scope)
        return found is not None and bool(found[0])

    def give(self, session_id: str, values: Mapping[str, str]) -> None:
        """A session's own, before all others."""
        self._scoped.give(session_id, values)
        for value in values.values():
            self.learn(value)

    def learn(self, value: str) -> None:
        """A path to a file of secrets is none itself."""
        if not looks_like_path(value):
            self._learn(value)

    async def find(self, name: str, scope: Scope) -> tuple[str, str]:
        """A secret and where it was found. Blank: unset.

        The session's own come first, then the user's file, the environment, ``.env``, and the plugins' sources.
        """
        found = self._scoped.get(name, scope)
        value, source = found if found is not None else await self._of_plugins(name, scope)
        if SECRET_NAME.search(name):
            self.learn(value)
        return value, source

    async def _of_plugins(self, name: str, scope: Scope) -> tuple[str, str]:
        plugins = self._plugins()
        for provided in plugins.names("secret_source"):
            try:
                source = await plugins.provided("secret_source", provided)
                found = await source.get(SecretQuery(names=(name,), scope=scope))
            except HermesError as error:
                self._failed(provided, error)
                continue
            if name in found.values:
                value = found.values[name].strip()
                return (value, f"{provided}:{name}") if value else ("", "")
        return "", ""

    def _failed(self, source: str, error: HermesError) -> None:
        """A source that cannot answer does not keep anybody from what needs none of its secrets. It is told once."""
        text = f"Secrets of {source} cannot be read: {error} {error.hint}".strip()
        self._log.warning("%s", text)
        if text not in self._told:
            self._told.add(text)
            self._notify(text)
