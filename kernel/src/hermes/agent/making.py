"""Puts a turn together from what the conversation and the app have."""

from __future__ import annotations

from collections.abc import Sequence

from hermes.contracts.hookspecs import SessionInfo
from hermes.contracts.messages import FrozenPrompt, Message
from hermes.contracts.store import Pending
from hermes.contracts.tool import ToolCall
from hermes.models.router import Target

from .budget import SpendingLimits, TurnBudget
from .calls import ToolPhase, WaitForAnswer
from .journal import Journal
from .recovery import finished_results, given_answers
from .services import ConversationOptions, Services
from .turn import Turn


def make_turn(
    turn_id: str,
    services: Services,
    options: ConversationOptions,
    session: SessionInfo,
    *,
    prompt: FrozenPrompt,
    history: list[Message],
    target: Target,
    fallbacks: Sequence[str],
    journal: Journal,
    wait: WaitForAnswer,
    pending: Pending,
) -> Turn:
    """``pending``: what a turn that goes on has already; blank for a new one."""
    hooks = services.plugins.hooks.for_turn(session.surface)
    model = services.settings.model
    tools = ToolPhase(
        runner=services.runner,
        registry=services.registry,
        hooks=hooks,
        journal=journal,
        template=_template(turn_id, session, options),
        offered=[tool.name for tool in prompt.tools],
        asking=options.asking,
        wait=wait,
        parallel=services.settings.agent.parallel_tools,
        clock=services.clock,
        answers=given_answers(pending),
        results=finished_results(pending),
    )
    return Turn(
        id=turn_id,
        session=session,
        principal=options.principal,
        history=history,
        prompt=prompt,
        target=target,
        fallbacks=fallbacks,
        router=services.router,
        hooks=hooks,
        journal=journal,
        tools=tools,
        budget=TurnBudget(options.max_turns or services.settings.agent.max_turns),
        limits=SpendingLimits(services.settings.budget, services.store, services.clock),
        engine=services.engine,
        options={
            "response_format": options.response_format,
            "max_tokens": model.max_tokens,
            "temperature": model.temperature,
            "reasoning_effort": model.reasoning_effort,
            "timeout": model.timeout,
        },
        clock=services.clock,
        log=services.log,
    )


def _template(turn_id: str, session: SessionInfo, options: ConversationOptions) -> ToolCall:
    """What all calls of the turn have in common."""
    return ToolCall(
        id="",
        name="",
        arguments={},
        session_id=session.id,
        turn_id=turn_id,
        workspace=session.workspace,
        surface=session.surface,
        scope=session.scope,
        principal=options.principal,
        origin=options.origin,
    )
