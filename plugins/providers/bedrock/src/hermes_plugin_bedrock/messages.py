"""The messages of a request as Converse's turns: the user's and the assistant's, one after the other.

Neighbours of one role become one turn, each block as it was. Nothing in an encoded turn depends on later ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from hermes.contracts.errors import BadRequest
from hermes.contracts.messages import (
    AudioPart,
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
from hermes_carrier import media
from hermes_carrier.calls import accepted_id, arguments_of
from hermes_carrier.media import MEGABYTE, Accepted, base64_of, formats, plain_type
from hermes_carrier.names import ToolNames
from hermes_carrier.state import state_of

from .quirks import Quirks
from .wire import CONTENT

Block = dict[str, Any]
Turn = dict[str, Any]

EMPTY = "(empty)"
NO_OUTPUT = "(no output)"
NO_RESULT = "(no result)"
BEGINNING = "(The beginning of the conversation is left out.)"
WITH_DOCUMENTS = "See the attached documents."
_ID = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
_NAME_LIMIT = 190
IMAGES = {f"image/{name}": name for name in ("png", "jpeg", "gif", "webp")}
DOCUMENTS = formats(media.DOCUMENTS, "pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md")
AUDIO = formats(media.AUDIO, "mp3", "wav", "aac", "flac", "ogg", "opus", "mp4", "webm")
ACCEPTED = Accepted(
    images=frozenset(IMAGES),
    image_size=int(3.75 * MEGABYTE),
    files=frozenset(DOCUMENTS),
    file_size=32 * MEGABYTE,
    audio=frozenset(AUDIO),
    audio_size=25 * MEGABYTE,
)


def call_id(ours: str) -> str:
    """As Bedrock takes it."""
    return accepted_id(ours, _ID)


class Turns:
    """Of one request."""

    def __init__(self, request: ModelRequest, quirks: Quirks, names: ToolNames) -> None:
        self._request = request
        self._quirks = quirks
        self._names = names
        self._documents: set[str] = set()

    def encoded(self) -> list[Turn]:
        """Raises BadRequest for what the wire cannot carry."""
        turns: list[Turn] = []
        for message in self._request.messages:
            role = "assistant" if message.role == "assistant" else "user"
            blocks = list(self._assistant(message) if role == "assistant" else self._user(message))
            if not blocks and role == "assistant":
                continue
            blocks = blocks or [{"text": EMPTY}]
            if turns and turns[-1]["role"] == role:
                turns[-1]["content"].extend(blocks)
            else:
                turns.append({"role": role, "content": blocks})
        if not turns or turns[0]["role"] != "user":
            turns.insert(0, {"role": "user", "content": [{"text": BEGINNING}]})
        return paired(turns)

    def _user(self, message: Message) -> Iterator[Block]:
        has_document = has_text = False
        for part in message.parts:
            block = self._content(part)
            if block is not None:
                has_document = has_document or "document" in block
                has_text = has_text or "text" in block
                yield block
        if has_document and not has_text:
            yield {"text": WITH_DOCUMENTS}

    def _content(self, part: Part) -> Block | None:
        match part:
            case TextPart():
                return {"text": part.text} if part.text.strip() else None
            case ImagePart():
                return self._image(part)
            case AudioPart():
                kind = AUDIO[plain_type(part.media_type)]
                return {"audio": {"format": kind, "source": {"bytes": base64_of(part.data)}}}
            case FilePart():
                name = self._document_name(part.name)
                source = {"bytes": base64_of(part.data)}
                return {"document": {"format": DOCUMENTS[plain_type(part.media_type)], "name": name, "source": source}}
            case ToolResultPart():
                return self._result(part)
            case _:
                return None

    def _document_name(self, name: str) -> str:
        """Letters, digits, single spaces, hyphens and brackets; no two documents of a request have the same."""
        plain = " ".join(re.sub(r"[^A-Za-z0-9()\[\]-]", " ", name).split())[:_NAME_LIMIT] or "document"
        found, number = plain, 1
        while found in self._documents:
            number += 1
            found = f"{plain} ({number})"
        self._documents.add(found)
        return found

    def _image(self, part: ImagePart) -> Block:
        if part.url and not part.data:
            if not part.url.startswith("s3://"):
                provider = self._request.endpoint.provider
                raise BadRequest(
                    f"{provider}: an image by its address cannot be sent; Bedrock reads s3:// only.",
                    provider=provider,
                    hint="Attach the image itself.",
                )
            source: Block = {"s3Location": {"uri": part.url}}
        else:
            source = {"bytes": base64_of(part.data)}
        return {"image": {"format": IMAGES.get(plain_type(part.media_type), "png"), "source": source}}

    def _result(self, part: ToolResultPart) -> Block:
        if not self._quirks.tools:
            return {"text": f"[The tool {part.name} answered: {text_of(part.content).strip() or NO_OUTPUT}]"}
        content = [block for piece in part.content if (block := self._content(piece)) is not None]
        result: Block = {"toolUseId": call_id(part.call_id), "content": content or [{"text": NO_OUTPUT}]}
        if part.is_error:
            result["status"] = "error"
        return {"toolResult": result}

    def _assistant(self, message: Message) -> Iterator[Block]:
        calls = {part.id: self._call(part) for part in message.parts if isinstance(part, ToolCallPart)}
        layout = state_of(message, self._request).get(CONTENT) if self._quirks.replay_thinking else None
        if layout:
            yield from _as_it_was(layout, text_of(message.parts), calls)
            return
        for part in message.parts:
            if isinstance(part, TextPart) and part.text.strip():
                yield {"text": part.text}
        yield from calls.values()

    def _call(self, part: ToolCallPart) -> Block:
        if not self._quirks.tools:
            return {"text": f"[The tool {part.name} was called with {part.arguments}]"}
        name = self._names.theirs(part.name)
        return {"toolUse": {"toolUseId": call_id(part.id), "name": name, "input": arguments_of(part)}}


def _as_it_was(layout: list[Block], text: str, calls: dict[str, Block]) -> Iterator[Block]:
    """The blocks of an answer in the order it had them, with the signed ones, which have to go back unchanged.

    Where text or calls are not any more what they were, the signed ones come first.
    """
    lengths = [entry["text"] for entry in layout if "text" in entry]
    intact = sum(lengths) == len(text) and [entry["call"] for entry in layout if "call" in entry] == list(calls)
    place = 0
    for entry in layout:
        if "text" in entry:
            piece = text[place : place + entry["text"]]
            place += entry["text"]
            if intact and piece.strip():
                yield {"text": piece}
        elif "call" in entry:
            if intact:
                yield calls[entry["call"]]
        else:
            yield {"reasoningContent": entry}
    if not intact:
        if text.strip():
            yield {"text": text}
        yield from calls.values()


def paired(turns: list[Turn]) -> list[Turn]:
    """Each call with its result in the next turn, results first there; a result without a call becomes text."""
    asked: list[str] = []
    for turn in turns:
        if turn["role"] == "user":
            content = turn["content"]
            results = {block["toolResult"]["toolUseId"]: block for block in content if "toolResult" in block}
            if asked or results:
                others = [block for block in content if "toolResult" not in block]
                lost = [block for used, result in results.items() if used not in asked for block in _as_text(result)]
                missing = {"content": [{"text": NO_RESULT}], "status": "error"}
                turn["content"] = [
                    *(results.get(used) or {"toolResult": {"toolUseId": used, **missing}} for used in asked),
                    *lost,
                    *others,
                ]
            asked = []
        else:
            asked = list(_calls(turn["content"]))
    return turns


def _calls(blocks: Iterable[Block]) -> Iterator[str]:
    for block in blocks:
        if "toolUse" in block:
            yield block["toolUse"]["toolUseId"]


def _as_text(result: Block) -> list[Block]:
    content: list[Block] = result["toolResult"]["content"]
    return content
