"""Finds, activates and addresses plugins. It knows them by what they declare, and imports one when it is needed."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pluggy

from hermes.contracts import hookspecs
from hermes.contracts.errors import ErrorInfo, HermesError, PluginError, nearest
from hermes.contracts.hookspecs import PROJECT
from hermes.contracts.host import ForeignPlugin, PluginContext
from hermes.contracts.provider import ProviderSpec
from hermes.logs.plain import log_failure, plain

from .activation import Activation, hooks_in
from .announcements import GivenUp
from .guard import Alarm, Contained, Implementation
from .hooks import GuardDown, Hooks
from .indexed import IndexedPlugin, placed
from .limits import limited
from .loader import load_foreign, load_target, plugin_module
from .manifest import Manifest, parse_manifest
from .plugin import Plugin, State

if TYPE_CHECKING:
    from .host_pool import HostPool
    from .isolated import PluginHost


class PluginManager:
    """The plugins of one `App`. ``make_context`` gives a plugin its context; ``notify`` tells the user.

    ``make_pool`` makes the plugin hosts, when the first isolated plugin is needed; None: none can be used here.
    ``entries``: the setting ``plugins.entries``. ``lacking``: what a plugin requires and is not there.
    ``given_up``: where other programs read of plugins that are out of use here.
    """

    def __init__(
        self,
        indexed: Iterable[IndexedPlugin],
        *,
        make_context: Callable[[str], PluginContext],
        notify: Callable[[str], None],
        log: logging.Logger,
        make_pool: Callable[[Callable[[PluginHost, str], None]], HostPool] | None = None,
        entries: Mapping[str, Any] | None = None,
        lacking: Callable[[Manifest], list[str]] = lambda manifest: [],
        given_up: GivenUp | None = None,
    ) -> None:
        self._word = given_up
        self._pm = pluggy.PluginManager(PROJECT)
        self._pm.add_hookspecs(hookspecs)
        for name in self._hook_names():
            caller = getattr(self._pm.hook, name)
            # Every hook may ask for its plugin's context; pluggy refuses arguments that the spec does not have.
            caller.spec.argnames = (*caller.spec.argnames, "ctx")
        self._make_context = make_context
        self._make_pool = make_pool
        self._pool: HostPool | None = None
        self._entries = entries or {}
        self._notify = notify
        self._log = log
        self._told: set[tuple[str, str]] = set()
        self._made: dict[tuple[str, str], Any] = {}
        self._table: dict[str, list[Implementation]] = {name: [] for name in self._hook_names()}
        self._retired: list[Implementation] = []
        self._down: list[GuardDown] = []
        self.alarm = Alarm()
        self._contained = Contained(self._report, self.alarm)
        self._activation = Activation(self._load, make_context, self._contained)
        self.hooks = Hooks(self._table, self._contained, self._down, self._limit, self.start, self._trusts)
        self._lacking = lacking
        self.plugins = {plugin.name: self._found(plugin) for plugin in indexed}

    @staticmethod
    def _hook_names() -> list[str]:
        return [name for name, value in vars(hookspecs).items() if hasattr(value, f"{PROJECT}_spec")]

    def _found(self, indexed: IndexedPlugin) -> Plugin:
        plugin = Plugin(indexed)
        if plugin.state == "idle" and (missing := self._lacking(indexed.manifest)):
            missed: State = "failed" if indexed.manifest.is_guard or indexed.manifest.required else "unmet"
            plugin.state, plugin.problem = missed, f"it needs {', '.join(missing)}"
        return plugin

    def _limit(self, plugin: str, spec: ProviderSpec) -> ProviderSpec:
        return limited(self.plugins[plugin].indexed, spec)

    def _trusts(self, plugin: str) -> bool:
        return self.plugins[plugin].indexed.trusted

    def give(self, plugin: Any) -> None:
        """Adds an object or module as a plugin, in place of an installed one of its name."""
        name = getattr(plugin, "name", None) or getattr(plugin, "__name__", type(plugin).__name__).rpartition(".")[2]
        manifest = getattr(plugin, "manifest", None)
        if not isinstance(manifest, Manifest):
            manifest = Manifest(name=str(name), hooks=list(hooks_in(plugin)))
        indexed = IndexedPlugin(name=manifest.name, source="given", manifest=manifest)
        self.plugins[manifest.name] = Plugin(indexed, given=plugin)

    async def start(self) -> None:
        """Activates every plugin that has hooks; guards that cannot be are put down.

        Raises:
            PluginError: a plugin that the user requires cannot be activated.
        """
        for plugin in self.plugins.values():
            if plugin.state == "idle" and plugin.indexed.manifest.hooks and plugin.indexed.isolation == "isolated":
                self._hosts().begin(plugin.indexed, self._isolated())
        for plugin in list(self.plugins.values()):
            if plugin.state in ("disabled", "unmet"):
                continue
            if plugin.indexed.clash:
                self._tell(plugin.name, "name", plugin.indexed.clash)
            if plugin.state == "idle" and (plugin.indexed.manifest.hooks or plugin.given is not None):
                with contextlib.suppress(PluginError):
                    await self.activate(plugin.name)
            if plugin.state == "failed":
                self._mourn(plugin)

    def _mourn(self, plugin: Plugin) -> None:
        self._tell(plugin.name, "", f'The plugin "{plugin.name}" is not used: {plugin.problem}')
        if plugin.indexed.manifest.required:
            raise PluginError(
                f'The plugin "{plugin.name}" is required and cannot be used: {plugin.problem}',
                plugin=plugin.name,
                hint=plugin.indexed.hint,
            )
        self._put_down(plugin)

    def _put_down(self, plugin: Plugin) -> None:
        """What a guard that cannot work would judge is denied from now on."""
        if plugin.indexed.manifest.is_guard and all(down.plugin != plugin.name for down in self._down):
            self._down.append(GuardDown(plugin.name, plugin.problem, tuple(plugin.indexed.manifest.hooks)))

    async def activate(self, name: str) -> Plugin:
        """Imports the plugin, registers its hooks and asks what it provides; once.

        Raises:
            PluginError: it cannot be; from then on it counts as failed.
        """
        plugin = self.plugins.get(name)
        if plugin is None:
            raise PluginError(f'There is no plugin "{name}".', plugin=name, hint="See: hermes plugins list")
        if plugin.active:
            return plugin
        if plugin.state == "disabled":
            raise PluginError(f'The plugin "{name}" is disabled.', plugin=name, hint=f"hermes plugins enable {name}")
        async with plugin.activating:
            if plugin.state == "idle":
                await self._try(plugin)
        if not plugin.active:
            raise PluginError(
                f'The plugin "{name}" cannot be used: {plugin.problem}',
                plugin=name,
                hint=plugin.indexed.hint or f"Mend it, or: hermes plugins disable {name}",
            )
        return plugin

    async def _try(self, plugin: Plugin) -> None:
        try:
            await self._activation.prepare(plugin)
            self._register(plugin)
            plugin.state = "active"
        except (KeyboardInterrupt, asyncio.CancelledError):
            self._withdraw(plugin)
            raise
        except BaseException as error:  # noqa: BLE001 (the boundary: a plugin's import may raise anything)
            self._withdraw(plugin)
            plugin.state, plugin.problem = "failed", _summary(error)
            log_failure(self._log, f"plugin {plugin.name} cannot be activated", error)

    async def _load(self, plugin: Plugin) -> Any:
        """What has the plugin's hooks: its module, what another plugin made of it, or what calls its host."""
        indexed = plugin.indexed
        loader = (await self.activate(indexed.loaded_by)).indexed if indexed.loaded_by else None
        if indexed.isolation == "isolated" and (indexed.module or loader is not None):
            remote = plugin.remote = await self._hosts().load(indexed, self._isolated(), self.contract_type, loader)
            plugin.provisions.update({provision[:2]: provision for provision in remote.provisions})
            return remote.hooks
        return load_foreign(loader, indexed) if loader is not None else plugin_module(indexed)

    def _register(self, plugin: Plugin) -> None:
        """Puts the plugin's implementations where pluggy's order has them."""
        if plugin.subject is None:
            return
        name, context = plugin.name, self._make_context(plugin.name)
        self._pm.register(plugin.subject, name=name)
        for hook, implementations in self._table.items():
            by_plugin = {found.plugin: found for found in implementations if found.plugin != name}
            callers = list(reversed(getattr(self._pm.hook, hook).get_hookimpls()))
            self._table[hook] = [
                by_plugin.get(found.plugin_name)
                or Implementation(found.plugin_name, hook, found.function, found.argnames, context)
                for found in callers
                if found.plugin_name in by_plugin or found.plugin_name == name
            ]

    def _withdraw(self, plugin: Plugin) -> None:
        if self._pm.has_plugin(plugin.name):
            self._pm.unregister(name=plugin.name)
        for hook, implementations in self._table.items():  # a new list: a call may be going through the old one
            self._table[hook] = [found for found in implementations if found.plugin != plugin.name]
            self._retired += [found for found in implementations if found.plugin == plugin.name]
        for key in plugin.provisions:
            self._made.pop(key, None)
        plugin.provisions.clear()
        plugin.tools.clear()

    async def replace(self, indexed: IndexedPlugin) -> None:
        """Puts a plugin's new version in the place of the one that runs; a broken one changes nothing.

        Raises:
            PluginError: it cannot be loaded; the old one goes on.
        """
        old, new = self.plugins.get(indexed.name), self._found(indexed)
        runs = old is not None and old.active
        if runs and new.state in ("failed", "unmet"):
            raise PluginError(_not_better(new.name, new.problem), plugin=new.name)
        if runs and new.state == "idle":
            await self._prepare_again(new)
        if old is not None:
            self._withdraw(old)
        if self._word is not None:
            self._word.take_back(new.name)
        if new.subject is not None:
            self._register(new)
            new.state = "active"
        self.plugins[new.name] = new
        self._down[:] = [down for down in self._down if down.plugin != new.name]
        if new.state == "idle" and new.indexed.manifest.hooks:
            with contextlib.suppress(PluginError):
                await self.activate(new.name)
        if new.state == "failed":
            self._mourn(new)
        if old is not None and old.remote is not None:
            await self._hosts().leave(old.remote)

    async def _prepare_again(self, new: Plugin) -> None:
        isolated = new.indexed.isolation == "isolated"
        host = self._hosts().set_aside(new.indexed) if isolated else None
        try:
            await self._activation.prepare(new)
            self._try_out(new)
        except BaseException as error:
            if isolated:
                await self._hosts().put_back(new.indexed, host)
            raise PluginError(_not_better(new.name, _summary(error)), plugin=new.name) from error

    def _try_out(self, new: Plugin) -> None:
        """Raises what registering it would."""
        name = f"{new.name}, tried out"
        try:
            self._pm.register(new.subject, name=name)
        finally:
            self._pm.unregister(name=name)

    async def remove(self, name: str) -> None:
        """A plugin that is not there any more."""
        plugin = self.plugins.pop(name)
        self._withdraw(plugin)
        self._down[:] = [down for down in self._down if down.plugin != name]
        if plugin.remote is not None:
            await self._hosts().leave(plugin.remote)

    def _hosts(self) -> HostPool:
        if self._pool is None:
            if self._make_pool is None:
                raise PluginError("Isolated plugins cannot be used here.")
            self._pool = self._make_pool(self._gave_up)
        return self._pool

    def _isolated(self) -> list[IndexedPlugin]:
        found = [plugin.indexed for plugin in self.plugins.values() if plugin.usable]
        return [indexed for indexed in found if indexed.isolation == "isolated"]

    def _gave_up(self, host: PluginHost, why: str) -> None:
        """A plugin host died too often: its plugins are out of use until the user does something."""
        for name in host.plugins:
            plugin = self.plugins.get(name)
            if plugin is None or plugin.remote is None or plugin.remote.host is not host:
                continue
            self._withdraw(plugin)
            plugin.state, plugin.problem = "failed", why
            self._put_down(plugin)
            self._tell(name, "", f'The plugin "{name}" is disabled: {why}')
            if self._word is not None:
                self._word.add(name, why)

    def hosts(self) -> list[PluginHost]:
        """The plugin hosts that there are, running or not."""
        return self._pool.hosts() if self._pool is not None else []

    async def close(self) -> None:
        """Ends the plugin hosts."""
        if self._pool is not None:
            await self._pool.close()
        if self._word is not None:
            self._word.close()

    def contract_type(self, contract: str) -> type | None:
        """The type of a contract that a plugin in this process defines; None: there is none."""
        for plugin in self.plugins.values():
            target = plugin.indexed.manifest.contracts.get(contract)
            if target and plugin.usable and plugin.indexed.isolation == "host":
                kind: type = load_target(plugin.indexed, target)
                return kind
        return None

    async def load_foreign(self, foreign: ForeignPlugin, by: str) -> None:
        """Adds a plugin that ``by`` knows how to load, and activates it.

        Raises:
            PluginError: its manifest is none, its name is taken, or it cannot be activated.
        """
        manifest = parse_manifest(foreign.manifest, foreign.location)
        rival = self.plugins.get(manifest.name)
        if rival is not None:
            raise PluginError(
                f'two plugins are called "{manifest.name}": {rival.indexed.path} and {foreign.location}.', plugin=by
            )
        indexed = IndexedPlugin(
            name=manifest.name,
            source="foreign",
            manifest=manifest,
            path=foreign.location,
            loader=foreign.loader,
            loaded_by=by,
        )
        self.plugins[manifest.name] = self._found(placed(indexed, self._entries))
        await self.activate(manifest.name)

    def names(self, contract: str, *, trusted: bool = False) -> tuple[str, ...]:
        """Under which names a contract is provided, of what is declared or active.

        ``trusted``: only by plugins that run in Hermes's own process.
        """
        names: dict[str, None] = {}
        for plugin in self.plugins.values():
            if plugin.usable and (plugin.indexed.isolation == "host" or not trusted):
                names.update(dict.fromkeys(plugin.indexed.manifest.names(contract)))
                names.update({key[1]: None for key in plugin.provisions if key[0] == contract})
        return tuple(names)

    async def provided(self, contract: str, name: str) -> Any:
        """What is provided under that name, made on first need.

        Raises:
            PluginError: nobody provides it, two do, or its plugin cannot be activated.
        """
        key = (contract, name)
        if key in self._made:
            return self._made[key]
        owners = [
            plugin
            for plugin in self.plugins.values()
            if plugin.state != "disabled"
            and (name in plugin.indexed.manifest.names(contract) or key in plugin.provisions)
        ]
        if not owners:
            raise PluginError(_nobody(contract, name, self.names(contract)), hint=self._package_hint(contract, name))
        if len(owners) > 1:
            both = " and ".join(f'"{plugin.name}"' for plugin in owners)
            raise PluginError(f'The {contract} "{name}" is provided by {both}.', hint="Disable one of them.")
        plugin = await self.activate(owners[0].name)
        provision = plugin.provisions.get(key)
        if provision is None:
            raise PluginError(
                f'The plugin "{plugin.name}" says that it provides the {contract} "{name}", and does not.',
                plugin=plugin.name,
            )
        wants_context = "ctx" in inspect.signature(provision.make).parameters
        with contextlib.redirect_stdout(sys.stderr):
            made = provision.make(ctx=self._make_context(plugin.name)) if wants_context else provision.make()
            self._made[key] = await made if inspect.isawaitable(made) else made
        return self._made[key]

    def _package_hint(self, contract: str, name: str) -> str:
        """Where it is to be had. Only what runs in this process is believed: a name to install is code to run."""
        for plugin in self.plugins.values():
            if name in plugin.indexed.manifest.names(contract):
                return f"hermes plugins enable {plugin.name}"
        known = [plugin.indexed.manifest.packages for plugin in self.plugins.values() if plugin.indexed.trusted]
        for packages in known:
            if package := packages.get(contract, {}).get(name):
                return f"pip install {package}"
        return f"If there is a plugin for it, it comes with: pip install hermes-plugin-{name.replace('_', '-')}"

    def made(self, contract: str) -> Sequence[Any]:
        """What has been made of a contract so far; for closing it."""
        return [made for key, made in self._made.items() if key[0] == contract]

    def stats(self) -> list[Implementation]:
        """Every implementation that is registered, with its counts."""
        return [found for implementations in self._table.values() for found in implementations]

    def counted(self) -> list[Implementation]:
        """The same, and those that were withdrawn."""
        return [*self.stats(), *self._retired]

    def _report(self, implementation: Implementation, error: ErrorInfo) -> None:
        said = plain(f"{error.kind}: {error.message}")
        text = f'The plugin "{implementation.plugin}" failed in {implementation.hook}: {said}'
        self._log.error(text)
        self._tell(implementation.plugin, implementation.hook, text)

    def _tell(self, plugin: str, hook: str, text: str) -> None:
        """Each trouble of a plugin once; the log has every one."""
        if (plugin, hook) not in self._told:
            self._told.add((plugin, hook))
            self._notify(f"{plain(text.rstrip('.'))}. (hermes plugins info {plugin})")


def _summary(error: BaseException) -> str:
    if isinstance(error, HermesError):
        return str(error)
    info = ErrorInfo.of(error)
    return f"{info.kind}: {info.message}" if info.message != info.kind else info.kind


def _not_better(name: str, problem: str) -> str:
    return f'The new version of "{name}" cannot be used: {problem.rstrip(".")}. The old one goes on.'


def _nobody(contract: str, name: str, known: Sequence[str]) -> str:
    near = nearest(name, known)
    advice = f' Did you mean "{near}"?' if near else f" There are: {', '.join(known)}." if known else ""
    return f'No plugin provides the {contract} "{name}".{advice}'
