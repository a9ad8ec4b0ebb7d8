"""A conversation as the ``messages`` of Chat Completions.

Nothing in an encoded message depends on the messages after it, except where to cache, which is told by marks that move.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

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
from hermes_carrier.calls import accepted_id
from hermes_carrier.media import IMAGES, Accepted, base64_of, data_url, formats, image_url, plain_type
from hermes_carrier.names import ToolNames
from hermes_carrier.state import state_of

from . import textual
from .quirks import Quirks
from .schema import told
from .wire import EXTRA_CONTENT, REASONING, REASONING_DETAILS

Encoded = dict[str, Any]

AUDIO = {**formats(media.AUDIO, "wav", "mp3", "flac", "ogg", "aac", "aiff"), "audio/mp4": "m4a"}
"""Types and the wire's names for them. OpenAI takes the first two kinds, routers to other vendors the rest."""
ACCEPTED = Accepted(images=IMAGES, audio=frozenset(AUDIO))
BETWEEN = "Done."
"""What an assistant says between a tool's result and a user's message, where these may not meet."""
MARK = {"type": "ephemeral"}
MARKED = 2
"""Messages that are marked beside the system text: the newest, and the one that was it in the request before."""


class Messages:
    """Encodes the messages of one request."""

    def __init__(self, request: ModelRequest, quirks: Quirks, names: ToolNames) -> None:
        self._request = request
        self._quirks = quirks
        self._names = names

    def encoded(self) -> list[Encoded]:
        system = list(self._system())
        turns: list[Encoded] = []
        for turn in self._turns():
            if turn["role"] == "user" and turns and turns[-1]["role"] == "tool" and not self._quirks.user_after_tool:
                turns.append({"role": "assistant", "content": BETWEEN})
            turns.append(turn)
        if self._quirks.cache_control:
            for message in (*system[-1:], *[turn for turn in turns if turn["role"] != "assistant"][-MARKED:]):
                _mark(message)
        return [*system, *turns]

    def _system(self) -> Iterator[Encoded]:
        request, quirks = self._request, self._quirks
        texts = [block.text for block in request.system]
        texts += filter(None, [textual.told(request, quirks), told(request, quirks)])
        if quirks.single_system and texts:
            texts = ["\n\n".join(texts)]
        for text in texts:
            yield {"role": "system", "content": text}

    def _turns(self) -> Iterator[Encoded]:
        """A tool message holds text only; the images of a run of results follow it in one user message."""
        images: list[Encoded] = []
        for message in self._request.messages:
            if message.role == "tool":
                for part in message.parts:
                    if isinstance(part, ToolResultPart):
                        yield self._result(part)
                        images.extend(self._images_of(part))
                continue
            if images:
                yield {"role": "user", "content": images}
                images = []
            yield self._assistant(message) if message.role == "assistant" else self._user(message)
        if images:
            yield {"role": "user", "content": images}

    def _user(self, message: Message) -> Encoded:
        parts = [encoded for part in message.parts if (encoded := _content(part)) is not None]
        if all(part["type"] == "text" for part in parts) and (len(parts) < 2 or self._quirks.text_as_string):
            return {"role": "user", "content": "\n\n".join(part["text"] for part in parts)}
        return {"role": "user", "content": parts}

    def _assistant(self, message: Message) -> Encoded:
        quirks, state = self._quirks, state_of(message, self._request)
        if not quirks.native_tools:
            return {"role": "assistant", "content": textual.said(message)}
        signatures = state.get(EXTRA_CONTENT) or {}
        calls = [self._call(part, signatures) for part in message.parts if isinstance(part, ToolCallPart)]
        encoded: Encoded = {"role": "assistant", "content": text_of(message.parts) or (None if calls else "")}
        if encoded["content"] is None and not quirks.null_content:
            del encoded["content"]
        if quirks.echo_reasoning and (calls or REASONING in state):
            encoded["reasoning_content"] = state.get(REASONING, "")
        if REASONING_DETAILS in state:
            encoded["reasoning_details"] = state[REASONING_DETAILS]
        if calls:
            encoded["tool_calls"] = calls
        return encoded

    def _call(self, part: ToolCallPart, signatures: dict[str, Any]) -> Encoded:
        function = {"name": self._names.theirs(part.name), "arguments": part.arguments}
        call = {"id": self._id(part.id), "type": "function", "function": function}
        return {**call, "extra_content": signatures[part.id]} if part.id in signatures else call

    def _result(self, part: ToolResultPart) -> Encoded:
        text = text_of(part.content)
        if not text and any(isinstance(piece, ImagePart) for piece in part.content):
            text = "The result is in the images that follow."
        if not self._quirks.native_tools:
            return {"role": "user", "content": textual.response(part, text)}
        encoded: Encoded = {"role": "tool", "tool_call_id": self._id(part.call_id)}
        if self._quirks.tool_result_names:
            encoded["name"] = self._names.theirs(part.name)
        return {**encoded, "content": text}

    def _images_of(self, part: ToolResultPart) -> Iterator[Encoded]:
        images = [piece for piece in part.content if isinstance(piece, ImagePart)]
        if images:
            yield {"type": "text", "text": f"From the tool {part.name} (call {self._id(part.call_id)}):"}
            for image in images:
                yield _image(image)

    def _id(self, call_id: str) -> str:
        """As the endpoint takes it: the same one in every request."""
        length = self._quirks.tool_call_ids
        if not length:
            return call_id
        return accepted_id(call_id, re.compile(rf"[A-Za-z0-9]{{{length}}}"), prefix="", digits=length)


def _content(part: Part) -> Encoded | None:
    """A part of a user's message; None for what the wire has no place for there."""
    match part:
        case TextPart():
            return {"type": "text", "text": part.text}
        case ImagePart():
            return _image(part)
        case AudioPart():
            audio = {"data": base64_of(part.data), "format": AUDIO[plain_type(part.media_type)]}
            return {"type": "input_audio", "input_audio": audio}
        case FilePart():
            file = {"filename": part.name, "file_data": data_url(part.media_type, part.data)}
            return {"type": "file", "file": file}
        case _:
            return None


def _image(part: ImagePart) -> Encoded:
    return {"type": "image_url", "image_url": {"url": image_url(part)}}


def _mark(message: Encoded) -> None:
    """Marks the end of a message as the end of what is cached. An empty text may not be marked."""
    content = message["content"]
    if isinstance(content, str) and content:
        message["content"] = [{"type": "text", "text": content, "cache_control": MARK}]
    elif isinstance(content, list) and content and content[-1].get("text", "an image"):
        content[-1] = {**content[-1], "cache_control": MARK}
