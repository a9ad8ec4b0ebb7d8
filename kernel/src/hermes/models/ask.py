"""One model call, made again or elsewhere when it fails."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from hermes.contracts.errors import (
    ConfigError,
    ErrorInfo,
    ModelNotFound,
    PluginError,
    PolicyDenied,
    ProviderError,
    StreamBroken,
    nearest_few,
)
from hermes.contracts.events import Event, ModelFinished, ModelRetry, Notice, UsageUpdate
from hermes.contracts.hookspecs import ModelAnswer, ModelCall
from hermes.contracts.messages import Usage
from hermes.contracts.provider import ModelInfo, ModelRequest
from hermes.contracts.store import UsageRow
from hermes.plugins.hooks import Hooks

from .answer import AnswerBuilder
from .catalog import cost_of, known_models
from .credentials import shown_address
from .inputs import fitting
from .retry import STEPS, Step, class_of, seconds_to_wait

if TYPE_CHECKING:
    from .router import Router, Target

Check = Callable[[Sequence["Spent"]], Awaitable[None]]
"""Raises `BudgetExceeded` where no further call may be made. It is given what this one has cost so far."""
Write = Callable[["Target", bool], Awaitable[ModelRequest | None]]
"""The request for a target. With True it has to be shorter than the last; None: it cannot be."""


class Spent(NamedTuple):
    """What one model call cost, also one that failed."""

    target: Target
    usage: Usage
    cost_usd: float | None

    def row(self, *, turn_id: str, at: float, principal: str, task: str = "main") -> UsageRow:
        """As it is booked."""
        return UsageRow(
            turn_id=turn_id,
            at=at,
            provider=self.target.provider,
            model=self.target.model,
            principal=principal,
            usage=self.usage,
            cost_usd=self.cost_usd,
            task=task,
        )


class Again(NamedTuple):
    """The next attempt: where to, and after how many seconds."""

    target: Target
    seconds: float = 0.0
    step: Step = "wait"


def addressed(request: ModelRequest, target: Target, request_id: str) -> ModelRequest:
    """The request as it goes to this target: what it says itself comes before what all requests there have."""
    own = {name for name in ("temperature", "seed", "stop", "max_tokens") if getattr(request, name) not in (None, ())}
    body = {name: value for name, value in target.body.items() if name not in own}
    endpoint = target.endpoint
    if any("{session}" in value for value in endpoint.headers.values()):
        headers = {name: value.replace("{session}", request.session_id) for name, value in endpoint.headers.items()}
        endpoint = msgspec.structs.replace(endpoint, headers=headers)
    messages = request.messages
    info = next((info for info in known_models(target.spec) if info.id == target.model), None)
    if info is not None and info.inputs is not None:
        others = [other.id for other in known_models(target.spec) if other.inputs]
        messages = fitting(messages, info.inputs, target.name, others)
    return msgspec.structs.replace(
        request,
        id=request_id,
        endpoint=endpoint,
        model=target.model,
        messages=messages,
        extra={**body, **request.extra},
    )


class ModelAsk:
    """One model call, with its repetitions. Iterate `events`; then read ``answer``, ``target`` and ``spent``."""

    def __init__(
        self,
        router: Router,
        target: Target,
        fallbacks: Sequence[str],
        write: Write,
        hooks: Hooks,
        check: Check | None = None,
    ) -> None:
        self._router = router
        self._fallbacks = list(fallbacks)
        self._write = write
        self._hooks = hooks
        self._check = check
        self._request: ModelRequest | None = None
        self._attempt_here = 0
        self._once: set[Step] = set()
        self._notices: list[Notice] = []
        self._infos: dict[tuple[str, str], ModelInfo] = {}
        self.target = target
        self.answer = AnswerBuilder()
        self.spent: list[Spent] = []

    async def events(self) -> AsyncIterator[Event]:
        """The model's events, and `ModelRetry` where a call is repeated.

        Raises:
            ProviderError: the last attempt's.
            PolicyDenied: a plugin vetoed the call.
            BudgetExceeded: there is none left for it.
        """
        total = 0
        while True:
            if self._check is not None:
                await self._check(self.spent)
            total += 1
            self._attempt_here += 1
            self.answer = AnswerBuilder()
            call = await self._call(total)
            if (vetoed := await self._hooks.pre_api_request(call)) is not None:
                plugin, veto = vetoed
                raise PolicyDenied(f'The plugin "{plugin}" stopped the model call: {veto.reason}')
            try:
                async for event in self._attempt(call):
                    yield event
                return
            except ProviderError as error:
                await self._book()
                self._advise(error)
                await self._hooks.on_api_error(call, ErrorInfo.of(error))
                failure = error
            again, failure = await self._again(failure)
            for notice in self._notices:
                yield notice
            self._notices = []
            if again is None:
                raise failure
            self.target = again.target
            yield ModelRetry(
                error=ErrorInfo.of(failure),
                attempt=total + 1,
                seconds=again.seconds,
                provider=self.target.provider,
                model=self.target.model,
                restart=self.answer.shown,
                step=again.step,
            )
            if again.seconds:
                await self._router.clock.sleep(again.seconds)

    async def _again(self, error: ProviderError) -> tuple[Again | None, ProviderError]:
        """The first of the steps for this class of error that can be taken; None: the error beside it is raised."""
        for step in STEPS[class_of(error)]:
            try:
                if (again := await self._take(step, error)) is not None:
                    return again, error
            except ProviderError as worse:  # a token that cannot be renewed: this says what helps
                error = worse
        return None, error

    async def _take(self, step: Step, error: ProviderError) -> Again | None:
        match step:
            case "wait":
                retries, jitter = self._router.settings.agent.retries, self._router.jitter
                seconds = seconds_to_wait(error, attempt=self._attempt_here, retries=retries, jitter=jitter)
                return None if seconds is None else Again(self.target, seconds)
            case "rotate":
                other = await self._router.another_key(self.target, error)
                return Again(other, step=step) if other else None
            case "refresh":
                if step in self._once:
                    return None
                self._once.add(step)
                renewed = await self._router.renewed(self.target)
                return Again(renewed, step=step) if renewed else None
            case "compress":
                if step in self._once:
                    return None
                self._once.add(step)
                self._request = await self._write(self.target, True)
                return Again(self.target, step=step) if self._request else None
            case "fall_back":
                return await self._fall_back()

    async def _fall_back(self) -> Again | None:
        """The next fallback that can be reached at all; one that cannot is told of and left out."""
        while self._fallbacks:
            name = self._fallbacks.pop(0)
            try:
                target = await self._router.fallback(name, self.target.scope)
                await self._router.provider(target)
            except (ConfigError, PluginError, ProviderError) as error:
                self._notices.append(Notice(text=f'The fallback "{name}" is left out: {error}', level="warning"))
                continue
            self._attempt_here, self._request = 0, None
            self._once.clear()
            return Again(target, step="fall_back")
        return None

    async def _attempt(self, call: ModelCall) -> AsyncIterator[Event]:
        clock = self._router.clock
        if self.target.failure is not None:
            if self._attempt_here > 1:
                self.target = await self._router.again(self.target)
            if self.target.failure is not None:
                raise self.target.failure
        provider = await self._router.provider(self.target)
        assert self._request is not None
        request = addressed(self._request, self.target, call.id)
        started, first = clock.monotonic(), None
        async with aclosing(provider.stream(request)) as stream:  # type: ignore[type-var]
            async for event in stream:
                if first is None:
                    first = clock.monotonic() - started
                told = await self._priced(event) if isinstance(event, UsageUpdate) else event
                self.answer.add(told)
                yield told
        finished = self.answer.finished or ModelFinished(reason="stop")
        if finished.reason == "stop" and not self.answer.calls and not self.answer.text.strip():
            raise StreamBroken(
                f"{self.target.name} answered with nothing.",
                provider=self.target.provider,
                code="empty_answer",
                request_id=finished.request_id,
                hint="Say more, or use another model.",
            )
        await self._book()
        response = ModelAnswer(
            parts=self.answer.parts(),
            finish=finished.reason,
            usage=self.answer.usage,
            seconds=clock.monotonic() - started,
            first_token_seconds=first,
            request_id=finished.request_id,
            model=finished.model,
        )
        await self._hooks.post_api_request(call, response)

    async def _priced(self, event: UsageUpdate) -> UsageUpdate:
        return msgspec.structs.replace(event, cost_usd=cost_of(event.usage, await self._info()))

    async def _info(self) -> ModelInfo:
        """What is known of the model; asked for once a target."""
        target = self.target
        name = (target.provider, target.model)
        if name not in self._infos:
            self._infos[name] = (await self._router.catalog.model(target.provider, target.spec, target.model)).info
        return self._infos[name]

    async def _book(self) -> None:
        usage = self.answer.usage
        cost = cost_of(usage, await self._info()) if usage.total_tokens else usage.cost_usd
        if cost is None and not self.answer.shown and not usage.total_tokens:
            cost = 0.0  # it was refused, or not reached
        self.spent.append(Spent(self.target, usage, cost))

    def _advise(self, error: ProviderError) -> None:
        """Names the models that were perhaps meant."""
        if isinstance(error, ModelNotFound):
            live = self._router.catalog.live(self.target.provider)
            known = {info.id for info in (*known_models(self.target.spec), *(live.models if live else ()))}
            if near := nearest_few(self.target.model, known - {self.target.model}):
                error.hint = f"Perhaps {' or '.join(near)}? See: hermes model list {self.target.provider}. {error.hint}"

    async def _call(self, attempt: int) -> ModelCall:
        if self._request is None:
            self._request = await self._write(self.target, False)
        request = self._request
        assert request is not None, "a first request can always be written"
        return ModelCall(
            id=f"{request.id}.{attempt}" if attempt > 1 else request.id,
            session_id=request.session_id,
            turn_id=request.turn_id,
            provider=self.target.provider,
            model=self.target.model,
            base_url=shown_address(self.target.endpoint.base_url),
            messages=len(request.messages),
            tools=len(request.tools),
            attempt=attempt,
            last=request.messages[-1].parts if request.messages else (),
        )
