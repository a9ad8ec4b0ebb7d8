"""The messages of a request as the wire has them.

Each message of ours is a message of its own; the vendor joins neighbours of one role. Only a run of tool results is
one message, because all results have to stand in the turn after their calls.

An answer with thinking is sent back block by block as it came, but only where all that stands before it is as it was:
its signatures are bound to that. `History.digest` says what stood before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import groupby
from typing import Any, NamedTuple

import msgspec

from hermes.contracts.messages import (
    FilePart,
    ImagePart,
    Message,
    Part,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    text_of,
)
from hermes.contracts.provider import ModelRequest
from hermes_carrier.calls import arguments_of
from hermes_carrier.media import PDF, base64_of, plain_type
from hermes_carrier.names import ToolNames
from hermes_carrier.state import state_of

PAUSE = "pause"
"""How an answer ends that goes on when it is sent back as it is."""
BLOCKS = "blocks"
AFTER = "after"
"""Keys of the JSON object in `ProviderState.data`: the answer's content, and the digest of what stood before it."""
_OPENING = "(The conversation begins with the assistant.)"
_GO_ON = "Go on."
_EMPTY = "(empty)"

Block = dict[str, Any]


class History(NamedTuple):
    messages: list[msgspec.Raw]
    digest: str
    """Of all of them."""
    unthought: bool
    """The last answer calls tools and does not begin with thinking."""


def history_of(request: ModelRequest, names: ToolNames) -> History:
    """The encoded messages. They begin and end with the user's turn: a prefilled answer is refused."""
    encoded: list[msgspec.Raw] = []
    digest = hashlib.blake2b(digest_size=12)
    answer: list[Block] = []
    last = ""
    for role, content in _turns(request, names, digest.copy):
        if not encoded and role == "assistant":
            _add(encoded, digest, "user", [_text(_OPENING)])
        _add(encoded, digest, role, content)
        last = role
        answer = content if role == "assistant" else answer
    if not encoded or (last == "assistant" and request.messages[-1].finish != PAUSE):
        _add(encoded, digest, "user", [_text(_GO_ON)])
    called = any(block["type"] == "tool_use" for block in answer)
    return History(encoded, digest.hexdigest(), called and "thinking" not in answer[0]["type"])


def _add(encoded: list[msgspec.Raw], digest: Any, role: str, content: list[Block]) -> None:
    message = msgspec.json.encode({"role": role, "content": content})
    digest.update(message)
    encoded.append(msgspec.Raw(message))


def _turns(request: ModelRequest, names: ToolNames, digest: Any) -> Iterator[tuple[str, list[Block]]]:
    """Role and content. ``digest()`` is of what was given so far."""
    for role, group in groupby(request.messages, key=lambda message: message.role):
        if role == "tool":
            results = [part for message in group for part in message.parts if isinstance(part, ToolResultPart)]
            yield "user", [_result(part, names) for part in results]
            continue
        for message in group:
            if role == "user":
                content = [block for part in message.parts if (block := _content(part)) is not None]
                yield "user", content or [_text(_EMPTY)]
            elif content := _assistant(message, request, names, digest().hexdigest()):
                yield "assistant", content


def _assistant(message: Message, request: ModelRequest, names: ToolNames, digest: str) -> list[Block]:
    state = state_of(message, request)
    if state.get(AFTER) == digest and (replayed := _replayed(state.get(BLOCKS), message, names)):
        return replayed
    said = [_text(part.text) for part in message.parts if isinstance(part, TextPart) and part.text.strip()]
    return [*said, *(_call(part, names) for part in message.parts if isinstance(part, ToolCallPart))]


def _replayed(blocks: Any, message: Message, names: ToolNames) -> list[Block] | None:
    """The answer as it came; None if the message is not what the blocks say any more."""
    calls = {part.id: part for part in message.parts if isinstance(part, ToolCallPart)}
    if not isinstance(blocks, list):
        return None
    texts = [block["text"] for block in blocks if block["type"] == "text"]
    ids = [block["id"] for block in blocks if block["type"] == "tool_use"]
    if "".join(texts) != text_of(message.parts) or ids != list(calls):
        return None
    return [
        {**block, **_call(calls[block["id"]], names)} if block["type"] == "tool_use" else block
        for block in blocks
        if block["type"] != "text" or block["text"].strip()
    ]


def _text(text: str) -> Block:
    return {"type": "text", "text": text}


def _call(part: ToolCallPart, names: ToolNames) -> Block:
    call_id = names.theirs(part.id)
    return {"type": "tool_use", "id": call_id, "name": names.theirs(part.name), "input": arguments_of(part)}


def _result(part: ToolResultPart, names: ToolNames) -> Block:
    """The result of a call. That of a failed one holds text only: the vendor takes no images there."""
    content = [
        block
        for piece in part.content
        if not (part.is_error and isinstance(piece, ImagePart)) and (block := _content(piece)) is not None
    ]
    result: Block = {"type": "tool_result", "tool_use_id": names.theirs(part.call_id)}
    if content:
        result["content"] = content
    if part.is_error:
        result["is_error"] = True
    return result


def _content(part: Part) -> Block | None:
    """A part of the user's; None for what the wire has no place for there. It takes no blank text."""
    match part:
        case TextPart() if part.text.strip():
            return _text(part.text)
        case ImagePart() if part.url and not part.data:
            return {"type": "image", "source": {"type": "url", "url": part.url}}
        case ImagePart():
            return {"type": "image", "source": _bytes(plain_type(part.media_type), part.data)}
        case FilePart():
            return {"type": "document", "source": _document(part), "title": part.name}
    return None


def _document(part: FilePart) -> Block:
    if plain_type(part.media_type) == PDF:
        return _bytes(PDF, part.data)
    return {"type": "text", "media_type": "text/plain", "data": part.data.decode("utf-8", "replace") or _EMPTY}


def _bytes(media_type: str, data: bytes) -> Block:
    return {"type": "base64", "media_type": media_type, "data": base64_of(data)}
