"""Where a model or an endpoint differs from the newest Gemini, as data: the ``quirks`` of a provider."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from hermes.contracts.errors import BadRequest, ConfigError
from hermes.contracts.provider import Endpoint, ModelRequest
from hermes.contracts.values import Value

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_BUDGETS = {"none": 0, "minimal": 512, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 32768, "max": 32768}
"""Tokens; those of low, medium and high are Google's own translation."""


class Quirks(Value, kw_only=True, forbid_unknown_fields=True):
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

    @classmethod
    def of(cls, endpoint: Endpoint) -> Quirks:
        """Raises ConfigError for one that is not known."""
        if not endpoint.quirks:
            return _NONE
        try:
            return msgspec.convert(endpoint.quirks, cls)
        except msgspec.ValidationError as error:
            raise ConfigError(
                f'The quirks of the provider "{endpoint.provider}": {error}',
                hint=f"This wire knows: {', '.join(cls.__struct_fields__)}",
            ) from None

    def thinking_config(self, request: ModelRequest) -> dict[str, Any]:
        """What to ask for; the nearest that the model can do. Raises BadRequest for an effort that nobody knows."""
        effort = request.reasoning_effort
        if effort and effort not in EFFORTS:
            raise BadRequest(
                f'{request.endpoint.provider}: there is no reasoning effort "{effort}".',
                provider=request.endpoint.provider,
                hint=f"Choose one of: {', '.join(EFFORTS)}.",
            )
        if self.thinking == "none":
            return {}
        shown = {"includeThoughts": effort != "none"}
        if not effort:
            return shown
        if self.thinking == "level":
            wanted = EFFORTS.index(effort)
            level = next((level for level in self.levels if EFFORTS.index(level) >= wanted), self.levels[-1])
            return {**shown, "thinkingLevel": level.upper()}
        least, most = self.budget
        return {**shown, "thinkingBudget": min(max(_BUDGETS[effort], least), most)}


_NONE = Quirks()
