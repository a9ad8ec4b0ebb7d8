"""Anthropic's Messages: what it answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..replies import Chunk, Cut, Element, ErrorChunk, Fail, KeepAlive, Malformed, Reason, Refuse, Slow, finish_of
from ..seen import SeenPrompt, SeenRequest
from . import anthropic_request
from .blocks import Block, Delta, Start, Stop, blocks, steps
from .form import Answer, Entry, Piece, Streamed, body_of, members, sse

Event = dict[str, Any]
STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "refusal": "refusal",
}
_ERRORS: dict[int, tuple[str, str]] = {
    400: ("invalid_request_error", "The request is not valid."),
    401: ("authentication_error", "invalid x-api-key"),
    402: ("billing_error", "There is an issue with your billing or payment information."),
    403: ("permission_error", "Your API key does not have permission to use the specified resource."),
    404: ("not_found_error", "model: not found"),
    408: ("timeout_error", "The request body took too long."),
    409: ("conflict_error", "The request conflicts with another."),
    413: ("request_too_large", "Request exceeds the maximum size"),
    429: ("rate_limit_error", "This request would exceed your organization's rate limit."),
    500: ("api_error", "Internal server error"),
    504: ("timeout_error", "The request timed out."),
    529: ("overloaded_error", "Overloaded"),
}
_REASONS: dict[Reason, str] = {
    "overflow": "prompt is too long: 210000 tokens > 200000 maximum",
    "filtered": "Output blocked by content filtering policy",
    "quota": "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing.",
}


class AnthropicMessages:
    name = "anthropic_messages"
    base = ""
    content_type = "text/event-stream; charset=utf-8"

    def takes(self, request: SeenRequest) -> bool:
        return request.method == "POST" and request.route == "/v1/messages"

    def lists(self, request: SeenRequest) -> bool:
        """OpenAI's list has the same path; the version header tells them apart."""
        ours = "anthropic-version" in request.headers or "x-api-key" in request.headers
        return request.method == "GET" and request.route == "/v1/models" and ours

    def denied(self, request: SeenRequest, key: str) -> Fail | None:
        given = request.headers.get("x-api-key", "") or request.bearer
        if not given:
            return Fail(401, message="x-api-key header is required")
        if key and given != key:
            return Fail(401, message="invalid x-api-key" if "x-api-key" in request.headers else "invalid bearer token")
        return None

    def refused(self, request: SeenRequest, asked: Mapping[str, Any]) -> Fail | None:
        return anthropic_request.refused(request.headers.get("anthropic-version"), asked)

    def model(self, request: SeenRequest, asked: Mapping[str, Any]) -> str:
        return str(asked.get("model", ""))

    def streams(self, request: SeenRequest, asked: Mapping[str, Any]) -> bool:
        return bool(asked.get("stream"))

    def headers(self, number: int) -> Mapping[str, str]:
        return {"request-id": f"req_{number}"}

    def failure(self, fail: Fail, number: int) -> tuple[str, Mapping[str, str]]:
        kind, message = _ERRORS.get(fail.status, ("api_error", "Internal server error"))
        error: dict[str, Any] = {
            "type": fail.code or kind,
            "message": fail.message or (_REASONS[fail.reason] if fail.reason else message),
        }
        if fail.reason == "quota" and fail.status == 429:
            error["message"] = fail.message or "You have reached your specified API usage limits."
            error["details"] = {"error_code": "enforced_spend_limit_reached"}
        return body_of(fail, {"type": "error", "error": error, "request_id": f"req_{number}"}), {}

    def read(self, request: SeenRequest) -> SeenPrompt:
        return anthropic_request.read(request.json)

    def whole(self, elements: Sequence[Element], answer: Answer) -> Mapping[str, Any]:
        content = [_content(done) for done in blocks(elements, answer.number, "toolu") if done.block.kind != "refusal"]
        return {**_message(answer), "content": content, **_end(elements, answer), "usage": _usage(answer)}

    def stream(self, elements: Sequence[Element], answer: Answer) -> Iterator[Streamed]:
        usage = {**_usage(answer), "output_tokens": 1}
        yield _event({"type": "message_start", "message": {**_message(answer), **_NO_END, "usage": usage}})
        pinged = False
        for step in steps(elements, answer.number, "toolu"):
            if isinstance(step, Start | Delta | Stop):
                for event in _events(step):
                    yield _event(event)
                    if not pinged:
                        yield _PING
                        pinged = True
                continue
            match step:
                case Chunk():
                    yield _event(dict(step.body))
                case ErrorChunk():
                    yield Piece(_error(step, answer.number), last=True)
                case KeepAlive():
                    yield _PING
                case Malformed():
                    yield Piece(sse(step.data, "content_block_delta"), counted=False)
                case Slow() | Cut():
                    yield step
        yield _event({"type": "message_delta", "delta": _end(elements, answer), "usage": _usage(answer, whole=False)})
        yield Piece(sse('{"type": "message_stop"}', "message_stop"), last=True)

    def models(self, entries: Sequence[Entry], request: SeenRequest) -> Mapping[str, Any]:
        """One page of them, by ``limit``, ``after_id`` and ``before_id``."""
        listed = [_model(entry) for entry in entries]
        ids = [model["id"] for model in listed]
        limit = int(request.query.get("limit", "20"))
        if before := request.query.get("before_id"):
            end = ids.index(before)
            start, more = max(0, end - limit), end > limit
        else:
            start = ids.index(request.query["after_id"]) + 1 if "after_id" in request.query else 0
            end = start + limit
            more = end < len(ids)
        page = listed[start:end]
        first, last = (page[0]["id"], page[-1]["id"]) if page else (None, None)
        return {"data": page, "has_more": more, "first_id": first, "last_id": last}


