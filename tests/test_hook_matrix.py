"""Every hook on every surface: which fire, in which order, and which nothing can make fire yet."""

from __future__ import annotations

import asyncio
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hermes import App, InputRequested, TurnFinished, TurnSuspended
from hermes.contracts import hookspecs
from hermes.plugins.loader import load_module
from hermes_testkit.command import Hermes
from hermes_testkit.model_server import Call, Fail, ModelServer, Reply, SeenRequest

toy_surface: Any = load_module("toy_surface", str(Path(__file__).with_name("toy_surface.py")))

DEADLINE = 60.0
HOOKS = {name for name, value in vars(hookspecs).items() if hasattr(value, f"{hookspecs.PROJECT}_spec")}
SURFACES = ("oneshot", "interactive", "library", "toy")

SILENT = {
    "on_message": "no platform adapter ships yet; the adapters' inbox will call it",
    "on_subagent_start": "no tool starts a session from another one yet",
    "on_subagent_stop": "no tool starts a session from another one yet",
}
"""Hooks that fire on no surface yet, and why."""

NOT_HERE = {
    "on_session_reset": {
        "oneshot": "there is nothing to start over in one prompt",
        "library": "a program starts over by asking the app for another conversation",
        "toy": "a person has one session there",
    }
}
"""Hooks that some surfaces have no occasion for, and why."""

ANY_TIME = {"on_event", "register_tools", "provide", "resolve_provider"}
"""Hooks that have no place of their own in a turn: on activation, with every event, whenever a model is looked up."""

BEGIN = ["on_session_start", "system_blocks"]
CALL = ["pre_api_request", "post_api_request"]
ASKED_AGAIN = ["pre_api_request", "on_api_error", *CALL]
TOOL = ["rewrite_tool_call", "pre_tool_call", "on_approval", "post_tool_call", "transform_tool_result"]
JUDGED_AGAIN = [*TOOL[:3], *TOOL[:2], *TOOL[3:]]
"""A turn that waited for the answer takes the call up anew, and so do the guards: much may have changed meanwhile."""
END = ["on_turn_end", "post_llm_call"]
GOOD_TURN = ["pre_llm_call", *ASKED_AGAIN, *TOOL, *CALL, *END]
BAD_TURN = ["pre_llm_call", "pre_api_request", "on_api_error", "on_error"]

ORDER = {
    "oneshot": [*BEGIN, *GOOD_TURN, "on_session_end", "on_session_start", *BAD_TURN, "on_session_end"],
    "interactive": [*BEGIN, *GOOD_TURN, *BAD_TURN, "on_session_reset", "on_session_end"],
    "library": [*BEGIN, *GOOD_TURN, *BAD_TURN, "on_session_end"],
    "toy": [*BEGIN, "pre_llm_call", *ASKED_AGAIN, *JUDGED_AGAIN, *CALL, *END, *BAD_TURN, "on_session_end"],
}
"""A turn whose first model call fails and is made again, with a tool that somebody has to allow; then one that fails.

A session that was never asked anything, as after ``/new``, begins with its first message only.
"""

PLUGIN_HEAD = '''
from pathlib import Path
from hermes import ProviderSpec, ToolOptions, Verdict, hookimpl

HOME = Path(__file__).parent.parent

def fired(hook):
    with open(HOME / "fired", "a") as file:
        file.write(hook + "\\n")

def poke() -> str:
    """Pokes."""
    return "poked"

'''
ANSWERS = {
    "resolve_provider(query)": "ProviderSpec(transport='chat_completions', base_url=(HOME / 'url').read_text(), "
    "models=('test-model',)) if query.provider == 'elsewhere' else None",
    "register_tools(registry)": "registry.add(poke, risk='write')",
    "pre_tool_call()": "Verdict(decision='ask', reason='to see', key='poke')",
    "provide()": "[]",
    "system_blocks()": "[]",
}


def plugin_source() -> str:
    named = {signature.partition("(")[0]: signature for signature in ANSWERS}
    lines = [PLUGIN_HEAD]
    for hook in sorted(HOOKS):
        signature = named.get(hook, f"{hook}()")
        lines.append(f"@hookimpl\ndef {signature}:\n    fired('{hook}')\n    return {ANSWERS.get(signature)}\n")
    return "\n".join(lines)


def scripted(request: SeenRequest) -> Reply | str:
    """The very first call fails in passing; "fail" fails for good; "poke" takes the tool."""
    messages = request.json["messages"]
    said = next(message["content"] for message in reversed(messages) if message["role"] == "user")
    if request.number == 1:
        return Fail(503, headers={"Retry-After": "0"})
    if "fail" in said:
        return Fail(400)
    return Call("poke") if messages[-1]["role"] == "user" else "All poked."


