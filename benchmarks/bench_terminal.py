"""What a command costs beyond itself: ``terminal("true")`` against ``subprocess.run(["bash", "-c", "true"])``.

Run: ``.venv/bin/python benchmarks/bench_terminal.py``. All figures are medians in milliseconds; the ratios compare
with the bare subprocess in the same run.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from hermes.contracts.scope import Scope
from hermes.contracts.terminal import OpenTerminal, TerminalRef
from hermes_plugin_files import provide as provide_files
from hermes_plugin_files.tools import patch, read_file, search_files, write_file
from hermes_plugin_terminal import provide
from hermes_plugin_terminal.local import LocalTerminal
from hermes_plugin_terminal.tools import terminal
from hermes_testkit.terminal_suite import Driver, ToolHarness

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 200
CONFIG = {"backend": "local", "timeout": 180, "env_passthrough": [], "shell": "bash"}


async def median(work: Callable[[], Awaitable[object]], rounds: int = ROUNDS) -> float:
    await work()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        await work()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1000


async def bare() -> None:
    subprocess.run(["bash", "-c", "true"], check=True, capture_output=True)  # noqa: ASYNC221 (what is measured)


async def first_use(folder: str) -> None:
    backend = LocalTerminal()
    info = await backend.open(OpenTerminal(session_id="first", cwd=folder, scope=Scope(home="")))
    await Driver(backend, info).run("true")
    await backend.close(TerminalRef(terminal=info.id))


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        reference = await median(bare)
        figures = {
            "bare subprocess": reference,
            "open, first command, close": await median(lambda: first_use(folder), 20),
        }
        provisions = (*provide(), *provide_files())
        harness = ToolHarness(LocalTerminal(), Path(folder), plugin="terminal", provisions=provisions, config=CONFIG)
        async with harness as tools:
            figures["shell: true"] = await median(lambda: tools.driver.run("true"))
            figures["fresh: true"] = await median(lambda: tools.driver.run("true", fresh=True))
            figures["tool terminal: true"] = await median(lambda: tools.call(terminal, command="true"))
            figures["tool terminal: 10 MB"] = await median(
                lambda: tools.call(terminal, command="yes | head -c 10000000"), 5
            )
            text = "".join(f"line {number}\n" for number in range(300))
            figures["tool write_file: 3 KB"] = await median(lambda: tools.call(write_file, path="a.txt", content=text))
            figures["tool read_file: 3 KB"] = await median(lambda: tools.call(read_file, path="a.txt"))
            figures["tool search_files"] = await median(lambda: tools.call(search_files, pattern="line 42"))

            async def there_and_back() -> None:
                await tools.call(patch, path="a.txt", old="line 150\n", new="line x\n")
                await tools.call(patch, path="a.txt", old="line x\n", new="line 150\n")

            figures["tool patch, twice"] = await median(there_and_back)
    for name, value in figures.items():
        print(f"{name:28} {value:8.2f} ms {value / reference:7.2f}×")


asyncio.run(main())
