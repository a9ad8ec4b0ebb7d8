"""What plugins may call, as the kernel answers it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

from hermes.contracts.errors import ToolError
from hermes.contracts.events import InputRequest, InputRequested, ToolOutput
from hermes.contracts.host import (
    AuxAnswer,
    AuxRequest,
    BusMessage,
    BusTopic,
    CallOutput,
    ConfigQuery,
    ConfigSection,
    NameList,
    PluginSecretQuery,
    Question,
    QuestionAnswer,
    TerminalQuery,
    ToolRequest,
    Wording,
)
from hermes.contracts.messages import ToolCallPart
from hermes.contracts.service import Secrets
from hermes.contracts.store import (
    History,
    HistoryQuery,
    InboxMessage,
    SearchQuery,
    SearchResult,
    SessionList,
    SessionQuery,
    SessionStore,
    StateKey,
    StateList,
    StateValue,
)
from hermes.contracts.terminal import OpenTerminal, TerminalBackend, TerminalInfo, TerminalRef
from hermes.contracts.tool import ToolCall, ToolOutcome
from hermes.contracts.values import ContractRef, Done
from hermes.models.credentials import FindSecret
from hermes.plugins.manager import PluginManager
from hermes.tools.policy import denied_by_policy, denied_for_want_of_a_person, judge
from hermes.tools.registry import ToolRegistry
from hermes.tools.runner import ToolRunner

from .auxiliary import AuxiliaryModels
from .conversation import Conversation

BUS_LIMIT = 256
"""Messages a subscriber may be behind; older ones are dropped."""


class KernelHost:
    """The `Host` of the plugins in this process. ``conversation`` finds a live one by its session's id."""

    def __init__(
        self,
        plugins: PluginManager,
        registry: ToolRegistry,
        runner: ToolRunner,
        *,
        store: Callable[[], SessionStore],
        section: Callable[[str], dict[str, Any]],
        find_secret: FindSecret,
        conversation: Callable[[str], Conversation | None],
        backend: Callable[[], str],
        auxiliary: AuxiliaryModels,
        redact: Callable[[str], str],
    ) -> None:
        self._redact = redact
        self._auxiliary = auxiliary
        self._plugins = plugins
        self._registry = registry
        self._runner = runner
        self._store = store
        self._section = section
        self._find_secret = find_secret
        self._conversation = conversation
        self._backend = backend
        self._terminals: dict[str, TerminalInfo] = {}
        self._opening = asyncio.Lock()
        self._subscribers: dict[str, set[asyncio.Queue[BusMessage]]] = {}

    async def config(self, query: ConfigQuery) -> ConfigSection:
        return ConfigSection(values=self._section(query.plugin))

    async def secrets(self, query: PluginSecretQuery) -> Secrets:
        found = {}
        for name in query.names:
            value, _ = await self._find_secret(name, query.scope)
            if value:
                found[name] = value
        return Secrets(values=found)

    async def get_state(self, key: StateKey) -> StateValue:
        return await self._store().get_state(key)

    async def set_state(self, value: StateValue) -> Done:
        return await self._store().set_state(value)

    async def list_state(self, key: StateKey) -> StateList:
        return await self._store().list_state(key)

    async def llm(self, request: AuxRequest) -> AuxAnswer:
        return await self._auxiliary.ask(request)

    async def call_tool(self, request: ToolRequest) -> ToolOutcome:
        conversation = self._conversation(request.session_id)
        if conversation is None:
            raise ToolError(f"The session {request.session_id} is not live in this process.")
        hooks = self._plugins.hooks.for_turn(conversation.session.surface)
        part = ToolCallPart(
            id=f"{request.plugin}-{conversation.services.new_id()}",
            name=request.name,
            arguments=msgspec.json.encode(request.arguments).decode(),
        )
        session = conversation.session
        template = ToolCall(
            id=part.id,
            name=part.name,
            arguments={},
            session_id=session.id,
            turn_id=conversation.turn_id,
            parent_call=request.call_id,
            workspace=session.workspace,
            surface=session.surface,
            scope=session.scope,
            principal=session.principal,
        )
        prepared = await self._runner.prepare(part, template, list(self._registry.entries()), hooks)
        if prepared.outcome is None:
            verdict = await judge(prepared.call, hooks)
            if verdict.decision == "deny":
                prepared.refuse(denied_by_policy(verdict), by="policy", guard=verdict.plugin)
            elif verdict.decision == "ask":
                prepared.refuse(denied_for_want_of_a_person(verdict), by="nobody", guard=verdict.plugin)
        return prepared.outcome or await self._runner.run(prepared, hooks)

    async def find_sessions(self, query: SessionQuery) -> SessionList:
        return await self._store().find(query)

    async def history(self, query: HistoryQuery) -> History:
        return await self._store().history(query)

    async def search(self, query: SearchQuery) -> SearchResult:
        return await self._store().search(query)

    async def inject(self, message: InboxMessage) -> Done:
        conversation = self._conversation(message.session_id)
        if conversation is None or not conversation.steer(message):
            await self._store().enqueue(message)
        return Done()

    async def ask(self, question: Question) -> QuestionAnswer:
        conversation = self._conversation(question.session_id)
        if conversation is None or conversation.asking != "inline":
            return QuestionAnswer(text=question.default, answered=False)
        request = InputRequest(
            id=f"{question.plugin}-{conversation.services.new_id()}",
            kind="question",
            prompt=question.text,
            choices=question.choices,
            call_id=question.call_id,
        )
        answer = await conversation.put_question(InputRequested(request=request))
        return QuestionAnswer(text=answer)

    async def emit(self, message: BusMessage) -> Done:
        for queue in self._subscribers.get(message.topic, ()):
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(message)
        return Done()

    async def subscribe(self, topic: BusTopic) -> AsyncIterator[BusMessage]:
        queue: asyncio.Queue[BusMessage] = asyncio.Queue(BUS_LIMIT)
        subscribers = self._subscribers.setdefault(topic.topic, set())
        subscribers.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            subscribers.discard(queue)

    async def provider_names(self, contract: ContractRef) -> NameList:
        return NameList(names=self._plugins.names(contract.contract))

    async def terminal(self, query: TerminalQuery) -> TerminalInfo:
        """One terminal a session, opened when a tool first needs it."""
        async with self._opening:
            info = self._terminals.get(query.session_id)
            if info is None:
                backend: TerminalBackend = await self._plugins.provided("terminal", self._backend())
                info = await backend.open(
                    OpenTerminal(session_id=query.session_id, cwd=query.workspace, scope=query.scope)
                )
                self._terminals[query.session_id] = info
            return info

    async def output(self, output: CallOutput) -> Done:
        conversation = self._conversation(output.session_id)
        if conversation is not None:
            await conversation.show(ToolOutput(call_id=output.call_id, text=output.text))
        return Done()

    async def redact(self, wording: Wording) -> Wording:
        return Wording(text=self._redact(wording.text))

    async def close_terminals(self) -> None:
        for info in self._terminals.values():
            backend: TerminalBackend = await self._plugins.provided("terminal", info.backend)
            await backend.close(TerminalRef(terminal=info.id))
        self._terminals.clear()
