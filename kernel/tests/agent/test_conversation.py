"""The loop, seen from a front end: messages in, events out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from hermes import (
    AnyEvent,
    App,
    Continue,
    Conversation,
    HermesError,
    HistoryQuery,
    ImagePart,
    InboxMessage,
    InputRequested,
    Message,
    MessageQueued,
    MessageReplaced,
    MessageStored,
    ModelRetry,
    Origin,
    Overloaded,
    PluginContext,
    Principal,
    RateLimited,
    SessionRef,
    StreamBroken,
    TextDelta,
    TextPart,
    ToolCallPart,
    ToolFinished,
    ToolOutput,
    ToolResultPart,
    ToolStarted,
    TurnFinished,
    TurnInfo,
    TurnStarted,
    TurnSuspended,
    Verdict,
    hookimpl,
    text_of,
    tool,
)
from hermes_testkit.scripted import ScriptedModel, call, collect, make_app, say


class Tools:
    """A tool of each kind, and a record of what ran."""

    name = "tools"

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.begun = asyncio.Event()
        self.hold = asyncio.Event()

    @tool(risk="read", effects="none")
    async def look(self, what: str) -> str:
        """Looks at something."""
        self.ran.append(f"look {what}")
        return f"saw {what}"

    @tool(risk="exec")
    async def change(self, what: str, ctx: PluginContext) -> str:
        """Changes something."""
        await ctx.output("changing\n")
        self.ran.append(f"change {what}")
        return f"changed {what}"

    @tool(risk="read", effects="none")
    def fails(self) -> str:
        """Fails."""
        raise ValueError("no luck")

    @tool(risk="read", effects="none")
    async def waits(self) -> str:
        """Waits until it is told to go on."""
        self.ran.append("waits")
        self.begun.set()
        await self.hold.wait()
        return "waited"


def run(work: Callable[[], Awaitable[Any]]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(30):
            return await work()

    return asyncio.run(bounded())


def of(events: list[AnyEvent], kind: type) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def results(model: ScriptedModel) -> list[str]:
    """The texts of the tool results that the model was sent last."""
    parts = [message.parts[0] for message in model.requests[-1].messages if message.role == "tool"]
    return [text_of(part.content) for part in parts if isinstance(part, ToolResultPart)]


def roles(messages: tuple[Message, ...]) -> list[str]:
    return [message.role for message in messages]


async def talk(app: App, *prompts: str, **options: Any) -> tuple[Conversation, list[AnyEvent]]:
    conversation = await app.conversation(**options)
    events: list[AnyEvent] = []
    for prompt in prompts:
        events += await collect(conversation.send(prompt))
    return conversation, events


def test_a_turn_streams_is_stored_and_counted(tmp_path: Path) -> None:
    async def work() -> None:
        model = ScriptedModel([say("Hello you.")])
        async with make_app(tmp_path, model=model) as app:
            conversation, events = await talk(app, "hi")
            (finished,) = of(events, TurnFinished)
            assert (finished.outcome, finished.text, finished.usage.total_tokens) == ("done", "Hello you.", 15)
            assert [event.seq for event in events] == sorted({event.seq for event in events})
            assert {event.session_id for event in events} == {conversation.id}
            record = await app.store.get(SessionRef(session_id=conversation.id))
            assert (record.message_count, record.outcome, record.api_calls) == (2, "done", 1)
            assert (record.provider, record.model) == ("scripted", "model-1")

    run(work)


def test_tool_results_come_back_in_call_order_with_their_ids(tmp_path: Path) -> None:
    async def work() -> None:
        calls = (call("look", what="a"), call("fails"), call("look", what="b"))
        model = ScriptedModel([say("", *calls), say("done")])
        async with make_app(tmp_path, tools := Tools(), model=model) as app:
            _, events = await talk(app, "go")
            assert results(model) == ["saw a", "The tool failed: ValueError: no luck", "saw b"]
            sent = [message.parts[0] for message in model.requests[-1].messages if message.role == "tool"]
            assert [part.call_id for part in sent if isinstance(part, ToolResultPart)] == [part.id for part in calls]
            assert len(of(events, ToolStarted)) == len(of(events, ToolFinished)) == 3
            assert sorted(tools.ran) == ["look a", "look b"]

    run(work)


@pytest.mark.parametrize(
    ("bad", "answer"),
    [
        (call("lok", what="a"), 'There is no tool "lok". Did you mean "look"?'),
        (ToolCallPart(id="1", name="look", arguments="{broken"), "The arguments are not a JSON object"),
        (ToolCallPart(id="1", name="look", arguments="[1]"), "The arguments are not a JSON object"),
        (call("look"), "Wrong arguments: Object missing required field `what`"),
        (call("look", what="a", more=1), "Wrong arguments: Object contains unknown field `more`"),
        (call("look", what=[1]), "Wrong arguments: Expected `str`, got `array`"),
    ],
)
def test_a_wrong_call_is_explained_to_the_model(tmp_path: Path, bad: ToolCallPart, answer: str) -> None:
    async def work() -> None:
        model = ScriptedModel([say("", bad), say("sorry")])
        async with make_app(tmp_path, tools := Tools(), model=model) as app:
            await talk(app, "go")
            assert results(model)[0].startswith(answer)
            assert not tools.ran

    run(work)


def test_without_a_guard_only_reading_is_allowed_and_the_reason_is_true(tmp_path: Path) -> None:
    async def work() -> None:
        model = ScriptedModel([say("", call("change", what="x")), say("I could not.")])
        async with make_app(tmp_path, tools := Tools(), model=model) as app:
            _, events = await talk(app, "go")
            assert not tools.ran
            (text,) = results(model)
            assert "in this run nobody can be asked" in text
            assert "user" not in text
            (finished,) = of(events, TurnFinished)
            assert (finished.outcome, finished.text) == ("denied", "I could not.")
            assert "nobody can be asked" in finished.error.message

    run(work)


def test_a_denial_that_the_model_recovers_from_is_no_failure(tmp_path: Path) -> None:
    async def work() -> None:
        model = ScriptedModel([say("", call("change", what="x")), say("", call("look", what="x")), say("so")])
        async with make_app(tmp_path, Tools(), model=model) as app:
            _, events = await talk(app, "go")
            assert of(events, TurnFinished)[0].outcome == "done"

    run(work)


@pytest.mark.parametrize(("answer", "ran"), [("once", True), ("deny", False)])
def test_a_person_who_is_there_is_asked_inline(tmp_path: Path, answer: str, ran: bool) -> None:
    async def work() -> None:
        model = ScriptedModel([say("", call("change", what="x")), say("so")])
        async with make_app(tmp_path, tools := Tools(), model=model) as app:
            conversation = await app.conversation(asking="inline")
            async for event in conversation.send("go"):
                if isinstance(event, InputRequested):
                    assert event.request.tool == "change"
                    assert await conversation.answer(event.request.id, answer)
                    assert not await conversation.answer(event.request.id, "once"), "the first answer counts"
            assert bool(tools.ran) is ran
            if not ran:
                assert results(model) == ["Not run: the user declined."]

    run(work)


class Asks:
    """A guard that asks, for a moment."""

    name = "asks"

    @hookimpl
    def pre_tool_call(self) -> Verdict:
        return Verdict(decision="ask", reason="I want to know", key="k", timeout=0.05)


def test_silence_is_a_no_that_says_what_it_was(tmp_path: Path) -> None:
    async def work() -> None:
        model = ScriptedModel([say("", call("look", what="x")), say("so")])
        async with make_app(tmp_path, tools := Tools(), Asks(), model=model) as app:
            await talk(app, "go", asking="inline")
            assert results(model) == ["Not run: it needs approval, and nobody answered within 0 s."]
            assert not tools.ran

    run(work)


def test_a_turn_waits_across_a_restart_and_goes_on_with_the_answer(tmp_path: Path) -> None:
    async def work() -> None:
        calls = (call("look", what="a"), call("change", what="x"))
        async with make_app(tmp_path, first := Tools(), model=ScriptedModel([say("", *calls)])) as app:
            conversation, events = await talk(app, "go", asking="later")
            (suspended,) = of(events, TurnSuspended)
            session_id, seq = conversation.id, suspended.seq
            assert first.ran == ["look a"]
        model = ScriptedModel([say("all done")])
        async with make_app(tmp_path, second := Tools(), model=model) as app:
            conversation = await app.conversation(session_id, asking="later")
            (request,) = suspended.requests
            with pytest.raises(HermesError, match="may not answer"):
                await conversation.answer(request.id, "once", by=Principal(id="stranger"))
            with pytest.raises(HermesError, match="none of"):
                await conversation.answer(request.id, "perhaps")
            assert await conversation.answer(request.id, "once")
            events = await collect(app.events(session_id, after=seq, follow=True))
            assert of(events, TurnFinished)[0].text == "all done"
            assert second.ran == ["change x"], "what had run is not run again"
            assert results(model) == ["saw a", "changed x"]

    run(work)


def test_going_on_without_an_answer_gives_the_waiting_calls_a_result(tmp_path: Path) -> None:
    async def work() -> None:
        model = ScriptedModel([say("", call("change", what="x")), say("fine")])
        async with make_app(tmp_path, tools := Tools(), model=model) as app:
            conversation, events = await talk(app, "go", "never mind", asking="later")
            assert results(model) == ["Not run: it waited for an answer, and the user went on without giving one."]
            (request,) = of(events, TurnSuspended)[0].requests
            assert not await conversation.answer(request.id, "once")
            assert not tools.ran

    run(work)


def test_an_interrupt_keeps_what_came(tmp_path: Path) -> None:
    async def work() -> None:
        endless = [TextDelta(text=f"{number} ") for number in range(100_000)]
        model = ScriptedModel([endless, say("again")])  # type: ignore[list-item]
        async with make_app(tmp_path, model=model) as app:
            conversation = await app.conversation()
            events = []
            async for event in conversation.send("count"):
                events.append(event)
                if isinstance(event, TextDelta) and event.text == "20 ":
                    conversation.interrupt()
            assert events[-1].outcome == "interrupted"  # type: ignore[union-attr]
            await collect(conversation.send("go on"))
            kept = model.requests[-1].messages[1]
            assert text_of(kept.parts).startswith("0 1 2 ")
            assert kept.finish == "interrupted"

    run(work)


def test_an_interrupted_tool_has_a_result_that_says_so(tmp_path: Path) -> None:
    async def work() -> None:
        model = ScriptedModel([say("", call("look", what="a"), call("waits")), say("ok")])
        async with make_app(tmp_path, tools := Tools(), model=model) as app:
            conversation = await app.conversation()
            events = []
            async for event in conversation.send("go"):
                events.append(event)
                if isinstance(event, ToolFinished):
                    conversation.interrupt()
            assert events[-1].outcome == "interrupted"  # type: ignore[union-attr]
            await collect(conversation.send("and?"))
            assert results(model) == ["saw a", "Interrupted. It is safe to call again."]
            assert tools.ran.count("waits") == 1

    run(work)


def test_a_second_message_is_queued_behind_the_turn(tmp_path: Path) -> None:
    async def work() -> None:
        model = ScriptedModel([say("", call("waits")), say("first"), say("second")])
        async with make_app(tmp_path, tools := Tools(), model=model) as app:
            conversation = await app.conversation()
            events = []
            async for event in conversation.send("one"):
                events.append(event)
                if isinstance(event, ToolStarted):
                    other = asyncio.create_task(collect(conversation.send("two")))
                    await asyncio.sleep(0)
                    tools.hold.set()
            queued = await other
            assert of(queued, MessageQueued)
            watched = await collect(app.events(conversation.id, after=events[-1].seq, follow=True))
            assert of([*queued, *watched], TurnFinished)[-1].text == "second"
            history = (await app.store.history(HistoryQuery(session_id=conversation.id))).messages
            assert roles(history) == ["user", "assistant", "tool", "assistant", "user", "assistant"]

    run(work)


def test_steering_reaches_the_model_between_two_steps(tmp_path: Path) -> None:
    async def work() -> None:
        model = ScriptedModel([say("", call("waits")), say("turned")])
        async with make_app(tmp_path, tools := Tools(), model=model) as app:
            conversation = await app.conversation()
            async for event in conversation.send("one"):
                if isinstance(event, ToolStarted):
                    steering = asyncio.create_task(collect(conversation.send("left!", steer=True)))
                    await asyncio.sleep(0)
                    tools.hold.set()
            await steering
            assert roles(model.requests[-1].messages) == ["user", "assistant", "tool", "user"]
            assert text_of(model.requests[-1].messages[-1].parts) == "left!"

    run(work)


def test_a_transient_failure_is_tried_again_and_told(tmp_path: Path) -> None:
    async def work() -> None:
        cut = [TextDelta(text="half an ans"), StreamBroken("cut", provider="scripted")]
        model = ScriptedModel([[Overloaded("busy")], cut, say("whole answer")])  # type: ignore[list-item]
        async with make_app(tmp_path, model=model, jitter=lambda: 0.0) as app:
            _, events = await talk(app, "go")
            assert [event.restart for event in of(events, ModelRetry)] == [False, True]
            assert of(events, TurnFinished)[0].text == "whole answer"
            assert len(model.requests) == 3

    run(work)


def test_a_rate_limited_single_key_falls_back_at_once(tmp_path: Path) -> None:
    async def work() -> None:
        model = ScriptedModel([[RateLimited("slow down", retry_after=30)], say("from the other"), say("first again")])
        overrides = {"fallback_providers": ["scripted:model-2"]}
        async with make_app(tmp_path, model=model, overrides=overrides) as app:
            _, events = await talk(app, "go", "and")
            (retry,) = of(events, ModelRetry)
            assert (retry.seconds, retry.model) == (0.0, "model-2")
            assert [request.model for request in model.requests] == ["model-1", "model-2", "model-1"]

    run(work)


def test_a_lasting_failure_ends_the_turn_with_the_error(tmp_path: Path) -> None:
    async def work() -> None:
        model = ScriptedModel(lambda request: [Overloaded("busy", provider="scripted", status=529)])
        async with make_app(tmp_path, model=model, overrides={"agent": {"retries": 1}}, jitter=lambda: 0.0) as app:
            conversation, events = await talk(app, "go")
            (finished,) = of(events, TurnFinished)
            assert (finished.outcome, finished.error.kind, finished.error.status) == ("failed", "Overloaded", 529)
            record = await app.store.get(SessionRef(session_id=conversation.id))
            assert record.outcome == "failed"

    run(work)


def test_the_turns_model_calls_are_bounded(tmp_path: Path) -> None:
    async def work() -> None:
        model = ScriptedModel(lambda request: say("", call("look", what="again")))
        async with make_app(tmp_path, Tools(), model=model) as app:
            _, events = await talk(app, "go", max_turns=3)
            assert of(events, TurnFinished)[0].outcome == "over_budget"
            assert len(model.requests) == 3

    run(work)


class Plugin:
    """Adds context, replaces answers, keeps turns going."""

    name = "plugin"

    def __init__(self, *, keeps_going: bool = False) -> None:
        self._keeps_going = keeps_going

    @hookimpl
    def pre_llm_call(self, turn: TurnInfo) -> str:
        return f"[context for {turn.text}]"

    @hookimpl
    def post_llm_call(self, answer: Any) -> str:
        return str(answer.text).upper()

    @hookimpl
    def on_turn_end(self) -> Continue | None:
        return Continue(message="more") if self._keeps_going else None


def test_context_is_kept_as_sent_and_answers_are_replaced(tmp_path: Path) -> None:
    async def work() -> None:
        model = ScriptedModel([say("one"), say("two"), say("three")])
        async with make_app(tmp_path, Plugin(), model=model) as app:
            conversation, events = await talk(app, "a", "b")
            assert [event.text for event in of(events, MessageReplaced)] == ["ONE", "TWO"]
        async with make_app(tmp_path, model=model) as app:
            await talk(app, "c", session_id=conversation.id)
            sent = [text_of(message.parts) for message in model.requests[-1].messages]
            assert sent == ["a[context for a]", "ONE", "b[context for b]", "TWO", "c"]

    run(work)


def test_a_plugin_keeps_a_turn_going_three_times_at_most(tmp_path: Path) -> None:
    async def work() -> None:
        model = ScriptedModel()
        async with make_app(tmp_path, Plugin(keeps_going=True), model=model) as app:
            await talk(app, "go")
            assert len(model.requests) == 4

    run(work)


def test_a_message_that_came_before_is_not_taken_twice(tmp_path: Path) -> None:
    async def work() -> None:
        model = ScriptedModel()
        origin = Origin(platform="test", idempotency_key="m-1")
        async with make_app(tmp_path, model=model) as app:
            conversation = await app.conversation()
            await collect(conversation.send("once", origin=origin))
            with pytest.raises(HermesError, match="in the session already"):
                await collect(conversation.send("once", origin=origin))
            assert len(model.requests) == 1

    run(work)


def test_events_are_replayed_from_any_number_after_a_restart(tmp_path: Path) -> None:
    async def work() -> None:
        async with make_app(
            tmp_path, Tools(), model=ScriptedModel([say("", call("look", what="a")), say("end")])
        ) as app:
            conversation, live = await talk(app, "go")
        async with make_app(tmp_path) as app:
            replayed = await collect(app.events(conversation.id))
            lasting = (TurnStarted, MessageStored, TurnFinished)
            assert [event.seq for event in replayed] == [event.seq for event in live if isinstance(event, lasting)]
            half = replayed[len(replayed) // 2].seq
            rest = await collect(app.events(conversation.id, after=half))
            assert rest == [event for event in replayed if event.seq > half]

    run(work)


def test_what_a_running_tool_prints_is_told_as_it_comes(tmp_path: Path) -> None:
    async def work() -> None:
        model = ScriptedModel([say("", call("change", what="x")), say("so")])
        async with make_app(tmp_path, Tools(), model=model) as app:
            conversation = await app.conversation(asking="inline")
            order = []
            async for event in conversation.send("go"):
                order.append(type(event))
                if isinstance(event, InputRequested):
                    await conversation.answer(event.request.id, "once")
            assert order.index(ToolStarted) < order.index(ToolOutput) < order.index(ToolFinished)

    run(work)


def test_an_error_inside_the_kernel_ends_the_turn_and_is_told(tmp_path: Path) -> None:
    async def work() -> None:
        model = ScriptedModel([[RuntimeError("a bug in a provider")]])  # type: ignore[list-item]
        async with make_app(tmp_path, model=model) as app:
            _, events = await talk(app, "go")
            assert of(events, TurnFinished)[0].error.kind == "RuntimeError"

    run(work)


def test_an_answer_given_in_another_process_reaches_the_turn_that_waits(tmp_path: Path) -> None:
    async def work() -> None:
        model = ScriptedModel([say("", call("change", what="x")), say("so")])
        async with make_app(tmp_path, tools := Tools(), model=model) as here, make_app(tmp_path) as elsewhere:
            conversation = await here.conversation(asking="inline")
            async for event in conversation.send("go"):
                if isinstance(event, InputRequested):
                    other = await elsewhere.conversation(conversation.id)
                    assert await other.answer(event.request.id, "once")
            assert tools.ran == ["change x"]

    run(work)


def test_an_interrupt_ends_the_wait_for_another_process(tmp_path: Path) -> None:
    async def work() -> None:
        model = ScriptedModel([say("", call("waits")), say("first"), say("second")])
        async with make_app(tmp_path, tools := Tools(), model=model) as here, make_app(tmp_path) as elsewhere:
            conversation = await here.conversation()
            working = asyncio.create_task(collect(conversation.send("one")))
            await tools.begun.wait()
            other = await elsewhere.conversation(conversation.id)
            events = []
            async for event in other.send("two"):
                events.append(event)
                if isinstance(event, MessageQueued):
                    asyncio.get_running_loop().call_later(0.05, other.interrupt)
            assert events[-1].outcome == "interrupted"  # type: ignore[union-attr]
            tools.hold.set()
            await working
            followed = await collect(here.events(conversation.id, follow=True))
            assert of(followed, TurnFinished)[-1].text == "second", "the message is left to whoever has the session"

    run(work)


def test_an_image_is_not_lost_in_the_queue(tmp_path: Path) -> None:
    async def work() -> None:
        model = ScriptedModel([say("", call("waits")), say("first"), say("second")])
        image = ImagePart(media_type="image/png", data=b"png")
        async with make_app(tmp_path, tools := Tools(), model=model) as app:
            conversation = await app.conversation()
            async for event in conversation.send("one"):
                if isinstance(event, ToolStarted):
                    other = asyncio.create_task(collect(conversation.send([TextPart("two"), image])))
                    await asyncio.sleep(0)
                    tools.hold.set()
            await other
            assert model.requests[-1].messages[-1].parts == (TextPart("two"), image)

    run(work)


def test_a_message_that_waits_does_not_void_an_answered_approval(tmp_path: Path) -> None:
    async def work() -> None:
        model = ScriptedModel([say("", call("change", what="x")), say("changed"), say("and two")])
        async with make_app(tmp_path, tools := Tools(), model=model) as app:
            conversation = await app.conversation(asking="later")
            (suspended,) = of(await collect(conversation.send("one")), TurnSuspended)
            await app.store.enqueue(
                InboxMessage(session_id=conversation.id, text="two", principal=Principal(id="local"))
            )
            assert await conversation.answer(suspended.requests[0].id, "once")
            events = await collect(app.events(conversation.id, after=suspended.seq, follow=True))
            assert [event.text for event in of(events, TurnFinished)] == ["changed", "and two"]
            assert tools.ran == ["change x"]

    run(work)


def test_an_id_that_the_model_uses_again_is_asked_for_again(tmp_path: Path) -> None:
    def again(what: str) -> ToolCallPart:
        return ToolCallPart(id="call_0", name="change", arguments=f'{{"what": "{what}"}}')

    async def work() -> None:
        model = ScriptedModel([say("", again("one")), say("", again("two")), say("so")])
        async with make_app(tmp_path, tools := Tools(), model=model) as app:
            conversation = await app.conversation(asking="later")
            (first,) = of(await collect(conversation.send("go")), TurnSuspended)
            assert await conversation.answer(first.requests[0].id, "once")
            (second,) = of(await collect(app.events(conversation.id, after=first.seq, follow=True)), TurnSuspended)
            assert tools.ran == ["change one"], "the answer was for one call"
            assert await conversation.answer(second.requests[0].id, "deny")
            await collect(app.events(conversation.id, after=second.seq, follow=True))
            assert tools.ran == ["change one"]
            assert results(model) == ["changed one", "Not run: the user declined."]

    run(work)
