"""What a hook call costs with 45 plugins, against a bare loop over the same functions in the same run.

Run: ``.venv/bin/python benchmarks/bench_hooks.py [CALLS]``. Medians, in microseconds for all 45 plugins together.
In the command line an alarm bounds plain functions that hang; a library leaves the process's signals alone.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pluggy

from hermes import App, Scope, SessionInfo, ToolCall, ToolOutcome, Verdict, hookimpl
from hermes.contracts import hookspecs
from hermes_testkit.scripted import make_app

PLUGINS = 45
CALLS = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
SESSION = SessionInfo(id="20260101_000000_abcdef", scope=Scope(home="/h"), surface="benchmark")
CALL = ToolCall(id="call_1", name="terminal", arguments={"command": "true"})
OUTCOME = ToolOutcome(content=())


class Observer:
    def __init__(self, name: str) -> None:
        self.name = name

    @hookimpl
    def on_session_start(self, session: SessionInfo) -> None:
        pass


class SyncPlugin(Observer):
    @hookimpl
    def post_tool_call(self, call: ToolCall, result: ToolOutcome, ctx: Any) -> None:
        pass


class AsyncPlugin:
    def __init__(self, name: str) -> None:
        self.name = name

    @hookimpl
    async def on_session_start(self, session: SessionInfo) -> None:
        pass

    @hookimpl
    async def post_tool_call(self, call: ToolCall, result: ToolOutcome, ctx: Any) -> None:
        pass

    @hookimpl
    async def pre_tool_call(self, call: ToolCall) -> Verdict | None:
        return None


async def median(work: Callable[[], Awaitable[object]], calls: int = CALLS) -> float:
    for _ in range(20):
        await work()
    times = []
    for _ in range(calls):
        started = time.perf_counter()
        await work()
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1_000_000


async def bare_sync(plugins: list[Any]) -> None:
    values = {"session": SESSION}
    for plugin in plugins:
        plugin.on_session_start(**values)


async def bare_async(plugins: list[Any]) -> None:
    values = {"session": SESSION}
    for plugin in plugins:
        await plugin.on_session_start(**values)


def line(name: str, value: float, floor: float, limit: float | None = None) -> None:
    mark = "" if limit is None else "PASS" if value <= limit else "MISS"
    bound = "" if limit is None else f" (at most {limit:g})"
    print(f"  {mark:4} {name:44} {value:8.1f} us {value / floor:6.1f}x{bound}")


async def started(app: App) -> App:
    await app.plugins.start()
    return app


async def bench_sync(folder: Path) -> None:
    plugins = [SyncPlugin(f"sync-{number}") for number in range(PLUGINS)]
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    for number in range(PLUGINS):
        manager.register(Observer(f"observer-{number}"))

    async def by_pluggy() -> None:
        manager.hook.on_session_start(session=SESSION)

    async with make_app(folder, *plugins) as app:
        hooks = (await started(app)).plugins.hooks
        floor = await median(lambda: bare_sync(plugins))
        line("sync: bare loop", floor, floor)
        line("sync: pluggy alone, not contained", await median(by_pluggy), floor)
        line("sync observers, library", await median(lambda: hooks.on_session_start(SESSION)), floor, 50)
        line("sync observers with ctx, library", await median(lambda: hooks.post_tool_call(CALL, OUTCOME)), floor, 50)
        app.plugins.alarm.enable()
        line("sync observers, command line", await median(lambda: hooks.on_session_start(SESSION)), floor, 50)
        line(
            "sync observers with ctx, command line",
            await median(lambda: hooks.post_tool_call(CALL, OUTCOME)),
            floor,
            50,
        )


async def bench_async(folder: Path) -> None:
    plugins = [AsyncPlugin(f"async-{number}") for number in range(PLUGINS)]
    async with make_app(folder, *plugins) as app:
        hooks = (await started(app)).plugins.hooks
        floor = await median(lambda: bare_async(plugins))
        line("async: bare loop", floor, floor)
        line("async observers", await median(lambda: hooks.on_session_start(SESSION)), floor, 300)
        line("async observers with ctx", await median(lambda: hooks.post_tool_call(CALL, OUTCOME)), floor, 300)
        line("async guards", await median(lambda: hooks.pre_tool_call(CALL)), floor)


async def bench_none(folder: Path) -> None:
    async with make_app(folder) as app:
        hooks = (await started(app)).plugins.hooks
        floor = await median(lambda: bare_sync([]))
        line("no plugin has the hook", await median(lambda: hooks.on_session_start(SESSION)), floor)


def main() -> None:
    print(f"{PLUGINS} plugins, medians of {CALLS} calls")
    for bench in (bench_sync, bench_async, bench_none):
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(bench(Path(folder)))


if __name__ == "__main__":
    main()
