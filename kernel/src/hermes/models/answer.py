"""Puts the events of one model call together into an answer."""

from __future__ import annotations

from hermes.contracts.events import (
    Event,
    ModelFinished,
    StateUpdate,
    TextDelta,
    ThinkingDelta,
    ToolCallReady,
    UsageUpdate,
)
from hermes.contracts.messages import Part, ProviderState, TextPart, ThinkingPart, ToolCallPart, Usage


class AnswerBuilder:
    """What a model has said so far."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._thinking: list[str] = []
        self.calls: list[ToolCallPart] = []
        self.state: list[ProviderState] = []
        self.usage = Usage()
        self.finished: ModelFinished | None = None

    def add(self, event: Event) -> None:
        match event:
            case TextDelta():
                self._text.append(event.text)
            case ThinkingDelta():
                self._thinking.append(event.text)
            case ToolCallReady():
                self.calls.append(event.call)
            case StateUpdate():
                self.state.append(event.state)
            case UsageUpdate():
                self.usage = event.usage
            case ModelFinished():
                self.finished = event

    @property
    def text(self) -> str:
        return "".join(self._text)

    @property
    def shown(self) -> bool:
        """Whether anything was said that a person may have seen."""
        return bool(self._text or self._thinking)

    def parts(self, *, with_calls: bool = True) -> tuple[Part, ...]:
        parts: list[Part] = []
        if self._thinking:
            parts.append(ThinkingPart("".join(self._thinking)))
        if text := self.text:
            parts.append(TextPart(text))
        return (*parts, *self.calls) if with_calls else tuple(parts)
