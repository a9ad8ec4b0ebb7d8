"""How a model is asked to think: each family has members of its own."""

from __future__ import annotations

from typing import Any, NamedTuple

from hermes.contracts.provider import ModelRequest
from hermes_carrier.efforts import EFFORTS, nearest

from .quirks import Quirks

BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 32000, "max": 60000}
"""Tokens, for models that take a budget."""
LEAST_BUDGET = 1024


class Thinking(NamedTuple):
    """What it means for the request."""

    fields: dict[str, Any]
    """Members of ``additionalModelRequestFields``."""
    max_tokens: int | None
    """None: has to be left out."""
    effort: str = ""
    """Of ``outputConfig``."""
    thinks: bool = False


def thinking_of(request: ModelRequest, quirks: Quirks, *, forced: bool) -> Thinking:
    """``forced``: the answer has to be a tool's input, and then none of them may think."""
    limit = request.max_tokens if request.max_tokens is not None else quirks.max_tokens
    effort = request.reasoning_effort
    if not effort or not quirks.thinking or forced:
        return Thinking({}, limit)
    if quirks.thinking == "budget":
        return _budget(request, quirks, limit)
    if quirks.thinking in ("adaptive", "always"):
        if effort == "none" and quirks.thinking == "adaptive":
            return Thinking({"thinking": {"type": "disabled"}}, limit)
        shown = {"display": "summarized"} if quirks.thinking_display else {}
        asked = {"thinking": {"type": "adaptive", **shown}}
        return Thinking(asked, limit, effort=_known(effort, quirks), thinks=True)
    if effort == "none":
        return Thinking({}, limit)
    level = _known(effort, quirks)
    if quirks.thinking == "effort":
        return Thinking({"reasoning_effort": level}, limit)
    # At its highest effort Nova takes neither a limit nor a temperature.
    highest = level == "high"
    config = {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": level}}
    return Thinking(config, None if highest else limit, thinks=highest)


def _known(effort: str, quirks: Quirks) -> str:
    """A word that nobody knows asks for the least."""
    return nearest(effort if effort in EFFORTS else EFFORTS[0], quirks.efforts)


def _budget(request: ModelRequest, quirks: Quirks, limit: int) -> Thinking:
    """The budget is part of what an answer may have: a limit of the user's holds, ours gets out of its way."""
    budget = BUDGETS.get(request.reasoning_effort, 0)
    if request.max_tokens is None:
        limit += budget
    else:
        budget = min(budget, limit // 2)
    if budget < LEAST_BUDGET:
        return Thinking({}, quirks.max_tokens if request.max_tokens is None else limit)
    return Thinking({"thinking": {"type": "enabled", "budget_tokens": budget}}, limit, thinks=True)
