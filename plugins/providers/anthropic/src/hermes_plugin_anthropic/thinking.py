"""How much a model is asked to think: ``ModelRequest.reasoning_effort`` in the terms of the model."""

from __future__ import annotations

from typing import Any

from hermes.contracts.provider import ModelRequest
from hermes_carrier.efforts import EFFORTS, nearest

from .quirks import Quirks

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
    """``output_config.effort``, for a model that thinks; blank: none. A word that nobody knows asks for the least."""
    wanted = request.reasoning_effort
    if not wanted or not quirks.efforts or quirks.thinking == "budget":
        return ""
    return nearest(wanted if wanted in EFFORTS else EFFORTS[0], quirks.efforts)
