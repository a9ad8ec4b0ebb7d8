"""One tiny call, to see whether a model answers."""

from __future__ import annotations

from contextlib import aclosing
from typing import NamedTuple

from hermes import App, Message, ModelRequest, TextPart, Usage, text_of
from hermes.models.router import Target

PROMPT = "Answer with one word: ready"
MOST_TOKENS = 512
"""Enough for a model that thinks before it says a word."""
WITHIN = 60.0


class Trial(NamedTuple):
    """``seconds`` until the end of the answer, ``first_seconds`` until its beginning. ``cost_usd`` None: unknown."""

    name: str
    text: str
    seconds: float
    first_seconds: float
    usage: Usage
    cost_usd: float | None


async def trial(app: App, *, model: str = "") -> Trial:
    """Asks once, without fallbacks.

    Raises:
        HermesError: it cannot be asked, or does not answer.
    """
    target = await app.router.target(app.scope, model=model)
    await app.plugins.start()
    clock = app.clock

    async def write(_target: Target, shorter: bool) -> ModelRequest | None:
        return None if shorter else request

    request = ModelRequest(
        id=f"trial-{int(clock.now() * 1000):x}",
        session_id="",
        turn_id="",
        endpoint=target.endpoint,
        model=target.model,
        messages=(Message(role="user", parts=(TextPart(text=PROMPT),)),),
        max_tokens=MOST_TOKENS,
        timeout=WITHIN,
    )
    started, first = clock.monotonic(), 0.0
    ask = app.router.ask(target, [], write, app.plugins.hooks)
    async with aclosing(ask.events()) as events:  # type: ignore[type-var]
        async for _ in events:
            first = first or clock.monotonic() - started
    usage = sum((spent.usage for spent in ask.spent), start=Usage())
    costs = [spent.cost_usd for spent in ask.spent]
    cost = None if None in costs else sum(cost for cost in costs if cost is not None)
    seconds = clock.monotonic() - started
    return Trial(ask.target.name, text_of(ask.answer.parts()), seconds, first, usage, cost)
