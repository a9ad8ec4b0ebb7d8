"""A surface as others would write one, over HTTP: two people, an approval that outlives the process, replay."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from hermes import App
from hermes.plugins.loader import load_module
from hermes_testkit.model_server import Call, ModelServer, Say

toy_surface: Any = load_module("toy_surface", str(Path(__file__).with_name("toy_surface.py")))

DEADLINE = 60.0
TAKEN = {"status": 200, "accepted": True}
LATE = {"status": 200, "accepted": False}
DURABLE = ("message_stored", "turn_started", "input_requested", "input_answered", "turn_suspended", "turn_finished")

Event = dict[str, Any]


BOUNCER = """
from hermes import MessageVerdict, hookimpl, text_of

@hookimpl
def on_message(message):
    text = text_of(message.parts)
    if text == "break":
        raise ValueError("broken")
    if message.principal.id == "toy:eve" or "secret" in text:
        return MessageVerdict(action="skip", reason=f"Not from {message.principal.id}.")
    return MessageVerdict(action="rewrite", text=text.replace("please", "now"))
"""


@asynccontextmanager
async def surface(home: Path, url: str, *, isolation: str = "host") -> AsyncIterator[Any]:
    """The surface and its `App`, started; both are gone at the end."""
    overrides = {
        "model": {"provider": "fake"},
        "providers": {"fake": {"transport": "chat_completions", "base_url": url, "models": ["test-model"]}},
        "plugins": {"entries": {"bouncer": {"isolation": isolation}}},
    }
    environ = {"PATH": os.environ["PATH"], "HOME": str(home)}
    async with App(home / "home", overrides=overrides, environ=environ, workspace=str(home)) as app:
        async with toy_surface.ToySurface(app).serving() as toy:
            yield toy


def run(work: Callable[[], Any]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(DEADLINE):
            await work()

    asyncio.run(bounded())


async def events(
    toy: Any,
    who: str,
    session: str,
    *,
    after: int = 0,
    until: str,
    count: int = 1,
    opened: asyncio.Event | None = None,
) -> list[Event]:
    """The stream's events from a number on, up to the ``count``-th of the kind ``until``.

    ``opened`` is set when there is a stream.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", toy.port)
    try:
        writer.write(f"GET /events?session={session}&after={after} HTTP/1.1\r\nX-Principal: {who}\r\n\r\n".encode())
        assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        if opened is not None:
            opened.set()
        found: list[Event] = []
        while count:
            number, data = (await reader.readuntil(b"\n\n")).decode().splitlines()[:2]
            found.append(json.loads(data.removeprefix("data: ")))
            assert number == f"id: {found[-1]['seq']}"
            count -= found[-1]["type"] == until
        return found
    finally:
        writer.close()


async def ask(toy: Any, who: str, text: str) -> str:
    answered = await toy_surface.ask(toy.port, who, "POST", "/messages", {"text": text})
    assert answered["status"] == 202
    return str(answered["session"])


async def answer(toy: Any, who: str, session: str, request: str, value: str) -> dict[str, Any]:
    body = {"session": session, "request": request, "answer": value}
    answered: dict[str, Any] = await toy_surface.ask(toy.port, who, "POST", "/answers", body)
    return answered


def durable(found: list[Event]) -> list[Event]:
    """What is replayed later. Of a message as it is stored the parent is not told."""
    for event in found:
        event.get("message", {}).pop("parent", None)
    return [event for event in found if event["type"] in DURABLE]


def kinds(found: list[Event]) -> list[str]:
    return [event["type"] for event in durable(found)]


def test_an_approval_is_answered_after_a_restart(tmp_path: Path) -> None:
    async def work(server: ModelServer) -> None:
        server.script(Call("terminal", {"command": "touch made"}), Say("Made it."))
        async with surface(tmp_path, server.url) as toy:
            session = await ask(toy, "alice", "make it")
            before = await events(toy, "alice", session, until="turn_suspended")
        (request,) = before[-1]["requests"]
        assert request["arguments"] == {"command": "touch made"}
        assert not (tmp_path / "made").exists()
        async with surface(tmp_path, server.url) as toy:
            assert await answer(toy, "alice", session, request["id"], "once") == TAKEN
            after = await events(toy, "alice", session, after=before[-1]["seq"], until="turn_finished")
            assert (after[-1]["outcome"], after[-1]["text"]) == ("done", "Made it.")
            assert (tmp_path / "made").exists()
            (told,) = [event for event in after if event["type"] == "input_answered"]
            assert (told["request_id"], told["answer"], told["by"]["id"]) == (request["id"], "once", "toy:alice")

    with ModelServer() as server:
        run(lambda: work(server))


def test_events_replayed_from_a_number_are_complete_and_in_order(tmp_path: Path) -> None:
    async def work(server: ModelServer) -> None:
        server.script(Call("terminal", {"command": "echo hello"}), Call("terminal", {"command": "rm x"}), "Done.")
        async with surface(tmp_path, server.url) as toy:
            session = await ask(toy, "alice", "do it")
            live = await events(toy, "alice", session, until="turn_suspended")
            (request,) = live[-1]["requests"]
            await answer(toy, "alice", session, request["id"], "deny")
            live += await events(toy, "alice", session, after=live[-1]["seq"], until="turn_finished")
        seqs = [event["seq"] for event in live]
        assert seqs == sorted(set(seqs))
        assert all(event["session_id"] == session and event["turn_id"] for event in live)
        async with surface(tmp_path, server.url) as toy:
            kept = durable(live)
            for place in range(len(kept) - 1):
                after = kept[place]["seq"]
                replayed = durable(await events(toy, "alice", session, after=after, until="turn_finished"))
                assert replayed == kept[place + 1 :]
            assert kinds(await events(toy, "alice", session, until="turn_finished")) == [
                "message_stored",
                "turn_started",
                "message_stored",
                "message_stored",
                "message_stored",
                "input_requested",
                "turn_suspended",
                "input_answered",
                "message_stored",
                "message_stored",
                "turn_finished",
            ]

    with ModelServer() as server:
        run(lambda: work(server))


