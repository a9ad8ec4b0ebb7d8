"""The surfaces of the hook matrix, each driven through the same two turns. Not a test module.

A turn whose first model call fails and is made again, with a tool that somebody may have to allow and a plugin that
keeps it going; then a turn that fails.
"""

from __future__ import annotations

import asyncio
import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from hermes import (
    App,
    Conversation,
    InputRequested,
    PluginContext,
    ToolRegistry,
    TurnFinished,
    TurnSuspended,
    hookimpl,
)
from hermes.plugins.loader import load_module
from hermes_testkit.command import Hermes
from hermes_testkit.model_server import Call, Fail, Reply, SeenRequest

toy_surface: Any = load_module("toy_surface", str(Path(__file__).with_name("toy_surface.py")))

DEADLINE = 60.0
PROMPTS = ("poke it", "fail now")


class Script:
    """What the model says: its first answer to "poke" fails in passing, "fail" fails for good."""

    def __init__(self) -> None:
        self._failed = False

    def __call__(self, request: SeenRequest) -> Reply | str:
        messages = request.json["messages"]
        said = json.dumps(next(message["content"] for message in reversed(messages) if message["role"] == "user"))
        if "fail" in said:
            return Fail(400)
        if messages[-1]["role"] == "tool" or "more" in said:
            return "All poked."
        if "delegate" in said:
            return Call("delegate", id="call_delegate")
        if not self._failed:
            self._failed = True
            return Fail(503, headers={"Retry-After": "0"})
        return Call("poke", {"place": "bear"}, id="call_poke")


class Terminal:
    """The command on a terminal: types lines, waits for what is shown."""

    def __init__(self, hermes: Hermes, *arguments: str) -> None:
        self._master, slave = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "hermes.cli.main", *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**hermes.environ, "TERM": "dumb"},
            cwd=hermes.workspace,
            start_new_session=True,
        )
        os.close(slave)
        self._shown = b""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._master)

    def type(self, line: str) -> None:
        os.write(self._master, line.encode() + b"\n")

    def expect(self, text: str) -> None:
        """Waits for it, and forgets all up to its end."""
        until = time.monotonic() + DEADLINE
        while text.encode() not in self._shown:
            assert self._read(until), f"{text!r} did not come: {self._shown.decode()}"
        self._shown = self._shown.partition(text.encode())[2]

    def end(self) -> int:
        until = time.monotonic() + DEADLINE
        while self._read(until):
            pass
        return self._process.wait(DEADLINE)

    def _read(self, until: float) -> bool:
        if not select.select([self._master], [], [], max(until - time.monotonic(), 0))[0]:
            return False
        try:
            piece = os.read(self._master, 65536)
        except OSError:  # the other end of a terminal is closed
            return False
        self._shown += piece
        return bool(piece)


def oneshot(hermes: Hermes) -> None:
    done = hermes("-z", PROMPTS[0])
    assert done == (0, "All poked. [recorded]\n", "")
    assert hermes("-z", PROMPTS[1], "--continue").code == 1


def interactive(hermes: Hermes) -> None:
    with Terminal(hermes, "chat") as terminal:
        terminal.expect("/help for help.")
        terminal.expect("> ")
        terminal.type(PROMPTS[0])
        terminal.expect("[once/session/always/deny] > ")
        terminal.type("once")
        terminal.expect("All poked.")
        terminal.expect("[recorded]")
        terminal.expect("> ")
        terminal.type(PROMPTS[1])
        terminal.expect("400")
        terminal.expect("> ")
        terminal.type("/new")
        terminal.expect("New session: ")
        terminal.expect("> ")
        terminal.type("/exit")
        assert terminal.end() == 0


def _run(work: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(DEADLINE):
            await work

    asyncio.run(bounded())


def _app(hermes: Hermes, *plugins: Any) -> App:
    return App(hermes.home, plugins=plugins, environ=hermes.environ, workspace=str(hermes.workspace))


async def _both_turns(conversation: Conversation) -> None:
    outcomes = []
    for prompt in PROMPTS:
        async for event in conversation.send(prompt):
            if isinstance(event, InputRequested):
                await conversation.answer(event.request.id, "once")
            elif isinstance(event, TurnFinished):
                outcomes.append(event.outcome)
    assert outcomes == ["done", "failed"]


def library(hermes: Hermes) -> None:
    async def work() -> None:
        async with _app(hermes) as app:
            await _both_turns(await app.conversation(asking="inline"))

    _run(work())


def toy(hermes: Hermes) -> None:
    async def work() -> None:
        async with _app(hermes) as app, toy_surface.ToySurface(app).serving() as served:
            session = (await toy_surface.ask(served.port, "alice", "POST", "/messages", {"text": "please"}))["session"]
            suspended = await _wait_for(app, session, TurnSuspended, 0)
            answer = {"session": session, "request": suspended.requests[0].id, "answer": "once"}
            taken = await toy_surface.ask(served.port, "alice", "POST", "/answers", answer)
            assert taken == {"status": 200, "accepted": True}
            finished = await _wait_for(app, session, TurnFinished, suspended.seq)
            await toy_surface.ask(served.port, "alice", "POST", "/messages", {"text": PROMPTS[1]})
            failed = await _wait_for(app, session, TurnFinished, finished.seq)
            assert (finished.outcome, failed.outcome) == ("done", "failed")

    _run(work())


async def _wait_for(app: App, session: str, kind: type, after: int) -> Any:
    while True:
        async for event in app.events(session, after=after, follow=True):
            after = event.seq
            if isinstance(event, kind):
                return event


class Delegate:
    """A tool that has a session of its own do the work, as one that ships would."""

    name = "delegate"

    def __init__(self) -> None:
        self.app: App

    @hookimpl
    def register_tools(self, registry: ToolRegistry) -> None:
        registry.add(self.delegate, name="delegate", risk="read")

    async def delegate(self, ctx: PluginContext) -> str:
        """Delegates."""
        assert ctx.call is not None
        app, call = self.app, ctx.call
        conversation = await app.conversation(
            surface="subagent",
            principal=call.principal,
            asking="inline",
            parent_session=call.session_id,
            task=PROMPTS[0],
        )
        await _both_turns(conversation)
        await conversation.close()
        return "It was done elsewhere."


def subagent(hermes: Hermes) -> None:
    async def work() -> None:
        delegate = Delegate()
        async with _app(hermes, delegate) as app:
            delegate.app = app
            parent = await app.conversation()
            outcomes = [event.outcome async for event in parent.send("delegate it") if isinstance(event, TurnFinished)]
            assert outcomes == ["done"]

    _run(work())


DRIVERS: dict[str, Callable[[Hermes], None]] = {
    "oneshot": oneshot,
    "interactive": interactive,
    "library": library,
    "toy": toy,
    "subagent": subagent,
}
