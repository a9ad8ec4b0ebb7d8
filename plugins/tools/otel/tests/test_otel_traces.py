"""What a collector is told of turns, through a whole app and real HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics

from hermes import (
    App,
    AuthenticationFailed,
    InputRequested,
    ModelFinished,
    NewSession,
    Overloaded,
    PluginContext,
    TextDelta,
    ToolStarted,
    TurnFinished,
    TurnSuspended,
    Usage,
    UsageUpdate,
    tool,
)
from hermes_plugin_otel.conventions import provider_name
from hermes_testkit.model_server import Call, Fail, ModelServer
from hermes_testkit.scripted import ScriptedModel, SetClock, call, collect, make_app, say

SECRET = "a-secret-that-the-model-knows"
CACHED = Usage(input_tokens=100, output_tokens=40, cache_read_tokens=800, cache_write_tokens=50, reasoning_tokens=30)
MakeApp = Callable[..., App]


class Tools:
    name = "tools"

    def __init__(self) -> None:
        self.both = asyncio.Barrier(2)
        self.never = asyncio.Event()
        self.inner: Callable[[], Any] | None = None

    @tool(risk="read", effects="none")
    async def look(self, where: str = "") -> str:
        """Look."""
        return f"seen {where}"

    @tool(risk="read", effects="none")
    async def meet(self, who: str) -> str:
        """Wait for another."""
        async with asyncio.timeout(30):
            await self.both.wait()
        return who

    @tool(risk="read")
    async def fail(self) -> str:
        """Fail."""
        raise RuntimeError(SECRET)

    @tool(risk="read")
    async def hang(self) -> str:
        """Hang."""
        await self.never.wait()
        return "released"

    @tool(risk="write")
    async def keep(self, text: str = "") -> str:
        """Keep."""
        return "kept"

    @tool(risk="write", executor="client")
    async def paint(self, colour: str) -> str:
        """Paint, in the front end."""
        raise AssertionError("the front end does")

    @tool(risk="read")
    async def around(self, ctx: PluginContext) -> str:
        """Call another."""
        return (await ctx.call_tool("look", {"where": "inside"})).text

    @tool(risk="read")
    async def delegate(self) -> str:
        """Have another session do it."""
        assert self.inner is not None
        await self.inner()
        return "done by another"


@pytest.fixture
def tools() -> Tools:
    return Tools()


@pytest.fixture
def make(tmp_path: Path, collector: Any, tools: Tools) -> MakeApp:
    """An app that sends to the collector. Arguments: what the model says; ``section``: further settings."""

    def make(*replies: Any, section: dict[str, Any] | None = None, **options: Any) -> App:
        settings = {"endpoint": collector.url, "flush_seconds": 30, **(section or {})}
        return make_app(
            tmp_path / "home",
            tools,
            model=ScriptedModel(replies),
            only=("otel",),
            overrides={"otel": settings},
            **options,
        )

    return make


async def turn(app: App, text: str = "go", **options: Any) -> Any:
    """The last event of a turn in a new session."""
    return (await collect((await app.conversation(**options)).send(text)))[-1]


def run(app: App, **options: Any) -> Any:
    async def work() -> Any:
        async with app:
            return await turn(app, **options)

    return asyncio.run(work())


def test_a_turn_is_a_tree_of_model_calls_and_tools(make: MakeApp, collector: Any) -> None:
    end = run(make(say("", call("look", where="a")), say("Done.")), surface="test")
    root = collector.one("invoke_agent hermes")
    assert root.parent == ""
    assert root.attributes["gen_ai.operation.name"] == "invoke_agent"
    assert root.attributes["gen_ai.conversation.id"] == end.session_id
    assert (root.attributes["hermes.turn.id"], root.attributes["hermes.surface"]) == (end.turn_id, "test")
    assert (root.attributes["hermes.turn.outcome"], root.attributes["hermes.turn.model_calls"]) == ("done", 2)
    assert root.attributes["gen_ai.usage.input_tokens"] == 20
    first, second = collector.named("chat model-1")
    looked = collector.one("execute_tool look")
    assert len(collector.spans) == 4
    for child in (first, looked, second):
        assert (child.trace, child.parent) == (root.trace, root.id)
    assert (
        root.start <= first.start <= first.end <= looked.start <= looked.end <= second.start <= second.end <= root.end
    )
    assert {span.status for span in collector.spans} == {Status.STATUS_CODE_UNSET}


def test_a_model_call_has_the_conventions_attributes(make: MakeApp, collector: Any) -> None:
    answer = [
        TextDelta(text="Yes."),
        UsageUpdate(usage=CACHED),
        ModelFinished(reason="stop", model="model-1-2026", request_id="req-7"),
    ]
    end = run(make(answer))
    span = collector.one("chat model-1")
    assert span.kind == Span.SPAN_KIND_CLIENT
    first = span.attributes.pop("gen_ai.response.time_to_first_chunk")
    assert 0 < first < span.end - span.start
    assert span.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "scripted",
        "gen_ai.request.model": "model-1",
        "gen_ai.request.stream": True,
        "gen_ai.conversation.id": end.session_id,
        "gen_ai.response.model": "model-1-2026",
        "gen_ai.response.id": "req-7",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 950,
        "gen_ai.usage.output_tokens": 40,
        "gen_ai.usage.cache_read.input_tokens": 800,
        "gen_ai.usage.cache_creation.input_tokens": 50,
        "gen_ai.usage.reasoning.output_tokens": 30,
        "hermes.model_call.attempt": 1,
    }


def test_every_name_is_one_of_the_conventions_or_ours(make: MakeApp, collector: Any) -> None:
    replies = [say("", call("look"), call("keep"), call("fail")), Overloaded("busy", status=503), say("Done.")]
    run(make(*([reply] if isinstance(reply, Exception) else reply for reply in replies)))
    known = {value for name, value in vars(gen_ai_attributes).items() if name.startswith("GEN_AI_")}
    others = {"error.type", "server.address", "server.port", "http.response.status_code"}
    points = [point for metric in collector.metrics.values() for point in metric]
    used = {name for seen in (*collector.spans, *points) for name in seen.attributes}
    assert {name for name in used if not name.startswith("hermes.")} <= known | others
    metrics = {value for name, value in vars(gen_ai_metrics).items() if name.startswith("GEN_AI_")}
    assert {name for name in collector.metrics if not name.startswith("hermes.")} <= metrics
    assert len(collector.metrics) == 3


@pytest.mark.parametrize(
    ("provider", "host", "name"),
    [
        ("mine", "api.openai.com", "openai"),
        ("mine", "bedrock-runtime.eu-west-1.amazonaws.com", "aws.bedrock"),
        ("mine", "generativelanguage.googleapis.com", "gcp.gemini"),
        ("mine", "us-central1-aiplatform.googleapis.com", "gcp.vertex_ai"),
        ("mine", "house.openai.azure.com", "azure.ai.openai"),
        ("mine", "notapi.openai.com.example", "mine"),
        ("mine", "", "mine"),
    ],
)
def test_providers_are_called_as_the_conventions_do(provider: str, host: str, name: str) -> None:
    assert provider_name(provider, host) == name


def test_where_a_model_is_and_why_it_failed_is_told(
    collector: Any, hermes_with_model: Any, model_server: ModelServer
) -> None:
    """Through the command line, with a model over real HTTP."""
    hermes_with_model.use(model_server.url, otel={"endpoint": collector.url, "flush_seconds": 30})
    (hermes_with_model.workspace / "a.txt").write_text("seven\n")
    model_server.script(Fail(503, headers={"Retry-After": "0"}), Call("read_file", {"path": "a.txt"}), "It says seven.")
    ran = hermes_with_model("-z", "What does a.txt say?")
    assert (ran.code, ran.out, ran.err) == (0, "It says seven.\n", "")
    failed, asked, answered = sorted(collector.named("chat test-model"), key=lambda span: span.start)
    for span in (failed, asked, answered):
        assert span.attributes["server.address"] == "127.0.0.1"
        assert span.attributes["server.port"] == int(model_server.url.split(":")[2].split("/")[0])
        assert span.parent == collector.one("invoke_agent hermes").id
    assert (failed.attributes["error.type"], failed.status) == ("Overloaded", Status.STATUS_CODE_ERROR)
    assert failed.attributes["http.response.status_code"] == 503
    assert [span.attributes["hermes.model_call.attempt"] for span in (failed, asked, answered)] == [1, 2, 1]
    assert collector.one("execute_tool read_file").parent == collector.one("invoke_agent hermes").id


def test_calls_that_run_at_once_overlap(make: MakeApp, collector: Any) -> None:
    run(make(say("", call("meet", who="one"), call("meet", who="two")), say("Done.")))
    one, other = collector.named("execute_tool meet")
    assert one.parent == other.parent == collector.one("invoke_agent hermes").id
    assert one.attributes["gen_ai.tool.call.id"] != other.attributes["gen_ai.tool.call.id"]
    assert max(one.start, other.start) <= min(one.end, other.end)


def test_two_sessions_at_once_have_a_tree_each(make: MakeApp, collector: Any) -> None:
    """Each waits for the other's tool, so that their turns run at the same time."""

    async def work() -> list[Any]:
        async with make(say("", call("meet", who="a")), say("", call("meet", who="b")), say("A."), say("B.")) as app:
            return await asyncio.gather(turn(app), turn(app))

    ends = asyncio.run(work())
    roots = collector.named("invoke_agent hermes")
    assert {root.attributes["hermes.turn.id"] for root in roots} == {end.turn_id for end in ends}
    assert len({root.trace for root in roots}) == 2
    for root in roots:
        children = [span for span in collector.spans if span.parent == root.id]
        assert sorted(span.name for span in children) == ["chat model-1", "chat model-1", "execute_tool meet"]
        assert {span.trace for span in children} == {root.trace}
        chats = [span.attributes["gen_ai.conversation.id"] for span in children if span.name == "chat model-1"]
        assert set(chats) == {root.attributes["gen_ai.conversation.id"]}


