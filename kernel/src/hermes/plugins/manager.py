"""Finds, activates and addresses plugins. It knows them by what they declare, and imports one when it is needed."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec
import pluggy

from hermes.contracts import hookspecs
from hermes.contracts.errors import ErrorInfo, HermesError, PluginError, nearest
from hermes.contracts.hookspecs import HOOK_OPTIONS_ATTRIBUTE, PROJECT
from hermes.contracts.host import ForeignPlugin, PluginContext
from hermes.contracts.service import Provision
from hermes.contracts.tool import OPTIONS_ATTRIBUTE, ToolOptions

from .guard import Alarm, Contained, Implementation
from .hooks import GuardDown, Hooks
from .indexed import IndexedPlugin, placed
from .loader import load_foreign, load_target, plugin_module
from .manifest import Manifest, parse_manifest

if TYPE_CHECKING:
    from .isolated import HostPool, PluginHost, RemotePlugin

ACTIVATION_HOOKS = frozenset({"provide", "register_tools"})
"""Called when a plugin is activated, whether its manifest names them or not."""

State = Literal["idle", "active", "failed", "disabled"]


class ToolMark(NamedTuple):
    """A function that was registered as a tool while the program runs. A blank description: its docstring's."""

    function: Callable[..., Any]
    description: str
    options: ToolOptions


class Plugin:
    """A plugin of this process: what is known of it, and what became of it."""

    def __init__(self, indexed: IndexedPlugin, given: object | None = None) -> None:
        self.indexed = indexed
        self.given = given
        self.state: State = "idle" if indexed.enabled else "disabled"
        self.activating = asyncio.Lock()
        self.problem = indexed.problem
        self.remote: RemotePlugin | None = None
        """Itself in its plugin host, where it has one."""
        self.provisions: dict[tuple[str, str], Provision] = {}
        self.tools: dict[str, ToolMark] = {}
        """What ``register_tools`` registered, by name."""
        if indexed.problem and indexed.enabled:
            self.state = "failed"


