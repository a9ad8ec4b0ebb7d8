"""OpenAI's two wires do what every provider has to do; the suite finds what worse ones do wrong on the wire."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hermes import (
    AudioPart,
    BadRequest,
    ConnectionFailed,
    Endpoint,
    FilePart,
    ImagePart,
    Message,
    ModelEvent,
    ModelFinished,
    ModelList,
    ModelRequest,
    ModelsQuery,
    ProviderError,
    ProviderState,
    StreamBroken,
    SystemBlock,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolCallReady,
    ToolResultPart,
)
from hermes_carrier.provider import HttpProvider
from hermes_plugin_openai.provider import ChatCompletions, Responses
from hermes_testkit.behaviours import failures
from hermes_testkit.http_provider_suite import HttpProviderSuite


class TestChatCompletions(HttpProviderSuite):
    wire = "chat_completions"
    factory = "hermes_plugin_openai.provider:ChatCompletions"
    needs = ("hermes_carrier",)


class TestChatCompletionsBySdk(TestChatCompletions):
    places = ("in_process",)
    """A host would import the SDK anew for every test, and carries nothing else."""

    def make_endpoint(self, url: str) -> Endpoint:
        return msgspec.structs.replace(super().make_endpoint(url), carrier="sdk")


class TestResponses(HttpProviderSuite):
    wire = "responses"
    factory = "hermes_plugin_openai.provider:Responses"
    needs = ("hermes_carrier",)


class TestResponsesBySdk(TestResponses):
    places = ("in_process",)
    """A host would import the SDK anew for every test, and carries nothing else."""

    def make_endpoint(self, url: str) -> Endpoint:
        return msgspec.structs.replace(super().make_endpoint(url), carrier="sdk")


class Worse(ChatCompletions):
    """Sends something else than it was asked to, or tells something else than came."""

    def changed(self, request: ModelRequest) -> ModelRequest:
        return request

    def told(self, event: ModelEvent) -> ModelEvent:
        return event

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        async for event in super().stream(self.changed(request)):
            yield self.told(event)


def with_messages(request: ModelRequest, messages: list[Message]) -> ModelRequest:
    return msgspec.structs.replace(request, messages=tuple(messages))


def with_parts(request: ModelRequest, change: Callable[[Any], Any]) -> ModelRequest:
    messages = request.messages
    return with_messages(
        request,
        [msgspec.structs.replace(each, parts=tuple(change(part) for part in each.parts)) for each in messages],
    )


def with_states(request: ModelRequest, change: Callable[[ProviderState], ProviderState]) -> ModelRequest:
    messages = request.messages
    return with_messages(
        request,
        [msgspec.structs.replace(each, provider_state=tuple(map(change, each.provider_state))) for each in messages],
    )


class OneSystemText(Worse):
    def changed(self, request: ModelRequest) -> ModelRequest:
        text = "\n".join(block.text for block in request.system)
        return msgspec.structs.replace(request, system=(SystemBlock(name="all", text=text),))


class MergedTurns(Worse):
    def changed(self, request: ModelRequest) -> ModelRequest:
        merged: list[Message] = []
        for message in request.messages:
            if merged and merged[-1].role == message.role:
                parts = merged[-1].parts + message.parts
                merged[-1] = msgspec.structs.replace(message, parts=parts)
            else:
                merged.append(message)
        return with_messages(request, merged)


class OtherIds(Worse):
    def changed(self, request: ModelRequest) -> ModelRequest:
        def renamed(part: Any) -> Any:
            is_error = isinstance(part, ToolResultPart) and part.is_error
            return msgspec.structs.replace(part, call_id="call_x") if is_error else part

        return with_parts(request, renamed)


class ThinkingAsText(Worse):
    def changed(self, request: ModelRequest) -> ModelRequest:
        return with_parts(request, lambda part: TextPart(part.text) if isinstance(part, ThinkingPart) else part)


class ForeignState(Worse):
    def changed(self, request: ModelRequest) -> ModelRequest:
        provider, url = request.endpoint.provider, request.endpoint.base_url
        own = {"provider": provider, "model": request.model, "endpoint": url}
        return with_states(request, lambda state: msgspec.structs.replace(state, **own))


class NewestFirst(Worse):
    def changed(self, request: ModelRequest) -> ModelRequest:
        if len(request.messages) < 2:
            return request
        newest = SystemBlock(name="newest", text=f"There are {len(request.messages)} messages.")
        return msgspec.structs.replace(request, system=(newest, *request.system))


class NoImages(Worse):
    def changed(self, request: ModelRequest) -> ModelRequest:
        return with_messages(
            request,
            [
                msgspec.structs.replace(each, parts=tuple(p for p in each.parts if not isinstance(p, ImagePart)))
                for each in request.messages
            ],
        )


class NoSchema(Worse):
    def changed(self, request: ModelRequest) -> ModelRequest:
        return msgspec.structs.replace(request, response_format=None)


class ContentWithCutAnswers(Worse):
    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        try:
            async for event in super().stream(request):
                yield event
        except StreamBroken:
            yield ModelFinished(reason="stop")


class ReadsToTheEnd(Worse):
    """Collects the whole answer before it gives the first piece: nobody can leave early."""

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        events: list[ModelEvent] = []
        try:
            async for event in super().stream(msgspec.structs.replace(request, timeout=0.2)):
                events.append(event)
        except ProviderError:
            events.append(ModelFinished(reason="stop"))
        for event in events:
            yield event


class LeavesTheConnection(Worse):
    """Reads in the background, and goes on reading when nobody wants to know."""

    def __init__(self) -> None:
        super().__init__()
        self._readers: list[asyncio.Task[None]] = []

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        queue: asyncio.Queue[ModelEvent] = asyncio.Queue()

        async def read() -> None:
            async for event in super(LeavesTheConnection, self).stream(request):
                queue.put_nowait(event)

        self._readers.append(asyncio.create_task(read()))
        while True:
            yield await queue.get()

    async def close(self) -> None:
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)
        await super().close()


class NoKey(Worse):
    def changed(self, request: ModelRequest) -> ModelRequest:
        return msgspec.structs.replace(request, endpoint=msgspec.structs.replace(request.endpoint, key=""))


class OtherBytes(Worse):
    """Of parts of one kind."""

    kind: type = FilePart

    def changed(self, request: ModelRequest) -> ModelRequest:
        def turned(part: Any) -> Any:
            return msgspec.structs.replace(part, data=part.data[::-1]) if isinstance(part, self.kind) else part

        return with_parts(request, turned)


class OtherSounds(OtherBytes):
    kind = AudioPart


class VendorsNames(Worse):
    """Tells the names of tools as they are on the wire."""

    def told(self, event: ModelEvent) -> ModelEvent:
        if not isinstance(event, ToolCallReady):
            return event
        plain = re.sub("[^A-Za-z0-9_-]", "_", event.call.name)
        return ToolCallReady(call=msgspec.structs.replace(event.call, name=plain))


class ModelsByName(Worse):
    async def models(self, query: ModelsQuery) -> ModelList:
        listed = (await super().models(query)).models
        return ModelList(models=tuple(sorted(listed, key=lambda model: model.id)))


class TellsNoAddress(Worse):
    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        try:
            async for event in super().stream(request):
                yield event
        except ConnectionFailed as error:
            raise ConnectionFailed("no luck", provider=error.provider, hint=error.hint) from None


class GivesUp(Worse):
    """Takes a dropped connection for an error that stays."""

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        try:
            async for event in super().stream(request):
                yield event
        except ConnectionFailed as error:
            if error.code == "ConnectError":
                raise
            raise BadRequest(str(error), provider=error.provider, hint=error.hint) from None


class HandsOnWhatIsCut(Worse):
    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        try:
            async for event in super().stream(request):
                yield event
        except StreamBroken:
            if request.tools:
                yield ToolCallReady(call=ToolCallPart(id="cut", name="look", arguments='{"place": "gar'))
            raise


class WorseResponses(Responses):
    def changed(self, request: ModelRequest) -> ModelRequest:
        raise NotImplementedError

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        async for event in super().stream(self.changed(request)):
            yield event


class ForgetsItsMarks(WorseResponses):
    def changed(self, request: ModelRequest) -> ModelRequest:
        return with_states(request, lambda state: msgspec.structs.replace(state, data="{}"))


class TellsAnyModel(WorseResponses):
    def changed(self, request: ModelRequest) -> ModelRequest:
        return with_states(request, lambda state: msgspec.structs.replace(state, model=request.model))


ALONE = [
    (NoKey, "PROVIDER-WIRE-1"),
    (OneSystemText, "PROVIDER-WIRE-2"),
    (MergedTurns, "PROVIDER-WIRE-3"),
    (OtherIds, "PROVIDER-WIRE-4"),
    (NoImages, "PROVIDER-WIRE-5"),
    (NoSchema, "PROVIDER-WIRE-6"),
    (ThinkingAsText, "PROVIDER-WIRE-7"),
    (ForeignState, "PROVIDER-WIRE-8"),
    (NewestFirst, "PROVIDER-WIRE-9"),
    (OtherBytes, "PROVIDER-WIRE-11"),
    (OtherSounds, "PROVIDER-WIRE-12"),
    (VendorsNames, "PROVIDER-TOOLS-6"),
    (ForgetsItsMarks, "PROVIDER-THINKING-2"),
    (TellsAnyModel, "PROVIDER-THINKING-2"),
    (HandsOnWhatIsCut, "PROVIDER-BROKEN-2"),
    (GivesUp, "PROVIDER-BROKEN-4"),
    (TellsNoAddress, "PROVIDER-BROKEN-6"),
    (ModelsByName, "PROVIDER-MODELS-1"),
]


@pytest.mark.parametrize(("provider", "behaviour"), ALONE, ids=[provider.__name__ for provider, _ in ALONE])
def test_what_is_wrong_fails_its_own_behaviour_alone(
    provider: type[HttpProvider], behaviour: str, tmp_path: Path
) -> None:
    wire = "responses" if issubclass(provider, Responses) else "chat_completions"
    suite = type("WorseSuite", (HttpProviderSuite,), {"make_provider": lambda self: provider(), "wire": wire})
    assert set(failures(suite, tmp_path)) == {behaviour}


@pytest.mark.parametrize(
    ("provider", "name", "arguments"),
    [
        (ContentWithCutAnswers, "test_a_cut_answer_is_an_error", (3,)),
        (ContentWithCutAnswers, "test_malformed_data_is_an_error", ()),
        (ContentWithCutAnswers, "test_silence_is_an_error", ()),
        (LeavesTheConnection, "test_leaving_closes_the_connection", ()),
        (ReadsToTheEnd, "test_an_error_in_mid_answer_is_raised", ()),
    ],
)
def test_the_suite_finds_what_is_wrong_on_the_wire(
    provider: type[ChatCompletions], name: str, arguments: tuple[Any, ...]
) -> None:
    suite = type("WorseSuite", (HttpProviderSuite,), {"make_provider": lambda self: provider(), "patience": 0.3})()
    with pytest.raises(AssertionError):
        getattr(suite, name)(*arguments)
