"""Where a model or an endpoint differs from the newest Gemini, as data: the ``quirks`` of a provider."""

from __future__ import annotations

from typing import Literal

from hermes_carrier.quirks import QuirksBase


class Quirks(QuirksBase, kw_only=True):
    thinking: Literal["level", "budget", "none"] = "level"
    """How an effort is asked for. ``none``: the model does not think."""
    levels: tuple[Literal["minimal", "low", "medium", "high"], ...] = ("low", "medium", "high")
    """Those that the model knows, the lowest first."""
    budget: tuple[int, int] = (0, 24576)
    """The least and the most tokens that it may think."""
    signatures: bool = True
    """Refuses a call in the history whose signature is missing."""
    call_ids: bool = True
    """False: knows no ids of calls; results belong to them by order and name."""
    result_images: bool = True
    """False: the result of a tool holds text only; its images follow it."""
    schema_with_tools: bool = True
    """False: refuses a schema of the answer beside tools; it is asked for in words then."""
