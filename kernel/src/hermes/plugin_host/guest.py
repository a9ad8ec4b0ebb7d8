"""A plugin in a plugin host: loaded, called, and given a `PluginContext` whose calls go back to the kernel."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
from collections.abc import Callable, Iterable
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import msgspec

from hermes.contracts.errors import PluginError, ToolError
from hermes.contracts.hookspecs import HOOK_OPTIONS_ATTRIBUTE
from hermes.contracts.service import Provision
from hermes.contracts.tool import ToolEntry, ToolOutcome
from hermes.plugins.answers import check_type, exited
from hermes.plugins.border import (
    Caller,
    Remote,
    contract_of,
    decode,
    encode,
    hook_arguments,
    hook_kinds,
    remote,
)
from hermes.plugins.framing import EMPTY
from hermes.plugins.guard import Alarm
from hermes.plugins.guest import HookMark, Loaded, LoadRequest, ToolInvocation
from hermes.plugins.held import HeldByPlugins
from hermes.plugins.loader import load_foreign, load_target, plugin_module
from hermes.plugins.manifest import ACTIVATION_HOOKS, GUARD_HOOKS
from hermes.plugins.plugin import Registrar
from hermes.plugins.threads import on_daemon_thread

if TYPE_CHECKING:
    from hermes.contracts.host import ForeignPlugin, PluginContext

KEPT_CONTEXTS = 64
"""Turns whose context variables are kept, of all plugins together."""
PARAMETERS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Guest:
    """A plugin in this process."""

    def __init__(self, request: LoadRequest, caller: Caller) -> None:
        self.indexed = request.plugin
        self.name = request.plugin.name
        self.subject: Any = None
        self.hooks: dict[str, HookMark] = {}
        self.provisions: dict[tuple[str, str], Provision] = {}
        self._registrar = Registrar()
        self._request = request
        self._caller = caller
        self._made: dict[tuple[str, str], asyncio.Future[Any]] = {}
        self._bound: dict[str, tuple[Callable[..., Any], type[msgspec.Struct], bool]] = {}
        self._held = HeldByPlugins(self.log, Alarm())

    @cached_property
    def context(self) -> PluginContext:
        """Made when it is asked for: many plugins never do, and what it takes to describe it is a part of a start."""
        from hermes.contracts.host import Clock, Host, PluginContext

        return PluginContext(
            Remote(self._caller, ("host", self.name), Host, {}, []),  # type: ignore[arg-type]
            self.name,
            scope=self._request.scope,
            data_root=self._request.data_root,
            clock=Clock(),
            log=self.log,
            spawn=partial(self._held.spawn, self.name),
            on_unload=partial(self._held.on_unload, self.name),
            resolve=self._resolve,
            load_foreign=self._load_foreign,
        )

    @cached_property
    def log(self) -> logging.Logger:
        log = logging.getLogger(f"plugin.{self.name}")
        log.setLevel(logging.DEBUG)
        log.propagate = False
        log.handlers[:] = [_LogHandler(self.name, self._caller)]
        return log

    async def _resolve(self, contract: str, name: str) -> Any:
        """What the plugin itself provides, or a stand-in for what another one does."""
        if (contract, name) in self.provisions:
            return await self.made(contract, name)
        channel = await self._caller.channel()
        description = await channel.call(("resolve", self.name, contract, name))
        target = ("provided", self.name, contract, name)
        return remote(self._caller, target, self.contract(contract), description)

    async def _load_foreign(self, plugin: ForeignPlugin) -> None:
        channel = await self._caller.channel()
        await channel.call(("load_foreign", self.name), encode(plugin))

    def contract(self, name: str) -> type | None:
        """The type of a contract: the kernel's, or one that this plugin defines; None: nobody here knows it."""
        known = contract_of(name)
        target = self.indexed.manifest.contracts.get(name)
        if known is None and target is not None:
            loaded: type = load_target(self.indexed, target)
            return loaded
        return known

    async def load(self) -> Loaded:
        """Imports the plugin and looks at what it has."""
        if self._request.loader is not None:
            self.subject = load_foreign(self._request.loader, self.indexed)
        else:
            self.subject = plugin_module(self.indexed)
        for attribute in dir(self.subject):
            value = getattr(self.subject, attribute)
            if hasattr(value, HOOK_OPTIONS_ATTRIBUTE) and callable(value):
                mark = _mark(attribute, value)
                self.hooks[attribute] = mark
        for attribute, mark in self.hooks.items():
            if mark.hook in ACTIVATION_HOOKS:
                await self._register(getattr(self.subject, attribute), mark.hook)
        entries = self._entries()
        hooks = tuple(mark for mark in self.hooks.values() if mark.hook not in ACTIVATION_HOOKS)
        return Loaded(hooks=hooks, provisions=tuple(self.provisions), tools=entries)

    async def _register(self, function: Callable[..., Any], hook: str) -> None:
        wanted = inspect.signature(function).parameters
        values: dict[str, Any] = {"registry": self._registrar} if "registry" in wanted else {}
        if "ctx" in wanted:
            values["ctx"] = self.context
        found = function(**values)
        found = await found if inspect.isawaitable(found) else found
        for provision in (found or ()) if hook == "provide" else ():
            if not isinstance(provision, Provision):
                raise PluginError(f"provide() gave {provision!r}, which is no Provision.", plugin=self.name)
            self.provisions[provision.contract, provision.name] = provision

    def _entries(self) -> dict[str, ToolEntry]:
        """Of the tools that were registered by code; those of the manifest are in the index."""
        from hermes.tools.schema import registered_entry

        return {name: registered_entry(name, mark, self.name) for name, mark in self._registrar.tools.items()}

    async def hook(self, attribute: str, body: msgspec.Raw) -> bytes:
        """Calls a hook. A guard that is a plain function runs on a thread, so that the others go on meanwhile."""
        mark = self.hooks[attribute]
        values = decode(body, hook_arguments(mark.hook))
        arguments = {name: getattr(values, name) for name in mark.arguments if name != "ctx"}
        if "ctx" in mark.arguments:
            arguments["ctx"] = self.context
        function = getattr(self.subject, attribute)
        try:
            if inspect.iscoroutinefunction(function):
                answer = await function(**arguments)
            elif mark.hook in GUARD_HOOKS:
                answer = await on_daemon_thread(function, arguments, _context_of(self.name, values))
            else:
                answer = _context_of(self.name, values).run(function, **arguments)
            answer = await answer if inspect.isawaitable(answer) else answer
        except SystemExit as error:
            raise exited(error) from error
        kinds = hook_kinds(mark.hook)
        check_type(answer, kinds)
        if not kinds or answer is None:
            return EMPTY
        return encode(tuple(answer) if kinds == (Iterable,) else answer)

    async def tool(self, name: str, body: msgspec.Raw) -> bytes:
        from hermes.tools.schema import check_arguments

        invocation = decode(body, ToolInvocation)
        function, kind, wants_context = self._tool(name)
        arguments = check_arguments(kind, invocation.arguments)
        if wants_context:
            arguments["ctx"] = self.context.for_call(invocation.call)
        if inspect.iscoroutinefunction(function):
            answer = await function(**arguments)
        else:
            answer = await on_daemon_thread(function, arguments)
            answer = await answer if inspect.isawaitable(answer) else answer
        from hermes.tools.content import content_of

        is_error = isinstance(answer, ToolOutcome) and answer.is_error
        return encode(ToolOutcome(content=content_of(answer), is_error=is_error))

    def _tool(self, name: str) -> tuple[Callable[..., Any], type[msgspec.Struct], bool]:
        bound = self._bound.get(name)
        if bound is None:
            from hermes.tools.schema import arguments_type

            mark = self._registrar.tools.get(name)
            if mark is not None:
                function = mark.function
            else:
                entry = self.indexed.tools.get(name)
                if entry is None:
                    raise ToolError(f"The plugin {self.name} has no tool {name}.")
                function = load_target(self.indexed, entry.target)
            wants_context = "ctx" in inspect.signature(function).parameters
            bound = self._bound[name] = (function, arguments_type(function), wants_context)
        return bound

    async def made(self, contract: str, name: str) -> Any:
        """What the plugin provides under that name, made on first need."""
        key = (contract, name)
        if key not in self._made:
            provision = self.provisions.get(key)
            if provision is None:
                raise PluginError(f'The plugin "{self.name}" provides no {contract} "{name}".', plugin=self.name)
            self._made[key] = asyncio.ensure_future(self._make(provision))
        try:
            return await asyncio.shield(self._made[key])
        except BaseException:
            if self._made[key].done():
                del self._made[key]
            raise

    async def _make(self, provision: Provision) -> Any:
        wants_context = "ctx" in inspect.signature(provision.make).parameters
        made = provision.make(ctx=self.context) if wants_context else provision.make()
        return await made if inspect.isawaitable(made) else made

    async def unload(self) -> None:
        await self._held.end_tasks()
        await self._held.unload_all()


