"""A `ModelRequest` as the body of a Converse request. `Decoder` reads the answer.

The body is deterministic and ``messages`` is its last member: where no ``cachePoint`` moves with the conversation, the
body of a longer one starts with the bytes of the shorter one's, without its closing brackets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from hermes.contracts.errors import ProviderError
from hermes.contracts.messages import ToolCallPart, ToolResultPart
from hermes.contracts.provider import Endpoint, ModelInfo, ModelRequest, ResponseFormat
from hermes_carrier.extra import merged, refuse_extra
from hermes_carrier.media import check
from hermes_carrier.names import ToolNames
from hermes_carrier.structured import answer_tool, in_words, schema_name

from .errors import error_of
from .listing import models_of
from .messages import ACCEPTED, Turn, Turns
from .quirks import Quirks
from .schema import answer_schema
from .stream import Decoder
from .thinking import Thinking, thinking_of

CACHE_POINT = {"cachePoint": {"type": "default"}}
PAST_TOOL = "Was used earlier in this conversation, and is not available any more."


class ConverseCodec:
    name = "bedrock_converse"
    models_path = "/foundation-models"
    stream_type = "application/vnd.amazon.eventstream"

    def path(self, request: ModelRequest) -> str:
        quirks = Quirks.of(request.endpoint)
        return f"/model/{quote(served(request), safe='')}/{'converse-stream' if quirks.stream else 'converse'}"

    def headers(self, endpoint: Endpoint) -> Mapping[str, str]:
        return {"authorization": f"Bearer {endpoint.key}"} if endpoint.key else {}

    def encode(self, request: ModelRequest) -> bytes:
        return encode(request)

    def decoder(self, request: ModelRequest, request_id: str) -> Decoder:
        return Decoder(request, served(request), request_id)

    def error_of(
        self, status: int, headers: Mapping[str, str], body: bytes, endpoint: Endpoint, model: str = ""
    ) -> ProviderError:
        return error_of(status, headers, body, endpoint, model)

    def models(self, body: bytes) -> list[ModelInfo] | None:
        return models_of(body)


def served(request: ModelRequest) -> str:
    """The id that the model is called by."""
    profile = Quirks.of(request.endpoint).profile
    return f"{profile}.{request.model}" if profile else request.model


def encode(request: ModelRequest) -> bytes:
    """The request's body, JSON.

    Raises:
        BadRequest: it holds what the wire cannot carry, or ``extra`` has messages of its own.
        ConfigError: a quirk is not known.
    """
    refuse_extra(request, "messages")
    check(request, ACCEPTED)
    quirks = Quirks.of(request.endpoint)
    names = ToolNames(request)
    turns = Turns(request, quirks, names).encoded()
    body = _options(request, quirks, names)
    system = list(_system(request, quirks))
    if system and not quirks.system:
        turns[0]["content"][:0] = system
    elif system:
        body = {"system": [*system, CACHE_POINT] if "system" in quirks.cache else system, **body}
    if "messages" in quirks.cache:
        _mark(turns)
    body["messages"] = turns
    return msgspec.json.encode(body)


def _mark(turns: list[Turn]) -> None:
    """Two places to find the cache at: the last turn of the user's, which is written now, and the one before."""
    users = [turn for turn in turns if turn["role"] == "user"]
    for turn in users[-2:]:
        turn["content"].append(CACHE_POINT)


def _system(request: ModelRequest, quirks: Quirks) -> Iterator[dict[str, Any]]:
    for block in request.system:
        if block.text.strip():
            yield {"text": block.text}
    if request.response_format is not None and quirks.schema_by == "prompt":
        yield {"text": in_words(request.response_format)}


def _options(request: ModelRequest, quirks: Quirks, names: ToolNames) -> dict[str, Any]:
    """All but system and messages."""
    wanted = request.response_format
    forced = wanted is not None and quirks.schema_by == "tool"
    thinking = thinking_of(request, quirks, forced=forced)
    body: dict[str, Any] = {}
    if tools := _tools(request, quirks, names):
        body["toolConfig"] = tools
    body["inferenceConfig"] = _inference(request, quirks, thinking)
    if thinking.fields:
        body["additionalModelRequestFields"] = thinking.fields
    output: dict[str, Any] = {"effort": thinking.effort} if thinking.effort else {}
    if wanted is not None and quirks.schema_by == "native":
        output["textFormat"] = _text_format(wanted)
    if output:
        body["outputConfig"] = output
    return merged(body, request.extra)


def _inference(request: ModelRequest, quirks: Quirks, thinking: Thinking) -> dict[str, Any]:
    inference: dict[str, Any] = {}
    if thinking.max_tokens is not None:
        inference["maxTokens"] = thinking.max_tokens
    if request.temperature is not None and quirks.temperature and not thinking.thinks:
        inference["temperature"] = request.temperature
    if request.stop:
        inference["stopSequences"] = request.stop
    return inference


def _text_format(wanted: ResponseFormat) -> dict[str, Any]:
    schema = msgspec.json.encode(answer_schema(wanted.json_schema)).decode()
    return {"type": "json_schema", "structure": {"jsonSchema": {"name": schema_name(wanted), "schema": schema}}}


def _tools(request: ModelRequest, quirks: Quirks, names: ToolNames) -> dict[str, Any] | None:
    if not quirks.tools:
        return None
    tools = [_tool(names.theirs(tool.name), tool.description, tool.parameters) for tool in request.tools]
    if not tools:
        tools = [_tool(names.theirs(name), PAST_TOOL, {}) for name in _used(request)]
    choice: dict[str, Any] | None = None
    if request.response_format is not None and quirks.schema_by == "tool":
        name = answer_tool(request)
        choice = {"any": {}} if request.tools else {"tool": {"name": name}}
        tools.append(_tool(name, "Gives the answer.", request.response_format.json_schema))
    if not tools:
        return None
    if "tools" in quirks.cache:
        tools.append(CACHE_POINT)
    return {"tools": tools, **({"toolChoice": choice} if choice else {})}


def _tool(name: str, description: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", **parameters}
    return {"toolSpec": {"name": name, "description": description.strip() or name, "inputSchema": {"json": schema}}}


def _used(request: ModelRequest) -> list[str]:
    """The tools of the history: a request that has calls is refused without them."""
    used: dict[str, None] = {}
    for message in request.messages:
        for part in message.parts:
            if isinstance(part, ToolCallPart | ToolResultPart):
                used[part.name] = None
    return list(used)
