"""A `ModelRequest` as the body of ``streamGenerateContent``. `Decoder` reads the answer.

The body is deterministic and ``contents`` is its last member: the body of a longer conversation starts
with the bytes of the shorter one's, without its closing brackets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from hermes.contracts.errors import ProviderError
from hermes.contracts.provider import Endpoint, ModelInfo, ModelRequest
from hermes_carrier.extra import merged, refuse_extra
from hermes_carrier.media import check
from hermes_carrier.names import ToolNames
from hermes_carrier.structured import in_words

from .errors import error_of
from .listing import models_of
from .messages import ACCEPTED, contents_of
from .quirks import Quirks
from .schema import adapted
from .stream import Decoder
from .thinking import thinking_of

NAME_STARTS_WITH = "[A-Za-z_]"


class GeminiCodec:
    name = "gemini"
    models_path = "/models?pageSize=1000"
    stream_type = "text/event-stream"

    def path(self, request: ModelRequest) -> str:
        model = request.model if "/" in request.model else f"models/{request.model}"
        return f"/{quote(model)}:streamGenerateContent?alt=sse"

    def headers(self, endpoint: Endpoint) -> Mapping[str, str]:
        if not endpoint.key:
            return {}
        return {"authorization": f"Bearer {endpoint.key}"} if endpoint.token else {"x-goog-api-key": endpoint.key}

    def encode(self, request: ModelRequest) -> bytes:
        return encode(request)

    def decoder(self, request: ModelRequest, request_id: str) -> Decoder:
        return Decoder(request, request_id, tool_names(request))

    def error_of(
        self, status: int, headers: Mapping[str, str], body: bytes, endpoint: Endpoint, model: str = ""
    ) -> ProviderError:
        return error_of(status, headers, body, endpoint, model)

    def models(self, body: bytes) -> list[ModelInfo] | None:
        return models_of(body)


def tool_names(request: ModelRequest) -> ToolNames:
    return ToolNames(request, first=NAME_STARTS_WITH)


def encode(request: ModelRequest) -> bytes:
    """The request's body, JSON.

    Raises:
        BadRequest: a part that the wire cannot carry, or ``extra`` has contents of its own.
        ConfigError: a quirk is not known.
    """
    refuse_extra(request, "contents")
    check(request, ACCEPTED)
    quirks, names = Quirks.of(request.endpoint), tool_names(request)
    body = merged(_options(request, quirks, names), request.extra)
    body["contents"] = contents_of(request, quirks, names)
    return msgspec.json.encode(body)


def _options(request: ModelRequest, quirks: Quirks, names: ToolNames) -> dict[str, Any]:
    body: dict[str, Any] = {}
    told = request.response_format if request.tools and not quirks.schema_with_tools else None
    system = [{"text": block.text} for block in request.system if block.text]
    if told is not None:
        system.append({"text": in_words(told)})
    if system:
        body["systemInstruction"] = {"parts": system}
    if request.tools:
        declared = [
            {"name": names.theirs(tool.name), "description": tool.description, "parametersJsonSchema": tool.parameters}
            for tool in request.tools
        ]
        body["tools"] = [{"functionDeclarations": declared}]
    if config := _generation(request, quirks, with_schema=told is None):
        body["generationConfig"] = config
    return body


def _generation(request: ModelRequest, quirks: Quirks, *, with_schema: bool) -> dict[str, Any]:
    config: dict[str, Any] = {}
    if request.max_tokens is not None:
        config["maxOutputTokens"] = request.max_tokens
    if request.temperature is not None:
        config["temperature"] = request.temperature
    if request.stop:
        config["stopSequences"] = request.stop
    if request.seed is not None:
        config["seed"] = request.seed
    if request.logprobs:
        config["responseLogprobs"] = True
    if request.response_format is not None and with_schema:
        config["responseMimeType"] = "application/json"
        config["responseJsonSchema"] = adapted(request.response_format.json_schema)
    if thinking := thinking_of(request, quirks):
        config["thinkingConfig"] = thinking
    return config
