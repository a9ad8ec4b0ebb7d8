"""What an endpoint sends: the members of a Messages answer that are read, whole or in pieces."""

from __future__ import annotations

from typing import Any

import msgspec


class WireTokens(msgspec.Struct):
    thinking_tokens: int | None = None


class WireUsage(msgspec.Struct):
    """Each one counts as of now; what is left out stays as it was."""

    input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens: int | None = None
    output_tokens_details: WireTokens | None = None


class WireRefusal(msgspec.Struct):
    explanation: str | None = None


class WireDelta(msgspec.Struct):
    """A piece of a block, or of the message's end."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None
    citation: Any = None
    stop_reason: str | None = None
    stop_details: WireRefusal | None = None


class WireMessage(msgspec.Struct):
    """The message that is begun, or a whole answer."""

    type: str = ""
    model: str | None = None
    content: list[dict[str, Any]] | None = None
    stop_reason: str | None = None
    stop_details: WireRefusal | None = None
    usage: WireUsage | None = None
    error: Any = None


class WireEvent(msgspec.Struct):
    type: str = ""
    index: int = 0
    delta: WireDelta | None = None
    content_block: dict[str, Any] | None = None
    message: WireMessage | str | None = None
    usage: WireUsage | None = None
    error: Any = None


event_decoder = msgspec.json.Decoder(WireEvent, strict=False)
message_decoder = msgspec.json.Decoder(WireMessage, strict=False)
