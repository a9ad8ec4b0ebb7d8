"""What OpenTelemetry's conventions for generative AI call things, and our values in their words.

The names are those of the conventions' release 1.41, which the published Python package has too. What they have no name
for begins with ``hermes.``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from hermes import ModelAnswer, ModelCall, Part, TextPart, ThinkingPart, ToolCallPart, ToolResultPart, Usage, text_of

DURATION = "gen_ai.client.operation.duration"
DURATION_BUCKETS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
TOKENS = "gen_ai.client.token.usage"
TOKEN_BUCKETS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
TOOL_CALLS = "hermes.tool.calls"
APPROVALS = "hermes.approvals"

_PROVIDERS = {
    "api.anthropic.com": "anthropic",
    "amazonaws.com": "aws.bedrock",
    "openai.azure.com": "azure.ai.openai",
    "services.ai.azure.com": "azure.ai.inference",
    "aiplatform.googleapis.com": "gcp.vertex_ai",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "api.cohere.com": "cohere",
    "api.deepseek.com": "deepseek",
    "api.groq.com": "groq",
    "ml.cloud.ibm.com": "ibm.watsonx.ai",
    "api.mistral.ai": "mistral_ai",
    "api.moonshot.ai": "moonshot_ai",
    "api.openai.com": "openai",
    "api.perplexity.ai": "perplexity",
    "api.x.ai": "x_ai",
}
"""The names that the conventions fix, by the end of the host's name."""

Attributes = dict[str, Any]


def provider_name(provider: str, host: str) -> str:
    """The conventions' name where the host tells which it is, else ours."""
    known = (name for end, name in _PROVIDERS.items() if host == end or host.endswith((f".{end}", f"-{end}")))
    return next(known, provider)


def of_model_call(call: ModelCall) -> Attributes:
    """What spans and metrics of a model call have in common."""
    url = urlsplit(call.base_url)
    host = url.hostname or ""
    attributes: Attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider_name(call.provider, host),
        "gen_ai.request.model": call.model,
    }
    if host:
        attributes["server.address"] = host
        attributes["server.port"] = url.port or (80 if url.scheme == "http" else 443)
    return attributes


def of_answer(answer: ModelAnswer) -> Attributes:
    attributes: Attributes = {"gen_ai.response.finish_reasons": (answer.finish,), **of_usage(answer.usage)}
    if answer.request_id:
        attributes["gen_ai.response.id"] = answer.request_id
    if answer.first_token_seconds is not None:
        attributes["gen_ai.response.time_to_first_chunk"] = answer.first_token_seconds
    return attributes


def of_usage(usage: Usage) -> Attributes:
    """The conventions count cached tokens as input, and reasoning as output."""
    attributes: Attributes = {
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
    }
    parts = {
        "gen_ai.usage.cache_read.input_tokens": usage.cache_read_tokens,
        "gen_ai.usage.cache_creation.input_tokens": usage.cache_write_tokens,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
    }
    return attributes | {name: count for name, count in parts.items() if count}


def input_message(parts: Sequence[Part]) -> str:
    """The newest message of a request, as the conventions write messages. Whose it is, its parts tell."""
    role = "tool" if any(isinstance(part, ToolResultPart) for part in parts) else "user"
    return json.dumps([{"role": role, "parts": [_part(part) for part in parts]}], ensure_ascii=False)


def output_message(parts: Sequence[Part], finish: str) -> str:
    message = {"role": "assistant", "parts": [_part(part) for part in parts], "finish_reason": finish}
    return json.dumps([message], ensure_ascii=False)


def _part(part: Part) -> dict[str, Any]:
    """Of images, sounds and files only what they are."""
    match part:
        case TextPart():
            return {"type": "text", "content": part.text}
        case ThinkingPart():
            return {"type": "reasoning", "content": part.text}
        case ToolCallPart():
            return {"type": "tool_call", "id": part.id, "name": part.name, "arguments": part.arguments}
        case ToolResultPart():
            return {"type": "tool_call_response", "id": part.call_id, "response": text_of(part.content)}
    return {"type": "blob", "mime_type": part.media_type}
