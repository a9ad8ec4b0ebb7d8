from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from hermes.contracts.errors import ToolError
from hermes.contracts.scope import Scope
from hermes.contracts.terminal import OpenTerminal, TerminalRef
from hermes_plugin_terminal.environment import child_environment, parse_exports
from hermes_plugin_terminal.local import LocalTerminal
from hermes_plugin_terminal.processes import MAX_PROCESSES
from hermes_plugin_terminal.text import Clip
from hermes_testkit.terminal_suite import DEADLINE, Driver, eventually, gone


def drive(
    tmp_path: Path,
    scenario: Callable[[Driver], Coroutine[Any, Any, None]],
    *,
    passthrough: tuple[str, ...] = (),
    env: dict[str, str] | None = None,
) -> None:
    async def run() -> None:
        backend = LocalTerminal(passthrough=passthrough)
        request = OpenTerminal(session_id="s", cwd=str(tmp_path), env=env or {}, scope=Scope(home=""))
        try:
            await scenario(Driver(backend, await backend.open(request)))
        finally:
            await backend.shutdown()

    asyncio.run(run())


def test_environment_of_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "SSH_AUTH_SOCK", "MY_TOOL_HOME"):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("LC_TIME", "C")

    async def scenario(t: Driver) -> None:
        process = await t.spawn("env")
        seen = [
            (await t.run("env")).text,
            (await t.run("env", fresh=True)).text,
            (await t.read_process(process, wait=DEADLINE)).text,
        ]
        for text in seen:
            names = {line.partition("=")[0] for line in text.splitlines()}
            assert {"PATH", "HOME", "LC_TIME", "MY_TOOL_HOME", "GIVEN", "HERMES_TERMINAL"} <= names
            assert not {"OPENAI_API_KEY", "SSH_AUTH_SOCK"} & names
        assert (await t.run("tr '\\0' '\\n' < /proc/$$/environ | grep -c KEY")).text == "0\n"

    drive(tmp_path, scenario, passthrough=("MY_TOOL_HOME",), env={"GIVEN": "1"})


def test_allowlist() -> None:
    parent = {"PATH": "/bin", "LC_ALL": "C", "AWS_SECRET_ACCESS_KEY": "x", "KEPT": "y"}
    assert child_environment(parent, ["KEPT"], {"A": "b"}) == {"PATH": "/bin", "LC_ALL": "C", "KEPT": "y", "A": "b"}


