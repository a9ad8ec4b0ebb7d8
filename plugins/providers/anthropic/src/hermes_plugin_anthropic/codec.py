"""A `ModelRequest` as the body of a Messages request. `Decoder` reads the answer.

The body is deterministic and ``messages`` is its last member: the body of a longer conversation starts
with the bytes of the shorter one's, without its closing ``]}``. The cache's breakpoints are the last tool, the last
system block and, by a member of the body, wherever the conversation ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from hermes.contracts.errors import ProviderError
from hermes.contracts.messages import FilePart
from hermes.contracts.provider import Endpoint, ModelInfo, ModelRequest
from hermes_carrier.errors import error_of
from hermes_carrier.extra import merged, refuse_extra
from hermes_carrier.media import MEGABYTE, PDF, Accepted, check, plain_type
from hermes_carrier.names import ToolNames

from .errors import complaint_of
from .listing import models_of
from .messages import Block, History, history_of
from .quirks import Quirks
from .schema import answer_schema, answer_tool, input_schema
from .stream import Decoder
from .thinking import effort_of, thinking_of

VERSION_PATH = "/v1"
"""Behind the base URL, unless that has it already; both forms are in use."""
LOGIN_BETA = "oauth-2025-04-20"
IMAGE_SIZE = 10 * MEGABYTE
_TEXTS = frozenset(["application/json", "application/xml", "application/yaml", "application/toml"])


class AnthropicMessagesCodec:
    name = "anthropic_messages"
    models_path = "/v1/models?limit=1000"
    stream_type = "text/event-stream"

    def path(self, request: ModelRequest) -> str:
        return "/messages" if request.endpoint.base_url.endswith(VERSION_PATH) else f"{VERSION_PATH}/messages"

    def headers(self, endpoint: Endpoint) -> Mapping[str, str]:
        quirks = Quirks.of(endpoint)
        headers = {"anthropic-version": quirks.version}
        logged_in = quirks.logged_in(endpoint)
        if endpoint.key and (logged_in or quirks.key_header == "authorization"):
            headers["authorization"] = f"Bearer {endpoint.key}"
        elif endpoint.key:
            headers["x-api-key"] = endpoint.key
        if betas := [*([LOGIN_BETA] if logged_in else []), *quirks.betas]:
            headers["anthropic-beta"] = ",".join(betas)
        return headers

    def encode(self, request: ModelRequest) -> bytes:
        return encode(request)

    def decoder(self, request: ModelRequest, request_id: str) -> Decoder:
        return Decoder(request, request_id)

    def error_of(
        self, status: int, headers: Mapping[str, str], body: bytes, endpoint: Endpoint, model: str = ""
    ) -> ProviderError:
        return error_of(status, headers, body, endpoint, model, read=complaint_of)

    def models(self, body: bytes) -> list[ModelInfo] | None:
        return models_of(body)


def encode(request: ModelRequest) -> bytes:
    """The request's body, JSON.

    Raises:
        BadRequest: a part cannot be sent, a schema cannot be asked for, or ``extra`` has messages of its own.
        ConfigError: a quirk is not known.
    """
    refuse_extra(request, "messages")
    check(request, Accepted(image_size=IMAGE_SIZE, files=frozenset([PDF, *_text_types(request)])))
    quirks = Quirks.of(request.endpoint)
    names = ToolNames(request)
    history = history_of(request, names)
    messages = history.messages
    if quirks.cache == "blocks" and messages:
        messages[-1] = _marked(messages[-1], quirks)
    body = _head(request, quirks, names)
    body |= _settings(request, quirks, history)
    if quirks.cache == "top":
        body["cache_control"] = _breakpoint(quirks)
    body = merged(body, request.extra)
    body["messages"] = messages
    return msgspec.json.encode(body)


def _text_types(request: ModelRequest) -> Iterator[str]:
    """The media types of the request's files that are text, whatever language it is in."""
    for message in request.messages:
        for part in message.parts:
            if isinstance(part, FilePart):
                media_type = plain_type(part.media_type)
                if media_type.startswith("text/") or media_type in _TEXTS:
                    yield media_type


def _head(request: ModelRequest, quirks: Quirks, names: ToolNames) -> dict[str, Any]:
    """What is the same in all requests of a session: the model, its tools and the system's text."""
    body: dict[str, Any] = {
        "model": request.model,
        "max_tokens": quirks.max_tokens if request.max_tokens is None else request.max_tokens,
        "stream": quirks.stream,
    }
    tools: list[Block] = [
        {
            "name": names.theirs(tool.name),
            "description": tool.description,
            "input_schema": input_schema(tool.parameters),
        }
        for tool in request.tools
    ]
    if answer := answer_tool(request, quirks):
        tools.append(answer.tool)
        body["tool_choice"] = answer.choice
    texts = [block.text for block in request.system]
    if quirks.identity and quirks.logged_in(request.endpoint):
        texts.insert(0, quirks.identity)
    system: list[Block] = [{"type": "text", "text": text} for text in texts if text.strip()]
    for name, entries in (("tools", tools), ("system", system)):
        if entries:
            body[name] = entries
            if quirks.cache != "none":
                entries[-1]["cache_control"] = _breakpoint(quirks)
    return body


def _settings(request: ModelRequest, quirks: Quirks, history: History) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    forced = answer_tool(request, quirks) is not None
    max_tokens = quirks.max_tokens if request.max_tokens is None else request.max_tokens
    # With a budget, an answer that calls tools has to begin with thinking.
    allowed = not forced and not (quirks.thinking == "budget" and history.unthought)
    if (thinking := thinking_of(request, quirks, max_tokens, allowed=allowed)) is not None:
        settings["thinking"] = thinking
    thinks = thinking is not None and thinking["type"] != "disabled"
    output: dict[str, Any] = {}
    if thinks and (effort := effort_of(request, quirks)):
        output["effort"] = effort
    if request.response_format is not None and not forced:
        output["format"] = {"type": "json_schema", "schema": answer_schema(request.response_format.json_schema)}
    if output:
        settings["output_config"] = output
    if request.temperature is not None and quirks.temperature and not thinks:
        settings["temperature"] = request.temperature
    if request.stop:
        settings["stop_sequences"] = request.stop
    return settings


def _breakpoint(quirks: Quirks) -> Block:
    return {"type": "ephemeral"} if quirks.cache_ttl == "5m" else {"type": "ephemeral", "ttl": quirks.cache_ttl}


def _marked(message: msgspec.Raw, quirks: Quirks) -> msgspec.Raw:
    """The message, with a breakpoint of the cache in its last block."""
    decoded = msgspec.json.decode(message)
    decoded["content"][-1]["cache_control"] = _breakpoint(quirks)
    return msgspec.Raw(msgspec.json.encode(decoded))
