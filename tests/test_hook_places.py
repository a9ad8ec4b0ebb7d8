"""Order, deadlines and failures of hooks are the same in this process, in hosts, and with some of each."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from hermes import HistoryQuery, TurnFinished, text_of
from hermes_testkit.command import Hermes
from hermes_testkit.model_server import Call, ModelServer, Reply, SeenRequest
from hermes_testkit.scripted import ScriptedModel, call, make_app, say

NAMES = ("first", "one", "two", "last")
ALL = {
    "in this process": dict.fromkeys(NAMES, "host"),
    "in hosts": dict.fromkeys(NAMES, "isolated"),
    "some of each": dict(zip(NAMES, ("isolated", "host", "isolated", "host"), strict=True)),
}
ORDER = ["first", "two", "one", "last"]
"""As pluggy has it: those that ask to be first, then the newest first, then those that ask to be last."""

ORDERED = """
import time
from hermes import SystemBlock, TextPart, ToolOutcome, ToolRewrite, Verdict, hookimpl, text_of, tool

NAME = "{name}"

@hookimpl({options})
def system_blocks(session):
    return [SystemBlock(name=NAME, text=NAME)]

@hookimpl({options})
def pre_llm_call(turn):
    return NAME + " "

@hookimpl({options})
def rewrite_tool_call(call):
    return ToolRewrite(arguments={{"path": call.arguments["path"] + NAME + " "}})

@hookimpl({options})
def pre_tool_call(call, ctx):
    (ctx.data_dir / "judged").write_text(str(time.monotonic_ns()))
    return Verdict(decision="allow", reason=NAME)

@hookimpl({options})
async def post_tool_call(call, result, ctx):
    (ctx.data_dir / "seen").write_text(str(time.monotonic_ns()))

@hookimpl({options})
def transform_tool_result(call, result):
    return ToolOutcome(content=(TextPart(text_of(result.content) + NAME + " "),))

@hookimpl({options})
def post_llm_call(turn, answer):
    return answer.text + NAME + " "
"""
ECHO = '''
from hermes import tool

@tool(risk="write")
def echo(path: str) -> str:
    """Echoes."""
    return f"[{path}] "
'''
OPENER = """
from hermes import Verdict, hookimpl

@hookimpl
def pre_tool_call(call):
    return Verdict(decision="allow")
"""


@pytest.mark.parametrize("places", ALL.values(), ids=ALL)
def test_order(tmp_path: Path, places: dict[str, str]) -> None:
    folder = tmp_path / "plugins"
    folder.mkdir()
    for name in NAMES:
        options = f"try{name}=True" if name in ("first", "last") else ""
        (folder / f"{name}.py").write_text(ORDERED.format(name=name, options=options))
    (folder / "echo.py").write_text(ECHO)
    (folder / "opener.py").write_text(OPENER)
    model = ScriptedModel([say("", call("echo", path="")), say("Said. ")])
    entries = {name: {"isolation": place} for name, place in places.items()}

    async def run() -> Any:
        only = [*NAMES, "echo", "opener"]
        async with make_app(tmp_path, model=model, only=only, overrides={"plugins": {"entries": entries}}) as app:
            conversation = await app.conversation()
            events = [event async for event in conversation.send("Go. ")]
            hosts = {name for host in app.plugins.hosts() for name in host.plugins}
            assert hosts == {name for name, place in places.items() if place == "isolated"}
            return events[-1], await app.store.history(HistoryQuery(session_id=conversation.id))

    finished, history = asyncio.run(run())
    assert isinstance(finished, TurnFinished)
    in_order = " ".join(ORDER) + " "
    asked, _, ran, _ = history.messages
    assert [block.name for block in history.prompt.system if block.name in NAMES] == ORDER
    assert text_of(asked.parts) == f"Go. {in_order}"
    assert text_of(ran.parts[0].content) == f"[{in_order}] {in_order}"
    assert (finished.outcome, finished.text) == ("done", f"Said. {in_order}")
    for file in ("judged", "seen"):
        when = {name: int((tmp_path / "plugin-data" / name / file).read_text()) for name in NAMES}
        assert sorted(NAMES, key=when.__getitem__) == ORDER


VERDICTS = """
from hermes import Verdict, hookimpl

@hookimpl
def pre_tool_call(call, ctx):
    (ctx.data_dir / "judged").write_text(call.id)
    return Verdict(decision="%s", reason="for reasons of its own")
