"""The instruments: the conventions' two histograms, and counters of tool calls and approvals."""

from __future__ import annotations

from opentelemetry.metrics import Meter

from hermes import Usage

from .conventions import APPROVALS, DURATION, DURATION_BUCKETS, TOKEN_BUCKETS, TOKENS, TOOL_CALLS, Attributes


class Metrics:
    def __init__(self, meter: Meter) -> None:
        self._duration = meter.create_histogram(
            DURATION,
            unit="s",
            description="GenAI operation duration.",
            explicit_bucket_boundaries_advisory=DURATION_BUCKETS,
        )
        self._tokens = meter.create_histogram(
            TOKENS,
            unit="{token}",
            description="Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=TOKEN_BUCKETS,
        )
        self._tools = meter.create_counter(TOOL_CALLS, unit="{call}", description="Tool calls, by how they ended.")
        self._approvals = meter.create_counter(APPROVALS, unit="{request}", description="Approvals, by the answer.")

    def model_call(self, common: Attributes, seconds: float, usage: Usage | None = None) -> None:
        """``common``: with ``error.type`` or ``gen_ai.response.model`` where there is one."""
        self._duration.record(seconds, common)
        if usage is not None:
            self._tokens.record(usage.prompt_tokens, {**common, "gen_ai.token.type": "input"})
            self._tokens.record(usage.output_tokens, {**common, "gen_ai.token.type": "output"})

    def tool_call(self, name: str, outcome: str) -> None:
        """``outcome``: ``ok``, ``error``, ``refused`` or ``interrupted``."""
        self._tools.add(1, {"gen_ai.tool.name": name, "hermes.tool.outcome": outcome})

    def approval(self, tool: str, answer: str) -> None:
        """``answer``: ``once``, ``session``, ``always``, ``deny``, or ``none`` where nobody gave one."""
        self._approvals.add(1, {"gen_ai.tool.name": tool, "hermes.approval.answer": answer})
