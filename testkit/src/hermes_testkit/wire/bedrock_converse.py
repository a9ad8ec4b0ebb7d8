"""Amazon Bedrock's Converse: what it answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..replies import Chunk, Cut, Element, ErrorChunk, Fail, KeepAlive, Malformed, Slow, finish_of
from ..seen import SeenPrompt, SeenRequest
from . import bedrock_request
from .blocks import Block, Delta, Start, Stop, blocks, steps
from .eventstream import frame
from .form import Answer, Entry, Piece, Streamed, body_of, members

Event = dict[str, Any]
CALL = re.compile(r"/model/(?P<model>.+)/(?P<method>converse|converse-stream)")
STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "content_filtered",
    "refusal": "guardrail_intervened",
}
_ERRORS = {
    400: ("ValidationException", "The request is not valid."),
    401: ("UnrecognizedClientException", "The security token included in the request is invalid."),
    402: ("AccessDeniedException", "The account has no valid payment instrument."),
    403: ("AccessDeniedException", "You don't have access to the model with the specified model ID."),
    404: ("ResourceNotFoundException", "Could not resolve the foundation model from the provided model identifier."),
    408: ("ModelTimeoutException", "Model has timed out in processing the request. Try your request again."),
    424: ("ModelErrorException", "The model failed."),
    429: ("ThrottlingException", "Too many requests, please wait before trying again."),
    500: ("InternalServerException", "The system encountered an unexpected error during processing."),
    503: ("ServiceUnavailableException", "Bedrock is unable to process your request."),
}
_REASONS = {
    "overflow": "Input is too long for requested model.",
    "filtered": "Output blocked by content filtering policy",
    "quota": "Too many tokens per day, please wait before trying again.",
}


class BedrockConverse:
    name = "bedrock_converse"
    base = ""
    content_type = "application/vnd.amazon.eventstream"

    def takes(self, request: SeenRequest) -> bool:
        return request.method == "POST" and CALL.fullmatch(request.route) is not None

    def lists(self, request: SeenRequest) -> bool:
        return request.method == "GET" and request.route in ("/foundation-models", "/inference-profiles")

    def denied(self, request: SeenRequest, key: str) -> Fail | None:
        """``key`` is a bearer token or, of a signed request, the id of the access key; signatures are not checked."""
        signed = re.search(r"Credential=([^/]+)/", request.headers.get("authorization", ""))
        given = request.bearer or (signed[1] if signed else "")
        if not given:
            return Fail(403, code="MissingAuthenticationTokenException", message="Missing Authentication Token")
        if not key or given == key:
            return None
        if request.bearer:
            message = "Authentication failed: Please make sure your API Key is valid."
            return Fail(403, message=message)
        message = "The security token included in the request is invalid."
        return Fail(403, code="UnrecognizedClientException", message=message)

    def refused(self, request: SeenRequest, asked: Mapping[str, Any]) -> Fail | None:
        return bedrock_request.refused(asked)

    def model(self, request: SeenRequest, asked: Mapping[str, Any]) -> str:
        match = CALL.fullmatch(request.route)
        return match["model"] if match else ""

    def streams(self, request: SeenRequest, asked: Mapping[str, Any]) -> bool:
        return request.route.endswith("/converse-stream")

    def headers(self, number: int) -> Mapping[str, str]:
        return {"x-amzn-RequestId": f"00000000-0000-4000-8000-{number:012d}"}

    def failure(self, fail: Fail, number: int) -> tuple[str, Mapping[str, str]]:
        other = _ERRORS[500] if fail.status >= 500 else _ERRORS[400]
        kind, message = _ERRORS.get(fail.status, other)
        named = {"message": fail.message or (_REASONS[fail.reason] if fail.reason else message)}
        origin = ":http://internal.amazon.com/coral/com.amazon.bedrock/"
        return body_of(fail, named), {"x-amzn-ErrorType": f"{fail.code or kind}{origin}"}

    def read(self, request: SeenRequest) -> SeenPrompt:
        return bedrock_request.read(request.json)

    def whole(self, elements: Sequence[Element], answer: Answer) -> Mapping[str, Any]:
        content = [_content(done) for done in blocks(elements, answer.number, "tooluse")]
        return {
            "output": {"message": {"role": "assistant", "content": content}},
            "stopReason": _stop_reason(elements),
            **_measured(answer),
        }

    def stream(self, elements: Sequence[Element], answer: Answer) -> Iterator[Streamed]:
        yield _event("messageStart", {"role": "assistant"})
        for step in steps(elements, answer.number, "tooluse"):
            match step:
                case Start(block) if block.kind == "call":
                    start = {"toolUse": {"toolUseId": block.id, "name": block.name}}
                    yield _event("contentBlockStart", {"start": start, "contentBlockIndex": block.index})
                case Delta(block, text):
                    yield _delta(block, _said(block, text))
                case Stop(block):
                    yield from _stopped(block)
                case Chunk():
                    for name, body in step.body.items():
                        yield _event(name, body)
                case ErrorChunk():
                    kind = "serviceUnavailableException" if step.type == "server_error" else step.type
                    yield Piece(_exception(kind, step.message), last=True)
                case KeepAlive():
                    yield Piece(_event("keepAlive", {}).data, counted=False)
                case Malformed():
                    yield Piece(_damaged(_frame("contentBlockDelta", step.data.encode())), counted=False)
                case Slow() | Cut():
                    yield step
        yield _event("messageStop", {"stopReason": _stop_reason(elements)})
        yield Piece(_event("metadata", _measured(answer)).data, last=True)

    def models(self, entries: Sequence[Entry], request: SeenRequest) -> Mapping[str, Any]:
        """An entry with ``inferenceProfileId`` is a profile; they are listed apart."""
        listed = [members(entry) for entry in entries]
        if request.route == "/inference-profiles":
            return {"inferenceProfileSummaries": [entry for entry in listed if "inferenceProfileId" in entry]}
        return {"modelSummaries": [_model(entry) for entry in listed if "inferenceProfileId" not in entry]}


def _frame(kind: str, payload: bytes) -> bytes:
    return frame({":event-type": kind, ":content-type": "application/json", ":message-type": "event"}, payload)


def _event(kind: str, body: Mapping[str, Any]) -> Piece:
    """The member ``p`` is padding, which Amazon adds so that lengths tell nothing of the text."""
    return Piece(_frame(kind, json.dumps({**body, "p": "abcdefgh"}).encode()))


def _damaged(message: bytes) -> bytes:
    """With a wrong checksum: Amazon's own client takes a payload that is no JSON for an empty one."""
    return message[:-1] + bytes([message[-1] ^ 1])


