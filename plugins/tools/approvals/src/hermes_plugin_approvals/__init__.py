"""The guard: what may run, what has to be asked for, and what never may."""

from __future__ import annotations

from hermes.contracts.events import InputRequest
from hermes.contracts.hookspecs import ApprovalDecision, hookimpl
from hermes.contracts.host import PluginContext
from hermes.contracts.tool import ToolCall
from hermes.contracts.verdict import Verdict


@hookimpl
async def pre_tool_call(call: ToolCall, ctx: PluginContext) -> Verdict:
    from .guard import judge

    return await judge(call, ctx)


@hookimpl
async def on_approval(request: InputRequest, decision: ApprovalDecision, ctx: PluginContext) -> None:
    from .memory import remember

    await remember(request, decision, ctx)
