"""`ChatCompletions` does what every provider has to do; the suite finds what a worse one does wrong on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from hermes import (
    Endpoint,
    Message,
    ModelEvent,
    ModelFinished,
    ModelRequest,
    ProviderError,
    StreamBroken,
    SystemBlock,
    TextPart,
    ThinkingPart,
    ToolResultPart,
)
from hermes_plugin_openai.codec import ChatCompletions
from hermes_testkit.http_provider_suite import HttpProviderSuite


class TestChatCompletions(HttpProviderSuite):
    wire = "chat_completions"
    factory = "hermes_plugin_openai.codec:ChatCompletions"
    needs = ("hermes_carrier",)


class TestChatCompletionsBySdk(TestChatCompletions):
    def make_endpoint(self, url: str) -> Endpoint:
        return msgspec.structs.replace(super().make_endpoint(url), carrier="sdk")


class TestResponses(HttpProviderSuite):
    wire = "responses"
    factory = "hermes_plugin_openai.responses_codec:Responses"
    needs = ("hermes_carrier",)


class TestResponsesBySdk(TestResponses):
    def make_endpoint(self, url: str) -> Endpoint:
        return msgspec.structs.replace(super().make_endpoint(url), carrier="sdk")


class Worse(ChatCompletions):
    """Sends something else than it was asked to."""

    def changed(self, request: ModelRequest) -> ModelRequest:
        return request

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        async for event in super().stream(self.changed(request)):
            yield event


def with_messages(request: ModelRequest, messages: list[Message]) -> ModelRequest:
    return msgspec.structs.replace(request, messages=tuple(messages))


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
            return msgspec.structs.replace(part, call_id="call_x") if isinstance(part, ToolResultPart) else part

        return with_messages(
            request,
            [
                msgspec.structs.replace(message, parts=tuple(renamed(part) for part in message.parts))
                for message in request.messages
            ],
        )


class ThinkingAsText(Worse):
    def changed(self, request: ModelRequest) -> ModelRequest:
        def said(part: Any) -> Any:
            return TextPart(part.text) if isinstance(part, ThinkingPart) else part

        return with_messages(
            request,
            [
                msgspec.structs.replace(message, parts=tuple(said(part) for part in message.parts))
                for message in request.messages
            ],
        )


class ForeignState(Worse):
    def changed(self, request: ModelRequest) -> ModelRequest:
        own = (request.endpoint.provider, request.model, request.endpoint.base_url)
        return with_messages(
            request,
            [
                msgspec.structs.replace(
                    message,
                    provider_state=tuple(
                        msgspec.structs.replace(state, provider=own[0], model=own[1], endpoint=own[2])
                        for state in message.provider_state
                    ),
                )
                for message in request.messages
            ],
        )


class NewestFirst(Worse):
    def changed(self, request: ModelRequest) -> ModelRequest:
        newest = SystemBlock(name="newest", text=f"There are {len(request.messages)} messages.")
        return msgspec.structs.replace(request, system=(newest, *request.system))


class NoImages(Worse):
    def changed(self, request: ModelRequest) -> ModelRequest:
        return with_messages(
            request,
            [
                msgspec.structs.replace(message, parts=tuple(p for p in message.parts if not hasattr(p, "data")))
                for message in request.messages
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


@pytest.mark.parametrize(
    ("provider", "name", "arguments"),
    [
        (OneSystemText, "test_system_blocks_are_separate_entries", ()),
        (MergedTurns, "test_turns_keep_their_roles", ()),
        (OtherIds, "test_tool_calls_and_results_keep_their_ids", ()),
        (ThinkingAsText, "test_thinking_is_not_sent_as_text", ()),
        (ForeignState, "test_state_of_another_is_not_sent", ()),
        (NewestFirst, "test_a_longer_conversation_starts_with_the_shorter_one", ()),
        (NoImages, "test_images", ()),
        (NoSchema, "test_structured_output", ()),
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
