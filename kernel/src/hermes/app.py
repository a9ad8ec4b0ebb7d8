"""The composition root: every surface starts an agent through an `App`, and there is nothing beside it."""

from __future__ import annotations

import logging
import os
import random
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hermes.agent.auxiliary import AuxiliaryModels
from hermes.agent.conversation import Conversation
from hermes.agent.follow import session_events
from hermes.agent.host import KernelHost
from hermes.agent.services import ConversationOptions, Services
from hermes.config.home import Home, find_home, host_environment
from hermes.config.load import merge, parse_settings, settings_of_environment, split_sections, under_environment
from hermes.config.secrets import ScopedSecrets
from hermes.config.sections import plugin_sections
from hermes.contracts.errors import PluginError, SessionNotFound, StoreError
from hermes.contracts.events import AnyEvent
from hermes.contracts.host import Clock, PluginContext
from hermes.contracts.provider import ProviderSpec
from hermes.contracts.scope import Scope
from hermes.contracts.store import HistoryQuery, SessionQuery, SessionRecord, SessionRef, SessionStore
from hermes.contracts.values import Done
from hermes.logs.redact import Redactor
from hermes.logs.setup import set_up_logs
from hermes.models.making import make_router
from hermes.models.router import Router
from hermes.models.secret_finder import SecretFinder
from hermes.models.vault import Vault
from hermes.plugins.announcements import GivenUp
from hermes.plugins.claims import config_schemas, provider_claims, routing_claims, settle, settle_sections
from hermes.plugins.counters import keep_counters
from hermes.plugins.held import HeldByPlugins
from hermes.plugins.index import Index, load_index, switched
from hermes.plugins.indexed import IndexedPlugin, placed
from hermes.plugins.manager import PluginManager
from hermes.plugins.permissions import CheckedHost
from hermes.plugins.reloading import Reloader
from hermes.plugins.requirements import lacking
from hermes.tools.registry import ToolRegistry
from hermes.tools.runner import ToolRunner

if TYPE_CHECKING:
    from hermes.plugins.host_pool import HostPool

Notify = Callable[[str], None]
COUNTERS_SECONDS = 60.0
"""How often the counters of hooks are kept while the program runs."""


