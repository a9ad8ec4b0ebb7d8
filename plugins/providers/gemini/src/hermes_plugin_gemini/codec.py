"""A `ModelRequest` as the body of ``streamGenerateContent``. `Decoder` reads the answer, `refusal` a refused request.

The body is deterministic and ``contents`` is its last member: the body of a longer conversation starts
with the bytes of the shorter one's, without its closing brackets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from hermes.contracts.errors import BadRequest, ProviderError
from hermes.contracts.provider import Endpoint, ModelInfo, ModelRequest, ProviderCapabilities
from hermes_carrier.http import Carrier
from hermes_carrier.media import check
from hermes_carrier.names import ToolNames
from hermes_carrier.provider import HttpProvider

from .carrier import GoogleCarrier
from .contents import ACCEPTED, contents_of
from .quirks import Quirks
from .refusal import refusal
from .schema import adapted
from .stream import Decoder

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
        return refusal(status, headers, body, endpoint, model)

    def models(self, body: bytes) -> list[ModelInfo] | None:
        return models_of(body)


class Gemini(HttpProvider):
    """The transport ``gemini``."""

    def __init__(self) -> None:
        capabilities = ProviderCapabilities(
            images=True, audio=True, files=True, response_format=True, thinking=True, model_list=True
        )
        super().__init__(
            GeminiCodec(), capabilities, sdk="hermes_plugin_gemini.sdk:SdkCarrier", install="hermes-plugin-gemini[sdk]"
        )

    def _carrier(self, endpoint: Endpoint) -> Carrier:
        if endpoint.carrier == "http" and "http" not in self._carriers:
            self._carriers["http"] = GoogleCarrier()
        return super()._carrier(endpoint)


def tool_names(request: ModelRequest) -> ToolNames:
    return ToolNames(request, first=NAME_STARTS_WITH)


def encode(request: ModelRequest) -> bytes:
    """The request's body, JSON.

    Raises:
        BadRequest: a part that the wire cannot carry, or ``extra`` has contents of its own.
        ConfigError: a quirk is not known.
    """
    if "contents" in request.extra:
        raise BadRequest(
            "`contents` cannot be sent as an extra member of the request.",
            provider=request.endpoint.provider,
            hint="Remove it from the extra options.",
        )
    check(request, ACCEPTED)
    quirks, names = Quirks.of(request.endpoint), tool_names(request)
    body = _merged(_options(request, quirks, names), request.extra)
    body["contents"] = contents_of(request, quirks, names)
    return msgspec.json.encode(body)


def _options(request: ModelRequest, quirks: Quirks, names: ToolNames) -> dict[str, Any]:
    body: dict[str, Any] = {}
    in_words = request.response_format is not None and bool(request.tools) and not quirks.schema_with_tools
    system = [{"text": block.text} for block in request.system if block.text]
    if in_words:
        system.append({"text": _schema_in_words(request)})
    if system:
        body["systemInstruction"] = {"parts": system}
    if request.tools:
        declared = [
            {"name": names.theirs(tool.name), "description": tool.description, "parametersJsonSchema": tool.parameters}
            for tool in request.tools
        ]
        body["tools"] = [{"functionDeclarations": declared}]
    if config := _generation(request, quirks, with_schema=not in_words):
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
    if thinking := quirks.thinking_config(request):
        config["thinkingConfig"] = thinking
    return config


def _schema_in_words(request: ModelRequest) -> str:
    wanted = request.response_format
    schema = msgspec.json.encode(wanted.json_schema if wanted else {}).decode()
    return f"When you give your final answer, write JSON of this JSON Schema and nothing else, no code fence:\n{schema}"


def _merged(ours: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """``extra`` laid over the body: objects are merged, lists are joined (a tool of Google's, beside functions)."""
    merged = dict(ours)
    for name, value in extra.items():
        known = merged.get(name)
        if isinstance(known, Mapping) and isinstance(value, Mapping):
            merged[name] = _merged(known, value)
        elif isinstance(known, list | tuple) and isinstance(value, list | tuple):
            merged[name] = [*known, *value]
        else:
            merged[name] = value
    return merged


def models_of(body: bytes) -> list[ModelInfo] | None:
    """The models of a list that write text; None if ``body`` is no list."""
    try:
        listed = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return None
    entries = listed.get("models", listed.get("publisherModels")) if isinstance(listed, Mapping) else None
    if not isinstance(entries, list):
        return None
    return [_model(entry) for entry in entries if isinstance(entry, dict) and "name" in entry and _writes(entry)]


def _writes(entry: Mapping[str, Any]) -> bool:
    """Vertex does not say what its models can do."""
    methods = entry.get("supportedGenerationMethods")
    return not isinstance(methods, list) or "generateContent" in methods


def _model(entry: Mapping[str, Any]) -> ModelInfo:
    return ModelInfo(
        id=str(entry["name"]).removeprefix("publishers/google/").removeprefix("models/"),
        context_window=_count(entry.get("inputTokenLimit")),
        max_output=_count(entry.get("outputTokenLimit")),
    )


def _count(value: Any) -> int:
    return value if isinstance(value, int) else 0
