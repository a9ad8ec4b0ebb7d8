"""What a plugin may call.

`Host` is the contract: structs in, structs out, so it works across a process border. `PluginContext` is its
face for authors; a hook, a tool or a ``Provision.make`` that has an argument named ``ctx`` is given one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from .errors import PluginError
from .messages import Message, SystemBlock, Usage
from .scope import Scope
from .service import Secrets
from .store import (
    History,
    HistoryQuery,
    InboxMessage,
    SearchHit,
    SearchQuery,
    SearchResult,
    SessionList,
    SessionQuery,
    SessionRecord,
    StateKey,
    StateList,
    StateValue,
)
from .terminal import TerminalBackend, TerminalInfo
from .tool import ToolCall, ToolOutcome
from .values import ContractRef, Done, Value

if TYPE_CHECKING:
    from pathlib import Path


class ConfigQuery(Value, kw_only=True):
    plugin: str
    scope: Scope


class ConfigSection(Value, kw_only=True):
    """The plugin's section, validated by the schema in its manifest, defaults filled in."""

    values: dict[str, Any]


class PluginSecretQuery(Value, kw_only=True):
    plugin: str
    names: tuple[str, ...]
    scope: Scope


class AuxRequest(Value, kw_only=True):
    """A call of an auxiliary model. ``task`` decides which one and whose budget, e.g. ``title``."""

    plugin: str
    task: str
    system: tuple[SystemBlock, ...] = ()
    messages: tuple[Message, ...]
    scope: Scope
    max_tokens: int = 1024


class AuxAnswer(Value, kw_only=True):
    text: str
    usage: Usage
    model: str


class ToolRequest(Value, kw_only=True):
    plugin: str
    session_id: str
    name: str
    arguments: dict[str, Any]
    call_id: str = ""
    """Of the call that is being served, where there is one."""


class Question(Value, kw_only=True):
    """A question to the person behind a session. ``default`` is the answer when nobody can be asked."""

    plugin: str
    session_id: str
    text: str
    choices: tuple[str, ...] = ()
    default: str = ""
    call_id: str = ""


class QuestionAnswer(Value, kw_only=True):
    """``answered`` is False when nobody could be asked."""

    text: str
    answered: bool = True


class BusMessage(Value, kw_only=True):
    """``value`` is JSON text. Topics are ``plugin.topic``."""

    topic: str
    value: str


class BusTopic(Value, kw_only=True):
    plugin: str
    topic: str


class ForeignPlugin(Value, kw_only=True):
    """A plugin of a format that the kernel does not know, described by one that does.

    ``manifest``: as in a ``plugin.yaml``. ``loader``: ``module:function`` of the plugin that describes it; called with
    ``location``, it gives an object with hooks. It is called where the plugin is to run, in a plugin host or not.
    """

    manifest: dict[str, Any]
    loader: str
    location: str


class NameList(Value, kw_only=True):
    names: tuple[str, ...]


class CallOutput(Value, kw_only=True):
    session_id: str
    call_id: str
    text: str


class Wording(Value, kw_only=True):
    """A text that is to be shown or kept."""

    text: str


class TerminalQuery(Value, kw_only=True):
    session_id: str
    workspace: str
    scope: Scope


class Host(Protocol):
    """The kernel, as seen from a plugin. Every call is checked against the plugin's permissions."""

    async def config(self, query: ConfigQuery) -> ConfigSection: ...
    async def secrets(self, query: PluginSecretQuery) -> Secrets: ...
    async def get_state(self, key: StateKey) -> StateValue: ...
    async def set_state(self, value: StateValue) -> Done: ...
    async def list_state(self, key: StateKey) -> StateList: ...
    async def llm(self, request: AuxRequest) -> AuxAnswer: ...
    async def call_tool(self, request: ToolRequest) -> ToolOutcome: ...
    async def find_sessions(self, query: SessionQuery) -> SessionList: ...
    async def history(self, query: HistoryQuery) -> History: ...
    async def search(self, query: SearchQuery) -> SearchResult: ...
    async def inject(self, message: InboxMessage) -> Done: ...
    async def ask(self, question: Question) -> QuestionAnswer: ...
    async def emit(self, message: BusMessage) -> Done: ...
    def subscribe(self, topic: BusTopic) -> AsyncIterator[BusMessage]: ...
    async def provider_names(self, contract: ContractRef) -> NameList: ...
    async def terminal(self, query: TerminalQuery) -> TerminalInfo: ...
    async def output(self, output: CallOutput) -> Done: ...
    async def redact(self, wording: Wording) -> Wording: ...


class Clock:
    """Time, as a value that a test can set."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


class PluginState:
    """A plugin's own keys and values, kept in the store. Values are anything JSON can carry."""

    def __init__(self, host: Host, plugin: str) -> None:
        self._host = host
        self._plugin = plugin

    async def get(self, key: str, default: Any = None) -> Any:
        found = await self._host.get_state(StateKey(plugin=self._plugin, key=key))
        return default if found.value is None else msgspec.json.decode(found.value)

    async def set(self, key: str, value: Any) -> None:
        await self._host.set_state(StateValue(plugin=self._plugin, key=key, value=_json(value)))

    async def delete(self, key: str) -> None:
        await self._host.set_state(StateValue(plugin=self._plugin, key=key))

    async def keys(self, prefix: str = "") -> list[str]:
        found = await self._host.list_state(StateKey(plugin=self._plugin, key=prefix))
        return [entry.key for entry in found.values]