"""


@pytest.mark.parametrize(
    ("verdict", "place", "says"),
    [
        ("allow", "host", "[x] "),
        ("allow", "isolated", "no guard judges it"),
        ("deny", "host", "for reasons of its own"),
        ("deny", "isolated", "for reasons of its own"),
    ],
)
def test_from_a_host_only_what_is_stricter_counts(tmp_path: Path, verdict: str, place: str, says: str) -> None:
    """The one documented difference: without another guard's "allow" the kernel's floor asks."""
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "echo.py").write_text(ECHO)
    (folder / "judge.py").write_text(VERDICTS % verdict)
    model = ScriptedModel([say("", call("echo", path="x"))])
    settings = {"plugins": {"entries": {"judge": {"isolation": place}}}}

    async def run() -> str:
        async with make_app(tmp_path, model=model, only=["judge", "echo"], overrides=settings) as app:
            conversation = await app.conversation()
            assert [event async for event in conversation.send("Go.")]
            history = await app.store.history(HistoryQuery(session_id=conversation.id))
            return text_of(history.messages[2].parts[0].content)

    assert says in asyncio.run(run())
    assert (tmp_path / "plugin-data" / "judge" / "judged").exists()


FAILING = """
import asyncio, sys, time
from hermes import Verdict, hookimpl

@hookimpl(tools=["poke"], deadline=0.3)
{kind} pre_tool_call(call):
    {fault}

@hookimpl(deadline=0.3)
{kind} pre_llm_call(turn):
    {fault}

@hookimpl(deadline=0.3)
{kind} transform_tool_result(call, result):
    {fault}

@hookimpl(deadline=0.3)
{kind} on_session_start(session):
    {fault}
"""
WITNESS = '''
from hermes import Verdict, hookimpl, tool

@tool(risk="read")
def poke() -> str:
    """Pokes."""
    return "poked"

@tool(risk="read")
def look() -> str:
    """Looks."""
    return "seen"

@hookimpl
def pre_llm_call(turn):
    return "(The witness is there.)"
'''
FAULTS = {
    "raises": ("def", "raise ValueError('broken')"),
    "exits": ("def", "sys.exit(3)"),
    "answers with a wrong type": ("def", "return 7"),
    "hangs": ("def", "time.sleep(60)"),
    "hangs, async": ("async def", "await asyncio.sleep(60)"),
}
LATE = "HookTimeout: it did not answer within 0.3 s"
SAID = {
    "raises": ["ValueError: broken"],
    "exits": ["RuntimeError: it called sys.exit(3)"],
    "answers with a wrong type": ["WrongType: it returned int, not "],
    "hangs": [LATE],
    "hangs, async": [LATE],
}
"""What the user is told, wherever it runs."""
ENDED = ["ChannelClosed"]
"""Of a hook that was called while its host was being ended, because another hook hung in it."""


def scripted(request: SeenRequest) -> Reply | str:
    if request.json["messages"][-1]["role"] == "tool":
        return "Gone on."
    return [Call("poke", id="call_poke"), Call("look", id="call_look")]


@pytest.mark.parametrize("place", ["host", "isolated"])
@pytest.mark.parametrize("fault", FAULTS)
def test_failure(hermes: Hermes, place: str, fault: str) -> None:
    kind, code = FAULTS[fault]
    says = SAID[fault] + (ENDED if (fault, place) == ("hangs", "isolated") else [])
    failing = {"pre_tool_call", "pre_llm_call", "transform_tool_result", "on_session_start"}
    if fault == "answers with a wrong type":
        failing.remove("on_session_start")  # what an observer answers is not looked at
    with ModelServer(default=scripted) as server:
        hermes.use(server.url, plugins={"disabled": ["approvals"], "entries": {"bad": {"isolation": place}}})
        (hermes.home / "plugins").mkdir()
        (hermes.home / "plugins" / "bad.py").write_text(FAILING.format(kind=kind, fault=code))
        (hermes.home / "plugins" / "witness.py").write_text(WITNESS)
        ran = hermes("-z", "hi")
        asked, answered = (request.json["messages"] for request in server.requests)
    assert (ran.code, ran.out) == (0, "Gone on.\n"), ran.err
    assert "(The witness is there.)" in json.dumps(asked[-1]["content"])
    poked, looked = (message["content"] for message in answered if message["role"] == "tool")
    assert 'The guard "bad" failed' in poked
    assert any(words in poked for words in says)
    assert looked == "seen"
    told = ran.err.splitlines()
    for hook in failing:
        (line,) = [line for line in told if f"failed in {hook}:" in line]
        head, _, tail = line.partition(f" failed in {hook}: ")
        assert head == 'hermes: The plugin "bad"'
        assert tail.startswith(tuple(says)), line
        assert line.endswith("(hermes plugins info bad)")
    assert len(told) == len(failing), ran.err
    counters = json.loads(hermes("plugins", "info", "bad", "--json").out)["counters"]
    counted = {hook: (found["cli"]["fired"], found["cli"]["failed"]) for hook, found in counters.items()}
    assert counted == {hook: (1, int(hook in failing)) for hook in {*failing, "on_session_start"}}
    assert all(counters[hook]["cli"]["error"].startswith(tuple(says)) for hook in failing)
