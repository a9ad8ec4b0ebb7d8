"""The fixtures together, as an author uses them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from hermes import App, TurnFinished, hookimpl
from hermes_testkit.scripted import ScriptedModel, SetClock, collect, say


class Greets:
    name = "greets"

    @hookimpl
    def pre_llm_call(self) -> str:
        return " (be polite)"


def test_a_plugin_is_tried_on_a_fresh_app(
    home: Path, clock: SetClock, scripted_model: ScriptedModel, fresh_app: Callable[..., App]
) -> None:
    scripted_model.queue.append(say("Good morning."))

    async def run() -> None:
        async with fresh_app(Greets(), clock=clock) as app:
            conversation = await app.conversation()
            events = await collect(conversation.send("Hello"))
            finished = events[-1]
            assert isinstance(finished, TurnFinished)
            assert (finished.text, finished.at) == ("Good morning.", clock.now())

    asyncio.run(run())
    assert (home / "state.db").exists()
    assert "be polite" in str(scripted_model.requests[0].messages[-1].parts)