def test_the_turns_of_a_session_are_traces_of_their_own(make: MakeApp, collector: Any) -> None:
    async def work() -> None:
        async with make(say("One."), say("Two.")) as app:
            conversation = await app.conversation()
            await collect(conversation.send("one"))
            await collect(conversation.send("two"))

    asyncio.run(work())
    one, two = collector.named("invoke_agent hermes")
    assert one.trace != two.trace
    assert one.attributes["gen_ai.conversation.id"] == two.attributes["gen_ai.conversation.id"]


def test_a_turn_that_fails_says_why(make: MakeApp, collector: Any) -> None:
    end = run(make([AuthenticationFailed(f"no such key: {SECRET}", status=401)]))
    assert end.outcome == "failed"
    root, chat = collector.one("invoke_agent hermes"), collector.one("chat model-1")
    for span in (root, chat):
        assert (span.attributes["error.type"], span.status) == ("AuthenticationFailed", Status.STATUS_CODE_ERROR)
        assert span.status_message == ""
    (point,) = collector.metrics["gen_ai.client.operation.duration"]
    assert point.attributes["error.type"] == "AuthenticationFailed"


def test_a_tool_that_fails_is_an_error_and_the_turn_is_none(make: MakeApp, collector: Any) -> None:
    run(make(say("", call("fail")), say("Done.")))
    failed = collector.one("execute_tool fail")
    assert (failed.attributes["error.type"], failed.status) == ("tool_error", Status.STATUS_CODE_ERROR)
    assert collector.one("invoke_agent hermes").status == Status.STATUS_CODE_UNSET


