from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from hermes.contracts.errors import ToolError
from hermes_plugin_terminal import provide
from hermes_plugin_terminal.local import LocalTerminal
from hermes_plugin_terminal.tools import process, terminal
from hermes_testkit.terminal_suite import DEADLINE, ToolHarness, eventually, gone

CONFIG = {"backend": "local", "timeout": 180, "env_passthrough": [], "shell": "bash"}


def use(
    tmp_path: Path, scenario: Callable[[ToolHarness], Coroutine[Any, Any, None]], config: dict[str, Any] = CONFIG
) -> None:
    async def run() -> None:
        harness = ToolHarness(LocalTerminal(), tmp_path, plugin="terminal", provisions=provide(), config=config)
        async with harness as tools, asyncio.timeout(DEADLINE):
            await scenario(tools)

    asyncio.run(run())


def test_results(tmp_path: Path) -> None:
    async def scenario(tools: ToolHarness) -> None:
        assert await tools.call(terminal, command="echo a; echo b") == "a\nb"
        assert await tools.call(terminal, command="true") == "(no output)"
        assert await tools.call(terminal, command="echo x; (exit 3)") == "x\n[exit 3]"
        assert await tools.call(terminal, command="mkdir d; cd d") == f"[now in {tmp_path}/d]"
        assert await tools.call(terminal, command="pwd") == f"{tmp_path}/d"
        assert await tools.call(terminal, command="pwd", workdir="/") == "/"
        assert await tools.call(terminal, command="printf '\\033[1;31mred\\033[0m'") == "red"
        ended = await tools.call(terminal, command="exit 4")
        assert ended.startswith("[exit 4]\n[the command ended the shell")
        assert "".join(tools.outputs).startswith("a\nb\nx\n")

    use(tmp_path, scenario)


def test_long_output_is_cut_in_its_middle(tmp_path: Path) -> None:
    async def scenario(tools: ToolHarness) -> None:
        text = await tools.call(terminal, command="echo first; yes 123456789 | head -c 10000000; echo last")
        assert len(text) < 50_000
        assert text.startswith("first\n123")
        assert text.endswith("789\nlast")
        cut = re.search(r"\n\[… ([\d,]+) characters cut …\]\n", text)
        assert cut is not None
        assert int(cut[1].replace(",", "")) == 10_000_011 - 49_000
        assert 0.39 < cut.start() / len(text) < 0.41
        assert sum(map(len, tools.outputs)) == 10_000_011

    use(tmp_path, scenario)


def test_timeouts(tmp_path: Path) -> None:
    async def scenario(tools: ToolHarness) -> None:
        answer = await tools.call(terminal, command="echo begun; sleep 300", timeout=1)
        assert answer == "begun\nTerminated\n[timed out after 1 s; the process group was killed]"
        assert "timed out after 1 s" in await tools.call(terminal, command="sleep 300")
        with pytest.raises(ToolError, match="background=true"):
            await tools.call(terminal, command="true", timeout=601)
        with pytest.raises(ToolError, match="between 1 and 600"):
            await tools.call(terminal, command="true", timeout=-1)

    use(tmp_path, scenario, {**CONFIG, "timeout": 1})


def test_interrupting_ends_the_command(tmp_path: Path) -> None:
    async def scenario(tools: ToolHarness) -> None:
        call = asyncio.create_task(tools.call(terminal, command="echo $BASHPID; exec bash -c 'yes'"))
        await eventually(lambda: _any(tools.outputs))
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await gone(tools.driver, [tools.outputs[0].split()[0]])
        assert await tools.call(terminal, command="echo fine") == "fine"

    use(tmp_path, scenario)


async def _any(values: list[str]) -> bool:
    return bool(values)


def test_background(tmp_path: Path) -> None:
    async def scenario(tools: ToolHarness) -> None:
        started = await tools.call(terminal, command="echo up; read -r x; echo got $x; exit 2", background=True)
        assert re.fullmatch(r'Started in the background: process "p1", pid \d+\. You are told when it ends\.', started)
        await tools.driver.output_with("p1", "up\n")
        assert re.fullmatch(
            r'up\n\[process "p1" running for \d+ s\]', await tools.call(process, action="poll", id="p1")
        )
        assert 'process "p1" running' in await tools.call(process, action="list")
        assert await tools.call(process, action="write", id="p1", text="hello\n") == "Wrote 6 characters."
        await eventually(lambda: _any([message.text for message in tools.injected]))
        (message,) = tools.injected
        assert message.steer
        assert message.session_id == tools.session_id
        assert message.principal.kind == "service"
        assert message.text.startswith('[process "p1" ended with exit code 2: echo up;')
        assert message.text.endswith("Its last lines:\nup\ngot hello")
        log = await tools.call(process, action="log", id="p1")
        assert log == 'up\ngot hello\n[process "p1" ended with exit code 2]'

    use(tmp_path, scenario)


def test_who_has_seen_the_end_is_not_told(tmp_path: Path) -> None:
    async def scenario(tools: ToolHarness) -> None:
        await tools.call(terminal, command="trap '' TERM; echo up; while :; do sleep 0.05; done", background=True)
        await tools.driver.output_with("p1", "up\n")
        killed = await tools.call(process, action="kill", id="p1")
        assert killed == 'Killed: process "p1" ended by signal 9.'
        assert "had ended already" in await tools.call(process, action="kill", id="p1")
        await tools.call(terminal, command="true", background=True, notify=False)
        assert "ended with exit code 0" in await tools.call(process, action="wait", id="p2", timeout=20)
        await tools.call(terminal, command="echo third", background=True)
        await eventually(lambda: _any([message.text for message in tools.injected]))
        assert [message.text.split(" ended")[0] for message in tools.injected] == ['[process "p3"']

    use(tmp_path, scenario)


def test_pseudo_terminals(tmp_path: Path) -> None:
    async def scenario(tools: ToolHarness) -> None:
        assert await tools.call(terminal, command="[ -t 1 ] && echo yes; exit 3", pty=True) == "yes\n[exit 3]"
        slow = await tools.call(terminal, command="echo begun; sleep 300", pty=True, timeout=1)
        assert slow.replace("\r", "") == "begun\n[timed out after 1 s; the process group was killed]"

    use(tmp_path, scenario)


def test_wrong_use_of_process(tmp_path: Path) -> None:
    async def scenario(tools: ToolHarness) -> None:
        assert await tools.call(process, action="list") == "No processes."
        with pytest.raises(ToolError, match="needs the id"):
            await tools.call(process, action="poll")
        with pytest.raises(ToolError, match=r'No process "p7"\. There are: none'):
            await tools.call(process, action="poll", id="p7")
        with pytest.raises(ToolError, match="Wrong arguments"):
            await tools.call(process, action="explode")
        await tools.call(terminal, command="cat", background=True)
        await tools.call(process, action="close", id="p1")
        assert "exit code 0" in await tools.call(process, action="wait", id="p1", timeout=20)
        with pytest.raises(ToolError, match="takes no input"):
            await tools.call(process, action="write", id="p1", text="x")

    use(tmp_path, scenario)
