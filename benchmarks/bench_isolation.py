"""What a plugin host costs, against the same plugin in Hermes's own process in the same run.

Run: ``.venv/bin/python benchmarks/bench_isolation.py``. With bubblewrap where it is installed, and it says so. The
floors are bare Python's start, and the same call, stream or hook in process.
"""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

from hermes import App, Endpoint, ModelRequest, Scope, SessionInfo, ToolCall
from hermes.plugins.sandbox import bubblewrap
from hermes_testkit.scripted import make_app

SESSION = SessionInfo(id="s", scope=Scope(home="/h"), surface="benchmark")
CALLS = 3000
DELTAS = 2000

SUBJECT = """
# /// hermes
# name: subject
# provides: {transport: [subject]}
# ///
from hermes import ModelFinished, ProviderCapabilities, Provision, TextDelta, hookimpl, tool

@tool(risk="read", effects="none")
async def echo(text: str = "") -> str:
    "Say it again."
    return text

@hookimpl
def on_session_start(session):
    pass

class Words:
    capabilities = ProviderCapabilities()

    async def stream(self, request):
        for number in range(%d):
            yield TextDelta(text="word ")
        yield ModelFinished(reason="stop")

    async def models(self, query):
        raise NotImplementedError

@hookimpl
def provide():
    return [Provision("transport", "subject", Words)]
"""

MEMBER = """
# /// hermes
# name: member-{number}
# group: bench
# ///
from hermes import hookimpl

@hookimpl
def on_session_end(session, outcome):
    pass
"""


def app_of(folder: Path, names: list[str], *, isolated: bool) -> App:
    where = "isolated" if isolated else "host"
    return make_app(
        folder,
        only=names,
        overrides={"plugins": {"entries": {name: {"isolation": where} for name in names}}},
    )


async def times(work: Callable[[], Awaitable[object]], calls: int) -> list[float]:
    """Milliseconds, sorted."""
    for _ in range(max(3, calls // 20)):
        await work()
    found = []
    for _ in range(calls):
        started = time.perf_counter()
        await work()
        found.append((time.perf_counter() - started) * 1000)
    return sorted(found)


def line(name: str, value: float, limit: float | None = None, note: str = "") -> None:
    mark = "" if limit is None else "PASS" if value <= limit else "MISS"
    bound = "" if limit is None else f" (at most {limit:g})"
    print(f"  {mark:4} {name:52} {value:8.3f} ms{bound} {note}")


async def calls_and_streams(folder: Path, *, isolated: bool) -> tuple[list[float], list[float], list[float]]:
    async with app_of(folder, ["subject"], isolated=isolated) as app:
        await app.plugins.start()
        bound = await app.registry.bind(app.registry.entries()["echo"])
        context = app.context("subject").for_call(ToolCall(id="c", name="echo", arguments={}, scope=app.scope))
        extra: dict[str, Any] = {"ctx": context} if bound.wants_context else {}
        transport = await app.plugins.provided("transport", "subject")
        request = ModelRequest(id="r", session_id="s", turn_id="t", endpoint=Endpoint(provider="subject"), model="m")

        async def stream() -> None:
            async with aclosing(transport.stream(request)) as events:
                count = 0
                async for _ in events:
                    count += 1
                assert count == DELTAS + 1

        tool = await times(lambda: bound.function(text="hello", **extra), CALLS)
        hook = await times(lambda: app.plugins.hooks.on_session_start(SESSION), CALLS)
        return tool, hook, await times(stream, 30)


async def start_of_ten(folder: Path) -> float:
    names = [f"member-{number}" for number in range(10)]
    async with app_of(folder, names, isolated=True) as app:
        started = time.perf_counter()
        await app.plugins.start()
        took = (time.perf_counter() - started) * 1000
        assert len(app.plugins.hosts()) == 1
        assert all(app.plugins.plugins[name].state == "active" for name in names)
        return took


async def restarts(folder: Path, count: int) -> list[float]:
    """From the death of a host to the first answer of the next one."""
    found = []
    for _ in range(count):
        async with app_of(folder, ["subject"], isolated=True) as app:
            await app.plugins.start()
            (host,) = app.plugins.hosts()
            context = app.context("subject").for_call(ToolCall(id="c", name="echo", arguments={}, scope=app.scope))
            bound = await app.registry.bind(app.registry.entries()["echo"])
            started = time.perf_counter()
            os.kill(host.pid, signal.SIGKILL)
            while host.alive:  # noqa: ASYNC110
                await asyncio.sleep(0.0005)
            await bound.function(ctx=context, text="again")
            found.append((time.perf_counter() - started) * 1000)
    return sorted(found)


def bare_start() -> float:
    found = []
    for _ in range(10):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-I", "-S", "-c", "pass"], check=True)
        found.append((time.perf_counter() - started) * 1000)
    return statistics.median(found)


async def main() -> None:
    print(f"bubblewrap: {bubblewrap() or 'none; hosts are not confined'}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "plugins").mkdir()
        (folder / "plugins" / "subject.py").write_text(SUBJECT.strip() % DELTAS)
        for number in range(10):
            (folder / "plugins" / f"member_{number}.py").write_text(MEMBER.strip().format(number=number))
        inside = await calls_and_streams(folder, isolated=False)
        outside = await calls_and_streams(folder, isolated=True)
        for what, ours, theirs, limits in (
            ("tool call", inside[0], outside[0], (0.2, 1.0)),
            ("hook call", inside[1], outside[1], (None, None)),
        ):
            for which, share, limit in (("median", 0.5, limits[0]), ("p99", 0.99, limits[1])):
                one, other = (found[int(share * (len(found) - 1))] for found in (ours, theirs))
                line(f"{what}, {which}: over the same in process", other - one, limit, f"({one:.3f} and {other:.3f})")
        one, other = (statistics.median(found[2]) for found in (inside, outside))
        line(f"{DELTAS} deltas: over the same in process", other - one, 15, f"({one:.2f} and {other:.2f})")
        bare = bare_start()
        line("bare Python's start", bare)
        starts = sorted([await start_of_ten(folder) for _ in range(9)])
        line("a host's start with ten plugins, median", statistics.median(starts), 80, f"{starts[4] / bare:.1f}x")
        found = await restarts(folder, 9)
        line("from kill -9 to the next answer, median", statistics.median(found), 150, f"{found[4] / bare:.1f}x")


if __name__ == "__main__":
    asyncio.run(main())
