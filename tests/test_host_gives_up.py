"""A plugin host that dies again and again is given up: told once, its guard denies, and a reload brings it back."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hermes import App, Clock, HistoryQuery, ToolCall, Verdict, hookimpl, text_of, tool
from hermes.plugins.isolated import DEATHS, PluginHost
from hermes_testkit.command import Hermes
from hermes_testkit.scripted import ScriptedModel, call, collect, make_app, say

DEADLINE = 30.0
GUARD = """
from hermes import hookimpl

@hookimpl
def pre_tool_call(call, ctx):
    with open(ctx.data_dir / "judged", "a") as file:
        file.write(call.id + "\\n")
"""
DIES_FIRST = """
import os
from hermes import hookimpl

@hookimpl
def provide(ctx):
    starts = ctx.data_dir / "starts"
    started = int(starts.read_text()) if starts.exists() else 0
    starts.write_text(str(started + 1))
    if started < {deaths}:
        os.kill(os.getpid(), 9)
    return []

@hookimpl
def pre_llm_call(turn):
    return "I am here."
"""


class Hasty(Clock):
    """A new start waits for nothing."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


class Opener:
    name = "opener"

    @hookimpl
    def pre_tool_call(self, call: ToolCall) -> Verdict:
        return Verdict(decision="allow")

    @staticmethod
    @tool(name="look")
    def look() -> str:
        """Looks."""
        return "seen"


def write(hermes: Hermes, name: str, source: str) -> dict[str, Any]:
    """A drop-in, and the settings that isolate it."""
    settings = {"plugins": {"entries": {name: {"isolation": "isolated"}}}}
    hermes.configure(settings)
    (hermes.home / "plugins").mkdir()
    (hermes.home / "plugins" / f"{name}.py").write_text(source)
    return settings


@asynccontextmanager
async def bounded() -> AsyncIterator[None]:
    async with asyncio.timeout(DEADLINE):
        yield


async def kill(host: PluginHost) -> None:
    """Kills it, once it runs, and returns when that was noticed."""
    async with bounded():
        await host.channel()
        os.kill(host.pid, signal.SIGKILL)
        while host.alive:  # noqa: ASYNC110 (the end of a process is not told to us)
            await asyncio.sleep(0.001)


async def look(app: App, conversation: Any) -> str:
    """What the model reads of a call of ``look``."""
    async with bounded():
        assert (await collect(conversation.send("Look.")))[-1].outcome == "done"
    messages = (await app.store.history(HistoryQuery(session_id=conversation.id))).messages
    return next(text_of(message.parts[0].content) for message in reversed(messages) if message.role == "tool")


def test_five_deaths_within_a_minute(hermes: Hermes) -> None:
    settings = write(hermes, "guard", GUARD)
    judged = hermes.home / "plugin-data" / "guard" / "judged"
    model = ScriptedModel(
        lambda request: say("Seen.") if request.messages[-1].role == "tool" else say("", call("look"))
    )
    told: list[str] = []

    async def run() -> None:
        options: Any = {"model": model, "only": ["guard"], "overrides": settings, "clock": Hasty()}
        async with make_app(hermes.home, Opener(), notify=told.append, **options) as app:
            conversation = await app.conversation(asking="inline")
            assert await look(app, conversation) == "seen"
            (host,) = app.plugins.hosts()
            for _ in range(DEATHS - 1):
                await kill(host)
            assert await look(app, conversation) == "seen"
            assert told == []
            await kill(host)
            for _ in range(2):
                denied = await look(app, conversation)
                assert 'The guard "guard" is enabled but not working (it died 5 times within a minute' in denied
                assert "hermes plugins disable guard" in denied
            (line,) = told
            assert line.startswith('The plugin "guard" is disabled: it died 5 times within a minute')
            assert line.endswith("(hermes plugins info guard)")
            assert len(judged.read_text().splitlines()) == 2
            assert not host.pid
            await told_elsewhere(hermes)
            ran = await asyncio.to_thread(hermes, "plugins", "reload", "guard")
            assert (ran.code, ran.err) == (
                0,
                "guard: loads; programs that run take it up before their next turn\n",
            )
            assert await look(app, conversation) == "seen"
            assert len(judged.read_text().splitlines()) == 3

    asyncio.run(run())
    info = json.loads(hermes("plugins", "info", "guard", "--json").out)
    assert info["problem"] == ""


async def told_elsewhere(hermes: Hermes) -> None:
    """Other processes know of it, too: it is not theirs to find out by dying with it."""
    info = json.loads((await asyncio.to_thread(hermes, "plugins", "info", "guard", "--json")).out)
    assert "died 5 times" in info["problem"]
    found = json.loads((await asyncio.to_thread(hermes, "doctor", "--offline", "--json")).out)
    assert any("guard" in finding["text"] and "died 5 times" in finding["text"] for finding in found)


@pytest.mark.parametrize("deaths", [1, DEATHS - 1])
def test_a_host_that_dies_in_its_first_start_is_started_again(hermes: Hermes, deaths: int) -> None:
    settings = write(hermes, "shy", DIES_FIRST.format(deaths=deaths))
    model, told = ScriptedModel(), []

    async def run() -> None:
        options: Any = {"model": model, "only": ["shy"], "overrides": settings, "clock": Hasty()}
        async with make_app(hermes.home, notify=told.append, **options) as app, bounded():
            await collect((await app.conversation()).send("Hello. "))
            (host,) = app.plugins.hosts()
            assert host.starts == deaths + 1

    asyncio.run(run())
    assert text_of(model.requests[0].messages[-1].parts) == "Hello. I am here."
    assert told == []


def test_one_that_always_dies_in_its_first_start_is_given_up(hermes: Hermes) -> None:
    settings = write(hermes, "shy", DIES_FIRST.format(deaths=1000))
    model, told = ScriptedModel(), []

    async def run() -> None:
        options: Any = {"model": model, "only": ["shy"], "overrides": settings, "clock": Hasty()}
        async with make_app(hermes.home, notify=told.append, **options) as app, bounded():
            assert (await collect((await app.conversation()).send("Hello.")))[-1].outcome == "done"

    asyncio.run(run())
    (line,) = told
    assert '"shy"' in line
    assert "died 5 times within a minute" in line
    assert (hermes.home / "plugin-data" / "shy" / "starts").read_text() == str(DEATHS)
