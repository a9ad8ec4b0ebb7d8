"""One tiny call, to see whether a model answers."""

from __future__ import annotations

from typing import Any, NamedTuple

from hermes import LOCAL, App, Usage, ask

PROMPT = "Answer with one word: ready"
MOST_TOKENS = 512
"""Enough for a model that thinks before it says a word."""
WITHIN = 60.0
ONCE: dict[str, Any] = {"agent": {"retries": 0}, "fallback_providers": []}
"""Settings under which the model itself answers, or fails, at the first call."""


class Trial(NamedTuple):
    """``seconds`` until the end of the answer, ``first_seconds`` until its beginning. ``cost_usd`` None: unknown."""

    name: str
    text: str
    seconds: float
    first_seconds: float
    usage: Usage
    cost_usd: float | None


async def trial(app: App, *, provider: str = "", model: str = "") -> Trial:
    """Asks; what it costs is booked and held to the budget.

    Raises:
        HermesError: it cannot be asked, or does not answer.
    """
    clock = app.clock
    call = ask(PROMPT, app=app, provider=provider, model=model, principal=LOCAL, max_tokens=MOST_TOKENS, timeout=WITHIN)
    started, first = clock.monotonic(), 0.0
    async for _ in call:
        first = first or clock.monotonic() - started
    reply, seconds = call.reply, clock.monotonic() - started
    return Trial(f"{reply.provider}:{reply.model}", reply.text, seconds, first, reply.usage, reply.cost_usd)
