"""The answer of a Responses endpoint, streamed or whole, as `ModelEvent`s."""

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
from hermes_carrier.calls import CallIds
from hermes_carrier.errors import stream_error
from hermes_carrier.names import ToolNames
from hermes_carrier.reading import NO_ANSWER, NO_PIECE, EventReader
from hermes_carrier.state import tagged

from .responses_wire import BETWEEN, ITEMS, WireEvent, WireResponse, WireUsage, event_decoder, response_decoder

_REASONS = {"max_output_tokens": "length", "content_filter": "refusal"}
_ENDED = ("completed", "incomplete")


class ResponsesDecoder(EventReader):
    """Reads one answer; see `hermes_carrier.codec.Decoder`."""

    def __init__(self, request: ModelRequest, request_id: str = "") -> None:
        super().__init__(request, request_id)
        self._ids = CallIds(request)
        self._items: list[dict[str, Any]] = []
        self._heard: set[Any] = set()
        """Where text or thinking has come in pieces, so that it does not count again with its item."""
        self._text_at: Any = None
        self._thinking_at: Any = None
        self._answer = WireResponse()
        """The answer as a whole, which comes last."""
        self._calls = 0
        self._refused = False

    def whole(self, body: bytes) -> Iterator[ModelEvent]:
        response = self._parsed(body, response_decoder, NO_ANSWER)
        if response.error is None and response.status not in _ENDED:
            raise self._broken(NO_ANSWER, body)
        self._answer, self._reason = response, response.status or ""
        yield from self._end()

    def _event(self, data: bytes) -> Iterator[ModelEvent]:
        if self.ended or not data.strip() or data.strip() == b"[DONE]":
            return
        event = self._parsed(data, event_decoder)
        match event.type:
            case "response.output_text.delta":
                yield from self._text(event.delta, self._place(event))
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta":
                part = event.content_index if event.summary_index is None else event.summary_index
                yield from self._thinking(event.delta, self._place(event), part)
            case "response.refusal.delta":
                self._refused = True
                yield from self._text(event.delta, self._place(event))
            case "response.output_item.done":
                if event.item is not None:
                    yield from self._item(event.item, self._place(event))
            case "response.completed" | "response.incomplete" | "response.failed" | "response.cancelled":
                self._answer, self._reason = event.response or WireResponse(), event.type.partition(".")[2]
                yield from self._end()
            case "error" | "":
                if event.type or event.error:
                    flat = {"message": event.message, "code": event.code}
                    raise self._reported(event.error or flat)
                raise self._broken(NO_PIECE, data)

    def _place(self, event: WireEvent) -> Any:
        """Of the item in the answer: the ids that some servers give differ between the events of one item."""
        if event.output_index is not None:
            return event.output_index
        return event.item_id or (event.item or {}).get("id")

    def _text(self, text: Any, place: Any) -> Iterator[ModelEvent]:
        if not isinstance(text, str) or not text:
            return
        if self._text_at not in (None, place):
            text = BETWEEN + text
        self._text_at = place
        self._heard.add(place)
        yield TextDelta(text=text)

    def _thinking(self, text: Any, place: Any, part: int | None) -> Iterator[ModelEvent]:
        if not isinstance(text, str) or not text:
            return
        if self._thinking_at not in (None, (place, part)):
            text = BETWEEN + text
        self._thinking_at = (place, part)
        self._heard.add(place)
        yield ThinkingDelta(text=text)

    def _item(self, item: dict[str, Any], place: Any) -> Iterator[ModelEvent]:
        """A finished item. What of it has not come in pieces comes now."""
        match item.get("type"):
            case "message":
                said = [(_said(part), "refusal" in part) for part in _parts(item, "content")]
                if place not in self._heard:
                    for text, refused in said:
                        self._refused = self._refused or refused
                        yield from self._text(text, place)
                if length := sum(len(text) for text, _ in said):
                    kept = ("type", "id", "status", "phase")
                    own = {name: item[name] for name in kept if item.get(name) is not None}
                    self._items.append({**own, "length": length})
            case "function_call":
                yield from self._call(item)
            case "reasoning":
                if place not in self._heard:
                    parts = _parts(item, "summary") or _parts(item, "content")
                    for number, part in enumerate(parts):
                        yield from self._thinking(part.get("text"), place, number)
                # Without its content or the encrypted one it is a reference to what nobody has stored.
                if item.get("encrypted_content") or item.get("content"):
                    # What is null may be given, but not taken.
                    self._items.append({name: value for name, value in item.items() if value is not None})
            case _:
                self._items.append(item)

    def _call(self, item: dict[str, Any]) -> Iterator[ModelEvent]:
        arguments = item.get("arguments")
        arguments = arguments if isinstance(arguments, str) else msgspec.json.encode(arguments or {}).decode()
        name = ToolNames(self._request).ours(str(item.get("name") or ""))
        part = self._ids.call(str(item.get("call_id") or ""), name, arguments)
        self._calls += 1
        kept = {"type": "function_call", "call_id": part.id}
        self._items.append({**kept, "id": item["id"]} if item.get("id") else kept)
        yield ToolCallReady(call=part)

    def _end(self) -> Iterator[ModelEvent]:
        response, status = self._answer, self._reason
        if response.error:
            raise self._reported(response.error)
        if status not in _ENDED:
            raise self._broken(f"the answer ended as {status}")
        if not self._items:
            for place, item in enumerate(response.output or ()):
                yield from self._item(item, place)
        if response.usage:
            yield UsageUpdate(usage=self._usage(response.usage))
        if any("phase" in item or item.get("type") not in ("message", "function_call") for item in self._items):
            yield StateUpdate(state=tagged(self._request, {ITEMS: self._items}))
        self.ended = True
        yield ModelFinished(
            reason=self._ended_by(response, status),
            model=response.model if isinstance(response.model, str) else "",
            request_id=self._request_id,
        )

    def _ended_by(self, response: WireResponse, status: str) -> str:
        if status == "incomplete":
            reason = (response.incomplete_details.reason if response.incomplete_details else None) or "incomplete"
            return _REASONS.get(reason, reason)
        if self._calls:
            return "tool_calls"
        return "refusal" if self._refused else "stop"

    def _usage(self, raw: Any) -> Usage:
        try:
            seen = msgspec.convert(raw, WireUsage, strict=False)
        except msgspec.ValidationError as error:
            raise self._broken(f"the usage is not readable: {error}") from None
        prompt, answer = seen.input_tokens_details, seen.output_tokens_details
        read = (prompt.cached_tokens if prompt else None) or 0
        written = (prompt.cache_write_tokens if prompt else None) or 0
        return Usage(
            input_tokens=max(0, (seen.input_tokens or 0) - read - written),
            output_tokens=seen.output_tokens or 0,
            cache_read_tokens=read,
            cache_write_tokens=written,
            reasoning_tokens=(answer.reasoning_tokens if answer else None) or 0,
            cost_usd=seen.cost,
        )

    def _reported(self, error: Any) -> Exception:
        return stream_error(error, self._request.endpoint, self._request.model, self._request_id)


def _parts(item: dict[str, Any], member: str) -> list[dict[str, Any]]:
    found = item.get(member)
    return [part for part in found if isinstance(part, dict)] if isinstance(found, list) else []


def _said(part: dict[str, Any]) -> str:
    text = part.get("text") or part.get("refusal")
    return text if isinstance(text, str) else ""
