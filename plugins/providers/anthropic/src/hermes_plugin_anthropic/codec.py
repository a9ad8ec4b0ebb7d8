"""A `ModelRequest` as the body of a Messages request, and the provider that sends it.

The body is deterministic and ``messages`` is its last member: the body of a longer conversation starts
with the bytes of the shorter one's, without its closing ``]}``. The cache's breakpoints are the last tool, the last
system block and, by a member of the body, wherever the conversation ends.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from typing import Any

import msgspec

from hermes.contracts.errors import BadRequest, ProviderError
from hermes.contracts.events import ModelEvent
from hermes.contracts.messages import FilePart
from hermes.contracts.provider import Endpoint, ModelInfo, ModelList, ModelRequest, ModelsQuery, ProviderCapabilities
from hermes_carrier.errors import error_of
from hermes_carrier.media import MEGABYTE, PDF, Accepted, check
from hermes_carrier.names import ToolNames
from hermes_carrier.provider import HttpProvider

from .errors import complaint_of
from .history import Block, History, history
from .listing import models_of
from .quirks import Quirks
from .schema import answer_schema, input_schema
from .stream import Decoder
from .structured import answer_tool
from .thinking import effort_of, thinking_of

VERSION_PATH = "/v1"
"""Behind the base URL, unless that has it already; both forms are in use."""
LOGIN_BETA = "oauth-2025-04-20"
IMAGE_SIZE = 10 * MEGABYTE
_SIGNED = re.compile(r"signature|thinking`? blocks?", re.IGNORECASE)
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


class AnthropicMessages(HttpProvider):
    """The transport ``anthropic_messages``."""

    def __init__(self) -> None:
        capabilities = ProviderCapabilities(
            images=True, files=True, response_format=True, thinking=True, model_list=True
        )
        super().__init__(
            AnthropicMessagesCodec(),
            capabilities,
            sdk="hermes_plugin_anthropic.sdk:SdkCarrier",
            install="hermes-plugin-anthropic[sdk]",
        )

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        """Where the vendor refuses thinking that it signed, as for another account, the request goes without it."""
        try:
            async with aclosing(super().stream(request)) as events:  # type: ignore[type-var]
                async for event in events:
                    yield event
            return
        except BadRequest as error:
            bare = _without_state(request)
            if error.status != 400 or not _SIGNED.search(str(error)) or bare == request:
                raise
        async with aclosing(super().stream(bare)) as events:  # type: ignore[type-var]
            async for event in events:
                yield event

    async def models(self, query: ModelsQuery) -> ModelList:
        """What the endpoint lists, in its order."""
        root = query.endpoint.base_url.removesuffix(VERSION_PATH)
        return await super().models(ModelsQuery(endpoint=msgspec.structs.replace(query.endpoint, base_url=root)))


def encode(request: ModelRequest) -> bytes:
    """The request's body, JSON.

    Raises:
        BadRequest: a part cannot be sent, a schema cannot be asked for, or ``extra`` has messages of its own.
        ConfigError: a quirk is not known.
    """
    if "messages" in request.extra:
        raise BadRequest(
            "`messages` cannot be sent as an extra member of the request.",
            provider=request.endpoint.provider,
            hint="Remove it from the extra options.",
        )
    check(request, Accepted(image_size=IMAGE_SIZE, files=frozenset([PDF, *_text_types(request)])))
    quirks = Quirks.of(request.endpoint)
    names = ToolNames(request)
    past = history(request, names)
    messages = past.messages
    if quirks.cache == "blocks" and messages:
        messages[-1] = _marked(messages[-1], quirks)
    body = _head(request, quirks, names)
    body |= _settings(request, quirks, past)
    if quirks.cache == "top":
        body["cache_control"] = _breakpoint(quirks)
    for name, value in request.extra.items():
        body[name] = _joined(body.get(name), value)
    body["messages"] = messages
    return msgspec.json.encode(body)


def _without_state(request: ModelRequest) -> ModelRequest:
    messages = tuple(msgspec.structs.replace(message, provider_state=()) for message in request.messages)
    return msgspec.structs.replace(request, messages=messages)


def _text_types(request: ModelRequest) -> Iterator[str]:
    """The media types of the request's files that are text, whatever language it is in."""
    for message in request.messages:
        for part in message.parts:
            if isinstance(part, FilePart) and (part.media_type.startswith("text/") or part.media_type in _TEXTS):
                yield part.media_type


def _joined(ours: Any, extra: Any) -> Any:
    """A member of the body with what is to be merged into it: objects and lists are added to."""
    if isinstance(ours, dict) and isinstance(extra, Mapping):
        return {**ours, **extra}
    return [*ours, *extra] if isinstance(ours, list) and isinstance(extra, list) else extra


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


def _settings(request: ModelRequest, quirks: Quirks, past: History) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    forced = answer_tool(request, quirks) is not None
    max_tokens = quirks.max_tokens if request.max_tokens is None else request.max_tokens
    # With a budget, an answer that calls tools has to begin with thinking.
    allowed = not forced and not (quirks.thinking == "budget" and past.unthought)
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
