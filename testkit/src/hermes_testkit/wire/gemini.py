"""Google's Gemini, ``generateContent``, on its own paths and on Vertex': what it answers."""

from __future__ import annotations

import json
import re
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
)
from ..seen import SeenPrompt, SeenRequest
from . import gemini_request
from .blocks import Block, Delta, Start, Stop, signature, steps
from .form import Answer, Entry, Piece, Streamed, body_of, members

Part = dict[str, Any]
VERTEX = r"(?P<vertex>(projects/[^/]+/locations/[^/]+/)?publishers/google/)"
MODELS = re.compile(rf"/(?P<version>v1|v1beta|v1beta1)/{VERTEX}?models")
CALL = re.compile(MODELS.pattern + r"/(?P<model>[^/:]+):(?P<method>generateContent|streamGenerateContent)")
FINISH = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP", "content_filter": "SAFETY", "refusal": "SAFETY"}
_STATUSES = {
    400: ("INVALID_ARGUMENT", "Request contains an invalid argument."),
    401: ("UNAUTHENTICATED", "Request had invalid authentication credentials."),
    402: ("FAILED_PRECONDITION", "Your prepayment credits are depleted."),
    403: ("PERMISSION_DENIED", "The caller does not have permission"),
    404: ("NOT_FOUND", "The model is not found for API version v1beta, or is not supported for generateContent."),
    429: ("RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota)."),
    499: ("CANCELLED", "The operation was cancelled."),
    500: ("INTERNAL", "An internal error has occurred. Please retry."),
    503: ("UNAVAILABLE", "The model is overloaded. Please try again later."),
    504: ("DEADLINE_EXCEEDED", "Deadline expired before operation could complete."),
}
_REASONS = {
    "overflow": "The input token count (2000000) exceeds the maximum number of tokens allowed (1048576).",
    "filtered": "The prompt could not be submitted. It contains content that is prohibited.",
    "quota": "You exceeded your current quota, please check your plan and billing details.",
}
_TYPE = "type.googleapis.com/google.rpc."