class App:
    """One home, its settings, its plugins and its sessions.

    Args:
        home: the folder; None: as the environment says.
        plugins: objects or modules that are plugins, beside the installed ones.
        overrides: settings over all others, as ``config.yaml`` has them.
        environ: in place of the process's environment.
        workspace: the folder that conversations work in; its project's settings count if it is trusted.
        in_memory: sessions are thrown away at the end.
        index: what was read of the plugins a moment ago, so that it is not read again.
        notify: told what a person should know about plugins; the log has it in any case.

    Raises:
        ConfigError: the home or its settings cannot be used.
    """

    def __init__(
        self,
        home: str | Path | None = None,
        *,
        profile: str = "",
        plugins: Iterable[Any] = (),
        overrides: Mapping[str, Any] | None = None,
        environ: Mapping[str, str] | None = None,
        workspace: str = "",
        ignore_user_config: bool = False,
        in_memory: bool = False,
        clock: Clock | None = None,
        jitter: Callable[[], float] = random.random,
        notify: Notify = lambda text: None,
        index: Index | None = None,
    ) -> None:
        self.environ = dict(host_environment() if environ is None else environ)
        self.home = Home(Path(home).absolute()) if home is not None else find_home(self.environ, profile)
        self.home.make()
        self.clock = clock or Clock()
        self.workspace = workspace or os.getcwd()
        self.index = load_index(self.home, self.workspace, ignore_config=ignore_user_config, read=index)
        indexed = self._read_settings(overrides or {})
        scoped = ScopedSecrets(self.environ, self.home.env_file, self.home.users)
        self.vault = Vault(self.home.auth_file, self.home.run)
        redactor = self._redactor(indexed, scoped)
        self.redact = redactor.redact if self.settings.security.redact_secrets else lambda text: text
        self.log = set_up_logs(
            self.home.logs,
            level=self.settings.logging.level,
            max_size_mb=self.settings.logging.max_size_mb,
            backup_count=self.settings.logging.backup_count,
            redact=self.redact,
        )
        self._in_memory = in_memory
        self._store: SessionStore | None = None
        self._conversations: dict[str, Conversation] = {}
        self._contexts: dict[str, PluginContext] = {}
        self._counted = self.clock.monotonic()
        self.notify = notify
        self.secrets = SecretFinder(
            scoped, lambda: self.plugins, learn=redactor.learn, log=self.log, notify=lambda text: self.notify(text)
        )
        self._assemble(indexed, plugins, jitter)

    def _read_settings(self, overrides: Mapping[str, Any]) -> list[IndexedPlugin]:
        """Layers and checks the settings. Gives the plugins, switched on or off as these have it."""
        tree = merge(under_environment(self.index.settings, self.environ), overrides)
        self._tree = tree
        own, rest = split_sections(tree)
        self.settings = parse_settings(own, self.home.config_file)
        entries = self.settings.plugins.entries
        indexed = [placed(switched(plugin, tree.get("plugins")), entries) for plugin in self.index.plugins]
        self._schemas = config_schemas(indexed)
        self.sections = plugin_sections(rest, entries, self._schemas, self.home.config_file)
        return indexed

    def _assemble(self, indexed: list[IndexedPlugin], given: Iterable[Any], jitter: Callable[[], float]) -> None:
        self.plugins = PluginManager(
            indexed,
            make_context=self.context,
            make_pool=self._host_pool,
            entries=self.settings.plugins.entries,
            lacking=lambda manifest: lacking(manifest.requires, self._has_secret, self._tree),
            given_up=GivenUp(self.home.run),
            notify=self.notify,
            log=self.log,
        )
        self.held = HeldByPlugins(self.log, self.plugins.alarm)
        for plugin in given:
            self.plugins.give(plugin)
        self.registry = ToolRegistry(self.plugins, self.notify)
        self._runner = ToolRunner(
            self.registry,
            context_of=self.context,
            redact=self.redact,
            results=self.home.tool_results,
            clock=self.clock,
            log=self.log,
        )
        self._host = KernelHost(
            self.plugins,
            self.registry,
            self._runner,
            store=lambda: self.store,
            section=lambda plugin: self.sections.get(plugin, {}),
            find_secret=self.find_secret,
            conversation=self._conversations.get,
            backend=self._backend,
            redact=self.redact,
            auxiliary=AuxiliaryModels(
                self.settings,
                lambda: self.router,
                self.plugins,
                conversation=self._conversations.get,
                store=lambda: self.store,
                clock=self.clock,
                new_id=self.new_id,
            ),
        )
        self.reloader = Reloader(
            self.plugins,
            self.home.run,
            index=lambda: load_index(self.home, self.workspace),
            place=lambda plugin: placed(switched(plugin, self._tree.get("plugins")), self.settings.plugins.entries),
            held=self.held,
            changed=self.registry.forget,
            notify=self.notify,
        )
        self.router = self._make_router(jitter)

    def _make_router(self, jitter: Callable[[], float]) -> Router:
        plugins = self.plugins.plugins.values()
        usable = [plugin.indexed for plugin in plugins if plugin.usable]
        off = [plugin.indexed for plugin in plugins if plugin.state == "disabled"]
        specs = self._provider_specs(usable)
        return make_router(
            self.settings,
            self.home,
            self.plugins,
            specs=specs,
            off={claim.name: claim.plugin.name for claim in provider_claims(off) if claim.name not in specs},
            variables=settings_of_environment(self.environ),
            orders={name: claim.value for name, claim in settle("routing", routing_claims(usable))[0].items()},
            vault=self.vault,
            find_secret=self.find_secret,
            learn=self.secrets.learn,
            clock=self.clock,
            jitter=jitter,
            log=self.log,
        )

    def _redactor(self, indexed: list[IndexedPlugin], scoped: ScopedSecrets) -> Redactor:
        patterns = [text for plugin in indexed if not plugin.problem for text in plugin.manifest.secret_patterns]
        stored = [text for entry in self.vault.all() for text in (entry.secret, entry.refresh) if text]
        return Redactor(patterns, [*scoped.values(), *stored])

    def _provider_specs(self, usable: list[IndexedPlugin]) -> dict[str, ProviderSpec]:
        owners, refused = settle("provider", provider_claims(usable), ties=False)
        for text in [*refused, *settle_sections(usable)[1]]:
            self.notify(text)
        return {name: claim.value for name, claim in owners.items()}

    async def __aenter__(self) -> App:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    @property
    def store(self) -> SessionStore:
        """The session store; opened with its first use.

        Raises:
            StoreError: it cannot be opened, or is another program's.
        """
        if self._store is None:
            from hermes.sessions.sqlite import open_store

            self._store = open_store(None if self._in_memory else self.home.path)
        return self._store

    @property
    def scope(self) -> Scope:
        return Scope(home=str(self.home.path), workspace=self.workspace)

    def _has_secret(self, name: str) -> bool:
        return self.secrets.is_set(name, self.scope)

    async def find_secret(self, name: str, scope: Scope) -> tuple[str, str]:
        """A secret and where it was found; see `SecretFinder`."""
        return await self.secrets.find(name, scope)

    async def conversation(self, session_id: str = "", **options: Any) -> Conversation:
        """A new session, or a stored one by its id or the beginning of it. ``options``: `ConversationOptions`.

        Raises:
            SessionNotFound: there is none of that id.
        """
        record = await self.find_session(session_id) if session_id else None
        chosen = ConversationOptions(**{"workspace": "" if record else self.workspace, **options})
        session = record.id if record else self._session_id()
        conversation = Conversation(await self.services(), chosen, session, record)
        self.secrets.give(conversation.id, chosen.secrets)
        self._conversations[conversation.id] = conversation
        return conversation

    async def services(self) -> Services:
        """What conversations and direct calls are made of."""
        return Services(
            home=self.home,
            settings=self.settings,
            store=self.store,
            plugins=self.plugins,
            router=self.router,
            registry=self.registry,
            runner=self._runner,
            clock=self.clock,
            new_id=self.new_id,
            log=self.log,
            engine=await self._engine(),
            before_turn=self.reloader.look,
            after_turn=self._after_turn,
        )

    def new_id(self) -> str:
        return secrets.token_hex(6)

    def _session_id(self) -> str:
        return time.strftime("%Y%m%d_%H%M%S", time.localtime(self.clock.now())) + f"_{secrets.token_hex(3)}"

    async def find_session(self, start: str) -> SessionRecord:
        """A stored session by its id, or by a beginning that no other session's id has.

        Raises:
            SessionNotFound: there is none, or there are several.
        """
        try:
            return await self.store.get(SessionRef(session_id=start))
        except SessionNotFound:
            found = (await self.store.find(SessionQuery(prefix=start, limit=2))).sessions if start else ()
            if not found:
                raise
        if len(found) > 1:
            raise SessionNotFound(
                f"Several sessions begin with {start}.", hint="Give more of the id: hermes sessions list"
            )
        return found[0]

    async def latest_session(self) -> str:
        """The id of the session that was used last; blank if there is none."""
        found = await self.store.find(SessionQuery(limit=1))
        return found.sessions[0].id if found.sessions else ""

    def events(self, session_id: str, *, after: int = 0, follow: bool = False) -> AsyncIterator[AnyEvent]:
        """What happened in a session, from a number on, from whichever process; with ``follow``, up to the end
        of the turn that is running or comes next.
        """
        return session_events(self.store, self._conversations.get(session_id), session_id, after, follow=follow)

    async def _engine(self) -> Any:
        names = self.plugins.names("context_engine")
        return await self.plugins.provided("context_engine", names[0]) if names else None

    def _backend(self) -> str:
        """The terminal backend that the setting ``terminal.backend`` chooses, or the only one.

        Raises:
            PluginError: no plugin provides one.
        """
        for plugin, schema in self._schemas:
            if schema.section == "terminal" and (chosen := self.sections[plugin].get("backend")):
                return str(chosen)
        if names := self.plugins.names("terminal"):
            return names[0]
        raise PluginError("No plugin provides a terminal.", hint="Enable one: hermes plugins list")

    async def _after_turn(self, session_id: str) -> None:
        await self._write_transcript(session_id)
        if self.clock.monotonic() - self._counted > COUNTERS_SECONDS:
            await self._keep_counters()

    async def _keep_counters(self) -> None:
        self._counted = self.clock.monotonic()
        if self._store is not None and not self._in_memory:
            try:
                await keep_counters(self._store, self.plugins.counted())
            except StoreError as error:
                self.log.error("the counters of hooks could not be kept: %s", error)

    async def _write_transcript(self, session_id: str) -> None:
        """A transcript that cannot be written is reported; the session itself is in the store."""
        if self._in_memory or not self.settings.sessions.transcripts:
            return
        from hermes.sessions.transcript import write_transcript

        record = await self.store.get(SessionRef(session_id=session_id))
        history = await self.store.history(HistoryQuery(session_id=session_id))
        try:
            write_transcript(self.home.sessions, record, history.messages, redact=self.redact)
        except OSError as error:
            self.log.error("the transcript of %s could not be written: %s", session_id, error)

    def context(self, plugin: str) -> PluginContext:
        """What the kernel gives to that plugin."""
        context = self._contexts.get(plugin)
        if context is None:
            context = self._contexts[plugin] = PluginContext(
                self.checked_host(plugin),
                plugin,
                scope=self.scope,
                data_root=str(self.home.plugin_data),
                clock=self.clock,
                log=logging.LoggerAdapter(self.log, {"plugin": plugin}),
                spawn=partial(self.held.spawn, plugin),
                on_unload=partial(self.held.on_unload, plugin),
                resolve=partial(self._resolve, plugin),
                load_foreign=partial(self.plugins.load_foreign, by=plugin),
            )
        return context

    async def _resolve(self, plugin: str, contract: str, name: str) -> Any:
        if name not in self.plugins.plugins[plugin].indexed.manifest.names(contract):
            self.checked_host(plugin).require_provision(contract)
        return await self.plugins.provided(contract, name)

    def checked_host(self, plugin: str) -> CheckedHost:
        """The kernel as that plugin may use it."""
        indexed = self.plugins.plugins[plugin].indexed
        permissions = indexed.permissions if indexed.restricted else None
        return CheckedHost(
            lambda: self._host, plugin, permissions, lambda name: self.sections.get(name, {}), self._runner.serving
        )

    def _host_pool(self, gave_up: Callable[[Any, str], None]) -> HostPool:
        from hermes.plugins.host_pool import HostPool
        from hermes.plugins.isolated import Surroundings
        from hermes.plugins.kernel_server import KernelServer

        around = Surroundings(
            scope=self.scope,
            data_root=self.home.plugin_data,
            clock=self.clock,
            log=self.log,
            memory_mb=self.settings.plugins.host_memory_mb,
            server=lambda names: KernelServer(names, self.plugins, self.checked_host, self.log),
        )
        return HostPool(around, gave_up)

    async def close_connections(self) -> None:
        """Those to models, of the running event loop."""
        for transport in self.plugins.made("transport"):
            if close := getattr(transport, "close", None):
                await close()

    async def close(self) -> None:
        """Ends what runs, tells the plugins, closes terminals and the store."""
        for conversation in list(self._conversations.values()):
            await conversation.close()
        await self.held.end_tasks()
        await self._keep_counters()
        await self._host.close_terminals()
        await self.held.unload_all()
        await self.close_connections()
        await self.plugins.close()
        if self._store is not None:
            try:
                await self._store.close(Done())
            except StoreError as error:
                self.log.error("the store was not closed well: %s", error)
            self._store = None
        for handler in self.log.handlers:
            handler.close()
