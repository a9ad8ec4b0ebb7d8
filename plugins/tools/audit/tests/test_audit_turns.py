"""What a turn leaves on record, through a whole app."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hermes import (
    AnyEvent,
    App,
    Conversation,
    InputRequested,
    PluginContext,
    ToolCall,
    ToolStarted,
    TurnSuspended,
    Verdict,
    hookimpl,
    tool,
)
from hermes_plugin_audit.verify import verify
from hermes_testkit.scripted import ScriptedModel, call, collect, make_app, say

SECRET = "hunter2-hunter2-hunter2"
Records = Callable[[Path], list[dict[str, Any]]]


class Tools:
    name = "tools"

    def __init__(self) -> None:
        self.written: list[str] = []
        self.release = asyncio.Event()

    @tool(risk="read", effects="none", paths=("path",))
    async def look(self, path: str, word: str = "") -> str:
        """Look."""
        return f"seen {path}"

    @tool(risk="write", paths=("path",))
    async def keep(self, path: str, text: str) -> str:
        """Keep."""
        self.written.append(text)
        return "kept"

    @tool(risk="write", paths=("path",))
    async def drop(self, path: str) -> str:
        """Drop."""
        self.written.append(path)
        return "dropped"

    @tool(risk="read")
    async def fail(self) -> str:
        """Fail."""
        raise RuntimeError("broken")

    @tool(risk="read")
    async def hang(self) -> str:
        """Hang."""
        await self.release.wait()
        return "released"

    @tool(risk="read", effects="none")
    async def around(self, ctx: PluginContext, name: str = "look") -> str:
        """Call another."""
        return (await ctx.call_tool(name, {"path": "inner"})).text


class Denier:
    name = "denier"

    @hookimpl(tools=["keep"])
    async def pre_tool_call(self, call: ToolCall) -> Verdict:
        return Verdict(decision="deny", reason="never")


class Home:
    """An app with the plugin, on a home of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.folder = path / "plugin-data" / "audit"
        self.tools = Tools()
        self.told: list[str] = []

    def app(self, *replies: Any, plugins: tuple[Any, ...] = (), **section: Any) -> App:
        return make_app(
            self.path,
            self.tools,
            *plugins,
            model=ScriptedModel(replies),
            only=("audit",),
            overrides={"audit": section},
            notify=self.told.append,
        )

    def run(self, *replies: Any, plugins: tuple[Any, ...] = (), **section: Any) -> list[AnyEvent]:
        """One turn, in which nobody can be asked."""

        async def work() -> list[AnyEvent]:
            async with self.app(*replies, plugins=plugins, **section) as app:
                return await collect((await app.conversation(surface="test")).send("go"))

        return asyncio.run(work())

    @property
    def errors(self) -> str:
        file = self.path / "logs" / "errors.log"
        return file.read_text() if file.exists() else ""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


async def answer(conversation: Conversation, text: str) -> list[AnyEvent]:
    """Runs a turn, and answers whatever is asked."""
    events = []
    async for event in conversation.send("go"):
        events.append(event)
        if isinstance(event, InputRequested):
            await conversation.answer(event.request.id, text)
    return events


def test_a_call_is_on_record_before_it_runs_and_its_result_after(home: Home, records: Records) -> None:
    events = home.run(say("", call("look", path="a.txt", word=SECRET)), say("Done."))
    asked, result = records(home.folder)
    assert (asked["kind"], asked["tool"], asked["plugin"], asked["risk"]) == ("call", "look", "tools", "read")
    assert (asked["principal"], asked["surface"], asked["paths"]) == ("local", "test", {"path": "a.txt"})
    assert (asked["session"], asked["turn"]) == (events[-1].session_id, events[-1].turn_id)
    arguments = json.dumps({"path": "a.txt", "word": SECRET}, separators=(",", ":"))
    assert asked["arguments_hash"] == hashlib.sha256(arguments.encode()).hexdigest()
    assert (result["kind"], result["outcome"], result["call"]) == ("result", "done", asked["call"])
    assert result["result_hash"] == hashlib.sha256(b"seen a.txt").hexdigest()
    assert 0 <= result["seconds"] < 60
    assert verify(home.folder).problems == ()


def test_no_content_is_kept_unless_wanted(home: Home) -> None:
    home.run(say("", call("look", path="a.txt", word=SECRET)), say("Done."))
    text = (home.folder / "audit.jsonl").read_text()
    assert SECRET not in text
    assert "seen" not in text


def test_all_content_is_kept_if_wanted(home: Home, records: Records) -> None:
    home.run(say("", call("look", path="a.txt", word=SECRET)), say("Done."), arguments="full", results="full")
    asked, result = records(home.folder)
    assert asked["arguments"] == {"path": "a.txt", "word": SECRET}
    assert result["result"] == "seen a.txt"


