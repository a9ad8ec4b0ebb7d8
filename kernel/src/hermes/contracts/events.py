"""What a front end sees of a session, in order. Every event has ``session_id``, ``turn_id`` and ``seq``.

A provider yields the first group (`ModelEvent`) without those; the conversation adds them. Durable events
are stored and replayed from any ``seq``; the deltas are for whoever watches while they happen, and the
durable event that follows them carries the whole.
"""

from __future__ import annotations

import msgspec

from .errors import ErrorInfo
from .messages import ImagePart, Message, ProviderState, TextPart, ToolCallPart, Usage
from .scope import Principal
from .values import Value


class Event(Value, kw_only=True, tag_field="type"):
    """``seq`` rises within a session: microseconds since the epoch, moved on where two would be equal.

    ``at``: seconds since the epoch.
    """

    session_id: str = ""
    turn_id: str = ""
    seq: int = 0
    at: float = 0.0


# What a model says.


class TextDelta(Event, tag="text_delta"):
    text: str


class ThinkingDelta(Event, tag="thinking_delta"):
    text: str


class ToolCallReady(Event, tag="tool_call_ready"):
    """The model has finished writing a tool call."""

    call: ToolCallPart


class StateUpdate(Event, tag="state_update"):
    """A piece of `Message.provider_state` to keep with the answer."""

    state: ProviderState


class UsageUpdate(Event, tag="usage_update"):
    """The usage of the running model call so far; the last one counts."""

    usage: Usage
    cost_usd: float | None = None
    """US dollars: as reported, else by the model's prices; None: unknown."""


class ModelFinished(Event, tag="model_finished"):
    """The end of an answer. A stream without it is broken.

    ``reason``: ``stop``, ``length``, ``tool_calls``, ``refusal``, ``pause`` (it goes on if it is asked again), or the
    vendor's own word.
    """

    reason: str
    model: str = ""
    """As the provider names what answered."""
    request_id: str = ""


ModelEvent = TextDelta | ThinkingDelta | ToolCallReady | StateUpdate | UsageUpdate | ModelFinished


# What a turn does.


class TurnStarted(Event, tag="turn_started"):
    pass


class MessageStored(Event, tag="message_stored"):
    """A message is in the store: the user's, an answer, a tool's result."""

    message: Message


class MessageReplaced(Event, tag="message_replaced"):
    """A plugin put ``text`` in the place of an answer's text."""

    message_id: int
    text: str
    plugin: str


class ModelRetry(Event, tag="model_retry"):
    """A model call failed and is made again. With ``restart``, text already shown is void."""

    error: ErrorInfo
    attempt: int
    seconds: float
    """Until the next attempt."""
    provider: str
    """Of the next attempt."""
    model: str
    restart: bool = False
    step: str = "wait"
    """What was done about it: ``wait``, ``refresh`` (a new token), ``rotate`` (another key), ``compress`` (a shorter
    conversation), ``fall_back`` (the next of ``fallback_providers``), ``repair`` (told what was wrong).
    """


class ToolStarted(Event, tag="tool_started"):
    call_id: str
    name: str
    arguments: dict[str, object]


class ToolRefused(Event, tag="tool_refused"):
    """A call that was not run. ``by``: ``policy``, ``person``, ``silence`` (nobody answered in time), ``nobody``
    (nobody could be asked), or ``mistake`` (no such tool, or wrong arguments). ``plugin``: the guard's.
    """

    call_id: str
    name: str
    by: str
    reason: str
    plugin: str = ""


class ToolOutput(Event, tag="tool_output"):
    """What a running tool printed so far, since the last one."""

    call_id: str
    text: str


class ToolFinished(Event, tag="tool_finished"):
    call_id: str
    name: str
    content: tuple[TextPart | ImagePart, ...]
    is_error: bool = False
    seconds: float = 0.0


class InputRequest(Value, kw_only=True):
    """Something a turn waits for. ``kind``: ``approval``, ``question``, ``client_tool`` or a plugin's own.

    An answer is one of ``choices`` where there are any, else free text or, for ``client_tool``, a
    `ClientToolResult`. Anyone in ``entitled`` may answer; empty: the principal who asked for the turn.
    """

    id: str
    kind: str
    prompt: str
    choices: tuple[str, ...] = ()
    call_id: str = ""
    tool: str = ""
    arguments: dict[str, object] = {}
    reason: str = ""
    key: str = ""
    turn_id: str = ""
    at: float = 0.0
    """When it was asked, in seconds since the epoch."""
    entitled: tuple[str, ...] = ()
    expires: float = 0.0
    """Seconds since the epoch; 0: never."""


class InputRequested(Event, tag="input_requested"):
    request: InputRequest


class InputAnswered(Event, tag="input_answered"):
    request_id: str
    answer: str
    by: Principal


class Notice(Event, tag="notice"):
    """Something a person should know: a plugin was skipped, a setting takes effect later, …"""

    text: str
    level: str = "info"


class MessageQueued(Event, tag="message_queued"):
    """A turn is running elsewhere; it takes the message up (``steer``: between two steps, else after it)."""

    text: str
    steer: bool = False


class TurnSuspended(Event, tag="turn_suspended"):
    """The turn waits, stored; ``Conversation.answer`` resumes it, after a restart too."""

    requests: tuple[InputRequest, ...]


class TurnFinished(Event, tag="turn_finished"):
    """``outcome``: ``done``, ``interrupted``, ``failed``, ``denied`` or ``over_budget``."""

    outcome: str
    text: str = ""
    usage: Usage = Usage()
    cost_usd: float | None = None
    api_calls: int = 0
    provider: str = ""
    model: str = ""
    error: ErrorInfo | None = None


AnyEvent = (
    TextDelta
    | ThinkingDelta
    | ToolCallReady
    | StateUpdate
    | UsageUpdate
    | ModelFinished
    | TurnStarted
    | MessageStored
    | MessageReplaced
    | ModelRetry
    | ToolStarted
    | ToolRefused
    | ToolOutput
    | ToolFinished
    | InputRequested
    | InputAnswered
    | Notice
    | MessageQueued
    | TurnSuspended
    | TurnFinished
)

DURABLE = (
    TurnStarted,
    MessageReplaced,
    ModelRetry,
    InputRequested,
    InputAnswered,
    Notice,
    MessageQueued,
    TurnSuspended,
    TurnFinished,
)
"""Stored as events. `MessageStored` is replayed from the message itself, which carries its number."""


def encode(event: Event) -> bytes:
    """One JSON object, on one line."""
    return msgspec.json.encode(event)


def decode(data: bytes) -> AnyEvent:
    event: AnyEvent = msgspec.json.decode(data, type=AnyEvent)
    return event
