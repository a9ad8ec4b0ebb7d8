"""Sorts what the hooks noted by session and turn, and gives each turn its tree of spans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from opentelemetry.context import Context
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, Tracer, set_span_in_context

from hermes import (
    ApprovalDecision,
    ErrorInfo,
    Event,
    InputAnswered,
    InputRequest,
    InputRequested,
    Message,
    MessageStored,
    ModelAnswer,
    ModelCall,
    Part,
    SessionInfo,
    ToolCall,
    ToolFinished,
    ToolOutcome,
    ToolResultPart,
    ToolStarted,
    TurnFinished,
    TurnStarted,
    TurnSuspended,
)

from .conventions import input_message
from .metrics import Metrics
from .turn_ids import TurnIds, root_of
from .turn_spans import TurnSpans, fail, nanoseconds

AGENT = "hermes"
MAX_OPEN_REQUESTS = 1000
"""Requests of suspended turns may wait for ever; the oldest are forgotten."""


class Asked(NamedTuple):
    """A request that somebody has to answer. ``at`` is None where another process asked."""

    request: InputRequest
    session_id: str
    turn_id: str
    at: float | None


class Tracker:
    """Each method is a note of the recorder's: when it was taken, and the hook's values."""

    def __init__(self, tracer: Tracer, metrics: Metrics, ids: TurnIds, *, capture_content: bool) -> None:
        self._tracer = tracer
        self._metrics = metrics
        self._ids = ids
        self._capture = capture_content
        self._sessions: dict[str, SessionInfo] = {}
        self._turns: dict[str, tuple[str, TurnSpans]] = {}
        """By session, which runs one turn at a time: its id and its spans."""
        self._asked: dict[str, Asked] = {}
        self._said: dict[str, Sequence[Part]] = {}

    def session_started(self, at: float, session: SessionInfo) -> None:
        self._sessions[session.id] = session

    def session_ended(self, at: float, session: SessionInfo) -> None:
        self._sessions.pop(session.id, None)
        if (running := self._turns.pop(session.id, None)) is not None:
            running[1].end(at, "interrupted")

    def model_asked(self, at: float, call: ModelCall) -> None:
        self._turn(at, call.session_id, call.turn_id).model_asked(at, call)

    def model_answered(self, at: float, call: ModelCall, answer: ModelAnswer) -> None:
        self._turn(at, call.session_id, call.turn_id).model_answered(at, call, answer)

    def model_failed(self, at: float, call: ModelCall, error: ErrorInfo) -> None:
        self._turn(at, call.session_id, call.turn_id).model_failed(at, call, error)

    def tool_ran(self, at: float, call: ToolCall, outcome: ToolOutcome) -> None:
        """A call that a plugin makes names no turn and has no events; it belongs to the one that is running."""
        _, turn = self._turns.get(call.session_id, ("", None))
        if turn is None or turn.tool_ran(at, call.id, outcome):
            return
        span = turn.tool_span(call.id, call.name, at - outcome.seconds, call.arguments)
        turn.end_tool(span, call.name, at, is_error=outcome.is_error)

    def approval_given(self, at: float, request: InputRequest, decision: ApprovalDecision) -> None:
        """Which turn it is of, `InputAnswered` tells."""
        self._metrics.approval(request.tool, decision.answer)
        if request.id not in self._asked:
            self._keep(Asked(request, decision.session_id, "", None))

    def event(self, at: float, event: Event) -> None:
        match event:
            case TurnStarted():
                self._begin(event)
            case ToolStarted():
                self._turn(event.at, event.session_id, event.turn_id).tool_started(event)
            case ToolFinished():
                self._turn(event.at, event.session_id, event.turn_id).tool_finished(event)
            case MessageStored():
                self._message(event, event.message)
            case InputRequested():
                self._keep(Asked(event.request, event.session_id, event.turn_id, event.at))
            case InputAnswered():
                self._answered(event)
            case TurnSuspended() | TurnFinished():
                self._end(event)

    def _begin(self, event: TurnStarted) -> None:
        self._ids.root_is(root_of(event.session_id, event.turn_id))
        self._open(event.at, event.session_id, event.turn_id, Context())

    def _turn(self, at: float, session_id: str, turn_id: str) -> TurnSpans:
        """The turn's spans; where it goes on after it waited, a new stretch under its first span."""
        running = self._turns.get(session_id)
        if running is not None and running[0] == turn_id:
            return running[1]
        return self._open(at, session_id, turn_id, _under(root_of(session_id, turn_id)))

    def _open(self, at: float, session_id: str, turn_id: str, parent: Context) -> TurnSpans:
        if (left := self._turns.pop(session_id, None)) is not None:
            left[1].end(at, "interrupted")
        session = self._sessions.get(session_id)
        span = self._tracer.start_span(
            f"invoke_agent {AGENT}",
            context=parent,
            start_time=nanoseconds(at),
            links=self._caller(session),
            attributes={
                "gen_ai.operation.name": "invoke_agent",
                "gen_ai.agent.name": AGENT,
                "gen_ai.conversation.id": session_id,
                "hermes.turn.id": turn_id,
                "hermes.surface": session.surface if session else "",
            },
        )
        if (said := self._said.pop(session_id, None)) is not None:
            span.set_attribute("gen_ai.input.messages", input_message(said))
        turn = TurnSpans(span, self._tracer, self._metrics, capture=self._capture)
        self._turns[session_id] = turn_id, turn
        return turn

    def _caller(self, session: SessionInfo | None) -> list[Link]:
        """The turn that started this session, where it runs in this process."""
        running = self._turns.get(session.parent_session) if session and session.parent_session else None
        return [Link(running[1].span.get_span_context())] if running else []

    def _message(self, event: MessageStored, message: Message) -> None:
        turn_id, turn = self._turns.get(event.session_id, ("", None))
        if message.role == "user" and turn is None and self._capture:
            self._said[event.session_id] = message.parts
        if message.role != "tool" or turn is None or turn_id != event.turn_id:
            return
        for part in message.parts:
            if isinstance(part, ToolResultPart):
                if part.call_id in turn.announced:
                    turn.refused(event.at, part.call_id)
                self._never_answered(event.at, event.session_id, turn_id, part.call_id)

    def _keep(self, asked: Asked) -> None:
        self._asked[asked.request.id] = asked
        if len(self._asked) > MAX_OPEN_REQUESTS:
            del self._asked[next(iter(self._asked))]

    def _answered(self, event: InputAnswered) -> None:
        asked = self._asked.pop(event.request_id, None)
        if asked is not None:
            self._waited(asked._replace(turn_id=event.turn_id), event.at, event.answer)

    def _never_answered(self, at: float, session_id: str, turn_id: str, call_id: str = "") -> None:
        """The requests of a turn, or of one of its calls, that nothing waits for any more."""
        for request_id, asked in list(self._asked.items()):
            ours = (asked.session_id, asked.turn_id) == (session_id, turn_id)
            if ours and (not call_id or asked.request.call_id == call_id):
                del self._asked[request_id]
                if asked.request.kind == "approval":
                    self._metrics.approval(asked.request.tool, "none")
                self._waited(asked, at, "none")

    def _waited(self, asked: Asked, at: float, answer: str) -> None:
        """A span over the time that an approval, or a tool of the front end, took."""
        request = asked.request
        if request.kind not in ("approval", "client_tool"):
            return
        turn_id, turn = self._turns.get(asked.session_id, ("", None))
        here = turn is not None and turn_id == asked.turn_id
        parent = turn.context if turn is not None and here else _under(root_of(asked.session_id, asked.turn_id))
        is_approval = request.kind == "approval"
        span = self._tracer.start_span(
            f"approve {request.tool}" if is_approval else f"execute_tool {request.tool}",
            context=parent,
            start_time=nanoseconds(at if asked.at is None else asked.at),
            attributes={
                "gen_ai.operation.name": "approve" if is_approval else "execute_tool",
                "gen_ai.conversation.id": asked.session_id,
                "gen_ai.tool.name": request.tool,
                "gen_ai.tool.call.id": request.call_id,
            },
        )
        if is_approval:
            span.set_attribute("hermes.approval.answer", answer)
            if asked.at is not None:
                span.set_attribute("hermes.approval.waited", at - asked.at)
        else:
            span.set_attribute("hermes.tool.executor", "client")
            if answer == "none":
                fail(span, "interrupted")
            if turn is not None and here:
                turn.announced.pop(request.call_id, None)
            self._metrics.tool_call(request.tool, "interrupted" if answer == "none" else "ok")
        span.end(nanoseconds(at))

    def _end(self, event: TurnSuspended | TurnFinished) -> None:
        """A suspended turn's spans are sent as they are: it may go on in days, or never."""
        if isinstance(event, TurnFinished):
            self._never_answered(event.at, event.session_id, event.turn_id)
        turn_id, turn = self._turns.get(event.session_id, ("", None))
        if turn is None or turn_id != event.turn_id:
            return
        del self._turns[event.session_id]
        if isinstance(event, TurnFinished):
            turn.finish(event)
        else:
            turn.end(event.at, "suspended")


def _under(parent: SpanContext) -> Context:
    return set_span_in_context(NonRecordingSpan(parent), Context())