def test_the_record_is_there_while_the_tool_runs(home: Home, records: Records) -> None:
    seen: list[list[str]] = []

    async def work() -> None:
        async with home.app(say("", call("hang")), say("Done.")) as app:
            async for event in (await app.conversation()).send("go"):
                if isinstance(event, ToolStarted):
                    seen.append([record["kind"] for record in records(home.folder)])
                    home.tools.release.set()

    asyncio.run(work())
    assert seen == [["call"]]
    assert [record["kind"] for record in records(home.folder)] == ["call", "result"]


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (call("fail"), [("call", None), ("result", "failed")]),
        (call("keep", path="a", text="b"), [("call", None), ("result", "not_run")]),
        (call("no_such_tool"), [("result", "not_run")]),
        (call("look", path=3), [("result", "not_run")]),
    ],
    ids=["fails", "nobody to ask", "no such tool", "wrong arguments"],
)
def test_what_became_of_a_call_is_told(home: Home, records: Records, made: Any, told: list[Any]) -> None:
    home.run(say("", made), say("Done."))
    assert [(record["kind"], record.get("outcome")) for record in records(home.folder)] == told


def test_what_another_guard_denies_is_on_record_and_did_not_run(home: Home, records: Records) -> None:
    home.run(say("", call("keep", path="a", text="b")), say("Done."), plugins=(Denier(),))
    found = records(home.folder)
    assert [record.get("outcome") for record in found] == [None, "not_run"]
    assert found[-1]["refused_by"] == "policy"
    assert found[-1]["guard"]
    assert home.tools.written == []


def test_the_kernels_floor_holds_though_the_plugin_looks_on(home: Home) -> None:
    events = home.run(say("", call("keep", path="a", text="b")), say("Done."))
    assert events[-1].outcome == "denied"
    assert home.tools.written == []


@pytest.mark.parametrize(("given", "outcome"), [("once", "done"), ("deny", "not_run")])
def test_an_approval_is_on_record_with_who_gave_it(home: Home, records: Records, given: str, outcome: str) -> None:
    async def work() -> None:
        async with home.app(say("", call("keep", path="a", text=SECRET)), say("Done.")) as app:
            await answer(await app.conversation(asking="inline"), given)

    asyncio.run(work())
    asked, request, decision, result = records(home.folder)
    assert [asked["kind"], request["kind"], decision["kind"]] == ["call", "request", "decision"]
    assert (decision["answer"], decision["by"], decision["by_kind"]) == (given, "local", "person")
    assert (decision["request"], decision["tool"], decision["call"]) == (request["request"], "keep", asked["call"])
    assert (result["kind"], result["outcome"]) == ("result", outcome)
    assert SECRET not in (home.folder / "audit.jsonl").read_text()


def suspend(home: Home) -> TurnSuspended:
    """Of the calls of one answer, one has to wait, one runs, and one is none."""

    async def work() -> TurnSuspended:
        calls = (call("keep", path="a", text="b"), call("look", path="c"), call("no_such_tool"))
        async with home.app(say("", *calls)) as app:
            events = await collect((await app.conversation(asking="later")).send("go"))
        assert isinstance(events[-1], TurnSuspended)
        return events[-1]

    return asyncio.run(work())


def go_on(home: Home, waiting: TurnSuspended, *, first: str = "") -> None:
    """In another app: allows what waits. ``first`` is said in another session before."""

    async def work() -> None:
        async with home.app(*([say("Hello.")] if first else []), say("Done.")) as app:
            if first:
                await collect((await app.conversation()).send(first))
            conversation = await app.conversation(waiting.session_id, asking="later")
            assert await conversation.answer(waiting.requests[0].id, "once")
            async for _ in app.events(waiting.session_id, after=waiting.seq, follow=True):
                pass

    asyncio.run(work())


def test_a_turn_that_waits_goes_on_in_another_app_and_in_the_same_chain(home: Home, records: Records) -> None:
    go_on(home, suspend(home), first="hello")
    found = [(record["kind"], record["tool"], record.get("outcome")) for record in records(home.folder)]
    assert found == [
        ("call", "keep", None),
        ("call", "look", None),
        ("result", "look", "done"),
        ("request", "keep", None),
        ("result", "no_such_tool", "not_run"),
        ("decision", "keep", None),
        ("call", "keep", None),
        ("result", "keep", "done"),
    ]
    assert home.tools.written == ["b"]
    assert verify(home.folder).problems == ()


def test_a_decision_is_on_record_though_it_is_the_first_thing_an_app_does(home: Home, records: Records) -> None:
    go_on(home, suspend(home))
    assert "decision" in [record["kind"] for record in records(home.folder)]


