"""What the provider suites are made of: places, messages, refusals, and how an answer is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from hermes import (
    AuthenticationFailed,
    BadRequest,
    ContentRefused,
    ContextOverflow,
    Endpoint,
    ImagePart,
    Message,
    ModelEvent,
    ModelNotFound,
    ModelRequest,
    NotEntitled,
    Overloaded,
    Provider,
    ProviderError,
    ProviderState,
    RateLimited,
    TextDelta,
    TextPart,
    ThinkingDelta,
    ToolCallPart,
    ToolCallReady,
    ToolResultPart,
    ToolSpec,
    Usage,
    UsageUpdate,
)

from .model_server import ModelServer
from .replies import Fail

KEY = "sk-suite-0123456789abcdef"
UNICODE = "Grüße an 世界 🌍👩‍🚀 \u202ertl\u202c \U0001d54f \x7f «\\\"'» \r\n\t end"
PNG = ImagePart(media_type="image/png", data=b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
TOOLS = (
    ToolSpec(
        name="look",
        description="Looks at a place.",
        parameters={"type": "object", "properties": {"place": {"type": "string"}}},
    ),
    ToolSpec(name="wait", description="Waits.", parameters={"type": "object", "properties": {}}),
)


class Failing(NamedTuple):
    """A refusal, and the error it has to become."""

    id: str
    fail: Fail
    kind: type[ProviderError]


FAILINGS = (
    Failing("bad-request", Fail(400), BadRequest),
    Failing("overflow", Fail(400, reason="overflow"), ContextOverflow),
    Failing("refused", Fail(400, reason="filtered"), ContentRefused),
    Failing("key", Fail(401), AuthenticationFailed),
    Failing("credit", Fail(402), NotEntitled),
    Failing("permission", Fail(403), NotEntitled),
    Failing("model", Fail(404), ModelNotFound),
    Failing("timeout", Fail(408), Overloaded),
    Failing("rate", Fail(429), RateLimited),
    Failing("quota", Fail(429, reason="quota"), NotEntitled),
    Failing("error", Fail(500), Overloaded),
    Failing("upstream", Fail(502), Overloaded),
    Failing("unavailable", Fail(503), Overloaded),
    Failing("overloaded", Fail(529), Overloaded),
)
"""In the vendor's own words: the server makes the body."""


@dataclass
class Stage:
    """Where a scripted model can be reached. ``server`` is None for a provider that needs none."""

    endpoint: Endpoint
    model: str
    server: ModelServer | None = None


class Outcome(NamedTuple):
    """The events of one answer, and the error it ended with."""

    events: list[ModelEvent]
    error: ProviderError | None = None

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, TextDelta))

    @property
    def thinking(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, ThinkingDelta))

    @property
    def calls(self) -> list[ToolCallPart]:
        return [event.call for event in self.events if isinstance(event, ToolCallReady)]

    @property
    def usage(self) -> Usage | None:
        found = [event.usage for event in self.events if isinstance(event, UsageUpdate)]
        return found[-1] if found else None


def user(*parts: Any) -> Message:
    return Message(role="user", parts=tuple(TextPart(part) if isinstance(part, str) else part for part in parts))


def assistant(*parts: Any, state: tuple[ProviderState, ...] = ()) -> Message:
    said = tuple(TextPart(part) if isinstance(part, str) else part for part in parts)
    return Message(role="assistant", parts=said, provider_state=state)


def result(call: ToolCallPart, *content: Any, is_error: bool = False) -> Message:
    parts = tuple(TextPart(part) if isinstance(part, str) else part for part in content)
    return Message(
        role="tool", parts=(ToolResultPart(call_id=call.id, name=call.name, content=parts, is_error=is_error),)
    )


async def outcome_of(provider: Provider, request: ModelRequest) -> Outcome:
    """One model call, every event checked to be one that can cross the border."""
    events: list[ModelEvent] = []
    try:
        async for event in provider.stream(request):
            assert isinstance(event, ModelEvent), f"{event!r} is no model event"
            assert msgspec.json.decode(msgspec.json.encode(event), type=ModelEvent) == event
            events.append(event)
    except ProviderError as error:
        return Outcome(events, error)
    return Outcome(events)


async def close(provider: Provider) -> None:
    close = getattr(provider, "close", None)
    if close is not None:
        await close()
