"""A plugin host: the program that isolated plugins run in. The kernel starts it; see ``plugins/isolated.py``.

It speaks frames on a socket that it finds as standard input, serves the plugins' hooks, tools and provisions, and
gives them a `PluginContext` whose calls go back to the kernel.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import os
import select
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from types import SimpleNamespace
from typing import Any

import msgspec

from hermes.contracts.errors import PluginError, ToolError
from hermes.contracts.hookspecs import HOOK_OPTIONS_ATTRIBUTE
from hermes.contracts.host import Clock, ForeignPlugin, Host, PluginContext
from hermes.contracts.service import Provision
from hermes.contracts.tool import OPTIONS_ATTRIBUTE, ToolEntry, ToolOptions, ToolOutcome
from hermes.plugins.answers import check_type, exited
from hermes.plugins.border import (
    CONTRACTS,
    Caller,
    Remote,
    decode,
    describe,
    encode,
    hook_arguments,
    hook_kinds,
    remote,
    serve_call,
    serve_stream,
)
from hermes.plugins.channel import Channel
from hermes.plugins.framing import EMPTY, Target
from hermes.plugins.guest import Hello, HookMark, Loaded, LoadRequest, ToolInvocation
from hermes.plugins.loader import load_foreign, load_target, plugin_module
from hermes.plugins.manifest import API, GUARD_HOOKS
from hermes.plugins.threads import on_daemon_thread

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
        self.tools: dict[str, Callable[..., Any]] = {}
        self._registered: dict[str, tuple[str, ToolOptions]] = {}
        self._request = request
        self._caller = caller
        self._made: dict[tuple[str, str], asyncio.Future[Any]] = {}
        self._bound: dict[str, tuple[Callable[..., Any], type[msgspec.Struct], bool]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._unloaders: list[Callable[[], Any]] = []
        self.context = PluginContext(
            Remote(caller, ("host", self.name), Host, {}, []),  # type: ignore[arg-type]
            self.name,
            scope=request.scope,
            data_root=request.data_root,
            clock=Clock(),
            log=self._log(),
            spawn=self._spawn,
            on_unload=self._unloaders.append,
            resolve=self._resolve,
            load_foreign=self._load_foreign,
        )

    def _log(self) -> logging.Logger:
        log = logging.getLogger(f"plugin.{self.name}")
        log.setLevel(logging.DEBUG)
        log.propagate = False
        log.handlers[:] = [_LogHandler(self.name, self._caller)]
        return log

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        async def supervised() -> None:
            try:
                await work
            except Exception:
                self.context.log.exception("the background task %s failed", name)

        task = asyncio.create_task(supervised(), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

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
        known = CONTRACTS.get(name)
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
            if mark.hook in ("provide", "register_tools"):
                await self._register(getattr(self.subject, attribute), mark.hook)
        entries = self._entries()
        hooks = tuple(mark for mark in self.hooks.values() if mark.hook not in ("provide", "register_tools"))
        return Loaded(hooks=hooks, provisions=tuple(self.provisions), tools=entries)

    async def _register(self, function: Callable[..., Any], hook: str) -> None:
        wanted = inspect.signature(function).parameters
        values = {"ctx": self.context, "registry": SimpleNamespace(add=self._add_tool)}
        found = function(**{name: values[name] for name in wanted if name in values})
        found = await found if inspect.isawaitable(found) else found
        for provision in (found or ()) if hook == "provide" else ():
            if not isinstance(provision, Provision):
                raise PluginError(f"provide() gave {provision!r}, which is no Provision.", plugin=self.name)
            self.provisions[provision.contract, provision.name] = provision

    def _add_tool(self, function: Callable[..., Any], *, name: str = "", description: str = "", **options: Any) -> None:
        declared_name, declared = getattr(function, OPTIONS_ATTRIBUTE, (function.__name__, ToolOptions()))
        chosen = msgspec.structs.replace(declared, **options)
        self.tools[name or declared_name] = function
        self._registered[name or declared_name] = (description, chosen)

    def _entries(self) -> dict[str, ToolEntry]:
        """Of the tools that were registered by code; those of the manifest are in the index."""
        from hermes.tools.schema import entry_of

        entries = {}
        for name, (description, options) in self._registered.items():
            entry = entry_of(self.tools[name], plugin=self.name)
            if not options.toolset:
                options = msgspec.structs.replace(options, toolset=self.name)
            entries[name] = msgspec.structs.replace(
                entry, name=name, options=options, description=description or entry.description
            )
        return entries

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

            function = self.tools.get(name)
            if function is None:
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
        for task in list(self._tasks):
            task.cancel()
        for unload in reversed(self._unloaders):
            try:
                answer = unload()
                if inspect.isawaitable(answer):
                    await answer
            except Exception:
                self.context.log.exception("the plugin failed in its on_unload")


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


class GuestServer:
    """Answers the kernel's calls."""

    def __init__(self) -> None:
        self.guests: dict[str, Guest] = {}
        self.open: Channel

    async def channel(self) -> Channel:
        return self.open

    async def call(self, target: Target, body: msgspec.Raw) -> bytes:
        match target:
            case ("hello",):
                return encode(_settle_in(decode(body, Hello)))
            case ("load", name):
                guest = Guest(decode(body, LoadRequest), self)
                loaded = await guest.load()
                self.guests[name] = guest
                return encode(loaded)
            case ("unload", name):
                await self.guests.pop(name).unload()
                return EMPTY
            case ("hook", name, attribute):
                return await self.guests[name].hook(attribute, body)
            case ("tool", name, tool):
                return await self.guests[name].tool(tool, body)
            case ("make", name, contract, provided):
                guest = self.guests[name]
                return describe(await guest.made(contract, provided), guest.contract(contract))
            case ("made", name, contract, provided, method):
                guest = self.guests[name]
                return await serve_call(await guest.made(contract, provided), guest.contract(contract), method, body)
        raise PluginError(f"A plugin host does not know the call {'.'.join(target)}.")

    async def stream(self, target: Target, body: msgspec.Raw) -> AsyncIterator[bytes]:
        if len(target) != 5 or target[0] != "made":
            raise PluginError(f"A plugin host does not know the stream {'.'.join(target)}.")
        _, name, contract, provided, method = target
        guest = self.guests[name]
        made = await guest.made(contract, provided)
        items = serve_stream(made, guest.contract(contract), method, body)
        try:
            async for item in items:
                yield item
        finally:
            await items.aclose()  # type: ignore[attr-defined]

    def cast(self, target: Target, body: msgspec.Raw) -> None:
        """There is nothing that is told to a plugin host without an answer; what a newer kernel tells is dropped."""


