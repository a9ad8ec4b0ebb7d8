"""What a Responses endpoint sends: the members that are read.

Members whose shape differs between vendors are ``Any`` and are looked at where they are used.
"""

from __future__ import annotations

from typing import Any

import msgspec

ITEMS = "items"
"""Key of the JSON object in `ProviderState.data`: the items of an answer in their order. Reasoning, and what else is
opaque, is as it came. A message has the ``length`` of its text and a call its ``call_id`` in place of their content,
which is in the answer's parts."""
BETWEEN = "\n\n"
"""Put between the messages of one answer, and between the parts of its thinking."""


class WireDetails(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


class WireUsage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: WireDetails | None = None
    output_tokens_details: WireDetails | None = None
    cost: float | None = None
    """OpenRouter: what was charged, in US dollars."""


class WireIncomplete(msgspec.Struct):
    reason: str | None = None


class WireResponse(msgspec.Struct):
    status: str | None = None
    model: Any = None
    output: list[dict[str, Any]] | None = None
    usage: Any = None
    error: Any = None
    incomplete_details: WireIncomplete | None = None


class WireEvent(msgspec.Struct):
    type: str = ""
    delta: Any = None
    output_index: int | None = None
    item_id: Any = None
    summary_index: int | None = None
    content_index: int | None = None
    item: dict[str, Any] | None = None
    response: WireResponse | None = None
    error: Any = None
    code: Any = None
    message: Any = None


event_decoder = msgspec.json.Decoder(WireEvent, strict=False)
response_decoder = msgspec.json.Decoder(WireResponse, strict=False)
