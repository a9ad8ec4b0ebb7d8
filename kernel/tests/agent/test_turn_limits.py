"""What stops a model that goes in circles, costs too much, says nothing, or answers in the wrong shape."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from hermes import (
    AnyEvent,
    ContextOverflow,
    FitRequest,
    Fitted,
    MessageStored,
    ModelChange,
    ModelFinished,
    ModelRequest,
    ModelRetry,
    Notice,
    Overloaded,
    Provision,
    RateLimited,
    ResponseFormat,
    TextDelta,
    ToolCallPart,
    ToolCallReady,
    TurnFinished,
    Usage,
    UsageUpdate,
    hookimpl,
    text_of,
    tool,
)
from hermes.contracts.values import Done
from hermes_testkit.scripted import Reply, ScriptedModel, SetClock, call, collect, make_app, say

PRICED = {
    "providers": {
        "scripted": {
            "models": [
                {"id": "model-1", "context_window": 1000, "input_usd": 10.0, "output_usd": 10.0},
                {"id": "model-2", "context_window": 200, "input_usd": 1.0, "output_usd": 1.0},
                {"id": "model-3", "context_window": 100, "input_usd": 0.1, "output_usd": 0.1, "inputs": []},
            ]
        }
    }
}
"""An answer of `say`, 15 tokens, costs 150 millionths with the first model."""


class Tools:
    name = "tools"

    def __init__(self) -> None:
        self.ran = 0

    @tool(risk="read", effects="none")
    def fails(self, how: str = "") -> str:
        """Fails."""
        self.ran += 1
        raise ValueError("no luck")

    @tool(risk="read", effects="none")
    def looks(self) -> str:
        """Looks."""
        return "seen"


def turn(
    home: Path, model: ScriptedModel, *plugins: Any, overrides: dict[str, Any] | None = None, **options: Any
) -> tuple[TurnFinished, list[AnyEvent]]:
    async def work() -> list[AnyEvent]:
        async with make_app(home, *plugins, model=model, overrides=overrides, clock=SetClock()) as app:
            conversation = await app.conversation(**options)
            async with asyncio.timeout(30):
                return await collect(conversation.send("Go"))

    events = asyncio.run(work())
    finished = events[-1]
    assert isinstance(finished, TurnFinished)
    return finished, events


def error_of(finished: TurnFinished) -> str:
    assert finished.error is not None
    return f"{finished.error.message} {finished.error.hint}"


def test_a_call_that_fails_again_and_again_is_not_run_again_and_ends_the_turn(tmp_path: Path) -> None:
    tools = Tools()
    finished, _ = turn(tmp_path, ScriptedModel(lambda request: say("", call("fails", how="so"))), tools)
    assert tools.ran == 3
    assert finished.outcome == "failed"
    assert 'repeated the same call of "fails" 6 times' in error_of(finished)


def test_a_failing_call_is_run_again_when_something_was_done_in_between(tmp_path: Path) -> None:
    tools = Tools()
    rounds = [say("", call("fails")), say("", call("looks"))] * 5
    finished, _ = turn(tmp_path, ScriptedModel([*rounds, say("done")]), tools)
    assert tools.ran == 5
    assert finished.text == "done"


def test_an_answer_cut_within_a_call_is_explained_and_not_for_ever(tmp_path: Path) -> None:
    def cut(request: ModelRequest) -> Reply:
        half = ToolCallPart(id=f"call_{len(request.messages)}", name="looks", arguments='{"a": "hal')
        return [ToolCallReady(call=half), ModelFinished(reason="length")]

    model = ScriptedModel(cut)
    finished, events = turn(tmp_path, model, Tools())
    told = [
        event.message.parts[0] for event in events if isinstance(event, MessageStored) and event.message.role == "tool"
    ]
    assert "cut at the limit of its tokens" in str(told[0])
    assert len(model.requests) == 4
    assert "model.max_tokens" in error_of(finished)


def test_an_empty_answer_is_asked_for_again(tmp_path: Path) -> None:
    finished, events = turn(tmp_path, ScriptedModel([say(""), say("  \n"), say("here")]))
    assert finished.text == "here"
    assert len([event for event in events if isinstance(event, ModelRetry)]) == 2


def test_empty_answers_end_in_one_error(tmp_path: Path) -> None:
    model = ScriptedModel(lambda request: say(""))
    finished, _ = turn(tmp_path, model)
    assert "answered with nothing" in error_of(finished)
    assert len(model.requests) == 4


@pytest.mark.parametrize("answer", ['{"n": 7}', '```json\n{"n": 7}\n```'])
def test_an_answer_that_fits_the_schema_is_the_json(tmp_path: Path, answer: str) -> None:
    wanted = ResponseFormat(name="n", json_schema={"type": "object", "required": ["n"]})
    finished, _ = turn(tmp_path, ScriptedModel([say(answer)]), response_format=wanted)
    assert finished.text == '{"n": 7}'


def test_an_answer_that_does_not_fit_is_asked_for_again_twice(tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    wanted = ResponseFormat(name="n", json_schema=schema)
    model = ScriptedModel([say("seven"), say('{"n": "x"}'), say('{"n": 7}')])
    finished, _ = turn(tmp_path, model, response_format=wanted)
    assert finished.text == '{"n": 7}'
    assert "not JSON" in text_of(model.requests[1].messages[-1].parts)
    assert "$.n" in text_of(model.requests[2].messages[-1].parts)
    model = ScriptedModel(lambda request: say("seven"))
    finished, _ = turn(tmp_path, model, response_format=wanted)
    assert "does not fit the schema" in error_of(finished)
    assert len(model.requests) == 3


def test_an_answer_that_pauses_is_gone_on_with(tmp_path: Path) -> None:
    model = ScriptedModel([say("So far", reason="pause"), say(" and done.")])
    finished, _ = turn(tmp_path, model)
    assert finished.text == " and done."
    assert model.requests[1].messages[-1].role == "assistant"


@pytest.mark.parametrize(
    ("budget", "calls", "says"),
    [
        ({"turn_usd": 0.0004}, 3, "budget.turn_usd"),
        ({"session_tokens": 40}, 3, "45 of 40 tokens"),
        ({"day_usd": 0.0001}, 1, "$0.0001 of $0.0001 were spent today"),
        ({"day_tokens": 1, "turn_usd": 9}, 1, "budget.day_tokens"),
    ],
)
def test_a_budget_is_checked_before_each_call(tmp_path: Path, budget: dict[str, float], calls: int, says: str) -> None:
    model = ScriptedModel(lambda request: say("", call("looks")))
    finished, _ = turn(tmp_path, model, Tools(), overrides={**PRICED, "budget": budget})
    assert finished.outcome == "over_budget"
    assert len(model.requests) == calls
    assert says in error_of(finished)
    assert finished.error is not None
    assert finished.error.kind == "BudgetExceeded"


def test_a_day_begins_at_midnight(tmp_path: Path) -> None:
    overrides = {**PRICED, "budget": {"day_tokens": 15}}
    clock = SetClock()

    async def ask() -> str:
        async with make_app(tmp_path, overrides=overrides, clock=clock) as app:
            events = await collect((await app.conversation()).send("Go"))
            assert isinstance(events[-1], TurnFinished)
            return events[-1].outcome

    assert asyncio.run(ask()) == "done"
    assert asyncio.run(ask()) == "over_budget"
    clock.advance(24 * 3600)
    assert asyncio.run(ask()) == "done"


def test_what_a_call_cost_is_told_while_it_runs(tmp_path: Path) -> None:
    _, events = turn(tmp_path, ScriptedModel([say("hi")]), overrides=PRICED)
    assert [event.cost_usd for event in events if isinstance(event, UsageUpdate)] == [0.00015]


class Engine:
    """Keeps the last message when it is told that all of them are too long."""

    name = "engine"

    def __init__(self, *, shortens: bool = True) -> None:
        self.windows: list[int] = []
        self.asked: list[FitRequest] = []
        self._shortens = shortens

    @hookimpl
    def provide(self) -> list[Provision]:
        return [Provision("context_engine", "engine", lambda: self)]

    async def fit(self, request: FitRequest) -> Fitted:
        self.asked.append(request)
        if request.force and self._shortens:
            return Fitted(messages=request.messages[-1:], changed=True)
        return Fitted(messages=request.messages)

    async def model_changed(self, change: ModelChange) -> Done:
        self.windows.append(change.window)
        return Done()


async def _with_engine(home: Path, model: ScriptedModel, engine: Engine, **overrides: Any) -> list[AnyEvent]:
    async with make_app(home, engine, model=model, overrides={**PRICED, **overrides}, clock=SetClock()) as app:
        await app.plugins.start()
        conversation = await app.conversation()
        await collect(conversation.send("First"))
        return await collect(conversation.send("Second"))


def test_too_long_a_conversation_is_compressed_once(tmp_path: Path) -> None:
    model, engine = ScriptedModel([say("one"), [ContextOverflow("too long")], say("two")]), Engine()
    events = asyncio.run(_with_engine(tmp_path, model, engine))
    assert isinstance(events[-1], TurnFinished)
    assert events[-1].text == "two"
    assert [len(request.messages) for request in model.requests] == [1, 3, 1]


def test_a_conversation_that_stays_too_long_ends_in_a_clear_error(tmp_path: Path) -> None:
    script = [say("one"), [ContextOverflow("too long")], [ContextOverflow("too long")]]
    model = ScriptedModel(script)
    events = asyncio.run(_with_engine(tmp_path, model, Engine()))
    assert isinstance(events[-1], TurnFinished)
    assert events[-1].error is not None
    assert events[-1].error.kind == "ContextOverflow"
    model = ScriptedModel(script)
    asyncio.run(_with_engine(tmp_path / "b", model, Engine(shortens=False)))
    assert len(model.requests) == 2, "what cannot be made shorter is not sent again"


def test_a_fallback_is_told_to_the_context_engine_and_the_primary_returns(tmp_path: Path) -> None:
    limited = RateLimited("slow down")
    model, engine = ScriptedModel([[limited], say("one"), say("two")]), Engine()
    asyncio.run(_with_engine(tmp_path, model, engine, fallback_providers=["scripted:model-2"]))
    assert [request.model for request in model.requests] == ["model-1", "model-2", "model-1"]
    assert engine.windows == [1000, 200, 1000]


def test_a_fallback_that_cannot_be_reached_is_left_out_and_told(tmp_path: Path) -> None:
    model = ScriptedModel([[RateLimited("slow down")], say("ok")])
    overrides = {"fallback_providers": ["nobody:x", "scripted:model-2"]}
    finished, events = turn(tmp_path, model, overrides=overrides)
    assert (finished.text, finished.model) == ("ok", "model-2")
    (notice,) = [event for event in events if isinstance(event, Notice)]
    assert 'The fallback "nobody:x" is left out' in notice.text


def test_a_side_effect_is_not_repeated_when_the_model_fails_after_it(tmp_path: Path) -> None:
    tools = Tools()
    model = ScriptedModel([say("", call("fails")), [TextDelta(text="half"), Overloaded("oops")], say("done")])
    finished, events = turn(tmp_path, model, tools)
    assert (tools.ran, finished.text) == (1, "done")
    (retry,) = [event for event in events if isinstance(event, ModelRetry)]
    assert retry.restart, "what was shown of the failed answer is void"
    assert finished.usage == Usage(input_tokens=20, output_tokens=10)


def test_without_an_engine_the_earlier_turns_are_left_out_once(tmp_path: Path) -> None:
    long = "word " * 100
    model = ScriptedModel([*(say(long) for _ in range(6)), [ContextOverflow("too long")], say("ok")])

    async def work() -> list[AnyEvent]:
        async with make_app(tmp_path, model=model, clock=SetClock()) as app:
            conversation = await app.conversation()
            for number in range(6):
                await collect(conversation.send(f"Turn {number}"))
            return await collect(conversation.send("And now?"))

    events = asyncio.run(work())
    assert isinstance(events[-1], TurnFinished)
    assert events[-1].text == "ok"
    assert [event.step for event in events if isinstance(event, ModelRetry)] == ["compress"]
    whole, left = model.requests[-2].messages, model.requests[-1].messages
    assert (len(whole), len(left)) == (13, 5)
    assert text_of(left[0].parts).startswith("[Earlier messages were left out")
    assert text_of(left[0].parts).endswith("Turn 4")
    assert left[1:] == whole[9:]


def test_a_single_turn_that_is_too_long_is_a_clear_error(tmp_path: Path) -> None:
    model = ScriptedModel([[ContextOverflow("too long", hint="Start anew.")]])
    finished, _ = turn(tmp_path, model)
    assert (error_of(finished), len(model.requests)) == ("too long Start anew.", 1)


@pytest.mark.parametrize(("reason", "told"), [("length", "model.max_tokens"), ("refusal", "declined"), ("stop", "")])
def test_an_answer_that_only_looks_whole_is_told_of(tmp_path: Path, reason: str, told: str) -> None:
    finished, events = turn(tmp_path, ScriptedModel([say("half an ans", reason=reason)]))
    assert finished.text == "half an ans"
    notices = [event.text for event in events if isinstance(event, Notice)]
    assert [told in notice for notice in notices] == ([True] if told else [])
