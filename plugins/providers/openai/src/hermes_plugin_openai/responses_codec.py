"""The wire Responses: a `ModelRequest` as a body. `ResponsesDecoder` reads the answer.

Nothing is stored at the vendor's: what a model thought comes back encrypted, is kept with the answer and sent again.
The body is deterministic and ``input`` is its last member: the body of a longer conversation starts with the bytes
of the shorter one's, without its closing ``]}``.
"""

from __future__ import annotations

from typing import Any

import msgspec

from hermes.contracts.provider import ModelRequest
from hermes_carrier import media
from hermes_carrier.efforts import nearest
from hermes_carrier.extra import refuse_extra
from hermes_carrier.names import ToolNames

from .common import OpenAICodec
from .quirks import Quirks
from .responses_messages import ACCEPTED, Items
from .responses_stream import ResponsesDecoder
from .schema import form_of

CACHE_KEY_LIMIT = 64
NO_INSTRUCTIONS = "Answer the user."
"""Where instructions are demanded and there is no system block."""


class ResponsesCodec(OpenAICodec):
    name = "responses"
    route = "/responses"

    def encode(self, request: ModelRequest) -> bytes:
        return encode(request)

    def decoder(self, request: ModelRequest, request_id: str) -> ResponsesDecoder:
        return ResponsesDecoder(request, request_id)


def encode(request: ModelRequest) -> bytes:
    """The request's body, JSON.

    Raises:
        BadRequest: ``extra`` has an input of its own, or a part is of a kind or size that the wire does not take.
        ConfigError: a quirk is not known.
    """
    refuse_extra(request, "input")
    media.check(request, ACCEPTED)
    quirks, names = Quirks.of(request.endpoint), ToolNames(request)
    body = _options(request, quirks, names)
    body.update(request.extra)
    items = Items(request, quirks, names)
    if quirks.instructions:
        body["instructions"] = items.instructions or NO_INSTRUCTIONS
    body["input"] = items.encoded()
    return msgspec.json.encode(body)


def _options(request: ModelRequest, quirks: Quirks, names: ToolNames) -> dict[str, Any]:
    body: dict[str, Any] = {"model": request.model, "stream": quirks.stream, "store": False}
    if request.session_id:
        body["prompt_cache_key"] = request.session_id[:CACHE_KEY_LIMIT]
    if request.tools:
        body["tools"] = [
            {
                "type": "function",
                "name": names.theirs(tool.name),
                "description": tool.description,
                "parameters": tool.parameters,
                # Left out it means true here, and most schemas of tools are not of the strict subset.
                "strict": False,
            }
            for tool in request.tools
        ]
    included = ["message.output_text.logprobs"] if request.logprobs else []
    if quirks.reasoning != "none":
        included.append("reasoning.encrypted_content")
        body["reasoning"] = _reasoning(request, quirks)
    if included:
        body["include"] = included
    if request.max_tokens is not None and quirks.max_tokens_field:
        body["max_output_tokens"] = request.max_tokens
    if request.temperature is not None and quirks.temperature:
        body["temperature"] = request.temperature
    if request.response_format is not None:
        if quirks.json_mode == "schema":
            body["text"] = {"format": {"type": "json_schema", **form_of(request.response_format)}}
        elif quirks.json_mode == "object":
            body["text"] = {"format": {"type": "json_object"}}
    return body


def _reasoning(request: ModelRequest, quirks: Quirks) -> dict[str, Any]:
    wanted: dict[str, Any] = {}
    if request.reasoning_effort:
        wanted["effort"] = nearest(request.reasoning_effort, quirks.efforts)
    if quirks.summaries and wanted.get("effort") != "none":
        wanted["summary"] = "auto"
    return wanted
