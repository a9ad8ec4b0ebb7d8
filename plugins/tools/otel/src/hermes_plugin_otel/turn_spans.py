"""The spans of one turn, or of that stretch of it that runs in this process."""

from __future__ import annotations

import json
from typing import NamedTuple

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context

from hermes import (
    ErrorInfo,
    ModelAnswer,
    ModelCall,
    TextPart,
    ToolFinished,
    ToolOutcome,
    ToolStarted,
    TurnFinished,
    text_of,
)

from .conventions import Attributes, input_message, of_answer, of_model_call, of_usage, output_message
from .metrics import Metrics

FAILURES = ("failed", "denied", "over_budget")
"""Outcomes of turns that are errors; a turn that the user stopped is none."""


def nanoseconds(seconds: float) -> int:
    return int(seconds * 1_000_000_000)


def fail(span: Span, kind: str, message: str = "") -> None:
    """``message`` may hold content."""
    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR, message or None))


class RunningModel(NamedTuple):
    span: Span
    common: Attributes
    started: float


class RunningTool(NamedTuple):
    """A tool that was started; with ``outcome`` once it ran, and until its result is told."""

    name: str
    arguments: object
    started: float
    ended: float = 0.0
    outcome: ToolOutcome | None = None


class TurnSpans:
    """``capture``: whether content is recorded."""

    def __init__(self, span: Span, tracer: Tracer, metrics: Metrics, *, capture: bool) -> None:
        self.span = span
        self.context = set_span_in_context(span, Context())
        self.announced: dict[str, str] = {}
        """Calls that the model made and that were not started yet: their tools."""
        self._tracer = tracer
        self._metrics = metrics
        self._capture = capture
        self._models: dict[str, RunningModel] = {}
        self._tools: dict[str, RunningTool] = {}
        self._common: Attributes = {}

    def model_asked(self, at: float, call: ModelCall) -> None:
        self._common = of_model_call(call)
        span = self._tracer.start_span(
            f"chat {call.model}",
            context=self.context,
            kind=SpanKind.CLIENT,
            start_time=nanoseconds(at),
            attributes={
                **self._common,
                "gen_ai.conversation.id": call.session_id,
                "gen_ai.request.stream": True,
                "hermes.model_call.attempt": call.attempt,
            },
        )
        if self._capture and call.last:
            span.set_attribute("gen_ai.input.messages", input_message(call.last))
        self._models[call.id] = RunningModel(span, self._common, at)

    def model_answered(self, at: float, call: ModelCall, answer: ModelAnswer) -> None:
        running = self._models.pop(call.id, None)
        if running is None:
            return
        common = running.common
        if answer.model:
            common = {**common, "gen_ai.response.model": answer.model}
        running.span.set_attributes({**common, **of_answer(answer)})
        if self._capture:
            running.span.set_attribute("gen_ai.output.messages", output_message(answer.parts, answer.finish))
        running.span.end(nanoseconds(at))
        self._metrics.model_call(common, at - running.started, answer.usage)
        self.announced.update((part.id, part.name) for part in answer.tool_calls)

    def model_failed(self, at: float, call: ModelCall, error: ErrorInfo) -> None:
        running = self._models.pop(call.id, None)
        if running is None:
            return
        fail(running.span, error.kind, error.message if self._capture else "")
        if error.status:
            running.span.set_attribute("http.response.status_code", error.status)
        if error.request_id:
            running.span.set_attribute("gen_ai.response.id", error.request_id)
        running.span.end(nanoseconds(at))
        self._metrics.model_call({**running.common, "error.type": error.kind}, at - running.started)

    def tool_started(self, event: ToolStarted) -> None:
        self.announced.pop(event.call_id, None)
        self._tools[event.call_id] = RunningTool(event.name, event.arguments, event.at)

    def tool_ran(self, at: float, call_id: str, outcome: ToolOutcome) -> bool:
        """False: the call is none of the model's; a plugin made it."""
        running = self._tools.get(call_id)
        if running is None:
            return False
        self._tools[call_id] = running._replace(started=at - outcome.seconds, ended=at, outcome=outcome)
        return True

    def tool_finished(self, event: ToolFinished) -> None:
        """The result as the model reads it: its secrets are hidden already."""
        running = self._tools.pop(event.call_id, None)
        if running is None:
            return
        ended = running.ended or event.at
        span = self.tool_span(event.call_id, running.name, running.started, running.arguments)
        if self._capture:
            span.set_attribute("gen_ai.tool.call.result", text_of(event.content))
        self.end_tool(span, running.name, ended, is_error=event.is_error)

    def tool_span(self, call_id: str, name: str, started: float, arguments: object) -> Span:
        span = self._tracer.start_span(
            f"execute_tool {name}",
            context=self.context,
            start_time=nanoseconds(started),
            attributes={
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": name,
                "gen_ai.tool.call.id": call_id,
                "gen_ai.tool.type": "function",
            },
        )
        if self._capture:
            span.set_attribute("gen_ai.tool.call.arguments", json.dumps(arguments, ensure_ascii=False))
        return span

    def end_tool(self, span: Span, name: str, at: float, *, is_error: bool) -> None:
        if is_error:
            fail(span, "tool_error")
        span.end(nanoseconds(at))
        self._metrics.tool_call(name, "error" if is_error else "ok")

    def refused(self, at: float, call_id: str) -> None:
        """A call of the model's has a result, and never ran: a guard, a person or its arguments were against it."""
        name = self.announced.pop(call_id)
        self.span.add_event(
            "hermes.tool.refused",
            {"gen_ai.tool.name": name, "gen_ai.tool.call.id": call_id},
            timestamp=nanoseconds(at),
        )
        self._metrics.tool_call(name, "refused")

    def end(self, at: float, outcome: str) -> None:
        """What still runs was interrupted."""
        for running in self._models.values():
            fail(running.span, "interrupted")
            running.span.end(nanoseconds(at))
            self._metrics.model_call({**running.common, "error.type": "interrupted"}, at - running.started)
        for call_id, tool in self._tools.items():
            span = self.tool_span(call_id, tool.name, tool.started, tool.arguments)
            fail(span, "interrupted")
            span.end(nanoseconds(at))
            self._metrics.tool_call(tool.name, "interrupted")
        self.span.set_attributes(
            {name: self._common[name] for name in ("gen_ai.provider.name", "gen_ai.request.model") if self._common}
        )
        self.span.set_attribute("hermes.turn.outcome", outcome)
        self.span.end(nanoseconds(at))

    def finish(self, event: TurnFinished) -> None:
        self.span.set_attributes({**of_usage(event.usage), "hermes.turn.model_calls": event.api_calls})
        if event.cost_usd is not None:
            self.span.set_attribute("hermes.turn.cost_usd", event.cost_usd)
        if event.outcome in FAILURES:
            error = event.error
            fail(self.span, error.kind if error else event.outcome, error.message if error and self._capture else "")
        if self._capture and event.text:
            said = output_message((TextPart(event.text),), event.outcome)
            self.span.set_attribute("gen_ai.output.messages", said)
        self.end(event.at, event.outcome)