def test_what_was_stopped_is_ended(make: MakeApp, collector: Any) -> None:
    async def work() -> None:
        async with make(say("", call("hang"))) as app:
            conversation = await app.conversation()
            async for event in conversation.send("go"):
                if isinstance(event, ToolStarted):
                    conversation.interrupt()

    asyncio.run(work())
    stopped, root = collector.one("execute_tool hang"), collector.one("invoke_agent hermes")
    assert (stopped.attributes["error.type"], stopped.parent) == ("interrupted", root.id)
    assert (root.attributes["hermes.turn.outcome"], root.status) == ("interrupted", Status.STATUS_CODE_UNSET)
    assert [point.attributes["hermes.tool.outcome"] for point in collector.metrics["hermes.tool.calls"]] == [
        "interrupted"
    ]


def test_a_refused_call_is_an_event_of_the_turn(make: MakeApp, collector: Any) -> None:
    end = run(make(say("", call("keep"), call("look")), say("Done.")))
    assert isinstance(end, TurnFinished)
    (name, attributes), *others = collector.one("invoke_agent hermes").events
    assert (name, attributes["gen_ai.tool.name"], others) == ("hermes.tool.refused", "keep", [])
    assert not collector.named("execute_tool keep")


@pytest.mark.parametrize(("answer", "ran"), [("once", 1), ("deny", 0)])
def test_an_approval_is_a_span_over_the_wait(
    make: MakeApp, collector: Any, clock: SetClock, answer: str, ran: int
) -> None:
    async def work() -> None:
        async with make(say("", call("keep")), say("Done."), clock=clock) as app:
            conversation = await app.conversation(asking="inline")
            async for event in conversation.send("go"):
                if isinstance(event, InputRequested):
                    clock.advance(42)
                    await conversation.answer(event.request.id, answer)

    asyncio.run(work())
    root, waited = collector.one("invoke_agent hermes"), collector.one("approve keep")
    assert (waited.parent, waited.trace) == (root.id, root.trace)
    assert waited.attributes["hermes.approval.answer"] == answer
    assert waited.attributes["hermes.approval.waited"] == pytest.approx(42)
    assert waited.end - waited.start == pytest.approx(42)
    assert len(collector.named("execute_tool keep")) == ran
    (point,) = collector.metrics["hermes.approvals"]
    assert point == ({"gen_ai.tool.name": "keep", "hermes.approval.answer": answer}, 1, 0, ())


