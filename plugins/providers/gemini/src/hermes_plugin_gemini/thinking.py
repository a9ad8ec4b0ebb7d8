"""How much a model is asked to think: ``ModelRequest.reasoning_effort`` as a level, or as a budget."""

from __future__ import annotations

from typing import Any

from hermes.contracts.errors import BadRequest
from hermes.contracts.provider import ModelRequest
from hermes_carrier.efforts import EFFORTS, nearest

from .quirks import Quirks

BUDGETS = {"none": 0, "minimal": 512, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 32768, "max": 32768}
"""Tokens; those of low, medium and high are Google's own translation."""


def thinking_of(request: ModelRequest, quirks: Quirks) -> dict[str, Any]:
    """``thinkingConfig``: the nearest that the model can do. Raises BadRequest for an effort that nobody knows."""
    effort = request.reasoning_effort
    if effort and effort not in EFFORTS:
        raise BadRequest(
            f'{request.endpoint.provider}: there is no reasoning effort "{effort}".',
            provider=request.endpoint.provider,
            hint=f"Choose one of: {', '.join(EFFORTS)}.",
        )
    if quirks.thinking == "none":
        return {}
    shown = {"includeThoughts": effort != "none"}
    if not effort:
        return shown
    if quirks.thinking == "level":
        return {**shown, "thinkingLevel": nearest(effort, quirks.levels, upwards=True).upper()}
    least, most = quirks.budget
    return {**shown, "thinkingBudget": min(max(BUDGETS[effort], least), most)}
