"""OpenAI's Responses: what it answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..replies import Chunk, Cut, Element, ErrorChunk, Fail, KeepAlive, Malformed, Slow, finish_of
from ..seen import SeenPrompt, SeenRequest
from . import responses_request
from .blocks import Block, Delta, Start, Stop, blocks, steps
from .form import CREATED, Answer, Piece, Streamed, sse
from .openai_common import OpenAIApi

Event = dict[str, Any]
INCOMPLETE = {"length": "max_output_tokens"}
COMPLETED = ("stop", "tool_calls", "refusal")
FAILED = ("failed", "cancelled")


class Responses(OpenAIApi):
    name = "responses"

    def takes(self, request: SeenRequest) -> bool:
        return request.method == "POST" and request.route == "/v1/responses"

    def refused(self, request: SeenRequest, asked: Mapping[str, Any]) -> Fail | None:
        return responses_request.refused(asked)

    def read(self, request: SeenRequest) -> SeenPrompt:
        return responses_request.read(request.json)

    def whole(self, elements: Sequence[Element], answer: Answer) -> Mapping[str, Any]:
        status, details = _end(elements)
        output = [_item(done.block, done.text, answer, status) for done in blocks(elements, answer.number, "call")]
        return _response(answer, status, output, details)

    def stream(self, elements: Sequence[Element], answer: Answer) -> Iterator[Streamed]:
        number = 0
        for event in self._events(elements, answer):
            if not isinstance(event, dict):
                yield event
                continue
            kind = event["type"]
            yield Piece(sse(json.dumps({"sequence_number": number, **event}), kind), last=kind in _LAST)
            if kind in _LAST:
                return
            number += 1

    def _events(self, elements: Sequence[Element], answer: Answer) -> Iterator[Event | Streamed]:
        for kind in ("response.created", "response.in_progress"):
            yield {"type": kind, "response": _response(answer, "in_progress", [], {})}
        output = []
        status, details = _end(elements)
        for step in steps(elements, answer.number, "call"):
            match step:
                case Start(block):
                    yield from _started(block, answer)
                case Delta(block, text):
                    yield {**_place(block, answer), "type": _DELTAS[_kind(block)], "delta": text, **_logprobs(block)}
                case Stop(block, text):
                    output.append(_item(block, text, answer, status))
                    yield from _stopped(block, text, answer, output[-1])
                case Chunk():
                    yield dict(step.body)
                case ErrorChunk():
                    yield _error(step, answer, output)
                case KeepAlive():
                    yield Piece(f": {step.text}\n\n".encode(), counted=False)
                case Malformed():
                    yield Piece(sse(step.data, "response.output_text.delta"), counted=False)
                case Slow() | Cut():
                    yield step
        yield {"type": f"response.{status}", "response": _response(answer, status, output, details)}


_LAST = ("response.completed", "response.incomplete", "response.failed", "response.cancelled", "error")
_DELTAS = {
    "text": "response.output_text.delta",
    "refusal": "response.refusal.delta",
    "call": "response.function_call_arguments.delta",
    "summary": "response.reasoning_summary_text.delta",
    "reasoning": "response.reasoning_text.delta",
}


def _kind(block: Block) -> str:
    if block.kind == "thinking":
        return "reasoning" if block.field == "reasoning_text" else "summary"
    return block.kind


def _id(block: Block, answer: Answer) -> str:
    prefix = {"call": "fc", "thinking": "rs", "redacted": "rs"}.get(block.kind, "msg")
    return f"{prefix}_{answer.number}_{block.index}"


def _place(block: Block, answer: Answer) -> Event:
    """Where in the output an event belongs."""
    place: Event = {"item_id": _id(block, answer), "output_index": block.index}
    member = {"text": "content_index", "refusal": "content_index", "reasoning": "content_index"}
    member["summary"] = "summary_index"
    return {**place, member[_kind(block)]: 0} if _kind(block) in member else place


def _logprobs(block: Block) -> Event:
    return {"logprobs": []} if block.kind == "text" else {}


def _part(block: Block, text: str) -> Event:
    match _kind(block):
        case "text":
            return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
        case "refusal":
            return {"type": "refusal", "refusal": text}
        case "reasoning":
            return {"type": "reasoning_text", "text": text}
        case _:
            return {"type": "summary_text", "text": text}


def _item(block: Block, text: str, answer: Answer, status: str) -> Event:
    """An item of the output. ``status``: of the whole answer, or ``in_progress``, which has no parts yet."""
    parts = [] if status == "in_progress" or block.kind == "redacted" else [_part(block, text)]
    head = {"id": _id(block, answer), "type": "message"}
    # What is told to end early ended in its last item; which one that is makes no difference to a client.
    state = {"status": status if status in ("in_progress", "incomplete") else "completed"}
    if block.kind == "call":
        return {**head, "type": "function_call", **state, "call_id": block.id, "name": block.name, "arguments": text}
    if block.kind not in ("thinking", "redacted"):
        return {**head, **state, "role": "assistant", "content": parts}
    item = {**head, "type": "reasoning", "summary": [] if _kind(block) == "reasoning" else parts}
    if _kind(block) == "reasoning":
        item["content"] = parts
    if "reasoning.encrypted_content" in (answer.asked.get("include") or ()) and status != "in_progress":
        item["encrypted_content"] = block.signature
    return item


def _started(block: Block, answer: Answer) -> Iterator[Event]:
    item = _item(block, "", answer, "in_progress")
    yield {"type": "response.output_item.added", "output_index": block.index, "item": item}
    if _kind(block) == "summary":
        kind = "response.reasoning_summary_part.added"
    elif block.kind in ("call", "redacted"):
        return
    else:
        kind = "response.content_part.added"
    yield {**_place(block, answer), "type": kind, "part": _part(block, "")}


def _stopped(block: Block, text: str, answer: Answer, item: Event) -> Iterator[Event]:
    place = _place(block, answer)
    kind = _kind(block)
    if kind == "call":
        name = {"name": block.name}
        yield {**place, "type": "response.function_call_arguments.done", "arguments": text, **name}
    elif kind == "refusal":
        yield {**place, "type": "response.refusal.done", "refusal": text}
    elif kind != "redacted":
        yield {**place, "type": _DELTAS[kind].replace(".delta", ".done"), "text": text, **_logprobs(block)}
    if kind == "summary":
        yield {**place, "type": "response.reasoning_summary_part.done", "part": _part(block, text)}
    elif kind not in ("call", "redacted"):
        yield {**place, "type": "response.content_part.done", "part": _part(block, text)}
    yield {"type": "response.output_item.done", "output_index": block.index, "item": item}


def _end(elements: Sequence[Element]) -> tuple[str, Event]:
    """The answer's status, and what it says of it."""
    finish = finish_of(elements)
    if finish in COMPLETED:
        return "completed", {}
    if finish in FAILED:
        return finish, {"error": {"code": "server_error", "message": "The server had an error."}}
    return "incomplete", {"incomplete_details": {"reason": INCOMPLETE.get(finish, finish)}}


