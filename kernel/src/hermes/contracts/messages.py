"""Messages, their parts, and the frozen head of a prompt."""

from __future__ import annotations

from typing import Literal

from .scope import Origin, Principal
from .values import Value

Role = Literal["user", "assistant", "tool"]


class TextPart(Value, tag="text"):
    text: str


class ImagePart(Value, tag="image", kw_only=True):
    """An image, by its bytes or by an URL the provider can reach. ``media_type`` e.g. ``image/png``."""

    media_type: str
    data: bytes = b""
    url: str = ""


class AudioPart(Value, tag="audio", kw_only=True):
    media_type: str
    data: bytes


class FilePart(Value, tag="file", kw_only=True):
    name: str
    media_type: str
    data: bytes


class ThinkingPart(Value, tag="thinking"):
    """What the model thought aloud. Replayed to no provider as text; see `ProviderState`."""

    text: str


class ToolCallPart(Value, tag="tool_call", kw_only=True):
    """A tool call as the model wrote it. ``arguments`` is JSON text, kept as received, valid or not."""

    id: str
    name: str
    arguments: str = "{}"


class ToolResultPart(Value, tag="tool_result", kw_only=True):
    call_id: str
    name: str
    content: tuple[TextPart | ImagePart, ...] = ()
    is_error: bool = False


Part = TextPart | ImagePart | AudioPart | FilePart | ThinkingPart | ToolCallPart | ToolResultPart


class ProviderState(Value, kw_only=True):
    """Opaque state of a provider (signatures, encrypted reasoning), replayed only where the tag matches."""

    provider: str
    model: str
    endpoint: str
    data: str
    """JSON text."""


class Message(Value, kw_only=True):
    """One entry of a session's message tree. ``id`` and ``parent`` are given by the store."""

    role: Role
    parts: tuple[Part, ...]
    id: int = 0
    parent: int = 0
    """0: a root."""
    created: float = 0.0
    """Seconds since the epoch."""
    seq: int = 0
    """The number of the event that announced it."""
    turn_id: str = ""
    principal: Principal | None = None
    origin: Origin | None = None
    provider_state: tuple[ProviderState, ...] = ()
    finish: str = ""
    """How an assistant message ended: a `ModelFinished.reason`, ``interrupted`` or ``broken``."""


def text_of(parts: tuple[Part, ...]) -> str:
    """The text parts, joined as they stand."""
    return "".join(part.text for part in parts if isinstance(part, TextPart))


def sendable(text: str) -> str:
    """The text without halves of characters, such as file names that are no UTF-8 have; each becomes ``?``."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


class SystemBlock(Value, kw_only=True):
    """One named entry of the system text, e.g. ``persona`` or ``memory``. Never joined with another by us."""

    name: str
    text: str


class ToolSpec(Value, kw_only=True):
    """A tool as a model sees it. ``parameters`` is a JSON Schema of type object."""

    name: str
    description: str
    parameters: dict[str, object]


class FrozenPrompt(Value, kw_only=True):
    """What every request of a session starts with; stored with it, content-addressed."""

    system: tuple[SystemBlock, ...] = ()
    tools: tuple[ToolSpec, ...] = ()


class Usage(Value, kw_only=True):
    """Tokens. ``input_tokens`` counts what was not read from or written to a cache; the parts do not overlap."""

    input_tokens: int = 0
    output_tokens: int = 0
    """With reasoning."""
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    """Of the output."""
    cost_usd: float | None = None
    """As reported by the provider; None: unknown."""

    @property
    def prompt_tokens(self) -> int:
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        costs = [cost for cost in (self.cost_usd, other.cost_usd) if cost is not None]
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cache_read_tokens=self.cache_read_tokens + other.cache_read_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
            cost_usd=sum(costs) if costs else None,
        )