def test_a_call_that_was_cut_off_is_told(home: Home, records: Records) -> None:
    async def work() -> None:
        async with home.app(say("", call("hang"))) as app:
            conversation = await app.conversation()
            async for event in conversation.send("go"):
                if isinstance(event, ToolStarted):
                    conversation.interrupt()

    asyncio.run(work())
    assert [record.get("outcome") for record in records(home.folder)] == [None, "interrupted"]


@pytest.mark.parametrize(("name", "outcomes"), [("look", [None, None, "done", "done"]), ("drop", [None, None, "done"])])
def test_a_call_that_a_plugin_makes_is_on_record(
    home: Home, records: Records, name: str, outcomes: list[str | None]
) -> None:
    """One that was refused has no result that a plugin could see."""
    home.run(say("", call("around", name=name)), say("Done."))
    found = records(home.folder)
    assert [record.get("outcome") for record in found] == outcomes
    assert [record["tool"] for record in found if record["kind"] == "call"] == ["around", name]


def test_calls_at_once_in_two_sessions_make_one_chain(home: Home, records: Records) -> None:
    async def work() -> None:
        calls = [[call("look", path=f"{turn}-{number}") for number in range(6)] for turn in range(2)]
        async with home.app(say("", *calls[0]), say("", *calls[1]), say("Done."), say("Done.")) as app:
            one, other = await app.conversation(), await app.conversation()
            await asyncio.gather(collect(one.send("go")), collect(other.send("go")))

    asyncio.run(work())
    found = records(home.folder)
    assert len({record["session"] for record in found}) == 2
    assert sorted(record["call"] for record in found if record["kind"] == "call") == sorted(
        record["call"] for record in found if record.get("outcome") == "done"
    )
    assert len(found) == 24
    assert verify(home.folder).problems == ()


def break_folder(home: Home) -> None:
    home.folder.parent.mkdir(parents=True)
    home.folder.write_text("in the way")


def test_a_log_that_cannot_be_written_stops_nothing_but_is_told(home: Home) -> None:
    break_folder(home)
    events = home.run(say("", call("look", path="a")), say("Done."))
    assert events[-1].outcome == "done"
    assert "The audit log cannot be written" in home.errors
    assert any("The audit log cannot be written" in text for text in home.told)


def test_what_was_not_written_is_told_in_the_log_once_it_can_be(home: Home, records: Records) -> None:
    break_folder(home)

    async def work() -> None:
        async with home.app(say("", call("look", path="a")), say("Done."), say("", call("look", path="b"))) as app:
            conversation = await app.conversation()
            await collect(conversation.send("go"))
            home.folder.unlink()
            await collect(conversation.send("go"))

    asyncio.run(work())
    gap, asked, result = records(home.folder)
    assert (gap["kind"], gap["lost"]) == ("gap", 2)
    assert asked["paths"] == {"path": "b"}
    assert result["outcome"] == "done"


def test_a_folder_that_is_taken_away_is_told_of_in_the_new_log(home: Home, records: Records) -> None:
    async def work() -> str:
        async with home.app(say("", call("look", path="a")), say("Done."), say("", call("look", path="b"))) as app:
            conversation = await app.conversation()
            await collect(conversation.send("go"))
            head = verify(home.folder).head
            shutil.rmtree(home.folder)
            await collect(conversation.send("go"))
            return head

    head = asyncio.run(work())
    told, asked, _ = records(home.folder)
    assert (told["kind"], told["expected_seq"], told["expected_hash"]) == ("broken", 2, head)
    assert asked["paths"] == {"path": "b"}
    assert "folder was gone" in home.errors


def test_nothing_runs_off_the_record_if_the_log_is_required(home: Home) -> None:
    break_folder(home)
    events = home.run(say("", call("look", path="a")), say("Done."), required=True)
    assert not [event for event in events if isinstance(event, ToolStarted)]
    assert events[-1].outcome == "denied"
    assert "The audit log cannot be written" in events[-1].error.message
    assert "audit.required" in events[-1].error.message


def test_everything_runs_if_the_log_is_required_and_can_be_written(home: Home) -> None:
    events = home.run(say("", call("look", path="a")), say("Done."), required=True, fsync=True)
    assert events[-1].outcome == "done"
    assert verify(home.folder).records == 2


def test_the_log_goes_on_in_a_new_file_where_it_is_full(home: Home) -> None:
    for _ in range(3):
        home.run(say("", call("look", path="a")), say("Done."), max_size_mb=0.000001)
    report = verify(home.folder)
    assert report.problems == ()
    assert len(report.files) > 3


def test_an_app_without_a_call_writes_nothing(home: Home) -> None:
    home.run(say("Done."))
    assert not (home.folder / "audit.jsonl").exists()