def _exception(kind: str, message: str) -> bytes:
    headers = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return frame(headers, json.dumps({"message": message}).encode())


def _delta(block: Block, delta: Event) -> Piece:
    return _event("contentBlockDelta", {"delta": delta, "contentBlockIndex": block.index})


def _said(block: Block, text: str) -> Event:
    match block.kind:
        case "call":
            return {"toolUse": {"input": text}}
        case "thinking":
            return {"reasoningContent": {"text": text}}
        case _:
            return {"text": text}


def _stopped(block: Block) -> Iterator[Piece]:
    if block.kind == "thinking":
        yield _delta(block, {"reasoningContent": {"signature": block.signature}})
    elif block.kind == "redacted":
        yield _delta(block, {"reasoningContent": {"redactedContent": block.signature}})
    yield _event("contentBlockStop", {"contentBlockIndex": block.index})


def _content(done: Stop) -> Event:
    block, text = done
    match block.kind:
        case "call":
            return {"toolUse": {"toolUseId": block.id, "name": block.name, "input": json.loads(text or "{}")}}
        case "thinking":
            return {"reasoningContent": {"reasoningText": {"text": text, "signature": block.signature}}}
        case "redacted":
            return {"reasoningContent": {"redactedContent": block.signature}}
        case _:
            return {"text": text}


def _stop_reason(elements: Sequence[Element]) -> str:
    finish = finish_of(elements)
    return STOP_REASONS.get(finish, finish)


def _measured(answer: Answer) -> Event:
    tokens = answer.tokens
    usage = {
        "inputTokens": tokens.prompt - tokens.cached - tokens.cache_written,
        "outputTokens": tokens.completion,
        "totalTokens": tokens.prompt + tokens.completion,
        "cacheReadInputTokens": tokens.cached,
        "cacheWriteInputTokens": tokens.cache_written,
    }
    return {"usage": usage, "metrics": {"latencyMs": 12}}


def _model(entry: Event) -> Event:
    name = entry.pop("id")
    arn = f"arn:aws:bedrock:us-east-1::foundation-model/{name}"
    common = {"providerName": "Tests", "inferenceTypesSupported": ["ON_DEMAND"], "responseStreamingSupported": True}
    return {"modelId": name, "modelArn": arn, "modelName": name, **common, **entry}
