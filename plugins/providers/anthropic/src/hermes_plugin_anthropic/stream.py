"""The answer of a Messages endpoint, streamed or whole, as `ModelEvent`s."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hermes.contracts.errors import ProviderError
from hermes.contracts.events import (
    ModelEvent,
    ModelFinished,
    StateUpdate,
    TextDelta,
    ThinkingDelta,
    ToolCallReady,
    UsageUpdate,
)
from hermes.contracts.messages import Usage
from hermes.contracts.provider import ModelRequest
from hermes_carrier.calls import CallIds
from hermes_carrier.errors import provider_error
from hermes_carrier.names import ToolNames
from hermes_carrier.reading import NO_ANSWER, EventReader, mapping_of
from hermes_carrier.state import tagged

from .blocks import OpenBlock
from .errors import complaint_of
from .messages import AFTER, BLOCKS, PAUSE, history_of
from .quirks import Quirks
from .schema import answer_tool
from .wire import WireDelta, WireEvent, WireRefusal, WireUsage, event_decoder, message_decoder

_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "pause_turn": PAUSE,
}


class Decoder(EventReader):
    """Reads one answer; see `hermes_carrier.codec.Decoder`."""

    def __init__(self, request: ModelRequest, request_id: str = "") -> None:
        super().__init__(request, request_id)
        self._names = ToolNames(request)
        answer = answer_tool(request, Quirks.of(request.endpoint))
        self._answer_tool = answer.name if answer else ""
        self._open: dict[int, OpenBlock] = {}
        self._kept: list[dict[str, Any]] = []
        self._ids = CallIds(request, prefix="toolu_")
        self._usage = Usage()
        self._refusal = ""
        self._model = ""
        self._said = self._thought = False

    def whole(self, body: bytes) -> Iterator[ModelEvent]:
        message = self._parsed(body, message_decoder, NO_ANSWER)
        if message.error:
            raise self._reported(body)
        if message.content is None or not message.stop_reason:
            raise self._broken(NO_ANSWER, body)
        self._model = message.model or ""
        for place, block in enumerate(message.content):
            yield from self._begin(place, block)
            yield from self._close(place)
        yield from self._usage_of(message.usage)
        self._stopped(message.stop_reason, message.stop_details)
        yield from self._end()

    def _event(self, data: bytes) -> Iterator[ModelEvent]:
        if self.ended or not data.strip():
            return
        event = self._parsed(data, event_decoder)
        if event.type == "content_block_delta" and event.delta is not None:
            yield from self._delta(event.index, event.delta)
        elif event.error or event.type == "error":
            raise self._reported(data)
        else:
            yield from self._other(event)

    def _other(self, event: WireEvent) -> Iterator[ModelEvent]:
        """What there is once in an answer or in a block; unknown events are passed over."""
        match event.type:
            case "message_start" if event.message is not None and not isinstance(event.message, str):
                self._model = event.message.model or ""
                yield from self._usage_of(event.message.usage)
            case "content_block_start" if event.content_block is not None:
                yield from self._begin(event.index, event.content_block)
            case "content_block_stop":
                yield from self._close(event.index)
            case "message_delta":
                yield from self._usage_of(event.usage)
                if event.delta is not None:
                    self._stopped(event.delta.stop_reason, event.delta.stop_details)
            case "message_stop":
                if not self._reason and not self._kept:
                    raise self._broken("the answer is empty")
                yield from self._end()

    def _begin(self, index: int, content: dict[str, Any]) -> Iterator[ModelEvent]:
        block = self._open[index] = OpenBlock(content)
        if block.kind == "thinking" and self._thought:
            yield ThinkingDelta(text="\n\n")
        if block.opening:
            yield from self._say(block, block.opening)

    def _delta(self, index: int, delta: WireDelta) -> Iterator[ModelEvent]:
        block = self._open.get(index)
        if block is None:
            raise self._broken("a piece came of a block that was not begun")
        if text := delta.text or delta.thinking:
            yield from self._say(block, text)
            return
        block.add(delta)
        if delta.partial_json and block.kind == "tool_use" and block.name == self._answer_tool:
            self._said = True
            yield TextDelta(text=delta.partial_json)

    def _say(self, block: OpenBlock, text: str) -> Iterator[ModelEvent]:
        block.say(text)
        if block.kind == "thinking":
            self._thought = True
            yield ThinkingDelta(text=text)
        elif block.kind == "text":
            self._said = True
            yield TextDelta(text=text)

    def _close(self, index: int) -> Iterator[ModelEvent]:
        block = self._open.pop(index, None)
        if block is None:
            return
        if block.kind != "tool_use":
            kept = block.kept()
            if kept.get("signature") != "":  # thinking that was cut: it is not signed, and so not taken back
                self._kept.append(kept)
        elif block.name == self._answer_tool:
            answer = block.arguments
            if not self._said:
                yield TextDelta(text=answer)
            self._kept.append({"type": "text", "text": answer})
        else:
            call = self._ids.call(block.id, self._names.ours(block.name), block.arguments)
            self._kept.append(block.kept(call.id))
            yield ToolCallReady(call=call)

    def _usage_of(self, seen: WireUsage | None) -> Iterator[ModelEvent]:
        if seen is None:
            return
        old, details = self._usage, seen.output_tokens_details
        thought = details.thinking_tokens if details else None
        usage = Usage(
            input_tokens=_newer(seen.input_tokens, old.input_tokens),
            output_tokens=_newer(seen.output_tokens, old.output_tokens),
            cache_read_tokens=_newer(seen.cache_read_input_tokens, old.cache_read_tokens),
            cache_write_tokens=_newer(seen.cache_creation_input_tokens, old.cache_write_tokens),
            reasoning_tokens=_newer(thought, old.reasoning_tokens),
        )
        if usage != old:
            self._usage = usage
            yield UsageUpdate(usage=usage)

    def _stopped(self, reason: str | None, details: WireRefusal | None) -> None:
        self._reason = reason or self._reason
        if details is not None:
            self._refusal = details.explanation or ""

    def _end(self) -> Iterator[ModelEvent]:
        """What is known only now: why it refused, the state to keep, and how it ended."""
        self.ended = True
        if self._refusal and not self._said:
            yield TextDelta(text=self._refusal)
        called = any(block["type"] == "tool_use" for block in self._kept)
        if any(block["type"] not in ("text", "tool_use") for block in self._kept):
            after = history_of(self._request, self._names).digest
            yield StateUpdate(state=tagged(self._request, {BLOCKS: self._kept, AFTER: after}))
        reason = _REASONS.get(self._reason, self._reason) or "stop"
        if reason in ("stop", "tool_calls"):
            reason = "tool_calls" if called else "stop"
        yield ModelFinished(reason=reason, model=self._model, request_id=self._request_id)

    def _reported(self, body: bytes) -> ProviderError:
        """The error that the endpoint tells in its answer, after the status 200."""
        complaint = complaint_of(mapping_of(body))
        return provider_error(0, complaint, self._request.endpoint, self._request.model, request_id=self._request_id)


def _newer(seen: int | None, known: int) -> int:
    return known if seen is None else seen
