"""One turn: from a message to the end of the answer, as a stream of events."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import msgspec

from hermes.contracts.errors import (
    BudgetExceeded,
    ErrorInfo,
    HermesError,
    LeaseLost,
    PolicyDenied,
    ProviderError,
)
from hermes.contracts.events import MessageReplaced, Notice, TurnFinished, TurnStarted, TurnSuspended
from hermes.contracts.hookspecs import SessionInfo, TurnAnswer, TurnInfo
from hermes.contracts.host import Clock
from hermes.contracts.memory import ContextEngine, FitRequest, ModelChange
from hermes.contracts.messages import FrozenPrompt, Message, TextPart, ToolCallPart, text_of
from hermes.contracts.provider import ModelRequest
from hermes.contracts.scope import Principal
from hermes.contracts.store import Amendment, CallRecord, TurnRecord
from hermes.models.ask import ModelAsk, Spent
from hermes.models.router import Router, Target
from hermes.plugins.hooks import Hooks

from .budget import SpendingLimits, TurnBudget
from .calls import ToolPhase
from .journal import Journal
from .structured import MAX_MISFITS, does_not_fit, misfit, say_again, unfenced
from .trimming import later_half

Answer = TypeVar("Answer")
MAX_CONTINUES = 3
ENDINGS = {
    "length": "The answer was cut at the limit of its tokens. Allow more: hermes config set model.max_tokens NUMBER",
    "refusal": "The model, or its provider's policy, declined to answer in full.",
}
"""What a person should know of an answer that looks whole."""
PAUSED = "pause"
"""The model goes on where it stopped if it is asked again."""


class Interrupted(Exception):
    """The user stopped the turn."""


class Turn:
    """Runs one turn of a conversation. ``history`` is the conversation's, and grows as messages are stored."""

    def __init__(
        self,
        *,
        id: str,  # noqa: A002 (the field's name everywhere else)
        session: SessionInfo,
        principal: Principal,
        history: list[Message],
        prompt: FrozenPrompt,
        target: Target,
        fallbacks: Sequence[str],
        router: Router,
        hooks: Hooks,
        journal: Journal,
        tools: ToolPhase,
        budget: TurnBudget,
        limits: SpendingLimits,
        engine: ContextEngine | None,
        options: dict[str, Any],
        clock: Clock,
        log: logging.Logger,
    ) -> None:
        self.id = id
        self.outcome = ""
        self.suspended = False
        self._session = session
        self._principal = principal
        self._history = history
        self._prompt = prompt
        self._target = target
        self._fallbacks = fallbacks
        self._router = router
        self._hooks = hooks
        self._journal = journal
        self._tools = tools
        self._budget = budget
        self._limits = limits
        self._engine = engine
        self._options = options
        self._clock = clock
        self._log = log
        self._operation: asyncio.Task[Any] | None = None
        self._interrupted = False
        self._steered: list[Message] = []
        self._continues = 0
        self._misfits = 0
        self._started = clock.now()
        self._message_id = 0
        self._told = ("", "")

    def interrupt(self) -> None:
        self._interrupted = True
        if self._operation is not None:
            self._operation.cancel()

    def steer(self, message: Message) -> None:
        """Given to the model between two steps."""
        self._steered.append(message)

    def unread(self) -> list[Message]:
        """What came too late to be given to the model in this turn."""
        unread, self._steered = self._steered, []
        return unread

    async def begin(self, messages: Sequence[Message], *, store_prompt: bool) -> int:
        """Stores the user's messages: from here on they are acknowledged.

        Returns the id of the message that already has this idempotency key, where there is one; then the turn
        is not to be run.
        """
        committed, stored = await self._journal.write(
            messages=messages,
            events=[TurnStarted()],
            turn=TurnRecord(id=self.id, status="running", started=self._started),
            prompt=self._prompt if store_prompt else None,
        )
        if committed.duplicate:
            return committed.duplicate
        self._history.extend(stored)
        self._message_id = stored[-1].id
        return 0

    async def run(self) -> None:
        """To the end of the turn, whatever happens on the way."""
        await self._bounded(self._run_new())

    async def resume(self, message_id: int) -> None:
        """Goes on with a turn that waited: its calls first, then the model."""
        self._message_id = message_id
        await self._bounded(self._run_on())

    async def _bounded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Interrupted:
            await self._finish("interrupted")
        except LeaseLost:
            raise
        except BudgetExceeded as error:
            await self._finish("over_budget", error)
        except PolicyDenied as error:
            await self._finish("denied", error)
        except HermesError as error:
            await self._finish("failed", error)
        except Exception as error:  # noqa: BLE001 (the boundary: a turn always ends with an event)
            self._log.exception("the turn %s failed", self.id)
            await self._finish("failed", error)

    async def _run_new(self) -> None:
        await self._add_context()
        await self._loop()

    async def _run_on(self) -> None:
        last = self._history[-1]
        waiting = last.role == "assistant" and any(isinstance(part, ToolCallPart) for part in last.parts)
        if waiting and not await self._run_tools(last):
            return
        await self._loop()

    async def _loop(self) -> None:
        while True:
            await self._take_steering()
            self._budget.check()
            answer = await self._ask_model()
            if any(isinstance(part, ToolCallPart) for part in answer.parts):
                if not await self._run_tools(answer):
                    return
            elif answer.finish != PAUSED and not self._steered and not await self._goes_on(answer):
                await self._finish_well(answer)
                return

    async def _add_context(self) -> None:
        found = await self._hooks.pre_llm_call(self._info())
        if not found:
            return
        amendments = tuple(
            Amendment(message_id=self._message_id, kind="context", parts=(TextPart(text),), plugin=plugin)
            for plugin, text in found
        )
        await self._journal.write(amendments=amendments)
        last = self._history[-1]
        added = tuple(part for amendment in amendments for part in amendment.parts)
        self._history[-1] = msgspec.structs.replace(last, parts=last.parts + added)

    async def _take_steering(self) -> None:
        if self._interrupted:
            raise Interrupted
        if self._steered:
            steered, self._steered = self._steered, []
            _, stored = await self._journal.write(messages=steered)
            self._history.extend(stored)

    async def _ask_model(self) -> Message:
        ask = self._router.ask(self._target, self._fallbacks, self._request, self._hooks, check=self._check)
        try:
            await self._interruptible(self._stream(ask))
        except Interrupted:
            await self._store_answer(ask, finish="interrupted", with_calls=False)
            raise
        except ProviderError:
            await self._store_answer(ask, finish="broken", with_calls=False)
            raise
        finished = ask.answer.finished
        return await self._store_answer(ask, finish=finished.reason if finished else "stop", with_calls=True)

    async def _check(self, spent: Sequence[Spent]) -> None:
        await self._limits.check(session_id=self._session.id, turn_id=self.id, since_then=spent)

    async def _stream(self, ask: ModelAsk) -> None:
        async for event in ask.events():
            await self._journal.tell(event)

    async def _store_answer(self, ask: ModelAsk, *, finish: str, with_calls: bool) -> Message:
        """One write: the answer, what it cost, what it intends. A partial one without a word leaves no message."""
        rows = []
        for spent in ask.spent:
            self._budget.add(spent.usage, spent.cost_usd)
            rows.append(spent.row(turn_id=self.id, at=self._clock.now(), principal=self._principal.id))
        self._target = ask.target
        parts = ask.answer.parts(with_calls=with_calls)
        message = Message(
            role="assistant", parts=parts, provider_state=tuple(ask.answer.state) if with_calls else (), finish=finish
        )
        if not with_calls and not text_of(parts):
            await self._journal.write(usage=tuple(rows))
            return message
        calls = tuple(
            CallRecord(
                turn_id=self.id, call_id=part.id, name=part.name, state="intended", effects=self._tools.effects(part)
            )
            for part in parts
            if isinstance(part, ToolCallPart)
        )
        _, (stored,) = await self._journal.write(messages=[message], usage=tuple(rows), calls=calls)
        self._history.append(stored)
        return stored

    async def _request(self, target: Target, shorter: bool) -> ModelRequest | None:
        """For a target, of which the context engine is told. ``shorter``: the last one was too long."""
        messages, engine, session_id = tuple(self._history), self._engine, self._session.id
        if engine is None and shorter:
            left = later_half(messages)
            if left is None:
                return None
            messages = left
        if engine is not None:
            if self._told != (target.provider, target.model):
                self._told = (target.provider, target.model)
                await engine.model_changed(
                    ModelChange(
                        session_id=session_id, provider=target.provider, model=target.model, window=target.window
                    )
                )
            fitted = await engine.fit(
                FitRequest(session_id=session_id, messages=messages, window=target.window, force=shorter)
            )
            if shorter and not fitted.changed:
                return None
            messages = fitted.messages
        return ModelRequest(
            id=f"{self.id}-{self._budget.calls + 1}",
            session_id=self._session.id,
            turn_id=self.id,
            endpoint=target.endpoint,
            model=target.model,
            system=self._prompt.system,
            messages=messages,
            tools=self._prompt.tools,
            **self._options,
        )

    async def _run_tools(self, answer: Message) -> bool:
        """False: the turn is suspended."""
        requests = await self._tools.run(answer, self._history, self._interruptible)
        if not requests:
            return True
        self.suspended = True
        await self._journal.write(
            events=[TurnSuspended(requests=tuple(requests))],
            turn=TurnRecord(
                id=self.id,
                status="suspended",
                started=self._started,
                message_id=self._message_id,
                model_calls=self._budget.calls,
            ),
        )
        return False

    async def _goes_on(self, answer: Message) -> bool:
        """Whether the answer has to be given again, or a plugin keeps the turn going."""
        wanted = self._options["response_format"]
        if wanted is not None and answer.finish != "refusal":
            if problem := misfit(unfenced(text_of(answer.parts)), wanted):
                await self._ask_again(problem)
                return True
            return False
        if self._continues >= MAX_CONTINUES:
            return False
        more = await self._hooks.on_turn_end(self._info())
        if more is None:
            return False
        self._continues += 1
        await self._say(more.message)
        return True

    async def _ask_again(self, problem: str) -> None:
        """Raises HermesError where that did not help."""
        self._misfits += 1
        if self._misfits > MAX_MISFITS:
            raise does_not_fit(problem)
        await self._say(say_again(problem))

    async def _say(self, text: str) -> None:
        """To the model, in the user's place."""
        _, stored = await self._journal.write(messages=[Message(role="user", parts=(TextPart(text),))])
        self._history.extend(stored)

    async def _finish_well(self, answer: Message) -> None:
        text = text_of(answer.parts)
        text = unfenced(text) if self._options["response_format"] is not None else text
        outcome = "denied" if self._tools.ended_denied else "done"
        if said := ENDINGS.get(answer.finish):
            await self._journal.tell(Notice(text=said, level="warning"))
        given = TurnAnswer(message_id=answer.id, text=text, outcome=outcome, usage=self._budget.usage)
        replaced = await self._hooks.post_llm_call(self._info(), given)
        if replaced is not None:
            plugin, text = replaced
            amendment = Amendment(message_id=answer.id, kind="replacement", parts=(TextPart(text),), plugin=plugin)
            await self._journal.write(
                amendments=(amendment,), events=[MessageReplaced(message_id=answer.id, text=text, plugin=plugin)]
            )
            others = tuple(part for part in answer.parts if not isinstance(part, TextPart))
            self._history[-1] = msgspec.structs.replace(answer, parts=(*others, TextPart(text)))
        denied = PolicyDenied(self._tools.denial) if outcome == "denied" else None
        await self._finish(outcome, denied, text)

    async def _finish(self, outcome: str, error: BaseException | None = None, text: str = "") -> None:
        self.outcome = outcome
        info = ErrorInfo.of(error) if error is not None else None
        if info is not None and outcome == "failed":
            await self._hooks.on_error(self._session, info)
        await self._journal.write(
            events=[
                TurnFinished(
                    outcome=outcome,
                    text=text,
                    usage=self._budget.usage,
                    cost_usd=self._budget.cost_usd,
                    api_calls=self._budget.calls,
                    provider=self._target.provider,
                    model=self._target.model,
                    error=info,
                )
            ],
            turn=TurnRecord(
                id=self.id,
                status="finished",
                started=self._started,
                message_id=self._message_id,
                outcome=outcome,
                error=info,
                model_calls=self._budget.calls,
            ),
        )

    async def _interruptible(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """Runs ``work`` so that `interrupt` ends it, and nothing else."""
        if self._interrupted:
            work.close()
            raise Interrupted
        operation: asyncio.Task[Answer] = asyncio.ensure_future(work)
        self._operation = operation
        try:
            return await operation
        except asyncio.CancelledError:
            if self._interrupted:
                raise Interrupted from None
            raise
        finally:
            self._operation = None

    def _info(self) -> TurnInfo:
        message = next((found for found in reversed(self._history) if found.id == self._message_id), None)
        return TurnInfo(
            id=self.id,
            session=self._session,
            message_id=self._message_id,
            text=text_of(message.parts) if message else "",
            model_calls=self._budget.calls,
            tool_calls=self._tools.count,
        )
