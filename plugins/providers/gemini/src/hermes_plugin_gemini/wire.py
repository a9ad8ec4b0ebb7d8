"""What Google sends: the members of a GenerateContentResponse that are read, whole or in pieces."""

from __future__ import annotations

from typing import Any

import msgspec

PARTS = "parts"
"""Key of the JSON object in `ProviderState.data`: the answer's parts in order, each with its own signature.

``{"text": 5}`` stands for the next five characters of the message's text, ``{"call": ID}`` for that call; a thought
that is signed, and a ``part`` for which there is no event, are there whole.
"""
SIGNATURE = "thoughtSignature"
NO_SIGNATURE = "skip_thought_signature_validator"
"""What Google wants in place of a signature on a call that this model did not write."""


class WireCall(msgspec.Struct):
    name: str = ""
    id: str | None = None
    args: msgspec.Raw = msgspec.Raw(b"{}")


class WirePart(msgspec.Struct, rename="camel"):
    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: WireCall | None = None
    executable_code: Any = None
    code_execution_result: Any = None


class WireContent(msgspec.Struct):
    parts: list[WirePart] | None = None


class WireCandidate(msgspec.Struct, rename="camel"):
    content: WireContent | None = None
    finish_reason: str | None = None
    finish_message: str | None = None
    index: int | None = None


class WireFeedback(msgspec.Struct, rename="camel"):
    block_reason: str | None = None
    block_reason_message: str | None = None


class WireUsage(msgspec.Struct, rename="camel"):
    prompt_token_count: int | None = None
    """With what was read from the cache."""
    tool_use_prompt_token_count: int | None = None
    """What Google's own tools put into the prompt; not in ``prompt_token_count``."""
    cached_content_token_count: int | None = None
    candidates_token_count: int | None = None
    """Without thoughts."""
    thoughts_token_count: int | None = None


class WireResponse(msgspec.Struct, rename="camel"):
    candidates: list[WireCandidate] | None = None
    prompt_feedback: WireFeedback | None = None
    usage_metadata: WireUsage | None = None
    model_version: str | None = None
    response_id: str | None = None
    error: Any = None


response_decoder = msgspec.json.Decoder(WireResponse, strict=False)
responses_decoder = msgspec.json.Decoder(list[WireResponse], strict=False)
"""Of a stream that was not asked for as events."""