def test_an_approval_that_nobody_gives_is_told(make: MakeApp, collector: Any) -> None:
    async def work() -> None:
        async with make(say("", call("keep"))) as app:
            conversation = await app.conversation(asking="inline")
            async for event in conversation.send("go"):
                if isinstance(event, InputRequested):
                    conversation.interrupt()

    asyncio.run(work())
    assert collector.one("approve keep").attributes["hermes.approval.answer"] == "none"
    (point,) = collector.metrics["hermes.approvals"]
    assert (point.attributes["hermes.approval.answer"], point.total) == ("none", 1)


@pytest.mark.parametrize("elsewhere", [False, True], ids=["in the same app", "in another app"])
def test_a_turn_that_waits_stays_one_tree(make: MakeApp, collector: Any, elsewhere: bool) -> None:
    async def finish(app: App, waiting: TurnSuspended) -> None:
        conversation = await app.conversation(waiting.session_id, asking="later")
        assert await conversation.answer(waiting.requests[0].id, "once")
        async for _ in app.events(waiting.session_id, after=waiting.seq, follow=True):
            pass

    async def work() -> None:
        async with make(say("", call("keep"), call("look")), say("Done.")) as app:
            waiting = await turn(app, asking="later")
            assert isinstance(waiting, TurnSuspended)
            if not elsewhere:
                await finish(app, waiting)
        if elsewhere:
            async with make(say("Hello."), say("Done.")) as app:
                await turn(app, "hello")  # an app's plugins are active from its first turn on
                await finish(app, waiting)

    asyncio.run(work())
    stretches = [
        span for span in collector.named("invoke_agent hermes") if span.attributes["hermes.turn.outcome"] == "suspended"
    ]
    (root,) = stretches
    tree = [span for span in collector.spans if span.trace == root.trace]
    (rest,) = [span for span in tree if span.name == "invoke_agent hermes" and span.id != root.id]
    assert (root.parent, rest.parent, rest.attributes["hermes.turn.outcome"]) == ("", root.id, "done")
    by_parent = {(span.name, span.parent) for span in tree}
    assert ("execute_tool look", root.id) in by_parent
    assert ("execute_tool keep", rest.id) in by_parent
    assert ("approve keep", root.id) in by_parent
    assert len(tree) == 7
    assert not rest.events, "what ran before it waited was not refused"
    waited = next(span for span in tree if span.name == "approve keep")
    assert ("hermes.approval.waited" in waited.attributes) is not elsewhere


def test_a_tool_of_the_front_end_is_a_span_over_the_wait(make: MakeApp, collector: Any) -> None:
    async def work() -> None:
        async with make(say("", call("paint", colour="red")), say("Done.")) as app:
            conversation = await app.conversation(asking="later")
            waiting = (await collect(conversation.send("go")))[-1]
            for answer in ("once", '{"content": [{"type": "text", "text": "painted"}]}'):
                assert isinstance(waiting, TurnSuspended)
                assert await conversation.answer(waiting.requests[0].id, answer)
                waiting = [event async for event in app.events(waiting.session_id, after=waiting.seq, follow=True)][-1]

    asyncio.run(work())
    painted = collector.one("execute_tool paint")
    assert painted.attributes["hermes.tool.executor"] == "client"
    assert painted.trace == collector.one("approve paint").trace


def test_a_tool_that_a_plugin_calls_belongs_to_the_turn(make: MakeApp, collector: Any) -> None:
    run(make(say("", call("around")), say("Done.")))
    root = collector.one("invoke_agent hermes")
    inner, outer = collector.one("execute_tool look"), collector.one("execute_tool around")
    assert inner.parent == outer.parent == root.id
    assert outer.start <= inner.start <= inner.end <= outer.end


