"""Models that plugins ask, with ``ctx.llm``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from hermes import BudgetExceeded, ImagePart, Message, PluginContext, TextPart, UsageQuery, hookimpl
from hermes_testkit.scripted import ScriptedModel, call, collect, make_app, say


async def ask_title(ctx: PluginContext, text: str) -> str:
    """Ask a model for a title."""
    answer = await ctx.llm("title", [Message(role="user", parts=(TextPart(text),))], max_tokens=50)
    return f"{answer.model}: {answer.text} ({answer.usage.output_tokens})"


class Titles:
    name = "titles"

    @hookimpl
    def register_tools(self, registry: Any) -> None:
        registry.add(ask_title, risk="read", effects="none")


def test_a_plugin_asks_the_sessions_own_model_and_it_is_booked_under_the_task(home: Path) -> None:
    model = ScriptedModel([say("", call("ask_title", text="name it")), say("A title"), say("done")])

    async def run() -> None:
        async with make_app(home, Titles(), model=model) as app:
            conversation = await app.conversation()
            await collect(conversation.send("go"))
            usage = await app.store.usage(UsageQuery(session_id=conversation.id))
            assert {(row.task, row.api_calls) for row in usage.sums} == {("main", 2), ("title", 1)}

    asyncio.run(run())
    asked, answered = model.requests[1], model.requests[2]
    assert (asked.max_tokens, asked.messages[-1].parts) == (50, (TextPart("name it"),))
    assert "scripted:model-1: A title (5)" in str(answered.messages[-1])


def test_a_task_has_a_model_of_its_own(home: Path) -> None:
    model = ScriptedModel([say("", call("ask_title", text="name it")), say("A title"), say("done")])
    settings = {"auxiliary": {"title": {"model": "model-2", "provider": "scripted", "max_tokens": 20}}}

    async def run() -> None:
        async with make_app(home, Titles(), model=model, overrides=settings) as app:
            await collect((await app.conversation()).send("go"))

    asyncio.run(run())
    assert (model.requests[1].model, model.requests[1].max_tokens) == ("model-2", 20)
    assert model.requests[2].model == "model-1"


def test_a_plugin_cannot_ask_for_ever(home: Path) -> None:
    model = ScriptedModel()
    settings = {"auxiliary": {"default": {"max_calls": 2}}}

    async def run() -> None:
        async with make_app(home, Titles(), model=model, overrides=settings) as app:
            await app.plugins.start()
            ctx = app.context("titles")
            question = [Message(role="user", parts=(TextPart("again"),))]
            assert (await ctx.llm("title", question)).text == "ok"
            await ctx.llm("other", question)
            with pytest.raises(BudgetExceeded, match="2 times"):
                await ctx.llm("title", question)

    asyncio.run(run())
    assert len(model.requests) == 2


PRICED = {
    "providers": {
        "scripted": {
            "models": [
                {"id": "model-1", "input_usd": 10.0, "output_usd": 10.0, "context_window": 9},
                {"id": "model-2", "input_usd": 1.0, "output_usd": 1.0, "context_window": 9},
                {"id": "blind", "input_usd": 0.1, "output_usd": 0.1, "context_window": 9, "inputs": []},
                {"id": "gone", "input_usd": 0.0, "output_usd": 0.0, "context_window": 9, "retires": "2020-01-01"},
                {"id": "unpriced", "context_window": 9},
            ]
        }
    }
}
PICTURE = Message(role="user", parts=(ImagePart(media_type="image/png", data=b"png"),))
WORDS = Message(role="user", parts=(TextPart("words"),))


@pytest.mark.parametrize(
    ("section", "message", "chosen"),
    [
        ({}, WORDS, "blind"),
        ({}, PICTURE, "model-2"),
        ({"model": "main"}, WORDS, "model-1"),
        ({"model": "model-2"}, WORDS, "model-2"),
    ],
)
def test_the_cheapest_that_can_do_it_is_asked(
    home: Path, section: dict[str, str], message: Message, chosen: str
) -> None:
    model = ScriptedModel()
    overrides = {**PRICED, "auxiliary": {"vision": section}}

    async def run() -> None:
        async with make_app(home, Titles(), model=model, overrides=overrides) as app:
            await app.plugins.start()
            await app.context("titles").llm("vision", [message])

    asyncio.run(run())
    assert model.requests[0].model == chosen


def test_what_a_task_costs_is_held_to_the_budget_and_booked(home: Path) -> None:
    model = ScriptedModel([say("", call("ask_title", text="name it")), say("A title"), say("done")])
    overrides = {**PRICED, "budget": {"session_tokens": 15}}

    async def run() -> tuple[str, list[float | None]]:
        async with make_app(home, Titles(), model=model, overrides=overrides) as app:
            conversation = await app.conversation()
            events = await collect(conversation.send("go"))
            usage = await app.store.usage(UsageQuery(session_id=conversation.id))
            return events[-1].outcome, [row.cost_usd for row in usage.sums]  # type: ignore[union-attr]

    assert asyncio.run(run()) == ("over_budget", [0.00015])
    assert len(model.requests) == 1, "the task was not asked for"
