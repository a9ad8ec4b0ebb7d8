"""A session as JSON lines or as Markdown."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

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

Redact = Callable[[str], str]


def as_jsonl(record: SessionRecord, messages: Sequence[Message], redact: Redact) -> Iterator[str]:
    """The session's record, then a line for each message."""
    for kind, value in [("session", record), *(("message", message) for message in messages)]:
        yield msgspec.json.encode({"type": kind, **hidden(msgspec.to_builtins(value), redact)}).decode()


def hidden(value: Any, redact: Redact) -> Any:
    """The value with its texts redacted one by one: what JSON makes of a line's end would join it to a secret."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {key: hidden(inner, redact) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [hidden(inner, redact) for inner in value]
    return value


def as_markdown(record: SessionRecord, messages: Sequence[Message], redact: Redact) -> Iterator[str]:
    yield redact(f"# {record.title or record.preview or record.id}")
    yield ""
    yield f"{record.id} · {record.provider}:{record.model} · {day(record.created)}"
    for message in messages:
        yield ""
        yield f"## {message.role}"
        for part in message.parts:
            yield ""
            yield redact(_part(part))


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
