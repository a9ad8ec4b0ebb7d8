"""What an endpoint sends: the members of a Chat Completions answer that are read, whole or in pieces.

Members whose shape differs between vendors are ``Any`` and are looked at where they are used.
"""

from __future__ import annotations

from typing import Any

import msgspec

REASONING = "reasoning_content"
REASONING_DETAILS = "reasoning_details"
EXTRA_CONTENT = "extra_content"
"""Keys of the JSON object in `ProviderState.data`."""


class WireFunction(msgspec.Struct):
    name: str | None = None
    arguments: Any = None


class WireCall(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: WireFunction | None = None
    extra_content: Any = None


class WireDelta(msgspec.Struct):
    """A delta, or the message of a whole answer."""

    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    reasoning_details: list[dict[str, Any]] | None = None
    refusal: str | None = None
    tool_calls: list[WireCall] | None = None


class WireChoice(msgspec.Struct):
    index: int | None = None
    delta: WireDelta | None = None
    message: WireDelta | None = None
    finish_reason: str | None = None


class WireChunk(msgspec.Struct):
    model: Any = None
    choices: list[WireChoice] | None = None
    usage: Any = None
    error: Any = None
    object: Any = None
    message: Any = None


class PromptDetails(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class CompletionDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class WireUsage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    prompt_cache_hit_tokens: int | None = None
    """DeepSeek's name for what was read from the cache."""
    cost: float | None = None
    """OpenRouter: what was charged, in US dollars."""


chunk_decoder = msgspec.json.Decoder(WireChunk, strict=False)