_PING = Piece(sse('{"type": "ping"}', "ping"), counted=False)
_NO_END: Event = {"content": [], "stop_reason": None, "stop_sequence": None, "stop_details": None}


def _event(event: Event) -> Piece:
    return Piece(sse(json.dumps(event), str(event.get("type", ""))))


def _error(error: ErrorChunk, number: int) -> bytes:
    kind = "overloaded_error" if error.type == "server_error" else error.type
    body = {"type": "error", "error": {"type": kind, "message": error.message}, "request_id": f"req_{number}"}
    return sse(json.dumps(body), "error")


def _message(answer: Answer) -> Event:
    return {"id": f"msg_{answer.number}", "type": "message", "role": "assistant", "model": answer.model}


def _end(elements: Sequence[Element], answer: Answer) -> Event:
    finish = finish_of(elements)
    reason = STOP_REASONS.get(finish, finish)
    sequence = answer.asked.get("stop_sequences", [None])[0] if reason == "stop_sequence" else None
    refused = "".join(element.text for element in elements if isinstance(element, Refuse))
    details = {"type": "refusal", "category": None, "explanation": refused or None} if reason == "refusal" else None
    return {"stop_reason": reason, "stop_sequence": sequence, "stop_details": details}


def _usage(answer: Answer, *, whole: bool = True) -> Event:
    """``whole``: with the parts that the end of a stream does not repeat."""
    tokens = answer.tokens
    split = {"ephemeral_5m_input_tokens": tokens.cache_written, "ephemeral_1h_input_tokens": 0}
    return {
        "input_tokens": tokens.prompt - tokens.cached - tokens.cache_written,
        "cache_creation_input_tokens": tokens.cache_written,
        "cache_read_input_tokens": tokens.cached,
        "output_tokens": tokens.completion,
        "output_tokens_details": {"thinking_tokens": tokens.reasoning},
        **({"cache_creation": split, "service_tier": "standard"} if whole else {}),
    }


def _empty(block: Block) -> Event:
    match block.kind:
        case "call":
            return {"type": "tool_use", "id": block.id, "name": block.name, "input": {}}
        case "thinking":
            return {"type": "thinking", "thinking": "", "signature": ""}
        case "redacted":
            return {"type": "redacted_thinking", "data": block.signature}
        case _:
            return {"type": "text", "text": ""}


def _content(done: Stop) -> Event:
    block, text = done
    match block.kind:
        case "call":
            return {**_empty(block), "input": json.loads(text or "{}")}
        case "thinking":
            return {"type": "thinking", "thinking": text, "signature": block.signature}
        case "redacted":
            return _empty(block)
        case _:
            return {"type": "text", "text": text}


def _events(step: Start | Delta | Stop) -> Iterator[Event]:
    block = step.block
    if block.kind == "refusal":
        return  # it is told by the stop reason and its details
    place = {"index": block.index}
    delta: Event = {}
    match step:
        case Start():
            yield {"type": "content_block_start", **place, "content_block": _empty(block)}
            delta = {"type": "input_json_delta", "partial_json": ""} if block.kind == "call" else {}
        case Delta(_, text):
            delta = {
                "call": {"type": "input_json_delta", "partial_json": text},
                "thinking": {"type": "thinking_delta", "thinking": text},
            }.get(block.kind, {"type": "text_delta", "text": text})
        case Stop() if block.kind == "thinking":
            delta = {"type": "signature_delta", "signature": block.signature}
    if delta:
        yield {"type": "content_block_delta", **place, "delta": delta}
    if isinstance(step, Stop):
        yield {"type": "content_block_stop", **place}


def _model(entry: Entry) -> Event:
    made = members(entry)
    common = {"type": "model", "display_name": made["id"], "created_at": "2026-06-15T00:00:00Z", "lifecycle": "active"}
    return {**common, **made}
