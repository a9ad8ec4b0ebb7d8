"""A model that says what the test tells it to, as a plugin in this process, for tests of all that is not a wire."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from hermes import (
    AnyEvent,
    App,
    Clock,
    Event,
    ModelFinished,
    ModelInfo,
    ModelList,
    ModelRequest,
    ModelsQuery,
    ProviderCapabilities,
    Provision,
    TextDelta,
    ToolCallPart,
    ToolCallReady,
    Usage,
    UsageUpdate,
    hookimpl,
)
from hermes.config.load import merge
from hermes.plugins.manifest import Manifest

Reply = list[Event | BaseException]


def say(text: str = "", *calls: ToolCallPart, reason: str = "") -> Reply:
    """An answer: a text, then tool calls."""
    events: Reply = [TextDelta(text=text)] if text else []
    events += [ToolCallReady(call=call) for call in calls]
    events.append(UsageUpdate(usage=Usage(input_tokens=10, output_tokens=5)))
    events.append(ModelFinished(reason=reason or ("tool_calls" if calls else "stop")))
    return events


_numbers = iter(range(1, 1_000_000))


def call(name: str, /, **arguments: Any) -> ToolCallPart:
    return ToolCallPart(id=f"call_{next(_numbers)}", name=name, arguments=json.dumps(arguments))


class ScriptedModel:
    """A provider ``scripted`` with a queue of replies, or a function from requests to replies.

    An exception in a reply is raised at its place. ``requests`` are those it received. When the queue is empty it
    answers "ok".
    """

    name = "scripted"
    manifest = Manifest(
        name="scripted",
        provides={
            "providers": {"scripted": {"transport": "scripted", "models": ["model-1", "model-2"]}},
            "transport": ["scripted"],
        },
    )
    capabilities = ProviderCapabilities(model_list=True)

    def __init__(self, replies: Iterable[Reply] | Callable[[ModelRequest], Reply] = ()) -> None:
        self._reply = replies if callable(replies) else None
        self.queue: list[Reply] = [] if callable(replies) else list(replies)
        self.requests: list[ModelRequest] = []

    @hookimpl
    def provide(self) -> list[Provision]:
        return [Provision("transport", "scripted", lambda: self)]

    async def stream(self, request: ModelRequest) -> AsyncIterator[Any]:
        self.requests.append(request)
        reply = self._reply(request) if self._reply else self.queue.pop(0) if self.queue else say("ok")
        for event in reply:
            if isinstance(event, BaseException):
                raise event
            await asyncio.sleep(0)
            yield event

    async def models(self, query: ModelsQuery) -> ModelList:
        return ModelList(models=(ModelInfo(id="model-1"), ModelInfo(id="model-2")))


class SetClock(Clock):
    """A clock that stands still but for `advance`; sleeping advances it."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self._now = now

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds

    async def sleep(self, seconds: float) -> None:
        self._now += seconds
        await asyncio.sleep(0)


def make_app(
    home: Path,
    *plugins: Any,
    model: ScriptedModel | None = None,
    only: Iterable[str] = (),
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    **options: Any,
) -> App:
    """An `App` on a home of its own, with a scripted model, these plugins, and of the installed ones ``only`` these."""
    settings = {"plugins": {"enabled": ["-none-", *only]}, "model": {"provider": "scripted"}}
    return App(
        home,
        plugins=[model or ScriptedModel(), *plugins],
        environ=environ or {},
        overrides=merge(settings, overrides or {}),
        workspace=options.pop("workspace", str(home)),
        **options,
    )


async def collect(events: AsyncIterator[AnyEvent]) -> list[AnyEvent]:
    return [event async for event in events]