def _mark(attribute: str, function: Any) -> HookMark:
    options = getattr(function, HOOK_OPTIONS_ATTRIBUTE)
    marked = getattr(function, "hermes_impl", {})
    parameters = inspect.signature(function).parameters.values()
    return HookMark(
        attribute=attribute,
        hook=marked.get("specname") or attribute,
        arguments=tuple(parameter.name for parameter in parameters if parameter.kind in PARAMETERS),
        deadline=options.deadline,
        tools=options.tools,
        events=options.events,
        tryfirst=bool(marked.get("tryfirst")),
        trylast=bool(marked.get("trylast")),
    )


_contexts: dict[tuple[str, str], contextvars.Context] = {}


def _context_of(plugin: str, values: Any) -> contextvars.Context:
    """One for each plugin and turn, as in Hermes's own process."""
    turn = ""
    for name in values.__struct_fields__:
        value = getattr(values, name)
        turn = turn or getattr(value, "turn_id", "") or (getattr(value, "id", "") if name == "turn" else "")
    key = (plugin, turn)
    context = _contexts.pop(key, None) or contextvars.copy_context()
    _contexts[key] = context
    while len(_contexts) > KEPT_CONTEXTS:
        _contexts.pop(next(iter(_contexts)))
    return context


class _LogHandler(logging.Handler):
    """Sends what a plugin logs to the kernel's log."""

    def __init__(self, plugin: str, caller: Caller) -> None:
        super().__init__()
        self._plugin = plugin
        self._caller = caller
        self._loop = asyncio.get_running_loop()

    def emit(self, record: logging.LogRecord) -> None:
        target = ("log", self._plugin, str(record.levelno))
        body = encode(self.format(record))
        self._loop.call_soon_threadsafe(lambda: self._caller.open.cast(target, body))  # type: ignore[attr-defined]
