"""A `ModelRequest` as the body of a Chat Completions request. `Decoder` reads the answer, `error_of` a refusal.

The body is deterministic and ``messages`` is its last member: the body of a longer conversation starts
with the bytes of the shorter one's, without its closing ``]}``. So nothing in an encoded message depends on the
messages after it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from hermes.contracts.errors import BadRequest, ProviderError
from hermes.contracts.messages import (
    AudioPart,
    FilePart,
    ImagePart,
    Message,
    Part,
    SystemBlock,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    text_of,
)
from hermes.contracts.provider import Endpoint, ModelInfo, ModelRequest, ProviderCapabilities
from hermes_carrier.errors import error_of
from hermes_carrier.listing import models_of
from hermes_carrier.media import base64_of, data_url
from hermes_carrier.provider import HttpProvider
from hermes_carrier.state import state_of

from .quirks import Quirks
from .stream import Decoder
from .wire import EXTRA_CONTENT, REASONING, REASONING_DETAILS

_AUDIO_FORMATS = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav", "vnd.wave": "wav"}


class ChatCompletionsCodec:
    name = "chat_completions"
    models_path = "/models"
    stream_type = "text/event-stream"

    def path(self, request: ModelRequest) -> str:
        return "/chat/completions"

    def headers(self, endpoint: Endpoint) -> Mapping[str, str]:
        return {"authorization": f"Bearer {endpoint.key}"} if endpoint.key else {}

    def encode(self, request: ModelRequest) -> bytes:
        return encode(request)

    def decoder(self, request: ModelRequest, request_id: str) -> Decoder:
        return Decoder(request, request_id)

    def error_of(
        self, status: int, headers: Mapping[str, str], body: bytes, endpoint: Endpoint, model: str = ""
    ) -> ProviderError:
        return error_of(status, headers, body, endpoint, model)

    def models(self, body: bytes) -> list[ModelInfo] | None:
        return models_of(body)


class ChatCompletions(HttpProvider):
    """The transport ``chat_completions``."""

    def __init__(self) -> None:
        capabilities = ProviderCapabilities(
            images=True, audio=True, files=True, response_format=True, thinking=True, model_list=True
        )
        super().__init__(ChatCompletionsCodec(), capabilities)


def encode(request: ModelRequest) -> bytes:
    """The request's body, JSON.

    Raises:
        BadRequest: ``extra`` has messages of its own.
        ConfigError: a quirk is not known.
    """
    if "messages" in request.extra:
        raise BadRequest(
            "`messages` cannot be sent as an extra member of the request.",
            provider=request.endpoint.provider,
            hint="Remove it from the extra options.",
        )
    quirks = Quirks.of(request.endpoint)
    body = _options(request, quirks)
    body["messages"] = list(_messages(request, quirks))
    return msgspec.json.encode(body)


def _options(request: ModelRequest, quirks: Quirks) -> dict[str, Any]:
    body: dict[str, Any] = {"model": request.model, "stream": quirks.stream}
    if quirks.stream and quirks.stream_options:
        body["stream_options"] = {"include_usage": True}
    if request.tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
            }
            for tool in request.tools
        ]
    if request.max_tokens is not None:
        body[quirks.max_tokens_field] = request.max_tokens
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.reasoning_effort:
        body["reasoning_effort"] = request.reasoning_effort
    if request.stop:
        body["stop"] = request.stop
    if request.seed is not None:
        body["seed"] = request.seed
    if request.logprobs:
        body["logprobs"] = True
    if (wanted := request.response_format) is not None:
        name = re.sub(r"[^A-Za-z0-9_-]", "_", wanted.name)[:64] or "answer"
        schema = {"name": name, "strict": wanted.strict, "schema": wanted.json_schema}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    body.update(request.extra)
    return body


def _messages(request: ModelRequest, quirks: Quirks) -> Iterator[dict[str, Any]]:
    yield from _system(request.system, quirks)
    images: list[dict[str, Any]] = []
    for message in request.messages:
        if message.role == "tool":
            for part in message.parts:
                if isinstance(part, ToolResultPart):
                    yield _result(part)
                    images.extend(_images_of(part))
            continue
        if images:
            yield {"role": "user", "content": images}
            images = []
        yield _assistant(message, request, quirks) if message.role == "assistant" else _user(message, quirks)
    if images:
        yield {"role": "user", "content": images}


def _system(blocks: tuple[SystemBlock, ...], quirks: Quirks) -> Iterator[dict[str, Any]]:
    if quirks.single_system and blocks:
        yield {"role": "system", "content": "\n\n".join(block.text for block in blocks)}
        return
    for block in blocks:
        yield {"role": "system", "content": block.text}


def _user(message: Message, quirks: Quirks) -> dict[str, Any]:
    parts = [encoded for part in message.parts if (encoded := _content(part)) is not None]
    if all(part["type"] == "text" for part in parts) and (len(parts) < 2 or quirks.text_as_string):
        return {"role": "user", "content": "\n\n".join(part["text"] for part in parts)}
    return {"role": "user", "content": parts}


def _assistant(message: Message, request: ModelRequest, quirks: Quirks) -> dict[str, Any]:
    state = state_of(message, request)
    signatures = state.get(EXTRA_CONTENT) or {}
    calls = [
        {
            "id": part.id,
            "type": "function",
            "function": {"name": part.name, "arguments": part.arguments},
            **({"extra_content": signatures[part.id]} if part.id in signatures else {}),
        }
        for part in message.parts
        if isinstance(part, ToolCallPart)
    ]
    encoded: dict[str, Any] = {"role": "assistant", "content": text_of(message.parts) or (None if calls else "")}
    if quirks.echo_reasoning and (calls or REASONING in state):
        encoded["reasoning_content"] = state.get(REASONING, "")
    if REASONING_DETAILS in state:
        encoded["reasoning_details"] = state[REASONING_DETAILS]
    if calls:
        encoded["tool_calls"] = calls
    return encoded


def _result(part: ToolResultPart) -> dict[str, Any]:
    """A tool message holds text only; the images of a run of results follow it in one user message."""
    text = text_of(part.content)
    if not text and any(isinstance(piece, ImagePart) for piece in part.content):
        text = "The result is in the images that follow."
    return {"role": "tool", "tool_call_id": part.call_id, "content": text}


def _images_of(part: ToolResultPart) -> Iterator[dict[str, Any]]:
    images = [piece for piece in part.content if isinstance(piece, ImagePart)]
    if images:
        yield {"type": "text", "text": f"From the tool {part.name} (call {part.call_id}):"}
        for image in images:
            yield _image(image)


def _content(part: Part) -> dict[str, Any] | None:
    """A part of a user's message; None for what the wire has no place for there."""
    match part:
        case TextPart():
            return {"type": "text", "text": part.text}
        case ImagePart():
            return _image(part)
        case AudioPart():
            kind = part.media_type.partition("/")[2].partition(";")[0]
            return {
                "type": "input_audio",
                "input_audio": {"data": base64_of(part.data), "format": _AUDIO_FORMATS.get(kind, kind)},
            }
        case FilePart():
            file = {"filename": part.name, "file_data": data_url(part.media_type, part.data)}
            return {"type": "file", "file": file}
        case _:
            return None


def _image(part: ImagePart) -> dict[str, Any]:
    url = part.url if part.url and not part.data else data_url(part.media_type, part.data)
    return {"type": "image_url", "image_url": {"url": url}}
