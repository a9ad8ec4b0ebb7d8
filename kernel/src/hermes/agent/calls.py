"""The tool calls of one answer: judged in order, run at once where they may be, stored before and after."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Literal

import msgspec

from hermes.contracts.events import InputRequest, InputRequested, ToolFinished, ToolRefused, ToolStarted
from hermes.contracts.host import Clock
from hermes.contracts.messages import Message, TextPart, ToolCallPart, ToolResultPart
from hermes.contracts.store import CallRecord, RequestRecord
from hermes.contracts.tool import ClientToolResult, ToolCall, ToolOutcome
from hermes.contracts.verdict import Verdict
from hermes.plugins.hooks import Hooks
from hermes.tools.policy import (
    CHOICES,
    denied_by_person,
    denied_by_policy,
    denied_by_silence,
    denied_for_want_of_a_person,
    judge,
)
from hermes.tools.registry import ToolRegistry
from hermes.tools.runner import PreparedCall, ToolRunner, waves

from .guards import RepeatedCalls
from .journal import Journal

Asking = Literal["never", "inline", "later"]
"""Whether somebody can be asked: nobody; a person who is there; a person who will answer some time."""

CUT = "Not run: your answer was cut at the limit of its tokens, within this call. Call again with less at once."
Interruptible = Callable[[Coroutine[Any, Any, Any]], Coroutine[Any, Any, Any]]
WaitForAnswer = Callable[[InputRequest, float, Coroutine[Any, Any, Any]], Coroutine[Any, Any, str | None]]
"""A request, how many seconds to wait, and what announces it once the answer can be taken."""


class ToolPhase:
    """Runs the calls of a turn's answers. ``settled``: answers and results that a resumed turn already has."""

    def __init__(
        self,
        *,
        runner: ToolRunner,
        registry: ToolRegistry,
        hooks: Hooks,
        journal: Journal,
        template: ToolCall,
        offered: Sequence[str],
        asking: Asking,
        wait: WaitForAnswer,
        parallel: int,
        clock: Clock,
        answers: Mapping[str, str] | None = None,
        results: Mapping[str, ToolResultPart] | None = None,
    ) -> None:
        self._runner = runner
        self._registry = registry
        self._hooks = hooks
        self._journal = journal
        self._template = template
        self._offered = offered
        self._asking = asking
        self._wait = wait
        self._parallel = asyncio.Semaphore(parallel)
        self._clock = clock
        self._answers = dict(answers or {})
        self._results = dict(results or {})
        self._repeated = RepeatedCalls()
        self._message_id = 0
        self._cut = False
        self.count = 0
        self.denial = ""
        self.ended_denied = False
        """The last calls of the turn were refused, and nobody is there who could be asked."""

    def effects(self, part: ToolCallPart) -> str:
        entry = self._registry.get(part.name)
        return entry.options.effects if entry else "none"

    async def run(self, answer: Message, history: list[Message], interruptible: Interruptible) -> list[InputRequest]:
        """Runs what may run and appends the results, in call order. What it gives back has to be answered first."""
        parts = [part for part in answer.parts if isinstance(part, ToolCallPart)]
        self._message_id, self._cut = answer.id, answer.finish == "length"
        self._repeated.truncated(cut=self._cut)
        self.count += len(parts)
        self.ended_denied = False
        prepared, requests = [], []
        try:
            for part in parts:
                ready = await interruptible(self._ready(part))
                if isinstance(ready, InputRequest):
                    requests.append(ready)
                else:
                    prepared.append(ready)
                    await self._tell_refusal(ready)
            await self._run_all(prepared, answer.id, interruptible)
        except BaseException:
            await self._append(parts, prepared, answer.id, history, interrupted=True)
            raise
        if requests:
            await self._suspend(prepared, requests, answer.id)
            return requests
        await self._append(parts, prepared, answer.id, history)
        return []

    async def _tell_refusal(self, ready: PreparedCall) -> None:
        if ready.refused_by and ready.outcome is not None:
            await self._journal.tell(
                ToolRefused(
                    call_id=ready.part.id,
                    name=ready.part.name,
                    by=ready.refused_by,
                    reason=ready.outcome.text,
                    plugin=ready.guard,
                )
            )

    async def _ready(self, part: ToolCallPart) -> PreparedCall | InputRequest:
        """The call, fit to run or with its outcome; or what has to be answered before."""
        if (stored := self._results.pop(part.id, None)) is not None:
            done = PreparedCall(part, msgspec.structs.replace(self._template, id=part.id, name=part.name))
            done.outcome = ToolOutcome(content=stored.content, is_error=stored.is_error)
            return done
        if refusal := self._repeated.refusal(part):
            repeated = PreparedCall(part, msgspec.structs.replace(self._template, id=part.id, name=part.name))
            repeated.refuse(refusal)
            return repeated
        prepared = await self._runner.prepare(part, self._template, self._offered, self._hooks)
        if self._cut and prepared.refused_by == "mistake":
            prepared.refuse(CUT)
        if prepared.outcome is not None:
            return prepared
        verdict = await judge(prepared.call, self._hooks)
        if verdict.decision == "deny":
            self._refuse(prepared, denied_by_policy(verdict), "policy", verdict)
        elif verdict.decision == "ask" and (request := await self._asked(prepared, verdict)) is not None:
            return request
        if prepared.outcome is None and prepared.call.options.executor == "client":
            return self._client_request(prepared)
        return prepared

    async def _asked(self, prepared: PreparedCall, verdict: Verdict) -> InputRequest | None:
        """None when it is settled, one way or the other."""
        request = InputRequest(
            id=self._request_id(prepared),
            kind="approval",
            prompt=f"Allow {prepared.call.name}?",
            choices=CHOICES if verdict.key else ("once", "deny"),
            call_id=prepared.call.id,
            tool=prepared.call.name,
            arguments=prepared.call.arguments,
            reason=verdict.reason,
            key=verdict.key,
            turn_id=self._template.turn_id,
            at=self._clock.now(),
        )
        answer = self._answers.get(request.id)
        if answer is None and self._asking == "never":
            self._refuse(prepared, denied_for_want_of_a_person(verdict), "nobody", verdict)
            return None
        if answer is None and self._asking == "later":
            return request
        if answer is None:
            announce = self._journal.write(
                requests=(RequestRecord(turn_id=self._template.turn_id, request=request),),
                events=[InputRequested(request=request)],
            )
            answer = await self._wait(request, verdict.timeout, announce)
            if answer is None:
                record = RequestRecord(turn_id=self._template.turn_id, request=request, status="void")
                await self._journal.write(requests=(record,))
                prepared.refuse(denied_by_silence(verdict.timeout), by="silence", guard=verdict.plugin)
                return None
        if answer not in ("once", "session", "always"):
            said = "" if answer == "deny" else f"They say: {answer}"
            prepared.refuse(denied_by_person(said), by="person", guard=verdict.plugin)
        return None

    def _refuse(self, prepared: PreparedCall, text: str, by: str, verdict: Verdict) -> None:
        """By policy. Where nobody is there to read on, a turn that ends with it has failed its task."""
        prepared.refuse(text, by=by, guard=verdict.plugin)
        if self._asking == "never":
            self.denial, self.ended_denied = text, True

    def _request_id(self, prepared: PreparedCall) -> str:
        """Of this answer's call, also where the model uses an id again."""
        return f"{self._template.turn_id}-{self._message_id}-{prepared.call.id}"

    def _client_request(self, prepared: PreparedCall) -> PreparedCall | InputRequest:
        request = InputRequest(
            id=f"{self._request_id(prepared)}-run",
            kind="client_tool",
            prompt=f"Run {prepared.call.name}",
            call_id=prepared.call.id,
            tool=prepared.call.name,
            arguments=prepared.call.arguments,
        )
        answer = self._answers.get(request.id)
        if answer is None:
            return request
        result = msgspec.json.decode(answer, type=ClientToolResult)
        prepared.outcome = ToolOutcome(content=result.content, is_error=result.is_error)
        return prepared

    async def _run_all(self, prepared: Sequence[PreparedCall], message_id: int, interruptible: Interruptible) -> None:
        runnable = [ready for ready in prepared if ready.outcome is None]
        if not runnable:
            return
        for wave in waves(runnable, self._template.workspace):
            await self._journal.write(
                calls=tuple(self._record(ready, "started", message_id) for ready in wave),
                events=[
                    ToolStarted(call_id=ready.call.id, name=ready.call.name, arguments=ready.call.arguments)
                    for ready in wave
                ],
            )
            if len(wave) == 1:
                await interruptible(self._run_one(wave[0]))
            else:
                await interruptible(self._run_wave(wave, message_id))

    async def _run_wave(self, wave: Sequence[PreparedCall], message_id: int) -> None:
        async def run_and_store(ready: PreparedCall) -> None:
            async with self._parallel:
                await self._run_one(ready)
            await self._journal.write(calls=(self._record(ready, "finished", message_id),))

        await asyncio.gather(*(run_and_store(ready) for ready in wave))

    async def _run_one(self, ready: PreparedCall) -> None:
        outcome = await self._runner.run(ready, self._hooks)
        ready.outcome = outcome
        if not outcome.is_error:
            self.ended_denied = False
        await self._journal.tell(
            ToolFinished(
                call_id=ready.call.id,
                name=ready.call.name,
                content=outcome.content,
                is_error=outcome.is_error,
                seconds=outcome.seconds,
            )
        )

    async def _suspend(
        self, prepared: Sequence[PreparedCall], requests: Sequence[InputRequest], message_id: int
    ) -> None:
        await self._journal.write(
            calls=tuple(self._record(ready, "finished", message_id) for ready in prepared),
            requests=tuple(RequestRecord(turn_id=self._template.turn_id, request=request) for request in requests),
            events=[InputRequested(request=request) for request in requests],
        )

    async def _append(
        self,
        parts: Sequence[ToolCallPart],
        prepared: Sequence[PreparedCall],
        message_id: int,
        history: list[Message],
        *,
        interrupted: bool = False,
    ) -> None:
        by_id = {ready.part.id: ready for ready in prepared}
        results, records = [], []
        for part in parts:
            ready = by_id.get(part.id)
            if ready is None or ready.outcome is None:
                assert interrupted, "every call has an outcome unless the turn was interrupted"
                started = ready is not None and ready.ran
                results.append(interrupted_result(part, self.effects(part), started=started))
                continue
            result = _result(part, ready.outcome)
            results.append(result)
            records.append(self._record(ready, "finished", message_id))
        messages = [Message(role="tool", parts=(result,)) for result in results]
        _, stored = await self._journal.write(messages=messages, calls=tuple(records))
        history.extend(stored)
        if not interrupted:
            self._repeated.note(parts, results)

    def _record(
        self, ready: PreparedCall, state: Literal["intended", "started", "finished"], message_id: int
    ) -> CallRecord:
        return CallRecord(
            turn_id=self._template.turn_id,
            call_id=ready.part.id,
            name=ready.part.name,
            state=state,
            effects=ready.call.options.effects,
            message_id=message_id,
            result=_result(ready.part, ready.outcome) if ready.outcome else None,
        )


def _result(part: ToolCallPart, outcome: ToolOutcome) -> ToolResultPart:
    return ToolResultPart(call_id=part.id, name=part.name, content=outcome.content, is_error=outcome.is_error)


def interrupted_result(part: ToolCallPart, effects: str, *, started: bool) -> ToolResultPart:
    """What the model reads of a call that was not finished."""
    if not started:
        text = "Interrupted before it was started: it was not run."
    elif effects == "external":
        text = "Interrupted; effect unknown. Look whether it took effect before doing it again."
    else:
        text = "Interrupted. It is safe to call again."
    return ToolResultPart(call_id=part.id, name=part.name, content=(TextPart(text),), is_error=True)
