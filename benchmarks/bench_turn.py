"""What a turn costs: the prompt of an empty chat, events through a turn, and a turn whose model costs nothing.

Run: ``.venv/bin/python benchmarks/bench_turn.py [TURNS]``. The floors, measured in the same run, do by hand what cannot
be left out: iterate over the same model's events, and commit as many rows to a bare SQLite file.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from hermes import App, ModelRequest, TextDelta, TurnFinished
from hermes_testkit.command import Hermes
from hermes_testkit.model_server import ModelServer
from hermes_testkit.scripted import Reply, ScriptedModel, call, collect, make_app, say

TURNS = int(sys.argv[1]) if len(sys.argv) > 1 else 100
EVENTS = 20_000
COMMITS = 3
"""Of a turn without tools: the question, the answer, the end."""


def prompt_of_an_empty_chat(folder: Path) -> None:
    """As sent: the bytes of the system text and the tools' schemas in the body of a first request."""
    hermes = Hermes(folder)
    with ModelServer() as server:
        hermes.use(server.url)
        ran = hermes("-z", "hi")
        if ran.code:
            raise SystemExit(ran.err)
        (request,) = server.requests
    system = [message for message in request.json["messages"] if message["role"] == "system"]
    parts = {"system text": system, "tool schemas": request.json["tools"]}
    sizes = {name: len(json.dumps(part, ensure_ascii=False, separators=(",", ":"))) for name, part in parts.items()}
    for name, size in sizes.items():
        print(f"  {name:30} {size:8} bytes {size // 4:6} tokens")
    tokens = sum(sizes.values()) // 4
    print(f"  {'PASS' if tokens <= 3000 else 'MISS'}  an empty chat {tokens} tokens (at most 3000; bytes / 4)")


def long_answer(request: ModelRequest) -> Reply:
    return [*(TextDelta(text="word ") for _ in range(EVENTS)), *say("")]


async def events_per_second(folder: Path) -> None:
    async def bare() -> float:
        started = time.perf_counter()
        request: Any = None
        async for _ in ScriptedModel(long_answer).stream(request):
            pass
        return EVENTS / (time.perf_counter() - started)

    async def through(app: App) -> float:
        conversation = await app.conversation()
        started = time.perf_counter()
        async for _ in conversation.send("go"):
            pass
        return EVENTS / (time.perf_counter() - started)

    async with make_app(folder, model=ScriptedModel(long_answer)) as app:
        await through(app)
        floor = statistics.median([await bare() for _ in range(9)])
        ours = statistics.median([await through(app) for _ in range(9)])
    print(f"  {'bare iteration':30} {floor:10,.0f} events/s")
    print(f"  {'through a turn':30} {ours:10,.0f} events/s {floor / ours:6.2f}x the time")


class BareTurn:
    """The same model's events, and a row a commit in a file with the store's settings."""

    def __init__(self, file: Path) -> None:
        self._model = ScriptedModel()
        self._db = sqlite3.connect(file, isolation_level=None)
        self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; CREATE TABLE rows (text TEXT)")

    async def run(self) -> None:
        request: Any = None
        async for _ in self._model.stream(request):
            pass
        for _ in range(COMMITS):
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("INSERT INTO rows VALUES (?)", ("x" * 200,))
            self._db.execute("COMMIT")

    def close(self) -> None:
        self._db.close()


async def overhead_of_a_turn(folder: Path) -> None:
    bare = BareTurn(folder / "bare.db")
    floor = await median(bare.run)
    bare.close()
    async with make_app(folder / "plain") as app:
        plain = await turns(app)
    async with make_app(folder / "tools", model=ScriptedModel(read_then_end), only=("files", "terminal")) as app:
        (folder / "tools" / "a.txt").write_text("a line\n")
        tools = await turns(app)
    print(f"  {f'bare: the events, {COMMITS} commits':30} {floor:8.2f} ms")
    print(f"  {'a turn':30} {plain:8.2f} ms {plain / floor:6.2f}x")
    print(f"  {'a turn with one read_file':30} {tools:8.2f} ms {tools / floor:6.2f}x")


def read_then_end(request: ModelRequest) -> Reply:
    return say("", call("read_file", path="a.txt")) if request.messages[-1].role == "user" else say("Done.")


async def turns(app: App) -> float:
    conversation = await app.conversation()

    async def turn() -> None:
        events = await collect(conversation.send("What is in a.txt?"))
        assert isinstance(events[-1], TurnFinished)
        assert events[-1].outcome == "done", events[-1]

    return await median(turn)


async def median(work: Callable[[], Awaitable[object]]) -> float:
    """Milliseconds."""
    await work()
    times = []
    for _ in range(TURNS):
        started = time.perf_counter()
        await work()
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1000


def main() -> None:
    for bench in (prompt_of_an_empty_chat, events_per_second, overhead_of_a_turn):
        with tempfile.TemporaryDirectory() as folder:
            if (work := bench(Path(folder))) is not None:
                asyncio.run(work)


if __name__ == "__main__":
    main()