def test_the_first_answer_wins_and_nobody_else_may_answer(tmp_path: Path) -> None:
    async def work(server: ModelServer) -> None:
        server.script(Call("terminal", {"command": "touch made"}), Say("So be it."))
        async with surface(tmp_path, server.url) as toy:
            session = await ask(toy, "alice", "make it")
            before = await events(toy, "alice", session, until="turn_suspended")
            (request,) = before[-1]["requests"]
            assert (await answer(toy, "bob", session, request["id"], "once"))["status"] == 403
            assert (await toy_surface.ask(toy.port, "bob", "GET", f"/events?session={session}"))["status"] == 403
            assert (await toy_surface.ask(toy.port, "eve", "POST", "/messages", {"text": "hi"}))["status"] == 401
            assert (await answer(toy, "alice", session, request["id"], "perhaps"))["status"] == 400
            choices = ["once", "deny", "once", "deny"]
            given = await asyncio.gather(*(answer(toy, "alice", session, request["id"], choice) for choice in choices))
            winners = [choice for choice, answered in zip(choices, given, strict=True) if answered == TAKEN]
            assert (len(winners), given.count(LATE)) == (1, 3)
            await events(toy, "alice", session, after=before[-1]["seq"], until="turn_finished")
            assert (tmp_path / "made").exists() == (winners == ["once"])
            assert await answer(toy, "alice", session, request["id"], "once") == LATE

    with ModelServer() as server:
        run(lambda: work(server))


def test_two_people_have_sessions_of_their_own(tmp_path: Path) -> None:
    async def work(server: ModelServer) -> None:
        server.default = lambda request: Say("to " + request.json["messages"][-1]["content"])
        async with surface(tmp_path, server.url) as toy:
            first, other = await asyncio.gather(ask(toy, "alice", "I am Alice"), ask(toy, "bob", "I am Bob"))
            assert first != other
            texts = [
                (await events(toy, who, session, until="turn_finished"))[-1]["text"]
                for who, session in (("alice", first), ("bob", other))
            ]
            assert texts == ["to I am Alice", "to I am Bob"]

    with ModelServer() as server:
        run(lambda: work(server))


def test_more_events_than_are_read_at_once_are_replayed_too(tmp_path: Path) -> None:
    async def work(server: ModelServer) -> None:
        turns = 520
        async with surface(tmp_path, server.url) as toy:
            conversation = await toy.own("alice")
            for number in range(turns):
                async for _ in conversation.send(f"turn {number}"):
                    pass
        async with surface(tmp_path, server.url) as toy:
            found = await events(toy, "alice", conversation.id, until="turn_finished", count=turns)
            assert kinds(found) == ["message_stored", "turn_started", "message_stored", "turn_finished"] * turns

    with ModelServer() as server:
        run(lambda: work(server))


@pytest.mark.parametrize("isolation", ["host", "isolated"])
def test_a_guard_judges_messages_before_anybody_asks_who_sends_them(tmp_path: Path, isolation: str) -> None:
    async def work(server: ModelServer) -> None:
        server.default = lambda request: Say("to " + request.json["messages"][-1]["content"])
        async with surface(tmp_path, server.url, isolation=isolation) as toy:

            async def write(who: str, text: str) -> dict[str, Any]:
                answered: dict[str, Any] = await toy_surface.ask(toy.port, who, "POST", "/messages", {"text": text})
                return answered

            assert await write("eve", "let me in") == {"status": 202, "skipped": "Not from toy:eve."}
            assert await write("bob", "the secret") == {"status": 202, "skipped": "Not from toy:bob."}
            assert "bouncer" in (await write("bob", "break"))["skipped"]
            session = await ask(toy, "alice", "answer please")
            assert (await events(toy, "alice", session, until="turn_finished"))[-1]["text"] == "to answer now"
            assert len(server.requests) == 1

    (tmp_path / "home" / "plugins").mkdir(parents=True)
    (tmp_path / "home" / "plugins" / "bouncer.py").write_text(BOUNCER)
    with ModelServer() as server:
        run(lambda: work(server))


def test_a_session_can_be_watched_before_anything_of_it_is_stored(tmp_path: Path) -> None:
    async def work(server: ModelServer) -> None:
        async with surface(tmp_path, server.url) as toy:
            conversation = await toy.own("alice")
            opened = asyncio.Event()
            watching = asyncio.create_task(events(toy, "alice", conversation.id, until="turn_finished", opened=opened))
            await opened.wait()
            assert await ask(toy, "alice", "hello") == conversation.id
            assert kinds(await watching) == ["message_stored", "turn_started", "message_stored", "turn_finished"]

    with ModelServer() as server:
        run(lambda: work(server))
