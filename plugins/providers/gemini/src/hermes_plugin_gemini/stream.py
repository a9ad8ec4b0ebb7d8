"""The answer of ``generateContent``, streamed or whole, as `ModelEvent`s."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hermes.contracts.errors import BadRequest, ContentRefused
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
from hermes_carrier.reading import NO_ANSWER, EventReader
from hermes_carrier.state import tagged

from .errors import stream_error
from .wire import (
    PARTS,
    SIGNATURE,
    WireCall,
    WireCandidate,
    WireFeedback,
    WirePart,
    WireResponse,
    WireUsage,
    response_decoder,
    responses_decoder,
)

_REASONS = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    **dict.fromkeys(("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII"), "refusal"),
    **dict.fromkeys(("IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION"), "refusal"),
}
_MALFORMED = frozenset(["MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE"])


class Decoder(EventReader):
    """Reads one answer. It ends with the stream: some models give every piece a finish reason."""

    def __init__(self, request: ModelRequest, request_id: str, names: ToolNames) -> None:
        super().__init__(request, request_id)
        self._names = names
        self._tail = b""
        """What came behind the last event."""
        self._ids = CallIds(request)
        self._calls = 0
        self._shape: list[dict[str, Any]] = []
        self._usage = Usage()
        self._explained = ""
        self._model = ""
        self._said = False

    def feed(self, data: bytes) -> Iterator[ModelEvent]:
        yield from super().feed(data)
        self._tail += data
        for end in (b"\n\n", b"\r\n\r\n"):
            self._tail = self._tail.rpartition(end)[2]

    def finish(self) -> Iterator[ModelEvent]:
        for event in self._events.finish():
            yield from self._event(event)
        if not self._reason and self._tail.lstrip().startswith(b"{"):
            yield from self._event(self._tail)  # Google sends an error in mid-stream as bare lines of JSON, too
        yield from super().finish()

    def whole(self, body: bytes) -> Iterator[ModelEvent]:
        if body.lstrip().startswith(b"["):
            for response in self._parsed(body, responses_decoder):
                yield from self._response(response)
        else:
            yield from self._event(body)
        if not self._reason:
            raise self._broken(NO_ANSWER, body)
        yield from self._end()

    def _event(self, data: bytes) -> Iterator[ModelEvent]:
        if data.strip():
            yield from self._response(self._parsed(data, response_decoder))

    def _response(self, response: WireResponse) -> Iterator[ModelEvent]:
        if response.error:
            raise stream_error(response.error, self._request.endpoint, self._request.model, self._request_id)
        self._model = response.model_version or self._model
        self._request_id = self._request_id or response.response_id or ""
        for candidate in response.candidates or ():
            if not candidate.index:
                yield from self._candidate(candidate)
        if response.usage_metadata is not None:
            yield from self._usage_of(response.usage_metadata)
        if (feedback := response.prompt_feedback) is not None and feedback.block_reason and not response.candidates:
            raise self._blocked(feedback)

    def _candidate(self, candidate: WireCandidate) -> Iterator[ModelEvent]:
        for part in (candidate.content.parts if candidate.content else None) or ():
            yield from self._part(part)
        if candidate.finish_reason:
            self._reason = candidate.finish_reason
            self._explained = candidate.finish_message or ""

    def _part(self, part: WirePart) -> Iterator[ModelEvent]:
        signed = {SIGNATURE: part.thought_signature} if part.thought_signature else {}
        if part.function_call is not None:
            call = self._call(part.function_call)
            self._shape.append({"call": call.id, **signed})
            yield ToolCallReady(call=call)
        elif part.thought:
            if signed:
                self._shape.append({"thought": part.text or "", **signed})
            if part.text:
                self._said = True
                yield ThinkingDelta(text=part.text)
        elif part.executable_code is not None:
            self._shape.append({"part": {"executableCode": part.executable_code}, **signed})
        elif part.code_execution_result is not None:
            self._shape.append({"part": {"codeExecutionResult": part.code_execution_result}, **signed})
        elif part.text or signed:
            yield from self._text(part.text or "", signed)

    def _text(self, text: str, signed: dict[str, str]) -> Iterator[ModelEvent]:
        """What has no signature may be joined with what has none either."""
        last = self._shape[-1] if self._shape else {}
        if "text" in last and SIGNATURE not in last and not signed:
            last["text"] += len(text)
        else:
            self._shape.append({"text": len(text), **signed})
        if text:
            self._said = True
            yield TextDelta(text=text)

    def _call(self, call: WireCall) -> ToolCallPart:
        self._calls += 1
        arguments = bytes(call.args).decode()
        return self._ids.call(call.id, self._names.ours(call.name), "" if arguments == "null" else arguments)

    def _usage_of(self, seen: WireUsage) -> Iterator[ModelEvent]:
        prompt = (seen.prompt_token_count or 0) + (seen.tool_use_prompt_token_count or 0)
        cached, thoughts = seen.cached_content_token_count or 0, seen.thoughts_token_count or 0
        usage = Usage(
            input_tokens=max(0, prompt - cached),
            output_tokens=(seen.candidates_token_count or 0) + thoughts,
            cache_read_tokens=cached,
            reasoning_tokens=thoughts,
        )
        if usage != self._usage:
            self._usage = usage
            yield UsageUpdate(usage=usage)

    def _end(self) -> Iterator[ModelEvent]:
        """What is known only now: the state to keep, and how it ended."""
        because = f": {self._explained}" if self._explained else ""
        if self._reason in _MALFORMED:
            raise self._broken(f"the model wrote what cannot be read ({self._reason}){because}")
        if self._reason == "MISSING_THOUGHT_SIGNATURE":
            raise BadRequest(
                f"{self._provider}: a signature is missing in the history{because}",
                provider=self._provider,
                code=self._reason,
                request_id=self._request_id,
                hint=f"Start a new session, or set providers.{self._provider}.quirks.signatures to true.",
            )
        self.ended = True
        if any(SIGNATURE in entry or "part" in entry for entry in self._shape):
            yield StateUpdate(state=tagged(self._request, {PARTS: self._shape}))
        reason = _REASONS.get(self._reason, self._reason)
        if self._calls and reason == "stop":
            reason = "tool_calls"
        if reason == "refusal" and self._explained and not self._said:
            yield TextDelta(text=self._explained)
        yield ModelFinished(reason=reason, model=self._model, request_id=self._request_id)

    @property
    def _provider(self) -> str:
        return self._request.endpoint.provider

    def _blocked(self, feedback: WireFeedback) -> ContentRefused:
        said = f": {feedback.block_reason_message}" if feedback.block_reason_message else ""
        return ContentRefused(
            f"{self._provider}: the prompt is blocked ({feedback.block_reason}){said}",
            provider=self._provider,
            code=feedback.block_reason or "",
            request_id=self._request_id,
            hint="Google's policy refuses this prompt; say it differently, or use another provider.",
        )