def _settle_in(hello: Hello) -> Hello:
    """Does what has to be done before any plugin is imported."""
    import resource

    from hermes import __version__

    if hello.memory_mb:
        limit = hello.memory_mb * 1024 * 1024
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    if hello.egress is not None:
        from hermes.plugins.egress import relay

        relay(*hello.egress)
    return Hello(api=API, version=__version__)


def take_connection() -> socket.socket:
    """The socket on standard input, which plugins then no longer find there: they get an empty one, and 1 is 2."""
    connection = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    return connection


def end_with(connection: socket.socket) -> None:
    """Ends this process when the kernel's end is closed, also while a plugin keeps the loop busy."""
    poller = select.poll()
    poller.register(connection.fileno(), select.POLLHUP | select.POLLRDHUP)

    def wait() -> None:
        poller.poll()
        os._exit(0)

    threading.Thread(target=wait, name="parent-watch", daemon=True).start()


async def serve(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    server = GuestServer()
    _, server.open = await loop.create_connection(
        lambda: Channel(server, lambda error: ended.set_result(None)), sock=connection
    )
    await ended


def main() -> None:
    connection = take_connection()
    end_with(connection)
    try:
        asyncio.run(serve(connection))
    finally:
        sys.stderr.flush()
        os._exit(0)


if __name__ == "__main__":
    main()
