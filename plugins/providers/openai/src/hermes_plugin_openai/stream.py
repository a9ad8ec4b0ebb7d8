"""The answer of a Chat Completions endpoint, streamed or whole, as `ModelEvent`s."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

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
from hermes_carrier.errors import stream_error
from hermes_carrier.names import ToolNames
from hermes_carrier.reading import NO_ANSWER, EventReader
from hermes_carrier.state import tagged

from . import textual
from .calls import ToolCalls
from .quirks import Quirks
from .tags import Said, Tags
from .wire import (
    EXTRA_CONTENT,
    REASONING,
    REASONING_DETAILS,
    WireCall,
    WireDelta,
    WireFunction,
    WireUsage,
    chunk_decoder,
)

_REASONS = {"content_filter": "refusal", "function_call": "tool_calls", "max_tokens": "length", "eos": "stop"}


class Decoder(EventReader):
    """Reads one answer; see `hermes_carrier.codec.Decoder`."""

    def __init__(self, request: ModelRequest, request_id: str = "") -> None:
        super().__init__(request, request_id)
        quirks = Quirks.of(request.endpoint)
        self._keep_reasoning = quirks.echo_reasoning
        tagged_text = quirks.think_tags or not quirks.native_tools
        self._tags = Tags(thinking=quirks.think_tags, calls=not quirks.native_tools) if tagged_text else None
        self._calls = ToolCalls(request)
        self._reasoning: list[str] = []
        self._details: list[dict[str, Any]] = []
        self._usage = Usage()
        self._model = ""
        self._said = False
        self._refused = False

    def whole(self, body: bytes) -> Iterator[ModelEvent]:
        yield from self._chunk(body)
        if not self._reason:
            raise self._broken(NO_ANSWER, body)
        yield from self._end()

    def _event(self, data: bytes) -> Iterator[ModelEvent]:
        if self.ended or not data.strip():
            return
        if data.strip() == b"[DONE]":
            if not self._reason and not self._said and not self._calls:
                raise self._broken("the answer is empty")
            yield from self._end()
            return
        yield from self._chunk(data)

    def _chunk(self, data: bytes) -> Iterator[ModelEvent]:
        chunk = self._parsed(data, chunk_decoder)
        if chunk.error or chunk.object == "error":
            reported = chunk.error or msgspec.json.decode(data)
            raise stream_error(reported, self._request.endpoint, self._request.model, self._request_id)
        if isinstance(chunk.model, str) and chunk.model:
            self._model = chunk.model
        for choice in chunk.choices or ():
            if choice.index:
                continue
            if (delta := choice.delta or choice.message) is not None:
                yield from self._delta(delta)
            if choice.finish_reason:
                self._reason = choice.finish_reason
        if chunk.usage:
            yield from self._usage_of(chunk.usage)

    def _delta(self, delta: WireDelta) -> Iterator[ModelEvent]:
        thinking = _words(delta.reasoning_content) or _words(delta.reasoning)
        if delta.reasoning_details:
            thinking = thinking or "".join(
                _words(detail.get("text") or detail.get("summary")) for detail in delta.reasoning_details
            )
            for detail in delta.reasoning_details:
                self._add_detail(detail)
        text = ""
        if isinstance(delta.content, list):
            thinking += "".join(_words(part.get("thinking")) for part in delta.content if isinstance(part, dict))
            text = "".join(_words(part.get("text")) for part in delta.content if isinstance(part, dict))
        elif delta.content:
            text = str(delta.content)
        if thinking:
            self._said = True
            self._reasoning.append(thinking)
            yield ThinkingDelta(text=thinking)
        if text:
            self._said = True
            if self._tags is None:
                yield TextDelta(text=text)
            else:
                yield from self._untagged(self._tags.feed(text))
        if delta.refusal:
            self._said = self._refused = True
            yield TextDelta(text=delta.refusal)
        for piece in delta.tool_calls or ():
            self._calls.add(piece)

    def _untagged(self, found: Iterator[Said]) -> Iterator[ModelEvent]:
        for kind, text in found:
            if kind == "thinking":
                yield ThinkingDelta(text=text)
            elif kind == "call" and (call := textual.call_of(text)) is not None:
                name, arguments = call
                self._calls.add(WireCall(index=len(self._calls), function=WireFunction(name, arguments)))
            elif text:
                yield TextDelta(text=text)

    def _add_detail(self, detail: dict[str, Any]) -> None:
        """Pieces of one detail are joined again; what is sent back has to be what was said, unchanged."""
        last = self._details[-1] if self._details else None
        same = ("type", "index")
        if last is None or "index" not in detail or any(last.get(name) != detail.get(name) for name in same):
            self._details.append(dict(detail))
            return
        for name, value in detail.items():
            if name in ("text", "summary", "data") and isinstance(value, str) and isinstance(last.get(name), str):
                last[name] += value
            elif value is not None:
                last[name] = value

    def _usage_of(self, raw: Any) -> Iterator[ModelEvent]:
        try:
            seen = msgspec.convert(raw, WireUsage, strict=False)
        except msgspec.ValidationError as error:
            raise self._broken(f"the usage is not readable: {error}") from None
        prompt, completion = seen.prompt_tokens_details, seen.completion_tokens_details
        read = (prompt.cached_tokens if prompt else None) or seen.prompt_cache_hit_tokens or 0
        written = (prompt.cache_write_tokens if prompt else None) or 0
        usage = Usage(
            input_tokens=max(0, (seen.prompt_tokens or 0) - read - written),
            output_tokens=seen.completion_tokens or 0,
            cache_read_tokens=read,
            cache_write_tokens=written,
            reasoning_tokens=(completion.reasoning_tokens if completion else None) or 0,
            cost_usd=seen.cost,
        )
        if usage != self._usage:
            self._usage = usage
            yield UsageUpdate(usage=usage)

    def _end(self) -> Iterator[ModelEvent]:
        """What is known only now: the tool calls, the state to keep, and how it ended."""
        if self._reason == "error":
            raise self._broken("the provider ended the answer with an error")
        if self._tags is not None:
            yield from self._untagged(self._tags.finish())
        self.ended = True
        state: dict[str, Any] = {}
        signatures = {}
        calls = self._calls.finished(ToolNames(self._request)) if self._calls else []
        for call, extra in calls:
            yield ToolCallReady(call=call)
            if extra is not None:
                signatures[call.id] = extra
        if self._keep_reasoning and self._reasoning:
            state[REASONING] = "".join(self._reasoning)
        if self._details:
            state[REASONING_DETAILS] = self._details
        if signatures:
            state[EXTRA_CONTENT] = signatures
        if state:
            yield StateUpdate(state=tagged(self._request, state))
        reason = _REASONS.get(self._reason, self._reason) or "stop"
        if calls and reason == "stop":
            reason = "tool_calls"
        elif self._refused and reason == "stop":
            reason = "refusal"
        yield ModelFinished(reason=reason, model=self._model, request_id=self._request_id)


def _words(value: Any) -> str:
    """Text, also where it comes as a list of parts with text."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(_words(part.get("text")) for part in value if isinstance(part, dict))
    return ""