class SessionReader:
    """Sessions as a plugin may read and address them."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def find(self, **query: Any) -> tuple[SessionRecord, ...]:
        """``query``: the fields of `SessionQuery`."""
        return (await self._host.find_sessions(SessionQuery(**query))).sessions

    async def history(self, session_id: str) -> tuple[Message, ...]:
        return (await self._host.history(HistoryQuery(session_id=session_id))).messages

    async def search(self, text: str, **query: Any) -> tuple[SearchHit, ...]:
        """``query``: further fields of `SearchQuery`."""
        return (await self._host.search(SearchQuery(text=text, **query))).hits

    async def inject(self, message: InboxMessage) -> None:
        """Puts a message into a session: between two steps of a running turn, or before the next one."""
        await self._host.inject(message)


class PluginContext:
    """What the kernel gives to a plugin. ``call`` is the tool call being served, where there is one.

    ``data_dir`` is the plugin's own folder in the home; it is made when it is first asked for.
    """

    def __init__(
        self,
        host: Host,
        plugin: str,
        *,
        scope: Scope,
        data_root: str,
        clock: Clock,
        log: logging.Logger | logging.LoggerAdapter[logging.Logger],
        spawn: Callable[[Coroutine[Any, Any, None], str], None],
        on_unload: Callable[[Callable[[], Any]], None],
        resolve: Callable[[str, str], Coroutine[Any, Any, Any]],
        load_foreign: Callable[[ForeignPlugin], Coroutine[Any, Any, None]] | None = None,
        call: ToolCall | None = None,
    ) -> None:
        self.plugin = plugin
        self.scope = scope
        self.clock = clock
        self.call = call
        self.log = log
        self.state = PluginState(host, plugin)
        self.sessions = SessionReader(host)
        self.on_unload = on_unload
        self._host = host
        self._data_root = data_root
        self._spawn = spawn
        self._resolve = resolve
        self._load_foreign = load_foreign

    def for_call(self, call: ToolCall) -> PluginContext:
        """The same context, bound to a tool call and its scope."""
        bound = object.__new__(PluginContext)
        bound.__dict__.update(self.__dict__, call=call, scope=call.scope)
        return bound

    @property
    def data_dir(self) -> Path:
        from pathlib import Path  # for a plugin host, which may not need it, a tenth of its start

        folder = Path(self._data_root, self.plugin)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    async def config(self) -> dict[str, Any]:
        return (await self._host.config(ConfigQuery(plugin=self.plugin, scope=self.scope))).values

    async def secrets(self, *names: str) -> Mapping[str, str]:
        """Those of ``names`` that are set, in this scope."""
        query = PluginSecretQuery(plugin=self.plugin, names=names, scope=self.scope)
        return (await self._host.secrets(query)).values

    async def llm(self, task: str, messages: Sequence[Message], **options: Any) -> AuxAnswer:
        """Asks an auxiliary model. ``options``: further fields of `AuxRequest`."""
        request = AuxRequest(plugin=self.plugin, task=task, messages=tuple(messages), scope=self.scope, **options)
        return await self._host.llm(request)

    async def call_tool(self, name: str, arguments: Mapping[str, Any]) -> ToolOutcome:
        """Calls a tool as the model would: judged by the same guards, in the session of ``call``."""
        request = ToolRequest(
            plugin=self.plugin,
            session_id=self._session(),
            name=name,
            arguments=dict(arguments),
            call_id=self.call.id if self.call else "",
        )
        return await self._host.call_tool(request)

    async def ask(self, text: str, *, choices: Sequence[str] = (), default: str = "") -> QuestionAnswer:
        """Asks the person behind the session of ``call``."""
        question = Question(
            plugin=self.plugin,
            session_id=self._session(),
            text=text,
            choices=tuple(choices),
            default=default,
            call_id=self.call.id if self.call else "",
        )
        return await self._host.ask(question)

    async def emit(self, topic: str, value: Any) -> None:
        await self._host.emit(BusMessage(topic=f"{self.plugin}.{topic}", value=_json(value)))

    def subscribe(self, topic: str) -> AsyncIterator[BusMessage]:
        """Messages of ``plugin.topic``, from now on."""
        return self._host.subscribe(BusTopic(plugin=self.plugin, topic=topic))

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Runs ``work`` in the background; it is cancelled when the plugin is unloaded."""
        self._spawn(work, name)

    async def providers(self, contract: str) -> tuple[str, ...]:
        """The names under which ``contract`` is provided, by any plugin."""
        return (await self._host.provider_names(ContractRef(contract))).names

    async def provider(self, contract: str, name: str) -> Any:
        """What is provided under that name; its plugin is activated if need be."""
        return await self._resolve(contract, name)

    async def load_foreign(self, manifest: Mapping[str, Any], *, loader: str, location: str) -> None:
        """Adds a plugin of a format that this one knows how to load; see `ForeignPlugin`.

        Raises:
            PluginError: the manifest is none, its name is taken, or it cannot be activated.
        """
        if self._load_foreign is None:
            raise PluginError("Plugins cannot be added here.", plugin=self.plugin)
        await self._load_foreign(ForeignPlugin(manifest=dict(manifest), loader=loader, location=location))

    async def terminal(self) -> tuple[TerminalBackend, TerminalInfo]:
        """The terminal of the session of ``call``: its backend, and which of the backend's terminals it is."""
        assert self.call is not None, "ctx.terminal() serves tool calls"
        query = TerminalQuery(session_id=self.call.session_id, workspace=self.call.workspace, scope=self.call.scope)
        info = await self._host.terminal(query)
        return await self._resolve("terminal", info.backend), info

    async def output(self, text: str) -> None:
        """Shows what a running tool prints, as it comes."""
        if self.call:
            await self._host.output(CallOutput(session_id=self.call.session_id, call_id=self.call.id, text=text))

    async def redact(self, text: str) -> str:
        """The text without secrets, as logs and transcripts have it."""
        return (await self._host.redact(Wording(text=text))).text

    def _session(self) -> str:
        return self.call.session_id if self.call else self.scope.session
