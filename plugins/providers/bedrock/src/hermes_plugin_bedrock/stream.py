"""The answer of a Converse call, streamed or whole, as `ModelEvent`s."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from hermes.contracts.events import (
    ModelEvent,
    ModelFinished,
    StateUpdate,
    TextDelta,
    ThinkingDelta,
    ToolCallReady,
    UsageUpdate,
)
from hermes.contracts.messages import ToolCallPart, Usage
from hermes.contracts.provider import ModelRequest
from hermes_carrier.calls import CallIds
from hermes_carrier.names import ToolNames
from hermes_carrier.reading import NO_ANSWER, NO_END, NO_PIECE, UNREADABLE, AnswerReader, mapping_of
from hermes_carrier.state import tagged
from hermes_carrier.structured import answer_tool

from . import wire
from .errors import stream_error
from .frames import FrameReader
from .wire import CONTENT

_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "guardrail_intervened": "refusal",
    "content_filtered": "refusal",
}


Kind = Literal["text", "thinking", "call", "answer", "other"]
"""``answer``: a call whose input is the answer."""


class _Block:
    """What is known so far of one block of the answer. ``pieces``: text, thinking, or a call's arguments."""

    def __init__(self, kind: Kind, call_id: str = "", name: str = "") -> None:
        self.kind = kind
        self.id = call_id
        self.name = name
        self.pieces: list[str] = []
        self.signature = ""
        self.redacted: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self.pieces)


