"""A message that comes while a turn is ending is neither lost nor left without an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from hermes import AnyEvent, Conversation, MessageQueued, TurnFinished, hookimpl, text_of
from hermes_testkit.scripted import ScriptedModel, collect, make_app, say


class Late:
    """Sends a second message from within a hook of the first one's turn: ``hook`` says from which."""

    name = "late"

    def __init__(self, hook: str, *, steer: bool) -> None:
        self.hook = hook
        self.steer = steer
        self.conversation: Conversation
        self.sending: asyncio.Task[list[AnyEvent]] | None = None

    async def _send(self, hook: str) -> None:
        """Goes on as soon as the message has been taken."""
        if hook != self.hook or self.sending is not None:
            return
        taken = asyncio.Event()

        async def send() -> list[AnyEvent]:
            events = []
            async for event in self.conversation.send("late", steer=self.steer):
                events.append(event)
                if isinstance(event, MessageQueued):
                    taken.set()
            return events

        self.sending = asyncio.create_task(send())
        await taken.wait()

    @hookimpl
    async def on_turn_end(self) -> None:
        await self._send("on_turn_end")

    @hookimpl
    async def post_llm_call(self) -> None:
        await self._send("post_llm_call")


def run(work: Callable[[], Awaitable[Any]]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(30):
            return await work()

    return asyncio.run(bounded())


@pytest.mark.parametrize("steer", [False, True])
@pytest.mark.parametrize("hook", ["on_turn_end", "post_llm_call"])
def test_a_message_that_comes_while_a_turn_ends_is_answered(tmp_path: Path, hook: str, steer: bool) -> None:
    async def work() -> None:
        model, late = ScriptedModel([say("first"), say("second")]), Late(hook, steer=steer)
        async with make_app(tmp_path, late, model=model) as app:
            late.conversation = await app.conversation()
            await collect(late.conversation.send("early"))
            assert late.sending is not None
            finished = [event for event in await late.sending if isinstance(event, TurnFinished)]
            assert finished[-1].text == "second"
            assert [text_of(message.parts) for message in model.requests[-1].messages] == ["early", "first", "late"]

    run(work)


def test_a_message_that_comes_after_the_last_look_into_the_inbox_is_answered(tmp_path: Path) -> None:
    """Nobody looks there any more, and the turn's task is not over yet: it writes the transcript."""

    async def work() -> None:
        model = ScriptedModel([say("first"), say("second")])
        async with make_app(tmp_path, model=model) as app:
            conversation = await app.conversation()
            sending: list[asyncio.Task[list[AnyEvent]]] = []
            release = app.store.release

            async def release_late(lease: Any) -> Any:
                if not sending:
                    sending.append(asyncio.create_task(collect(conversation.send("late"))))
                    async for event in app.events(conversation.id, follow=True):
                        if isinstance(event, MessageQueued):
                            break
                return await release(lease)

            app.store.release = release_late  # type: ignore[method-assign]
            await collect(conversation.send("early"))
            finished = [event for event in await sending[0] if isinstance(event, TurnFinished)]
            assert finished[-1].text == "second"

    run(work)