@contextmanager
def prepared(hermes: Hermes) -> Iterator[ModelServer]:
    with ModelServer(default=scripted) as server:
        settings = {"provider": "elsewhere", "default": "test-model"}
        hermes.configure({"model": settings, "agent": {"retries": 1}, "plugins": {"disabled": ["approvals"]}})
        (hermes.home / "plugins").mkdir()
        (hermes.home / "plugins" / "matrix.py").write_text(plugin_source())
        (hermes.home / "url").write_text(server.url)
        yield server


def run(work: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(DEADLINE):
            await work

    asyncio.run(bounded())


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


def on_oneshot(hermes: Hermes) -> None:
    with Terminal(hermes, "chat", "-q", "poke it") as terminal:
        terminal.expect("[once/session/always/deny] > ")
        terminal.type("once")
        assert terminal.end() == 0
    with Terminal(hermes, "chat", "-q", "fail now", "--continue") as terminal:
        assert terminal.end() == 1


def on_interactive(hermes: Hermes) -> None:
    with Terminal(hermes) as terminal:
        terminal.expect("/help for help.")
        terminal.expect("> ")
        terminal.type("poke it")
        terminal.expect("[once/session/always/deny] > ")
        terminal.type("once")
        terminal.expect("All poked.")
        terminal.expect("> ")
        terminal.type("fail now")
        terminal.expect("400")
        terminal.expect("> ")
        terminal.type("/new")
        terminal.expect("New session: ")
        terminal.expect("> ")
        terminal.type("/exit")
        assert terminal.end() == 0


def on_library(hermes: Hermes) -> None:
    async def work() -> None:
        async with App(hermes.home, environ=hermes.environ, workspace=str(hermes.workspace)) as app:
            conversation = await app.conversation(asking="inline")
            outcomes = []
            for prompt in ("poke it", "fail now"):
                async for event in conversation.send(prompt):
                    if isinstance(event, InputRequested):
                        await conversation.answer(event.request.id, "once")
                    elif isinstance(event, TurnFinished):
                        outcomes.append(event.outcome)
            assert outcomes == ["done", "failed"]

    run(work())


def on_toy(hermes: Hermes) -> None:
    async def work() -> None:
        async with App(hermes.home, environ=hermes.environ, workspace=str(hermes.workspace)) as app:
            async with toy_surface.ToySurface(app).serving() as toy:
                session = (await toy_surface.ask(toy.port, "alice", "POST", "/messages", {"text": "poke it"}))[
                    "session"
                ]
                suspended = await wait_for(app, session, TurnSuspended, 0)
                answer = {"session": session, "request": suspended.requests[0].id, "answer": "once"}
                assert await toy_surface.ask(toy.port, "alice", "POST", "/answers", answer) == {
                    "status": 200,
                    "accepted": True,
                }
                finished = await wait_for(app, session, TurnFinished, suspended.seq)
                await toy_surface.ask(toy.port, "alice", "POST", "/messages", {"text": "fail now"})
                failed = await wait_for(app, session, TurnFinished, finished.seq)
                assert (finished.outcome, failed.outcome) == ("done", "failed")

    run(work())


async def wait_for(app: App, session: str, kind: type, after: int) -> Any:
    while True:
        async for event in app.events(session, after=after, follow=True):
            after = event.seq
            if isinstance(event, kind):
                return event


DRIVERS: dict[str, Callable[[Hermes], None]] = {
    "oneshot": on_oneshot,
    "interactive": on_interactive,
    "library": on_library,
    "toy": on_toy,
}


@pytest.mark.parametrize("surface", SURFACES)
def test_what_a_surface_can_reach_fires_in_the_documented_order(hermes: Hermes, surface: str) -> None:
    with prepared(hermes):
        DRIVERS[surface](hermes)
    fired = (hermes.home / "fired").read_text().split()
    absent = {hook for hook, reasons in NOT_HERE.items() if surface in reasons}
    assert set(fired) == HOOKS - set(SILENT) - absent
    assert [hook for hook in fired if hook not in ANY_TIME] == ORDER[surface]


def test_the_tables_name_hooks_and_surfaces_that_there_are() -> None:
    assert set(SILENT) | set(NOT_HERE) | ANY_TIME <= HOOKS
    assert all(set(reasons) < set(SURFACES) for reasons in NOT_HERE.values())
    assert set(ORDER) == set(SURFACES) == set(DRIVERS)
