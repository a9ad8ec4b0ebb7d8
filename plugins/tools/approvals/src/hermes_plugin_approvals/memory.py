"""Answers that are kept: for a session, or for good. One entry of the plugin's state for each key."""

from __future__ import annotations

from collections.abc import Iterable

from hermes.contracts.errors import HermesError
from hermes.contracts.events import InputRequest
from hermes.contracts.hookspecs import ApprovalDecision
from hermes.contracts.host import PluginContext

from .dangers import JOIN


def _always(key: str) -> str:
    return f"always:{key}"


def _session(session_id: str, key: str) -> str:
    return f"session:{session_id}:{key}"


def _directories(session_id: str) -> str:
    return f"directories:{session_id}"


async def remember(request: InputRequest, decision: ApprovalDecision, ctx: PluginContext) -> None:
    if request.kind != "approval" or not request.key or decision.answer not in ("session", "always"):
        return
    for key in request.key.split(JOIN):
        name = _always(key) if decision.answer == "always" else _session(decision.session_id, key)
        await ctx.state.set(name, {"by": decision.by.id, "at": ctx.clock.now()})


async def remembered(keys: Iterable[str], session_id: str, ctx: PluginContext) -> set[str]:
    """Those of ``keys`` that an answer covers. A store that cannot be read covers none."""
    found = set()
    for key in set(keys) - {""}:
        try:
            if await ctx.state.get(_session(session_id, key)) or await ctx.state.get(_always(key)):
                found.add(key)
        except HermesError as error:
            ctx.log.warning("kept approvals cannot be read: %s", error)
            break
    return found


async def directories(session_id: str, ctx: PluginContext) -> tuple[str, ...]:
    """Where the session's shell may be; empty: where it began.

    Raises:
        HermesError: the state cannot be read.
    """
    return tuple(await ctx.state.get(_directories(session_id), ()))


async def keep_directories(session_id: str, where: tuple[str, ...], ctx: PluginContext) -> None:
    await ctx.state.set(_directories(session_id), list(where))


async def kept_opinion(names: Iterable[str], ctx: PluginContext) -> list[str] | None:
    """What was kept of a model's judgement under the first of the names that has any."""
    try:
        for name in names:
            if found := await ctx.state.get(name):
                return list(found)
    except HermesError as error:
        ctx.log.warning("kept judgements cannot be read: %s", error)
    return None


async def keep_opinion(name: str, opinion: Iterable[str], ctx: PluginContext) -> None:
    try:
        await ctx.state.set(name, list(opinion))
    except HermesError as error:
        ctx.log.warning("a judgement cannot be kept: %s", error)
