"""One model call of a program's own: no session, no loop, no tools that run here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from hermes.agent.budget import SpendingLimits
from hermes.agent.question import Question, RequestOptions, question_of
from hermes.agent.services import Services
from hermes.agent.structured import MAX_MISFITS, does_not_fit, misfit, say_again, unfenced
from hermes.app import App
from hermes.contracts.errors import ErrorInfo, HermesError, SessionNotFound
from hermes.contracts.events import Event, ModelRetry
from hermes.contracts.messages import (
    ImagePart,
    Message,
    Part,
    SystemBlock,
    TextPart,
    ToolCallPart,
    ToolSpec,
    Usage,
    text_of,
)
from hermes.contracts.provider import ModelRequest, ResponseFormat
from hermes.contracts.scope import LOCAL, Principal
from hermes.contracts.store import NewSession, SessionRef, SessionWrite
from hermes.contracts.values import Value
from hermes.models.ask import ModelAsk, Spent
from hermes.models.router import Target

SESSION = "direct-calls"
"""What such calls cost is booked on this session."""


class Reply(Value, kw_only=True):
    """A model's answer. ``str(reply)`` is its text; of an answer that is only tool calls, these as a JSON array."""

    text: str
    calls: tuple[ToolCallPart, ...] = ()
    finish: str = "stop"
    usage: Usage = Usage()
    cost_usd: float | None = None
    """Of all attempts; None: unknown."""
    provider: str = ""
    model: str = ""

    def __str__(self) -> str:
        if self.text or not self.calls:
            return self.text
        calls = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in self.calls
        ]
        return msgspec.json.encode(calls).decode()


def ask(
    prompt: str | Sequence[Part] = "",
    *,
    app: App,
    system_blocks: Sequence[str | SystemBlock] | None = None,
    system_prompt: str = "",
    history: Sequence[Message | Mapping[str, Any]] = (),
    images: Sequence[ImagePart | str | Path] = (),
    tools: Sequence[ToolSpec | Mapping[str, Any]] | None = None,
    response_format: Mapping[str, Any] | ResponseFormat | None = None,
    provider: str = "",
    model: str = "",
    principal: Principal = LOCAL,
    secrets: Mapping[str, str] | None = None,
    **options: Any,
) -> DirectCall:
    """One model call, for programs that bring their own prompt. What it costs is booked and held to the budget.

    ``await`` the answer for a `Reply`, iterate it for events, or take its ``result()`` where there is no event loop.

    Args:
        system_blocks: sent as separate entries in order; blank ones are left out. None: ``system_prompt``.
        history: earlier turns; as `Message`s, or as mappings with ``role`` and ``content``.
        images: as parts, files, or addresses.
        tools: as Anthropic, OpenAI or MCP write them. Calls of them come back in the reply; none is run.
        response_format: as OpenAI writes it; the answer is checked against it.
        secrets: of this call, before all others, such as its user's own keys.
        options: further fields of `ModelRequest`: ``max_tokens``, ``temperature``, ``reasoning_effort``, and so on.

    Raises:
        ConfigError: an argument is none of these forms; nothing is sent.
    """
    question = question_of(
        prompt,
        system_blocks=system_blocks,
        system_prompt=system_prompt,
        history=history,
        images=images,
        tools=tools,
        response_format=response_format,
        options={"timeout": app.settings.model.timeout, **options},
    )
    return DirectCall(app, question, provider, model, principal, secrets or {})


