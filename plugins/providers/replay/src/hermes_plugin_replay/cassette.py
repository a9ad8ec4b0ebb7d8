"""A cassette: a YAML list of model calls, each with what the model said."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import yaml

from hermes import BadRequest, ConfigError, ModelAnswer, ModelCall, TextPart, ThinkingPart, ToolCallPart, ToolResultPart

SHIPPED = Path(__file__).parent / "cassettes"


class RecordedTool(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    arguments: dict[str, Any] = {}
    id: str = ""


class RecordedEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of these at a time. ``pause`` is in seconds; ``error`` names a class of the provider's errors."""

    text: str | None = None
    thinking: str | None = None
    tool_call: RecordedTool | None = None
    usage: dict[str, int] | None = None
    pause: float | None = None
    error: dict[str, Any] | None = None
    finish: str | None = None


class RecordedCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``expect``: a piece of the newest message; another message means that the conversation is another one."""

    events: list[RecordedEvent]
    expect: str = ""


def find_cassette(name: str) -> Path:
    """A file, or one that is shipped by its name.

    Raises:
        ConfigError: there is none.
    """
    shipped = SHIPPED / f"{name}.yaml"
    path = Path(name).expanduser()
    if path.is_file():
        return path
    if shipped.is_file():
        return shipped
    raise ConfigError(f"There is no cassette {name}.", hint="Name a YAML file: -m replay:FILE")


def load_cassette(path: Path) -> list[RecordedCall]:
    """Raises ConfigError: the file is no cassette; the sentence says where."""
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        return msgspec.convert(tree, list[RecordedCall])
    except (OSError, UnicodeDecodeError, yaml.YAMLError, msgspec.ValidationError) as error:
        raise ConfigError(f"{path} is no cassette: {error}", hint="See the README of hermes-plugin-replay.") from None


def call_at(calls: list[RecordedCall], position: int, newest: str, path: Path) -> RecordedCall:
    """The call that comes next.

    Raises:
        BadRequest: the cassette is at its end, or the conversation is not the recorded one.
    """
    if position >= len(calls):
        raise BadRequest(
            f"The cassette {path.name} ends after {len(calls)} model calls.",
            provider="replay",
            hint="Record more, or begin a new session.",
        )
    call = calls[position]
    if call.expect and call.expect not in newest:
        raise BadRequest(
            f"The cassette {path.name} expects {call.expect!r} in message {position + 1}, and got {newest[:80]!r}.",
            provider="replay",
            hint="This conversation is not the recorded one.",
        )
    return call


def append_call(file: str, request: ModelCall, response: ModelAnswer) -> None:
    """Adds a model call to a cassette; the file is a list, so it stays one."""
    events: list[dict[str, Any]] = []
    for part in response.parts:
        match part:
            case ThinkingPart():
                events.append({"thinking": part.text})
            case TextPart():
                events.append({"text": part.text})
            case ToolCallPart():
                arguments = json.loads(part.arguments or "{}")
                events.append({"tool_call": {"id": part.id, "name": part.name, "arguments": arguments}})
    usage = msgspec.to_builtins(response.usage)
    usage.pop("cost_usd", None)
    events += [{"usage": usage}, {"finish": response.finish}]
    call: dict[str, Any] = {"events": events}
    if newest := newest_text(request.last):
        call = {"expect": newest.strip().splitlines()[0][:60], **call} if newest.strip() else call
    text = yaml.safe_dump([call], sort_keys=False, allow_unicode=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def newest_text(parts: tuple[Any, ...]) -> str:
    texts = []
    for part in parts:
        if isinstance(part, TextPart):
            texts.append(part.text)
        elif isinstance(part, ToolResultPart):
            texts += [inner.text for inner in part.content if isinstance(inner, TextPart)]
    return "".join(texts)
