"""What a turn may use."""

from __future__ import annotations

from hermes.contracts.errors import BudgetExceeded
from hermes.contracts.messages import Usage


class TurnBudget:
    """Counts a turn's model calls and tokens, and stops it at ``max_calls`` calls."""

    def __init__(self, max_calls: int) -> None:
        self._max_calls = max_calls
        self.calls = 0
        self.usage = Usage()
        self.cost_usd: float | None = None

    def check(self) -> None:
        """Before each model call.

        Raises:
            BudgetExceeded: it would be one too many.
        """
        if self.calls >= self._max_calls:
            raise BudgetExceeded(
                f"The turn was stopped after {self.calls} model calls.",
                hint="Go on with another message, or raise it: --max-turns N, agent.max_turns in config.yaml.",
            )

    def add(self, usage: Usage, cost_usd: float | None) -> None:
        self.calls += 1
        self.usage += usage
        if cost_usd is not None:
            self.cost_usd = (self.cost_usd or 0.0) + cost_usd
