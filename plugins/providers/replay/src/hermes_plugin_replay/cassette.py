"""A cassette: a YAML list of model calls, each with what the model said."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import msgspec
import yaml

from hermes import (
    BadRequest,
    ConfigError,
    ModelAnswer,
    ModelCall,
    ProviderError,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)
from hermes.contracts import errors

SHIPPED = Path(__file__).parent / "cassettes"


class RecordedTool(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``arguments`` as text is what a model wrote that is no JSON object."""

    name: str
    arguments: dict[str, Any] | str = {}
    id: str = ""


class RecordedUsage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0


class RecordedError(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``kind`` names a class of the provider's errors."""

    kind: str = "ProviderError"
    message: str = "recorded"
    hint: str = ""
    status: int = 0
    code: str = ""
    retry_after: float | None = None

    def __post_init__(self) -> None:
        kind = getattr(errors, self.kind, None)
        if not (isinstance(kind, type) and issubclass(kind, ProviderError)):
            raise ValueError(f"{self.kind!r} is no provider error")

    def raised(self, provider: str) -> ProviderError:
        kind: type[ProviderError] = getattr(errors, self.kind)
        return kind(
            self.message,
            provider=provider,
            status=self.status,
            code=self.code,
            retry_after=self.retry_after,
            hint=self.hint,
        )


class RecordedEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of these at a time. ``pause`` is in seconds."""

    text: str | None = None
    thinking: str | None = None
    tool_call: RecordedTool | None = None
    usage: RecordedUsage | None = None
    pause: float | None = None
    error: RecordedError | None = None
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
                events.append({"tool_call": {"id": part.id, "name": part.name, "arguments": _arguments(part)}})
    usage = msgspec.to_builtins(msgspec.convert(response.usage, RecordedUsage, from_attributes=True))
    events += [{"usage": usage}, {"finish": response.finish}]
    call: dict[str, Any] = {"events": events}
    if newest := newest_text(request.last):
        call = {"expect": newest.strip().splitlines()[0][:60], **call} if newest.strip() else call
    data = yaml.safe_dump([call], sort_keys=False, allow_unicode=True).encode()
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        before = os.fstat(descriptor).st_size
        if os.write(descriptor, data) != len(data):
            # Half a call would make the whole file unreadable.
            os.ftruncate(descriptor, before)
            raise OSError(errno.ENOSPC, "no room for another model call", file)
    finally:
        os.close(descriptor)


def _arguments(call: ToolCallPart) -> dict[str, Any] | str:
    try:
        arguments = json.loads(call.arguments)
    except ValueError:
        return call.arguments
    return arguments if isinstance(arguments, dict) else call.arguments


def newest_text(parts: tuple[Any, ...]) -> str:
    texts = []
    for part in parts:
        if isinstance(part, TextPart):
            texts.append(part.text)
        elif isinstance(part, ToolResultPart):
            texts += [inner.text for inner in part.content if isinstance(inner, TextPart)]
    return "".join(texts)
