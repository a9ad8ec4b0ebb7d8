"""What Bedrock sends: the members of a Converse answer that are read, streamed and whole."""

from __future__ import annotations

import msgspec

CONTENT = "content"
"""Key of the JSON object in `ProviderState.data`: the order of an answer's blocks, with those that are signed."""


class Struct(msgspec.Struct, rename="camel", gc=False):
    pass


class ReasoningText(Struct):
    text: str = ""
    signature: str | None = None


class ReasoningDelta(Struct):
    text: str | None = None
    signature: str | None = None
    redacted_content: str | None = None


class UseStart(Struct):
    tool_use_id: str = ""
    name: str = ""
    type: str = ""


class UseDelta(Struct):
    input: str = ""


class BlockStart(Struct):
    tool_use: UseStart | None = None


class BlockDelta(Struct):
    text: str | None = None
    tool_use: UseDelta | None = None
    reasoning_content: ReasoningDelta | None = None


class StartEvent(Struct):
    content_block_index: int = 0
    start: BlockStart | None = None


class DeltaEvent(Struct):
    content_block_index: int = 0
    delta: BlockDelta | None = None


class StopEvent(Struct):
    stop_reason: str = ""


class WireUsage(Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_write_input_tokens: int | None = None


class MetadataEvent(Struct):
    usage: WireUsage | None = None


class WholeUse(UseStart):
    input: msgspec.Raw = msgspec.Raw(b"{}")


class WholeReasoning(Struct):
    reasoning_text: ReasoningText | None = None
    redacted_content: str | None = None


class WholeBlock(Struct):
    text: str | None = None
    tool_use: WholeUse | None = None
    reasoning_content: WholeReasoning | None = None


class WholeMessage(Struct):
    content: list[WholeBlock] = []


class WholeOutput(Struct):
    message: WholeMessage | None = None


class Whole(Struct):
    output: WholeOutput | None = None
    stop_reason: str = ""
    usage: WireUsage | None = None


start_decoder = msgspec.json.Decoder(StartEvent)
delta_decoder = msgspec.json.Decoder(DeltaEvent)
stop_decoder = msgspec.json.Decoder(StopEvent)
metadata_decoder = msgspec.json.Decoder(MetadataEvent)
whole_decoder = msgspec.json.Decoder(Whole)