def test_a_session_that_another_one_started_is_linked_to_its_turn(make: MakeApp, collector: Any, tools: Tools) -> None:
    async def work() -> None:
        async with make(say("", call("delegate")), say("Inner."), say("Outer.")) as app:
            outer = await app.conversation()

            async def inner() -> None:
                record = NewSession(
                    id="child",
                    created=0.0,
                    surface="subagent",
                    principal=outer.session.principal,
                    parent_session=outer.id,
                )
                await app.store.create(record)
                await collect((await app.conversation("child", surface="subagent")).send("do it"))

            tools.inner = inner
            await collect(outer.send("go"))

    asyncio.run(work())
    inner, outer = sorted(collector.named("invoke_agent hermes"), key=lambda span: len(span.links), reverse=True)
    assert inner.attributes["gen_ai.conversation.id"] == "child"
    assert (inner.links, outer.links) == ([(outer.trace, outer.id)], [])


def test_metrics_count_tokens_durations_and_tools(make: MakeApp, collector: Any) -> None:
    answer = [TextDelta(text="Yes."), UsageUpdate(usage=CACHED), ModelFinished(reason="stop")]
    run(make(say("", call("look"), call("look"), call("fail"), call("keep")), answer))
    common = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "scripted",
        "gen_ai.request.model": "model-1",
    }
    tokens = {point.attributes["gen_ai.token.type"]: point for point in collector.metrics["gen_ai.client.token.usage"]}
    assert (tokens["input"].total, tokens["output"].total) == (960, 45)
    assert tokens["input"].attributes == {**common, "gen_ai.token.type": "input"}
    assert tokens["input"].bounds == tuple(4**power for power in range(14))
    (duration,) = collector.metrics["gen_ai.client.operation.duration"]
    assert (duration.attributes, duration.count) == (common, 2)
    assert duration.bounds == tuple(0.01 * 2**power for power in range(14))
    counted = {
        (point.attributes["gen_ai.tool.name"], point.attributes["hermes.tool.outcome"]): point.total
        for point in collector.metrics["hermes.tool.calls"]
    }
    assert counted == {("look", "ok"): 2, ("fail", "error"): 1, ("keep", "refused"): 1}


CONTENT = ("gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.tool.call.arguments", "gen_ai.tool.call.result")


def test_no_content_is_sent_unless_wanted(make: MakeApp, collector: Any) -> None:
    async def work() -> None:
        async with make(say("", call("look", where=SECRET), call("fail")), say(SECRET)) as app:
            await turn(app, SECRET)

    asyncio.run(work())
    assert len(collector.spans) == 5
    assert SECRET not in repr(collector.spans)
    assert not {name for span in collector.spans for name in span.attributes if name in CONTENT}


def test_content_is_sent_if_wanted(make: MakeApp, collector: Any) -> None:
    async def work() -> None:
        replies = say("", call("look", where="the attic")), say("A chest.")
        async with make(*replies, section={"capture_content": True}) as app:
            await turn(app, "What is there?")

    asyncio.run(work())
    looked = collector.one("execute_tool look").attributes
    assert json.loads(looked["gen_ai.tool.call.arguments"]) == {"where": "the attic"}
    assert looked["gen_ai.tool.call.result"] == "seen the attic"
    root = collector.one("invoke_agent hermes").attributes
    asked = [{"role": "user", "parts": [{"type": "text", "content": "What is there?"}]}]
    assert json.loads(root["gen_ai.input.messages"]) == asked
    assert json.loads(root["gen_ai.output.messages"])[0]["parts"] == [{"type": "text", "content": "A chest."}]
    first, second = collector.named("chat model-1")
    assert json.loads(first.attributes["gen_ai.input.messages"]) == asked
    (said,) = json.loads(first.attributes["gen_ai.output.messages"])
    assert (said["role"], said["finish_reason"], said["parts"][0]["name"]) == ("assistant", "tool_calls", "look")
    (given,) = json.loads(second.attributes["gen_ai.input.messages"])
    assert (given["role"], given["parts"][0]["response"]) == ("tool", "seen the attic")


def test_long_content_is_cut(make: MakeApp, collector: Any) -> None:
    run(make(say("x" * 100_000), section={"capture_content": True}))
    assert len(collector.one("chat model-1").attributes["gen_ai.output.messages"]) == 32_768