class DirectCall:
    """Made by `ask`. ``await`` it for the `Reply`, iterate it for the events, or take `result` without a loop."""

    def __init__(
        self,
        app: App,
        question: Question,
        provider: str,
        model: str,
        principal: Principal,
        secrets: Mapping[str, str],
    ) -> None:
        own = app.new_id()
        app.secrets.give(own, secrets)
        self._app = app
        self._question = question
        self._named = {"provider": provider, "model": model}
        self._scope = msgspec.structs.replace(app.scope, user=principal.id, session=own)
        self._principal = principal
        self._spent: list[Spent] = []
        self._reply: Reply | None = None

    def __await__(self) -> Generator[Any, None, Reply]:
        return self._whole().__await__()

    def result(self) -> Reply:
        """The reply, for programs without an event loop."""

        async def work() -> Reply:
            try:
                return await self._whole()
            finally:
                await self._app.close_connections()

        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(work())
        raise HermesError("An event loop is running here.", hint="Await the call instead of taking its result.")

    @property
    def reply(self) -> Reply:
        """What the events came to, once they are all there."""
        if self._reply is None:
            raise HermesError("The answer is not complete.", hint="Iterate to the end first.")
        return self._reply

    async def __aiter__(self) -> AsyncIterator[Event]:
        """The model's events. A `ModelRetry` with ``restart`` voids the text so far.

        Raises:
            ConfigError: no provider, no model, no key.
            ProviderError: the model does not answer.
            BudgetExceeded: a limit of the settings is reached.
        """
        services = await self._app.services()
        router = services.router
        target = await router.target(self._scope, **self._named)
        messages, misfits = self._question.messages, 0
        while True:
            ask = self._ask(services, target, messages)
            try:
                async for event in ask.events():
                    yield event
            finally:
                self._spent += ask.spent
                await self._book(services, ask.spent)
            text = text_of(ask.answer.parts())
            problem = self._problem(text, ask)
            if not problem:
                break
            misfits += 1
            if misfits > MAX_MISFITS:
                raise does_not_fit(problem)
            told = ErrorInfo.of(does_not_fit(problem))
            yield ModelRetry(
                error=told,
                attempt=misfits + 1,
                seconds=0,
                provider=ask.target.provider,
                model=ask.target.model,
                restart=True,
                step="repair",
            )
            messages = (
                *messages,
                Message(role="assistant", parts=(TextPart(text or "-"),)),
                Message(role="user", parts=(TextPart(say_again(problem)),)),
            )
        self._reply = self._made(text, ask)

    async def _whole(self) -> Reply:
        async for _ in self:
            pass
        return self.reply

    def _ask(self, services: Services, target: Target, messages: tuple[Message, ...]) -> ModelAsk:
        question, limits = self._question, SpendingLimits(services.settings.budget, services.store, services.clock)

        async def check(spent: Sequence[Spent]) -> None:
            await limits.check(session_id="", turn_id="", since_then=spent)

        request_id = services.new_id()

        async def write(to: Target, shorter: bool) -> ModelRequest | None:
            if shorter:
                return None
            return ModelRequest(
                id=request_id,
                session_id="",
                turn_id="",
                endpoint=to.endpoint,
                model=to.model,
                system=question.system,
                messages=messages,
                tools=question.tools,
                response_format=question.response_format,
                **{name: getattr(question.options, name) for name in RequestOptions.__struct_fields__},
            )

        hooks = services.plugins.hooks.for_turn("library")
        return services.router.ask(target, services.settings.fallback_providers, write, hooks, check=check)

    def _problem(self, text: str, ask: ModelAsk) -> str:
        wanted, finished = self._question.response_format, ask.answer.finished
        if wanted is None or ask.answer.calls or (finished is not None and finished.reason == "refusal"):
            return ""
        return misfit(unfenced(text), wanted)

    def _made(self, text: str, ask: ModelAsk) -> Reply:
        costs = [spent.cost_usd for spent in self._spent if spent.cost_usd is not None]
        return Reply(
            text=unfenced(text) if self._question.response_format else text,
            calls=tuple(ask.answer.calls),
            finish=ask.answer.finished.reason if ask.answer.finished else "stop",
            usage=sum((spent.usage for spent in self._spent), Usage()),
            cost_usd=sum(costs) if costs else None,
            provider=ask.target.provider,
            model=ask.target.model,
        )

    async def _book(self, services: Services, spent: Sequence[Spent]) -> None:
        at, principal = services.clock.now(), self._principal.id
        used = [entry for entry in spent if entry.usage.total_tokens]
        rows = tuple(entry.row(turn_id="", at=at, principal=principal, task="direct") for entry in used)
        if not rows:
            return
        try:
            await services.store.get(SessionRef(session_id=SESSION))
        except SessionNotFound:
            await services.store.create(
                NewSession(
                    id=SESSION,
                    created=services.clock.now(),
                    surface="library",
                    principal=LOCAL,
                    workspace="",
                    provider="",
                    model="",
                )
            )
        await services.store.commit(SessionWrite(session_id=SESSION, holder="", usage=rows))
