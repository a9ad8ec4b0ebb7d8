"""Chat Completions, as OpenAI and most others speak it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..replies import (
    Call,
    Chunk,
    Cut,
    Element,
    ErrorChunk,
    Fail,
    KeepAlive,
    Malformed,
    Refuse,
    Say,
    Slow,
    Think,
    finish_of,
    pieces_of,
)
from ..seen import SeenCall, SeenPrompt, SeenRequest
from .form import CREATED, Answer, Piece, Streamed, sse
from .openai_common import OpenAIApi

Delta = Mapping[str, Any]


class ChatCompletions(OpenAIApi):
    name = "chat_completions"

    def takes(self, request: SeenRequest) -> bool:
        return request.method == "POST" and request.route == "/v1/chat/completions"

    def refused(self, request: SeenRequest, asked: Mapping[str, Any]) -> Fail | None:
        """Nothing: the servers that speak this wire differ in what they refuse."""
        return None

    def whole(self, elements: Sequence[Element], answer: Answer) -> Mapping[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
        calls: list[dict[str, Any]] = []
        for element in elements:
            match element:
                case Say():
                    message["content"] = (message["content"] or "") + element.text
                case Think():
                    message[element.field] = message.get(element.field, "") + element.text
                case Refuse():
                    message["refusal"] = element.text
                case Call():
                    calls.append(_call(element, _id(element, answer, len(calls)), element.arguments_text))
        if calls:
            message["tool_calls"] = calls
        choice = {"index": 0, "message": message, "finish_reason": _reason(elements), "logprobs": None}
        return _wrap(answer, "chat.completion", [choice], usage=_usage(answer))

    def stream(self, elements: Sequence[Element], answer: Answer) -> Iterator[Streamed]:
        yield _piece(answer, {"role": "assistant", "content": ""})
        calls = 0
        for element in elements:
            match element:
                case Say() | Think() | Refuse():
                    for delta in _texts(element):
                        yield _piece(answer, delta)
                case Call():
                    for delta in _call_deltas(element, _id(element, answer, calls), calls):
                        yield _piece(answer, delta)
                    calls += 1
                case Chunk():
                    yield Piece(sse(json.dumps(element.body)))
                case ErrorChunk():
                    error = {"message": element.message, "type": element.type, "code": element.code}
                    yield Piece(sse(json.dumps({"error": error})), last=True)
                case KeepAlive():
                    yield Piece(f": {element.text}\n\n".encode(), counted=False)
                case Malformed():
                    yield Piece(sse(element.data), counted=False)
                case Slow() | Cut():
                    yield element
        yield _piece(answer, {}, _reason(elements))
        if (answer.asked.get("stream_options") or {}).get("include_usage"):
            yield Piece(sse(json.dumps(_wrap(answer, "chat.completion.chunk", [], usage=_usage(answer)))))
        yield Piece(sse("[DONE]"), last=True)

    def read(self, request: SeenRequest) -> SeenPrompt:
        body = request.json
        seen = SeenPrompt(tools=[tool["function"]["name"] for tool in body.get("tools", ())])
        seen.json_schema = body.get("response_format", {}).get("json_schema", {}).get("schema")
        for message in body["messages"]:
            role, text = message["role"], _text(message.get("content"), seen)
            if role == "system":
                seen.system.append(text)
                continue
            seen.turns.append((role, text))
            for call in message.get("tool_calls") or ():
                seen.calls.append(SeenCall(call["id"], call["function"]["name"], call["function"]["arguments"]))
            if role == "tool":
                seen.results.append((message["tool_call_id"], text))
        return seen


def _text(content: Any, seen: SeenPrompt) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    texts = []
    for part in content:
        if part["type"] == "text":
            texts.append(part["text"])
        elif part["type"] == "image_url":
            seen.images.append(base64.b64decode(part["image_url"]["url"].partition("base64,")[2]))
    return "\n".join(texts)


def _wrap(answer: Answer, kind: str, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    head = {"id": f"chatcmpl-{answer.number}", "object": kind, "created": CREATED, "model": answer.model}
    return {**head, "choices": choices, **more}


def _piece(answer: Answer, delta: Delta, finish: str | None = None) -> Piece:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return Piece(sse(json.dumps(_wrap(answer, "chat.completion.chunk", [choice]))))


def _texts(element: Say | Think | Refuse) -> Iterator[Delta]:
    if isinstance(element, Refuse):
        yield {"refusal": element.text}
        return
    member, chunks = ("content", element.chunks) if isinstance(element, Say) else (element.field, 0)
    for text in pieces_of(element.text, chunks):
        yield {member: text}


def _call_deltas(element: Call, call_id: str, index: int) -> Iterator[Delta]:
    yield {"tool_calls": [{"index": index, **_call(element, call_id, "")}]}
    for text in pieces_of(element.arguments_text, element.chunks):
        yield {"tool_calls": [{"index": index, "function": {"arguments": text}}]}


def _call(element: Call, call_id: str, arguments: str) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": element.name, "arguments": arguments}}


def _id(element: Call, answer: Answer, number: int) -> str:
    return element.id or f"call_{answer.number}_{number}"


def _reason(elements: Sequence[Element]) -> str:
    finish = finish_of(elements)
    return "stop" if finish == "refusal" else finish


def _usage(answer: Answer) -> dict[str, Any]:
    tokens = answer.tokens
    return {
        "prompt_tokens": tokens.prompt,
        "completion_tokens": tokens.completion,
        "total_tokens": tokens.prompt + tokens.completion,
        "prompt_tokens_details": {"cached_tokens": tokens.cached, "cache_write_tokens": tokens.cache_written},
        "completion_tokens_details": {"reasoning_tokens": tokens.reasoning},
    }
