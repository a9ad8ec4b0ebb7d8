"""The audit log: what was called, on whose behalf, what came of it, and who allowed it."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from hermes import (
    ApprovalDecision,
    Event,
    InputRequest,
    PluginContext,
    ToolCall,
    ToolOutcome,
    Verdict,
    hookimpl,
)

if TYPE_CHECKING:
    from .recorder import Recorder

_EVENTS = (
    "input_requested",
    "message_stored",
    "tool_finished",
    "tool_refused",
    "tool_started",
    "turn_finished",
    "turn_suspended",
)
_recorders: WeakKeyDictionary[PluginContext, Recorder] = WeakKeyDictionary()
"""One an app."""


@hookimpl(tryfirst=True)
async def pre_tool_call(call: ToolCall, ctx: PluginContext) -> Verdict | None:
    return await _recorder(ctx).called(call)


@hookimpl
async def post_tool_call(call: ToolCall, result: ToolOutcome, ctx: PluginContext) -> None:
    await _recorder(ctx).ran(call, result)


@hookimpl
async def on_approval(request: InputRequest, decision: ApprovalDecision, ctx: PluginContext) -> None:
    await _recorder(ctx).decided(request, decision)


@hookimpl(events=_EVENTS)
def on_event(event: Event, ctx: PluginContext) -> Awaitable[None] | None:
    return _recorder(ctx).happened(event)


def _recorder(ctx: PluginContext) -> Recorder:
    recorder = _recorders.get(ctx)
    if recorder is None:
        from .recorder import Recorder

        recorder = _recorders[ctx] = Recorder(ctx)
    return recorder