def test_exports_as_bash_lists_them(tmp_path: Path) -> None:
    values = {"A": 'q"uo\\te $x `y`', "B": "two\nlines", "C": "tab\tbell\a\x1b é", "D": "", "E_1": "'it''s'"}
    listing = subprocess.run(
        ["bash", "--norc", "--noprofile", "-c", "export -p"],
        env={**values, "PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = parse_exports(listing)
    assert {name: found[name] for name in values} == values


def test_a_command_that_clears_away_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    async def scenario(t: Driver) -> None:
        cleared = await t.run("x=1; ls; rm -rf hermes-terminal-*; echo cleared")
        assert cleared.text.startswith("hermes-terminal-")
        assert cleared.text.endswith("cleared\n")
        assert (await t.run("echo $x")).text == "1\n"
        assert (await t.run("cat", stdin="in")).text == "in"

    drive(tmp_path, scenario)


def test_what_bash_may_do_to_its_shell(tmp_path: Path) -> None:
    async def scenario(t: Driver) -> None:
        for command in (
            "set -x",
            "exec 1>/dev/null 2>/dev/null",
            "exec </dev/null",
            "printf() { echo mine; }; trap() { :; }; cd() { :; }",
            "unset PWD; IFS=x; LC_ALL=C",
            "trap 'echo bye' EXIT; trap : DEBUG",
            "break 5; continue; return 3",
            "shopt -s failglob nullglob; set -f",
            "eval() { :; }; unset -f eval",
            "echo ${bad pattern}; echo $((1/0))",
        ):
            await t.run(command, timeout=5)
            assert (await t.run("echo fine", timeout=5)).text.endswith("fine\n"), command

    drive(tmp_path, scenario)


def test_a_directory_that_is_removed(tmp_path: Path) -> None:
    async def scenario(t: Driver) -> None:
        await t.run("mkdir -p a/b; cd a/b")
        await t.run("rm -rf ../../a; exit 1")
        found = await t.run("pwd -P")
        assert found.text == f"{tmp_path}\n"

    drive(tmp_path, scenario)


def test_many_processes(tmp_path: Path) -> None:
    async def scenario(t: Driver) -> None:
        first = await t.spawn("true")
        await t.read_process(first, wait=DEADLINE)
        for _ in range(MAX_PROCESSES):
            await t.spawn("exec sleep 300")
        with pytest.raises(ToolError, match="No process"):
            await t.read_process(first)
        with pytest.raises(ToolError, match="kill one"):
            await t.spawn("sleep 300")

    drive(tmp_path, scenario)


def test_descriptors_are_given_back(tmp_path: Path) -> None:
    def used() -> int:
        return len(os.listdir("/proc/self/fd"))

    async def scenario() -> None:
        backend = LocalTerminal()
        before = used()
        for _ in range(2):
            info = await backend.open(OpenTerminal(session_id="s", cwd=str(tmp_path), scope=Scope(home="")))
            t = Driver(backend, info)
            await t.run("sleep 300 & exit 1")
            await t.run("yes", timeout=0.1)
            await t.run("yes | head -n 3", fresh=True)
            await t.spawn("sleep 300")
            await t.spawn("sleep 300", pty=True)
            await t.read_process(await t.spawn("true"), wait=DEADLINE)
            await backend.close(TerminalRef(terminal=info.id))
        assert used() == before

    asyncio.run(scenario())


def test_files_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    async def scenario(t: Driver) -> None:
        await t.write("new", b"1")
        umask = int((await t.run("umask")).text, 8)
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o666 & ~umask
        (tmp_path / "link").symlink_to("nowhere/file")
        await t.write("link", b"through")
        assert (tmp_path / "nowhere/file").read_bytes() == b"through"
        os.mkdir(tmp_path / "dir")
        with pytest.raises(ToolError, match="dir"):
            await t.write("dir", b"x")
        assert sorted(os.listdir(tmp_path)) == ["dir", "link", "new", "nowhere"], "no temporary file is left"
        with pytest.raises(ToolError, match="empty"):
            await t.read("")
        with pytest.raises(ToolError, match="null"):
            await t.read("a\0b")

    drive(tmp_path, scenario)


CHILD = """
import asyncio, sys
from hermes.contracts.scope import Scope
from hermes.contracts.terminal import OpenTerminal, RunCommand, SpawnProcess
from hermes_plugin_terminal.local import LocalTerminal

async def main():
    backend = LocalTerminal()
    await backend.open(OpenTerminal(session_id="s", cwd=sys.argv[1], scope=Scope(home="")))
    wait = "echo $$ >> pids; sleep 300; :"
    for command, pty in ((wait, False), ("trap '' HUP; " + wait, True)):
        await backend.spawn(SpawnProcess(terminal="s", command=command, pty=pty))
    tree = "trap '' TERM HUP; echo $BASHPID >> pids; setsid bash -c '" + wait + "' & echo $$ >> pids; "
    command = tree + "(echo $BASHPID >> pids; sleep 300; :)"
    async for _ in backend.run(RunCommand(terminal="s", command=command, timeout=600)):
        pass

print(flush=True)
asyncio.run(main())
"""


def test_nothing_survives_when_the_agent_is_killed(tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    agent = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(temporary)},
    )

    async def pids() -> list[str]:
        file = tmp_path / "pids"
        found = file.read_text().split() if file.exists() else []
        return found if len(found) == 6 else []

    async def scenario(t: Driver) -> None:
        started = await eventually(pids)
        assert len(list(temporary.iterdir())) == 1
        agent.send_signal(signal.SIGKILL)
        agent.wait()
        await gone(t, started)
        await eventually(lambda: _empty(temporary))

    try:
        drive(tmp_path, scenario)
    finally:
        agent.kill()
        agent.communicate()


async def _empty(folder: Path) -> bool:
    return not list(folder.iterdir())


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_clip_is_the_same_whatever_the_pieces(size: int) -> None:
    text = "".join(f"{number:04d}" for number in range(2000))
    clip = Clip(1000)
    for start in range(0, len(text), size):
        clip.add(text[start : start + size])
    assert clip.text() == f"{text[:400]}\n[… 7,000 characters cut …]\n{text[-600:]}"
    whole = Clip(1000)
    whole.add(text[:1000])
    assert whole.text() == text[:1000]
