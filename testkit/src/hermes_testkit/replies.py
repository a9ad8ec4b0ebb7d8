"""What a fake model answers: elements of a reply, and their form as Chat Completions.

A reply is one element or a list of them, in the order in which they are sent::

    Say("Hello")
    [Think("Two files."), Call("read_file", {"path": "a"}), Call("read_file", {"path": "b"})]
    [Say("half of an ans"), Cut()]
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias


@dataclass(frozen=True)
class Say:
    """Text. ``chunks``: how many pieces it is streamed in; 0: one a word."""

    text: str
    chunks: int = 0


@dataclass(frozen=True)
class Think:
    """Reasoning, sent in the member ``field`` of a delta; ``reasoning`` and ``reasoning_content`` are in use."""

    text: str
    field: str = "reasoning_content"


@dataclass(frozen=True)
class Call:
    """A tool call; several in one reply are parallel ones. ``arguments`` as text is sent as it stands."""

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict)
    id: str = ""
    """Empty: made of the reply's number and the call's."""
    chunks: int = 3


@dataclass(frozen=True)
class Refuse:
    """The model declines, in the member ``refusal``."""

    text: str


@dataclass(frozen=True)
class Tokens:
    """The usage to report, in place of one estimated from the bytes."""

    prompt: int
    completion: int
    cached: int = 0
    cache_written: int = 0
    reasoning: int = 0


@dataclass(frozen=True)
class Finish:
    """The finish reason, where it is not ``stop`` or ``tool_calls``."""

    reason: str


@dataclass(frozen=True)
class Slow:
    """Waits ``seconds`` before every piece that follows, the first one too; the status line is sent before."""

    seconds: float


@dataclass(frozen=True)
class Fail:
    """An error instead of an answer. ``body`` empty: one in OpenAI's form; text is sent as it stands."""

    status: int
    body: Mapping[str, Any] | str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cut:
    """Closes the connection in mid-answer, ``after`` that many pieces of what stands before (-1: all of it)."""

    after: int = -1


@dataclass(frozen=True)
class Drop:
    """Closes the connection without a word."""


@dataclass(frozen=True)
class Malformed:
    """A piece that is no JSON."""

    data: str = '{"choices": [{"delta": {"content": "oops'


@dataclass(frozen=True)
class ErrorChunk:
    """An error in mid-stream, after the status 200."""

    message: str = "The server is overloaded."
    type: str = "server_error"
    code: str | int | None = None


@dataclass(frozen=True)
class KeepAlive:
    """A comment line, such as routers send while a model is slow to start."""

    text: str = "PROCESSING"


@dataclass(frozen=True)
class Chunk:
    """A piece of the stream as it stands: what no well-behaved server sends."""

    body: Mapping[str, Any]


Element: TypeAlias = (
    Say
    | Think
    | Call
    | Refuse
    | Tokens
    | Finish
    | Slow
    | Fail
    | Cut
    | Drop
    | Malformed
    | ErrorChunk
    | KeepAlive
    | Chunk
)
Reply: TypeAlias = Element | Sequence[Element]


def elements_of(reply: Reply) -> list[Element]:
    return list(reply) if isinstance(reply, Sequence) else [reply]


