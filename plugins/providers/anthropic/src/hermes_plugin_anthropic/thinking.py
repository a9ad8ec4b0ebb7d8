"""How much a model is asked to think: ``ModelRequest.reasoning_effort`` in the terms of the model."""

from __future__ import annotations

from typing import Any, get_args

from hermes.contracts.provider import ModelRequest

from .quirks import Effort, Quirks

LADDER: tuple[str, ...] = get_args(Effort)
BUDGETS = {"minimal": 1024, "low": 4096, "medium": 10_000, "high": 16_000, "xhigh": 24_000, "max": 32_000}
"""Tokens, for models that want a number."""
LEAST_BUDGET = 1024
_SHOWN = {"type": "adaptive", "display": "summarized"}
_OFF = {"type": "disabled"}


def thinking_of(request: ModelRequest, quirks: Quirks, max_tokens: int, *, allowed: bool) -> dict[str, Any] | None:
    """The member ``thinking``; None: it is left out. ``allowed``: False where the request rules thinking out."""
    wanted = request.reasoning_effort
    match quirks.thinking:
        case "always":
            return _SHOWN
        case "adaptive":
            return _SHOWN if allowed and wanted != "none" else _OFF
        case "budget" if allowed and wanted in BUDGETS:
            budget = min(BUDGETS[wanted], max_tokens // 2)
            return {"type": "enabled", "budget_tokens": budget} if budget >= LEAST_BUDGET else None
    return None


def effort_of(request: ModelRequest, quirks: Quirks) -> str:
    """``output_config.effort``: the highest that the model takes and that is not above what is wanted; blank: none.

    For a model that thinks.
    """
    wanted = request.reasoning_effort
    if not wanted or not quirks.efforts or quirks.thinking == "budget":
        return ""
    most = LADDER.index(wanted) if wanted in LADDER else 0
    return next((effort for effort in reversed(quirks.efforts) if LADDER.index(effort) <= most), quirks.efforts[0])
