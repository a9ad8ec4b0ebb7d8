"""OpenTelemetry for Hermes.

Hooks only note what happened and when; a thread of the plugin's own, which alone imports OpenTelemetry, makes spans and
metrics of it and sends them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from hermes import (
    ApprovalDecision,
    ErrorInfo,
    Event,
    InputRequest,
    ModelAnswer,
    ModelCall,
    PluginContext,
    SessionInfo,
    ToolCall,
    ToolOutcome,
    TurnFinished,
    TurnSuspended,
    hookimpl,
)

if TYPE_CHECKING:
    from .recorder import Recorder

_EVENTS = (
    "input_answered",
    "input_requested",
    "message_stored",
    "tool_finished",
    "tool_started",
    "turn_finished",
    "turn_started",
    "turn_suspended",
)
_recorders: WeakKeyDictionary[PluginContext, Recorder | None] = WeakKeyDictionary()
"""One an app; None where there is nowhere to send to."""


@hookimpl
async def on_session_start(session: SessionInfo, ctx: PluginContext) -> None:
    if ctx not in _recorders:
        from .recorder import make_recorder

        _recorders[ctx] = None  # before anything is awaited: another session may begin meanwhile
        _recorders[ctx] = await make_recorder(ctx)
    _note(ctx, "session_started", session)


@hookimpl
def on_session_end(session: SessionInfo, ctx: PluginContext) -> None:
    _note(ctx, "session_ended", session)


@hookimpl
def pre_api_request(request: ModelCall, ctx: PluginContext) -> None:
    _note(ctx, "model_asked", request)


@hookimpl
def post_api_request(request: ModelCall, response: ModelAnswer, ctx: PluginContext) -> None:
    _note(ctx, "model_answered", request, response)


@hookimpl
def on_api_error(request: ModelCall, error: ErrorInfo, ctx: PluginContext) -> None:
    _note(ctx, "model_failed", request, error)


@hookimpl
def post_tool_call(call: ToolCall, result: ToolOutcome, ctx: PluginContext) -> None:
    _note(ctx, "tool_ran", call, result)


@hookimpl
def on_approval(request: InputRequest, decision: ApprovalDecision, ctx: PluginContext) -> None:
    _note(ctx, "approval_given", request, decision)


@hookimpl(events=_EVENTS)
def on_event(event: Event, ctx: PluginContext) -> None:
    _note(ctx, "event", event)
    if isinstance(event, TurnFinished | TurnSuspended) and (recorder := _recorders.get(ctx)) is not None:
        recorder.wake()


def _note(ctx: PluginContext, what: str, *values: object) -> None:
    recorder = _recorders.get(ctx)
    if recorder is not None:
        recorder.note(what, *values)