@dataclass(frozen=True)
class Envelope:
    """What every piece of one answer has in common. ``estimated``: the usage, unless the reply has its own."""

    number: int
    model: str
    estimated: Tokens

    @property
    def id(self) -> str:
        return f"chatcmpl-{self.number}"

    def wrap(self, kind: str, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        head = {"id": self.id, "object": kind, "created": 1_750_000_000, "model": self.model}
        return {**head, "choices": choices, **more}


def pieces_of(text: str, chunks: int) -> list[str]:
    """``text`` in ``chunks`` pieces of about equal length; 0: by words."""
    if not text:
        return [""]
    if chunks == 0:
        return re.findall(r"\s*\S+|\s+", text)
    size = max(1, -(-len(text) // chunks))
    return [text[start : start + size] for start in range(0, len(text), size)]


def usage_of(elements: Sequence[Element], envelope: Envelope) -> dict[str, Any]:
    tokens = next((element for element in elements if isinstance(element, Tokens)), envelope.estimated)
    return {
        "prompt_tokens": tokens.prompt,
        "completion_tokens": tokens.completion,
        "total_tokens": tokens.prompt + tokens.completion,
        "prompt_tokens_details": {"cached_tokens": tokens.cached, "cache_write_tokens": tokens.cache_written},
        "completion_tokens_details": {"reasoning_tokens": tokens.reasoning},
    }


def completion_tokens(elements: Sequence[Element]) -> tuple[int, int]:
    """An estimate of the tokens said, and of those of them that were reasoning: four characters each."""
    said = sum(len(element.text) for element in elements if isinstance(element, Say | Refuse))
    said += sum(len(_arguments(element)) for element in elements if isinstance(element, Call))
    thought = sum(len(element.text) for element in elements if isinstance(element, Think))
    return -(-(said + thought) // 4), -(-thought // 4)


def whole(elements: Sequence[Element], envelope: Envelope) -> dict[str, Any]:
    """The answer as one JSON body."""
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
                calls.append(_call(element, _id(element, envelope, len(calls)), _arguments(element)))
    if calls:
        message["tool_calls"] = calls
    choice = {"index": 0, "message": message, "finish_reason": _reason(elements), "logprobs": None}
    return envelope.wrap("chat.completion", [choice], usage=usage_of(elements, envelope))


def deltas(elements: Sequence[Element], envelope: Envelope) -> Iterator[Element | dict[str, Any]]:
    """The answer as the bodies of its pieces, and between them the elements that are none."""
    yield _piece(envelope, {"role": "assistant", "content": ""})
    calls = 0
    for element in elements:
        match element:
            case Say():
                for text in pieces_of(element.text, element.chunks):
                    yield _piece(envelope, {"content": text})
            case Think():
                for text in pieces_of(element.text, 0):
                    yield _piece(envelope, {element.field: text})
            case Refuse():
                yield _piece(envelope, {"refusal": element.text})
            case Call():
                head = {"index": calls, **_call(element, _id(element, envelope, calls), "")}
                yield _piece(envelope, {"tool_calls": [head]})
                for text in pieces_of(_arguments(element), element.chunks):
                    part = {"index": calls, "function": {"arguments": text}}
                    yield _piece(envelope, {"tool_calls": [part]})
                calls += 1
            case Chunk():
                yield dict(element.body)
            case ErrorChunk():
                yield {"error": {"message": element.message, "type": element.type, "code": element.code}}
            case Tokens() | Finish():
                pass
            case _:
                yield element
    yield _piece(envelope, {}, _reason(elements))


def error_body(fail: Fail) -> str:
    """OpenAI's error body for the status, unless the reply has its own."""
    if isinstance(fail.body, str):
        return fail.body
    if fail.body is not None:
        return json.dumps(fail.body)
    kind, code, message = _ERRORS.get(fail.status, ("server_error", None, "The server had an error."))
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}})


_ERRORS: dict[int, tuple[str, str | None, str]] = {
    400: ("invalid_request_error", None, "The request is not valid."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    402: ("insufficient_quota", "insufficient_quota", "The account has no credit left."),
    403: ("invalid_request_error", "model_not_allowed", "The project may not use this model."),
    404: ("invalid_request_error", "model_not_found", "The model does not exist."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached for requests."),
    503: ("server_error", "server_is_overloaded", "The server is overloaded."),
    529: ("overloaded_error", "overloaded", "Overloaded."),
}


def _piece(envelope: Envelope, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return envelope.wrap("chat.completion.chunk", [{"index": 0, "delta": delta, "finish_reason": finish}])


def _call(element: Call, call_id: str, arguments: str) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": element.name, "arguments": arguments}}


def _id(element: Call, envelope: Envelope, number: int) -> str:
    return element.id or f"call_{envelope.number}_{number}"


def _arguments(element: Call) -> str:
    return element.arguments if isinstance(element.arguments, str) else json.dumps(element.arguments)


def _reason(elements: Sequence[Element]) -> str:
    for element in elements:
        if isinstance(element, Finish):
            return element.reason
    return "tool_calls" if any(isinstance(element, Call) for element in elements) else "stop"