class Gemini:
    name = "gemini"
    base = ""
    content_type = "text/event-stream"

    def takes(self, request: SeenRequest) -> bool:
        return request.method == "POST" and CALL.fullmatch(request.route) is not None

    def lists(self, request: SeenRequest) -> bool:
        """OpenAI and Anthropic list theirs on a path of Google's; where the key is tells them apart."""
        match = MODELS.fullmatch(request.route)
        if match is None or request.method != "GET":
            return False
        ours = "x-goog-api-key" in request.headers or "key" in request.query
        return ours or match["version"] != "v1" or bool(match["vertex"])

    def denied(self, request: SeenRequest, key: str) -> Fail | None:
        given = request.headers.get("x-goog-api-key") or request.query.get("key") or request.bearer
        if not given and _on_vertex(request.route):
            return Fail(401, message="Request is missing required authentication credential.")
        if not given:
            message = "Method doesn't allow unregistered callers (callers without established identity)."
            return Fail(403, message=message)
        if not key or given == key:
            return None
        if request.bearer:
            return Fail(401)
        details = [{"@type": f"{_TYPE}ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}]
        message = "API key not valid. Please pass a valid API key."
        return Fail(400, {"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT", "details": details}})

    def refused(self, request: SeenRequest, asked: Mapping[str, Any]) -> Fail | None:
        return gemini_request.refused(self.model(request, asked), asked)

    def model(self, request: SeenRequest, asked: Mapping[str, Any]) -> str:
        match = CALL.fullmatch(request.route)
        return match["model"] if match else ""

    def streams(self, request: SeenRequest, asked: Mapping[str, Any]) -> bool:
        return ":stream" in request.route and request.query.get("alt") == "sse"

    def headers(self, number: int) -> Mapping[str, str]:
        return {}

    def failure(self, fail: Fail, number: int) -> tuple[str, Mapping[str, str]]:
        """Google says how long to wait in the body, too."""
        other = "INTERNAL" if fail.status >= 500 else "FAILED_PRECONDITION"
        status, message = _STATUSES.get(fail.status, (other, "The request failed."))
        details: list[Part] = []
        if wait := {name.lower(): value for name, value in fail.headers.items()}.get("retry-after"):
            details.append({"@type": f"{_TYPE}RetryInfo", "retryDelay": f"{wait}s"})
        if fail.reason == "quota":
            violation = {"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier", "quotaValue": "0"}
            details.append({"@type": f"{_TYPE}QuotaFailure", "violations": [violation]})
        error: Part = {"code": fail.status, "status": fail.code or status}
        error["message"] = fail.message or (_REASONS[fail.reason] if fail.reason else message)
        return body_of(fail, {"error": {**error, **({"details": details} if details else {})}}), {}

    def read(self, request: SeenRequest) -> SeenPrompt:
        return gemini_request.read(request.json)

    def whole(self, elements: Sequence[Element], answer: Answer) -> Mapping[str, Any] | list[Any]:
        """One response; of ``streamGenerateContent`` without ``alt=sse``, an array of them."""
        pieces = [piece for piece in _responses(elements, answer) if isinstance(piece, dict)]
        if ":stream" in answer.route:
            return pieces
        parts = [part for piece in pieces for part in _parts(piece)]
        last = pieces[-1]
        if "candidates" not in last:
            return last
        candidate = {**last["candidates"][0], "content": {"role": "model", "parts": _joined(parts)}}
        return {**last, "candidates": [candidate]}

    def stream(self, elements: Sequence[Element], answer: Answer) -> Iterator[Streamed]:
        for piece in _responses(elements, answer):
            if isinstance(piece, dict):
                last = "error" in piece or _ends(piece)
                yield Piece(_sse(json.dumps(piece)), last=last)
                if last:
                    return
            else:
                yield piece

    def models(self, entries: Sequence[Entry], request: SeenRequest) -> Mapping[str, Any]:
        """One page of them, by ``pageSize`` and ``pageToken``."""
        listed = [members(entry) for entry in entries]
        size, start = int(request.query.get("pageSize", "50")), int(request.query.get("pageToken", "0"))
        vertex = _on_vertex(request.route)
        page = [_model(entry, "publishers/google/" if vertex else "") for entry in listed[start : start + size]]
        more = {"nextPageToken": str(start + size)} if start + size < len(listed) else {}
        return {"publisherModels" if vertex else "models": page, **more}


def _sse(data: str) -> bytes:
    """Google ends lines as HTTP does."""
    return f"data: {data}\r\n\r\n".encode()


def _on_vertex(route: str) -> bool:
    return "/publishers/google/" in route


def _model(entry: Part, prefix: str) -> Part:
    name = entry.pop("id")
    methods = {"supportedGenerationMethods": ["generateContent", "countTokens"]}
    return {"name": f"{prefix}models/{name}", "displayName": name, "version": "001", **methods, **entry}


def _parts(piece: Part) -> list[Part]:
    return [part for candidate in piece.get("candidates", ()) for part in candidate.get("content", {}).get("parts", ())]


def _joined(parts: Sequence[Part]) -> list[Part]:
    """The parts of a stream as those of a whole answer: texts of a kind that follow one another are one part."""
    joined: list[Part] = []
    for part in parts:
        if part == {"text": ""}:
            continue
        if "text" in part and joined and "text" in joined[-1] and joined[-1].get("thought") == part.get("thought"):
            joined[-1] = {**joined[-1], **part, "text": joined[-1]["text"] + part["text"]}
        else:
            joined.append(part)
    return joined


def _ends(piece: Part) -> bool:
    ended = any("finishReason" in candidate for candidate in piece.get("candidates", ()))
    return ended or "promptFeedback" in piece


def _responses(elements: Sequence[Element], answer: Answer) -> Iterator[Part | Streamed]:
    content = [element for element in elements if isinstance(element, Say | Think | Call | Refuse)]
    if content and isinstance(content[0], Refuse):
        yield from _blocked(elements, answer)
        return
    mark = _Mark(answer)
    malformed = False
    for step in steps(elements, answer.number, "fc"):
        match step:
            case Start(block):
                mark.seen(block)
            case Delta(block, text) if block.kind in ("text", "thinking"):
                yield _response(answer, [{"text": text, **({"thought": True} if block.kind == "thinking" else {})}])
            case Stop(block, text) if block.kind == "call":
                try:
                    yield _response(answer, [{**_call(block, text, answer), **mark.of_call()}])
                except ValueError:
                    malformed = True
            case Chunk():
                yield dict(step.body)
            case ErrorChunk():
                yield {"error": _error(step)}
            case KeepAlive():
                yield Piece(b"\r\n", counted=False)  # Google's own client takes a comment for data
            case Malformed():
                yield Piece(_sse(step.data), counted=False)
            case Slow() | Cut():
                yield step
    finish = finish_of(elements)
    reason = "MALFORMED_FUNCTION_CALL" if malformed else FINISH.get(finish, finish)
    refused = [element.text for element in elements if isinstance(element, Refuse)]
    more = {"finishMessage": "".join(refused)} if refused else {}
    yield _response(answer, mark.at_the_end(), finishReason=reason, **more)


class _Mark:
    """Where the thought signature goes: on the first call, or, without one, on an empty text at the end."""

    def __init__(self, answer: Answer) -> None:
        demanded = gemini_request.demands_signatures(answer.model)
        self._signature = signature(answer.number, 0) if demanded else ""
        self._sent = False

    def seen(self, block: Block) -> None:
        if block.signature and not self._sent:
            self._signature = block.signature

    def of_call(self) -> Part:
        if self._sent or not self._signature:
            return {}
        self._sent = True
        return {"thoughtSignature": self._signature}

    def at_the_end(self) -> list[Part]:
        return [{"text": "", **mark}] if (mark := self.of_call()) else [{"text": ""}]


def _call(block: Block, text: str, answer: Answer) -> Part:
    """Vertex gives calls no ids."""
    arguments = json.loads(text or "{}")
    identity = {} if _on_vertex(answer.route) else {"id": block.id}
    return {"functionCall": {**identity, "name": block.name, "args": arguments}}


def _response(answer: Answer, parts: list[Part], **end: str) -> Part:
    candidate = {"content": {"role": "model", "parts": parts}, "index": 0, **end}
    return {"candidates": [candidate], **_rest(answer, whole=bool(end))}


def _blocked(elements: Sequence[Element], answer: Answer) -> Iterator[Part | Streamed]:
    """What is said of a prompt that is not answered at all."""
    for element in elements:
        if isinstance(element, Slow | Cut):
            yield element
        elif isinstance(element, Refuse):
            message = {"blockReasonMessage": element.text} if _on_vertex(answer.route) else {}
            yield {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT", **message}, **_rest(answer, whole=False)}
            return


def _rest(answer: Answer, *, whole: bool) -> Part:
    """``whole``: with what was said, which is known at the end."""
    tokens = answer.tokens
    usage = {"promptTokenCount": tokens.prompt, "totalTokenCount": tokens.prompt}
    if whole:
        usage["candidatesTokenCount"] = tokens.completion - tokens.reasoning
        usage["totalTokenCount"] += tokens.completion
        if tokens.reasoning:
            usage["thoughtsTokenCount"] = tokens.reasoning
    if tokens.cached:
        usage["cachedContentTokenCount"] = tokens.cached
    return {"usageMetadata": usage, "modelVersion": answer.model, "responseId": f"resp-{answer.number}"}


def _error(error: ErrorChunk) -> Part:
    status = "UNAVAILABLE" if error.type == "server_error" else error.type
    code = error.code or next((code for code, (name, _) in _STATUSES.items() if name == status), 500)
    return {"code": code, "message": error.message, "status": status}
