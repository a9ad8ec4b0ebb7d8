"""The wire Chat Completions: a `ModelRequest` as a body. `Decoder` reads the answer.

The body is deterministic and ``messages`` is its last member: the body of a longer conversation starts
with the bytes of the shorter one's, without its closing ``]}``.
"""

from __future__ import annotations

from typing import Any

import msgspec

from hermes.contracts.provider import ModelRequest
from hermes_carrier import media
from hermes_carrier.extra import refuse_extra
from hermes_carrier.names import ToolNames

from .common import OpenAICodec
from .messages import ACCEPTED, Messages
from .quirks import Quirks
from .schema import form_of
from .stream import Decoder
from .thinking import thinking_of


class ChatCompletionsCodec(OpenAICodec):
    name = "chat_completions"
    route = "/chat/completions"

    def encode(self, request: ModelRequest) -> bytes:
        return encode(request)

    def decoder(self, request: ModelRequest, request_id: str) -> Decoder:
        return Decoder(request, request_id)


def encode(request: ModelRequest) -> bytes:
    """The request's body, JSON.

    Raises:
        BadRequest: ``extra`` has messages of its own, or a part is of a kind or size that the wire does not take.
        ConfigError: a quirk is not known.
    """
    refuse_extra(request, "messages")
    media.check(request, ACCEPTED)
    quirks, names = Quirks.of(request.endpoint), ToolNames(request)
    body = _options(request, quirks, names)
    body["messages"] = Messages(request, quirks, names).encoded()
    return msgspec.json.encode(body)


def _options(request: ModelRequest, quirks: Quirks, names: ToolNames) -> dict[str, Any]:
    body: dict[str, Any] = {"model": request.model, "stream": quirks.stream}
    if quirks.stream and quirks.stream_options:
        body["stream_options"] = {"include_usage": True}
    if request.tools and quirks.native_tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": names.theirs(tool.name),
                    "description": tool.description,
                    "parameters": tool.parameters,
                },
            }
            for tool in request.tools
        ]
    if request.max_tokens is not None and quirks.max_tokens_field:
        body[quirks.max_tokens_field] = request.max_tokens
    if request.temperature is not None and quirks.temperature:
        body["temperature"] = request.temperature
    body.update(thinking_of(request.reasoning_effort, quirks))
    if request.stop:
        body["stop"] = request.stop
    if request.seed is not None:
        body["seed"] = request.seed
    if request.logprobs:
        body["logprobs"] = True
    if request.response_format is not None:
        if quirks.json_mode == "schema":
            form = form_of(request.response_format)
            body["response_format"] = {"type": "json_schema", "json_schema": form}
        elif quirks.json_mode == "object":
            body["response_format"] = {"type": "json_object"}
    body.update(request.extra)
    return body