class PluginManager:
    """The plugins of one `App`. ``make_context`` gives a plugin its context; ``notify`` tells the user.

    ``make_pool`` makes the plugin hosts, when the first isolated plugin is needed; None: none can be used here.
    ``entries``: the setting ``plugins.entries``.
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
    ) -> None:
        self._pm = pluggy.PluginManager(PROJECT)
        self._pm.add_hookspecs(hookspecs)
        for name in self._hook_names():
            caller = getattr(self._pm.hook, name)
            # Every hook may ask for its plugin's context; pluggy refuses arguments that the spec does not have.
            caller.spec.argnames = (*caller.spec.argnames, "ctx")
        self._make_context = make_context
        self._make_pool = make_pool
        self._entries = entries or {}
        self._pool: HostPool | None = None
        self._notify = notify
        self._log = log
        self._told: set[tuple[str, str]] = set()
        self._made: dict[tuple[str, str], Any] = {}
        self._table: dict[str, list[Implementation]] = {name: [] for name in self._hook_names()}
        self._down: list[GuardDown] = []
        self.alarm = Alarm()
        self._contained = Contained(self._report, self.alarm)
        self.hooks = Hooks(self._table, self._contained, self._down)
        self.plugins = {plugin.name: Plugin(plugin) for plugin in indexed}

    @staticmethod
    def _hook_names() -> list[str]:
        return [name for name, value in vars(hookspecs).items() if hasattr(value, f"{PROJECT}_spec")]

    def give(self, plugin: Any) -> None:
        """Adds an object or module as a plugin, in place of an installed one of its name."""
        name = getattr(plugin, "name", None) or getattr(plugin, "__name__", type(plugin).__name__).rpartition(".")[2]
        manifest = getattr(plugin, "manifest", None)
        hooks = [attr for attr in dir(plugin) if hasattr(getattr(plugin, attr), HOOK_OPTIONS_ATTRIBUTE)]
        if not isinstance(manifest, Manifest):
            manifest = Manifest(name=str(name), hooks=hooks)
        indexed = IndexedPlugin(name=manifest.name, source="given", manifest=manifest)
        self.plugins[manifest.name] = Plugin(indexed, given=plugin)

    def manifests(self) -> list[Manifest]:
        """Of all that are enabled and sound."""
        return [plugin.indexed.manifest for plugin in self.plugins.values() if plugin.state in ("idle", "active")]

    async def start(self) -> None:
        """Activates every plugin that has hooks; guards that cannot be are put down.

        Raises:
            PluginError: a plugin that the user requires cannot be activated.
        """
        for plugin in self.plugins.values():
            if plugin.state == "idle" and plugin.indexed.manifest.hooks and plugin.indexed.isolation == "isolated":
                self._hosts().begin(plugin.indexed, self._isolated())
        for plugin in list(self.plugins.values()):
            manifest = plugin.indexed.manifest
            if plugin.state == "disabled":
                continue
            if plugin.indexed.clash:
                self._tell(manifest.name, "name", plugin.indexed.clash)
            if plugin.state == "idle" and (manifest.hooks or plugin.given is not None):
                with contextlib.suppress(PluginError):
                    await self.activate(manifest.name)
            if plugin.state == "failed":
                self._tell(manifest.name, "", f'The plugin "{manifest.name}" is not used: {plugin.problem}')
                if manifest.required:
                    raise PluginError(
                        f'The plugin "{manifest.name}" is required and cannot be used: {plugin.problem}',
                        plugin=manifest.name,
                        hint=plugin.indexed.hint,
                    )
                self._put_down(plugin)

    def _put_down(self, plugin: Plugin) -> None:
        """What a guard that cannot work would judge is denied from now on."""
        name = plugin.indexed.name
        if plugin.indexed.manifest.is_guard and all(down.plugin != name for down in self._down):
            self._down.append(GuardDown(name, plugin.problem))

    def _hosts(self) -> HostPool:
        if self._pool is None:
            if self._make_pool is None:
                raise PluginError("Isolated plugins cannot be used here.")
            self._pool = self._make_pool(self._gave_up)
        return self._pool

    def _isolated(self) -> list[IndexedPlugin]:
        usable = [plugin.indexed for plugin in self.plugins.values() if plugin.state in ("idle", "active")]
        return [indexed for indexed in usable if indexed.isolation == "isolated"]

    def _gave_up(self, host: PluginHost, why: str) -> None:
        """A plugin host died too often: its plugins are out of use until the user does something."""
        for name in host.plugins:
            plugin = self.plugins[name]
            if plugin.remote is not None and plugin.remote.host is not host:
                continue
            self._withdraw(plugin)
            plugin.state, plugin.problem = "failed", why
            self._put_down(plugin)
            self._tell(name, "", f'The plugin "{name}" is disabled: {why}')

    def hosts(self) -> list[PluginHost]:
        """The plugin hosts that there are, running or not."""
        return self._pool.hosts() if self._pool is not None else []

    async def close(self) -> None:
        """Ends the plugin hosts."""
        if self._pool is not None:
            await self._pool.close()

    async def activate(self, name: str) -> Plugin:
        """Imports the plugin, registers its hooks and asks what it provides; once.

        Raises:
            PluginError: it cannot be; from then on it counts as failed.
        """
        plugin = self.plugins.get(name)
        if plugin is None:
            raise PluginError(f'There is no plugin "{name}".', plugin=name, hint="See: hermes plugins list")
        if plugin.state == "active":
            return plugin
        if plugin.state == "disabled":
            raise PluginError(f'The plugin "{name}" is disabled.', plugin=name, hint=f"hermes plugins enable {name}")
        if plugin.state == "idle":
            async with plugin.activating:
                if plugin.state == "idle":
                    await self._try(plugin)
        if plugin.state == "failed":
            raise PluginError(
                f'The plugin "{name}" cannot be used: {plugin.problem}',
                plugin=name,
                hint=plugin.indexed.hint or f"Mend it, or: hermes plugins disable {name}",
            )
        return plugin

    async def _try(self, plugin: Plugin) -> None:
        try:
            self._check_requirements(plugin.indexed.manifest)
            await self._activate(plugin)
            plugin.state = "active"
        except (KeyboardInterrupt, asyncio.CancelledError):
            self._withdraw(plugin)
            raise
        except BaseException as error:  # noqa: BLE001 (the boundary: a plugin's import may raise anything)
            self._withdraw(plugin)
            plugin.state = "failed"
            plugin.problem = str(error) if isinstance(error, HermesError) else _summary(error)
            self._log.error("plugin %s cannot be activated", plugin.indexed.name, exc_info=error)

    def _check_requirements(self, manifest: Manifest) -> None:
        missing = [program for program in manifest.requires.programs if shutil.which(program) is None]
        if missing:
            raise PluginError(f"it needs {', '.join(missing)}, which is not installed.", plugin=manifest.name)

    async def _activate(self, plugin: Plugin) -> None:
        name = plugin.indexed.name
        subject = plugin.given if plugin.given is not None else await self._subject(plugin)
        context = self._make_context(name)
        if subject is None:
            return
        self._pm.register(subject, name=name)
        for hook in self._table:
            for registered in getattr(self._pm.hook, hook).get_hookimpls():
                if registered.plugin_name == name:
                    found = Implementation(name, hook, registered.function, registered.argnames, context)
                    if hook == "provide":
                        await self._take_provisions(plugin, found)
                    elif hook == "register_tools":
                        await self._take_tools(plugin, found)
        for attribute in dir(subject) if plugin.given is not None else ():
            value = getattr(subject, attribute)
            if hasattr(value, OPTIONS_ATTRIBUTE):
                tool_name, options = getattr(value, OPTIONS_ATTRIBUTE)
                plugin.tools[tool_name] = ToolMark(value, "", options)
        self._check_hooks(plugin)
        self._rebuild(name, context)

    def _check_hooks(self, plugin: Plugin) -> None:
        """A manifest that does not tell the truth is refused: what it hides was not agreed to, and what it promises
        would be waited for in vain.
        """
        name = plugin.indexed.name
        if plugin.given is not None or plugin.indexed.source == "foreign":
            return
        callers = {hook: getattr(self._pm.hook, hook).get_hookimpls() for hook in self._table}
        found = {hook for hook, calls in callers.items() if any(call.plugin_name == name for call in calls)}
        for problem, hooks in (
            ("its code has hooks that its manifest does not name", found - set(plugin.indexed.manifest.hooks)),
            ("its manifest names hooks that its code does not have", set(plugin.indexed.manifest.hooks) - found),
        ):
            if hooks := hooks - ACTIVATION_HOOKS:
                raise PluginError(f"{problem}: {', '.join(sorted(hooks))}.", plugin=name)

    async def _subject(self, plugin: Plugin) -> Any:
        """What has the plugin's hooks: its module, what another plugin made of it, or what calls its host."""
        indexed = plugin.indexed
        loader = (await self.activate(indexed.loaded_by)).indexed if indexed.loaded_by else None
        if indexed.isolation == "isolated" and (indexed.module or loader is not None):
            remote = await self._hosts().load(indexed, self._isolated(), self.contract_type, loader)
            plugin.remote = remote
            plugin.provisions.update({provision[:2]: provision for provision in remote.provisions})
            return remote.hooks
        return load_foreign(loader, indexed) if loader is not None else plugin_module(indexed)

    def contract_type(self, contract: str) -> type | None:
        """The type of a contract that a plugin in this process defines; None: there is none."""
        for plugin in self.plugins.values():
            target = plugin.indexed.manifest.contracts.get(contract)
            if target and plugin.state in ("idle", "active") and plugin.indexed.isolation == "host":
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
        self.plugins[manifest.name] = Plugin(placed(indexed, self._entries))
        await self.activate(manifest.name)

    def _rebuild(self, name: str, context: PluginContext) -> None:
        """Puts the plugin's implementations where pluggy's order has them."""
        for hook, implementations in self._table.items():
            by_plugin = {found.plugin: found for found in implementations}
            callers = list(reversed(getattr(self._pm.hook, hook).get_hookimpls()))
            self._table[hook] = [
                by_plugin.get(found.plugin_name)
                or Implementation(found.plugin_name, hook, found.function, found.argnames, context)
                for found in callers
                if found.plugin_name in by_plugin or found.plugin_name == name
            ]

    async def _take_provisions(self, plugin: Plugin, implementation: Implementation) -> None:
        found = await self._strict(implementation, {})
        for provision in found or ():
            if not isinstance(provision, Provision):
                raise PluginError(f"provide() gave {provision!r}, which is no Provision.", plugin=implementation.plugin)
            plugin.provisions[provision.contract, provision.name] = provision

    async def _take_tools(self, plugin: Plugin, implementation: Implementation) -> None:
        registrar = _Registrar(plugin)
        await self._strict(implementation, {"registry": registrar})

    async def _strict(self, implementation: Implementation, values: Mapping[str, Any]) -> Any:
        answer, succeeded = await self._contained.call(implementation, values)
        if not succeeded:
            raise PluginError(
                f"{implementation.hook}() failed: {implementation.stats.last_error}", plugin=implementation.plugin
            )
        return answer

    def _withdraw(self, plugin: Plugin) -> None:
        name = plugin.indexed.name
        if self._pm.has_plugin(name):
            self._pm.unregister(name=name)
        for hook, implementations in self._table.items():  # a new list: a call may be going through the old one
            self._table[hook] = [found for found in implementations if found.plugin != name]
        plugin.provisions.clear()
        plugin.tools.clear()

    def names(self, contract: str) -> tuple[str, ...]:
        """Under which names a contract is provided, of what is declared or active."""
        names: dict[str, None] = {}
        for plugin in self.plugins.values():
            if plugin.state in ("idle", "active"):
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
            raise PluginError(_nobody(contract, name, self.names(contract)), hint=_package_hint(name))
        if len(owners) > 1:
            both = " and ".join(f'"{plugin.indexed.name}"' for plugin in owners)
            raise PluginError(f'The {contract} "{name}" is provided by {both}.', hint="Disable one of them.")
        plugin = await self.activate(owners[0].indexed.name)
        provision = plugin.provisions.get(key)
        if provision is None:
            raise PluginError(
                f'The plugin "{plugin.indexed.name}" says that it provides the {contract} "{name}", and does not.',
                plugin=plugin.indexed.name,
            )
        wants_context = "ctx" in inspect.signature(provision.make).parameters
        with contextlib.redirect_stdout(sys.stderr):
            made = provision.make(ctx=self._make_context(plugin.indexed.name)) if wants_context else provision.make()
            self._made[key] = await made if inspect.isawaitable(made) else made
        return self._made[key]

    def made(self, contract: str) -> Sequence[Any]:
        """What has been made of a contract so far; for closing it."""
        return [made for key, made in self._made.items() if key[0] == contract]

    def stats(self) -> list[Implementation]:
        return [found for implementations in self._table.values() for found in implementations]

    def _report(self, implementation: Implementation, error: ErrorInfo) -> None:
        text = f'The plugin "{implementation.plugin}" failed in {implementation.hook}: {error.kind}: {error.message}'
        self._log.error(text)
        self._tell(implementation.plugin, implementation.hook, text)

    def _tell(self, plugin: str, hook: str, text: str) -> None:
        """Each trouble of a plugin once; the log has every one."""
        if (plugin, hook) not in self._told:
            self._told.add((plugin, hook))
            self._notify(f"{text.rstrip('.')}. (hermes plugins info {plugin})")


class _Registrar:
    """What ``register_tools`` is given: it knows whose tools it registers."""

    def __init__(self, plugin: Plugin) -> None:
        self._plugin = plugin

    def add(self, function: Callable[..., Any], *, name: str = "", description: str = "", **options: Any) -> None:
        declared_name, declared = getattr(function, OPTIONS_ATTRIBUTE, (function.__name__, ToolOptions()))
        chosen = ToolMark(function, description, msgspec.structs.replace(declared, **options))
        self._plugin.tools[name or declared_name] = chosen


def _summary(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _nobody(contract: str, name: str, known: Sequence[str]) -> str:
    near = nearest(name, known)
    advice = f' Did you mean "{near}"?' if near else f" There are: {', '.join(known)}." if known else ""
    return f'No plugin provides the {contract} "{name}".{advice}'


def _package_hint(name: str) -> str:
    return f"If there is a plugin for it, it comes with: pip install hermes-plugin-{name.replace('_', '-')}"
