"""A session as JSON lines or as Markdown."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import msgspec

from hermes import (
    ImagePart,
    Message,
    SessionRecord,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)


def as_jsonl(record: SessionRecord, messages: Sequence[Message]) -> Iterator[str]:
    """The session's record, then a line for each message."""
    yield msgspec.json.encode({"type": "session", **msgspec.to_builtins(record)}).decode()
    for message in messages:
        yield msgspec.json.encode({"type": "message", **msgspec.to_builtins(message)}).decode()


def as_markdown(record: SessionRecord, messages: Sequence[Message]) -> Iterator[str]:
    yield f"# {record.title or record.preview or record.id}"
    yield ""
    yield f"{record.id} · {record.provider}:{record.model} · {day(record.created)}"
    for message in messages:
        yield ""
        yield f"## {message.role}"
        for part in message.parts:
            yield ""
            yield _part(part)


def _part(part: object) -> str:
    match part:
        case TextPart():
            return part.text
        case ThinkingPart():
            return "\n".join(f"> {line}" for line in part.text.splitlines())
        case ToolCallPart():
            return f"`{part.name}`\n\n```json\n{part.arguments}\n```"
        case ToolResultPart():
            text = "".join(inner.text for inner in part.content if isinstance(inner, TextPart))
            fence = "````" if "```" in text else "```"
            return f"{'Error from' if part.is_error else 'From'} `{part.name}`:\n\n{fence}\n{text}\n{fence}"
        case ImagePart():
            return f"(an image, {part.media_type}, {len(part.data)} bytes)"
    return f"({type(part).__name__})"


def day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