def _error(error: ErrorChunk, answer: Answer, output: list[Event]) -> Event:
    code = error.code or "server_is_overloaded"
    if error.type == "response.failed":
        details = {"error": {"code": code, "message": error.message}}
        return {"type": "response.failed", "response": _response(answer, "failed", output, details)}
    return {"type": "error", "code": code, "message": error.message, "param": None}


def _response(answer: Answer, status: str, output: list[Event], details: Event) -> Event:
    asked = answer.asked
    return {
        "id": f"resp_{answer.number}",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": asked.get("instructions"),
        "metadata": {},
        "model": answer.model,
        "output": output,
        "parallel_tool_calls": asked.get("parallel_tool_calls", True),
        "store": asked.get("store", True),
        "temperature": 1.0,
        "text": asked.get("text", {"format": {"type": "text"}}),
        "tool_choice": asked.get("tool_choice", "auto"),
        "tools": asked.get("tools", []),
        "top_p": 1.0,
        "usage": None if status in ("in_progress", *FAILED) else _usage(answer),
        **details,
    }


def _usage(answer: Answer) -> Event:
    tokens = answer.tokens
    return {
        "input_tokens": tokens.prompt,
        "input_tokens_details": {"cached_tokens": tokens.cached, "cache_write_tokens": tokens.cache_written},
        "output_tokens": tokens.completion,
        "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
        "total_tokens": tokens.prompt + tokens.completion,
    }