class Decoder(AnswerReader):
    """Reads one answer: see `hermes_carrier.codec.Decoder`. ``model``: what was called."""

    def __init__(self, request: ModelRequest, model: str, request_id: str = "") -> None:
        super().__init__(request, request_id)
        self._model = model
        self._answer_tool = answer_tool(request) if request.response_format is not None else None
        self._frames = FrameReader()
        self._blocks: dict[int, _Block] = {}
        self._reason = ""

    def feed(self, data: bytes) -> Iterator[ModelEvent]:
        try:
            for headers, payload in self._frames.feed(data):
                if headers.get(":event-type") == "contentBlockDelta":
                    if (event := self._delta(wire.delta_decoder.decode(payload))) is not None:
                        yield event
                else:
                    yield from self._frame(headers, payload)
        except UNREADABLE as error:
            raise self._broken(f"{NO_PIECE} ({error})") from None
        if self._frames.damage and not self.ended:
            raise self._broken(f"the stream is damaged: {self._frames.damage}")

    def finish(self) -> Iterator[ModelEvent]:
        if not self.ended:
            if not self._reason:
                raise self._broken(NO_END)
            yield from self._end()

    def whole(self, body: bytes) -> Iterator[ModelEvent]:
        answer = self._parsed(body, wire.whole_decoder, NO_ANSWER)
        if answer.output is None or answer.output.message is None or not answer.stop_reason:
            raise self._broken(NO_ANSWER, body)
        for index, block in enumerate(answer.output.message.content):
            if (event := self._whole_block(index, block)) is not None:
                yield event
        self._reason = answer.stop_reason
        yield from self._usage(answer.usage)
        yield from self._end()

    def _frame(self, headers: Mapping[str, str], payload: bytes) -> Iterator[ModelEvent]:
        if self.ended:
            return
        match headers.get(":message-type"):
            case "exception":
                raise self._reported(headers.get(":exception-type", ""), payload)
            case "error":
                message = headers.get(":error-message", "")
                raise self._error(headers.get(":error-code", ""), message)
        match headers.get(":event-type"):
            case "contentBlockStart":
                self._start(wire.start_decoder.decode(payload))
            case "messageStop":
                self._reason = wire.stop_decoder.decode(payload).stop_reason
            case "metadata":
                yield from self._usage(wire.metadata_decoder.decode(payload).usage)
                if self._reason:
                    yield from self._end()

    def _start(self, event: wire.StartEvent) -> None:
        used = event.start.tool_use if event.start is not None else None
        if used is None or used.type == "server_tool_use":
            self._blocks[event.content_block_index] = _Block("other")
        else:
            kind: Kind = "answer" if used.name == self._answer_tool else "call"
            self._blocks[event.content_block_index] = _Block(kind, used.tool_use_id, used.name)

    def _delta(self, event: wire.DeltaEvent) -> ModelEvent | None:
        """Only calls are announced by a start: a block of text or thinking begins with its first piece."""
        delta, index = event.delta, event.content_block_index
        if delta is None or self.ended:
            return None
        if text := delta.text:
            block = self._block(index, "text")
            block.pieces.append(text)
            return TextDelta(text=text) if block.kind == "text" else None
        if delta.tool_use is not None:
            block = self._block(index, "call")
            block.pieces.append(delta.tool_use.input)
            shown = block.kind == "answer" and delta.tool_use.input
            return TextDelta(text=delta.tool_use.input) if shown else None
        if delta.reasoning_content is not None:
            return self._reasoning(self._block(index, "thinking"), delta.reasoning_content)
        return None

    def _reasoning(self, block: _Block, delta: wire.ReasoningDelta) -> ModelEvent | None:
        if delta.signature:
            block.signature += delta.signature
        if delta.redacted_content:
            block.redacted.append(delta.redacted_content)
        if not delta.text:
            return None
        block.pieces.append(delta.text)
        return ThinkingDelta(text=delta.text)

    def _block(self, index: int, kind: Kind) -> _Block:
        block = self._blocks.get(index)
        if block is None:
            block = self._blocks[index] = _Block(kind)
        return block

    def _whole_block(self, index: int, block: wire.WholeBlock) -> ModelEvent | None:
        """As if it had come in one piece."""
        delta = wire.BlockDelta(text=block.text)
        if (used := block.tool_use) is not None:
            self._start(wire.StartEvent(index, wire.BlockStart(used)))
            delta = wire.BlockDelta(tool_use=wire.UseDelta(bytes(used.input).decode()))
        elif (reasoning := block.reasoning_content) is not None:
            said = reasoning.reasoning_text or wire.ReasoningText()
            thought = wire.ReasoningDelta(said.text, said.signature, reasoning.redacted_content)
            delta = wire.BlockDelta(reasoning_content=thought)
        return self._delta(wire.DeltaEvent(index, delta))

    def _usage(self, seen: wire.WireUsage | None) -> Iterator[ModelEvent]:
        """Amazon's input tokens are those of no cache; what was thought is in the output tokens, uncounted."""
        if seen is not None:
            usage = Usage(
                input_tokens=seen.input_tokens or 0,
                output_tokens=seen.output_tokens or 0,
                cache_read_tokens=seen.cache_read_input_tokens or 0,
                cache_write_tokens=seen.cache_write_input_tokens or 0,
            )
            yield UsageUpdate(usage=usage)

    def _end(self) -> Iterator[ModelEvent]:
        """What is known only now: the calls, the state to keep, and how it ended."""
        self.ended = True
        blocks = [self._blocks[index] for index in sorted(self._blocks)]
        calls = self._calls([block for block in blocks if block.kind == "call"])
        for call in calls:
            yield ToolCallReady(call=call)
        if any(block.signature or block.redacted for block in blocks):
            yield StateUpdate(state=tagged(self._request, {CONTENT: list(_layout(blocks))}))
        reason = _REASONS.get(self._reason, self._reason)
        if calls and reason == "stop":
            reason = "tool_calls"
        elif not calls and reason == "tool_calls":
            reason = "stop"
        yield ModelFinished(reason=reason, model=self._model, request_id=self._request_id)

    def _calls(self, blocks: list[_Block]) -> list[ToolCallPart]:
        """The calls, by our names; a block takes the id that its call has now."""
        if not blocks:
            return []
        names, ids = ToolNames(self._request), CallIds(self._request, prefix="tooluse_")
        calls = []
        for block in blocks:
            call = ids.call(block.id, names.ours(block.name), block.text)
            block.id = call.id
            calls.append(call)
        return calls

    def _reported(self, kind: str, payload: bytes) -> Exception:
        told = mapping_of(payload)
        said = [str(told[name]) for name in ("message", "Message", "originalMessage") if told.get(name)]
        return self._error(kind, " ".join(dict.fromkeys(said)))

    def _error(self, kind: str, message: str) -> Exception:
        return stream_error(kind, message, self._request.endpoint, self._request.model, self._request_id)


def _layout(blocks: list[_Block]) -> Iterator[dict[str, Any]]:
    """The order of the blocks: texts by their lengths, calls by their ids, and whole what is signed."""
    for block in blocks:
        match block.kind:
            case "text" | "answer":
                yield {"text": len(block.text)}
            case "call":
                yield {"call": block.id}
        if block.redacted:
            redacted = block.redacted
            whole = redacted[0] if len(redacted) == 1 else b64encode(b"".join(map(b64decode, redacted))).decode()
            yield {"redactedContent": whole}
        elif block.signature:
            yield {"reasoningText": {"text": block.text, "signature": block.signature}}
