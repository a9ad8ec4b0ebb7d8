"""What a turn, a session and a day may use."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from hermes.config.schema import BudgetSection
from hermes.contracts.errors import BudgetExceeded
from hermes.contracts.host import Clock
from hermes.contracts.messages import Usage
from hermes.contracts.store import SessionStore, UsageQuery
from hermes.models.ask import Spent


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


class _Limit(NamedTuple):
    setting: str
    span: str
    usd: float | None
    tokens: int | None
    query: UsageQuery


class SpendingLimits:
    """The settings' ``budget``, held against what the store has booked. Without a limit nothing is asked."""

    def __init__(self, section: BudgetSection, store: SessionStore, clock: Clock) -> None:
        self._section = section
        self._store = store
        self._clock = clock

    async def check(self, *, session_id: str, turn_id: str, since_then: Sequence[Spent] = ()) -> None:
        """Before each model call, auxiliary ones too. ``since_then``: what is not booked yet.

        Raises:
            BudgetExceeded: one of the limits is reached.
        """
        for limit in self._limits(session_id, turn_id):
            if limit.usd is None and limit.tokens is None:
                continue
            sums = (await self._store.usage(limit.query)).sums
            tokens = sum(entry.usage.total_tokens for entry in sums)
            tokens += sum(spent.usage.total_tokens for spent in since_then)
            dollars = sum(entry.cost_usd or 0.0 for entry in sums)
            dollars += sum(spent.cost_usd or 0.0 for spent in since_then)
            if limit.usd is not None and dollars >= limit.usd:
                raise _exceeded(limit, "usd", f"${dollars:.4f} of ${limit.usd:g}")
            if limit.tokens is not None and tokens >= limit.tokens:
                raise _exceeded(limit, "tokens", f"{tokens:,} of {limit.tokens:,} tokens")

    def _limits(self, session_id: str, turn_id: str) -> list[_Limit]:
        section = self._section
        query = UsageQuery(since=self._midnight(), by=())
        limits = [_Limit("day", "today", section.day_usd, section.day_tokens, query)]
        if session_id:
            query = UsageQuery(session_id=session_id, by=())
            limits.append(_Limit("session", "by this session", section.session_usd, section.session_tokens, query))
        if session_id and turn_id:
            query = UsageQuery(session_id=session_id, turn_id=turn_id, by=())
            limits.append(_Limit("turn", "by this turn", section.turn_usd, section.turn_tokens, query))
        return limits

    def _midnight(self) -> float:
        today = time.localtime(self._clock.now())
        return time.mktime((today.tm_year, today.tm_mon, today.tm_mday, 0, 0, 0, 0, 0, -1))


def _exceeded(limit: _Limit, unit: str, spent: str) -> BudgetExceeded:
    setting = f"budget.{limit.setting}_{unit}"
    return BudgetExceeded(
        f"The budget is used up: {spent} were spent {limit.span} ({setting}).",
        hint=f"Raise it: hermes config set {setting} NUMBER - and see where it went: hermes usage",
    )
