"""Conformance of terminal backends, by inheritance, and a harness to call tools with a real backend.

A backend's test file has a subclass of `TerminalSuite` with ``factory``, such as ``my_module:MyTerminal``, which is
served in this process and in a plugin host; or with `make_backend`, for this process alone. Behaviours follow the
backend's declared capabilities; each test's docstring starts with the behaviour's id. Override a test only as a strict
expected failure that says why.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest

from hermes.contracts.errors import ToolError
from hermes.contracts.host import CallOutput, Clock, ConfigQuery, ConfigSection, Host, PluginContext, TerminalQuery
from hermes.contracts.scope import Scope
from hermes.contracts.service import Provision
from hermes.contracts.store import InboxMessage
from hermes.contracts.terminal import (
    CommandEvent,
    CommandExited,
    CommandOutput,
    DeletePath,
    FileInfo,
    ListDirectory,
    MovePath,
    OpenTerminal,
    PathRef,
    ProcessOutput,
    ReadFile,
    ReadProcess,
    ResizeProcess,
    RunCommand,
    SignalProcess,
    SpawnProcess,
    TerminalBackend,
    TerminalCapabilities,
    TerminalInfo,
    TerminalRef,
    WriteFile,
    WriteProcess,
)
from hermes.contracts.tool import ToolCall
from hermes.contracts.values import Done

from .contract_suite import DEADLINE, FactorySuite, eventually


class Result(NamedTuple):
    """A command, run to its end."""

    text: str
    end: CommandExited


class Driver:
    """A backend and one open terminal, with short names for what tests do all the time."""

    def __init__(self, backend: TerminalBackend, info: TerminalInfo) -> None:
        self.backend = backend
        self.info = info
        self.id = info.id

    def events(self, command: str, *, timeout: float = DEADLINE, **options: Any) -> AsyncGenerator[CommandEvent, None]:
        request = RunCommand(terminal=self.id, command=command, timeout=timeout, **options)
        return cast("AsyncGenerator[CommandEvent, None]", self.backend.run(request))

    async def run(self, command: str, **options: Any) -> Result:
        """Whatever happens to the timeout, the command has to end within `DEADLINE`."""
        pieces: list[str] = []
        end: CommandExited | None = None
        async with asyncio.timeout(DEADLINE), aclosing(self.events(command, **options)) as events:
            async for event in events:
                assert end is None, "nothing comes after CommandExited"
                if isinstance(event, CommandOutput):
                    pieces.append(event.text)
                else:
                    end = event
        assert end is not None, "a command's events end with CommandExited"
        return Result("".join(pieces), end)

    async def spawn(self, command: str, **options: Any) -> str:
        return (await self.backend.spawn(SpawnProcess(terminal=self.id, command=command, **options))).id

    async def read_process(self, process: str, *, offset: int = 0, wait: float = 0.0) -> ProcessOutput:
        request = ReadProcess(terminal=self.id, process=process, offset=offset, wait=wait)
        return await self.backend.read_process(request)

    async def output_with(self, process: str, text: str) -> str:
        """Waits until the process has written ``text``."""

        async def seen() -> str:
            found = (await self.read_process(process)).text
            return found if text in found else ""

        return str(await eventually(seen))

    async def write(self, path: str, data: bytes, **options: Any) -> FileInfo:
        return await self.backend.write(WriteFile(terminal=self.id, path=path, data=data, **options))

    async def read(self, path: str, **options: Any) -> bytes:
        return (await self.backend.read(ReadFile(terminal=self.id, path=path, **options))).data

    async def stat(self, path: str) -> FileInfo:
        return await self.backend.stat(PathRef(terminal=self.id, path=path))


class TerminalSuite(FactorySuite):
    """The behaviours of a `TerminalBackend`."""

    contract = "terminal"
    permissions = {"paths": ["/usr:ro", "/etc:ro"]}

    async def make_backend(self, tmp_path: Path) -> TerminalBackend:
        raise NotImplementedError

    @asynccontextmanager
    async def serving(self, tmp_path: Path) -> AsyncIterator[TerminalBackend]:
        if self.factory:
            async with self.opened() as served:
                yield served
        else:
            yield await self.make_backend(tmp_path)

    def directory(self, tmp_path: Path) -> str:
        """Where the terminal starts: an empty directory that can be written to, as the backend names it."""
        return str(tmp_path)

    def drive(self, tmp_path: Path, scenario: Callable[[Driver], Coroutine[Any, Any, None]]) -> None:
        async def run() -> None:
            async with self.serving(tmp_path) as backend:
                info = await backend.open(self.request(tmp_path, "suite"))
                try:
                    await scenario(Driver(backend, info))
                finally:
                    await backend.close(TerminalRef(terminal=info.id))

        asyncio.run(run())

    def request(self, tmp_path: Path, session: str) -> OpenTerminal:
        return OpenTerminal(session_id=session, cwd=self.directory(tmp_path), scope=Scope(home="", session=session))

    def need(self, tmp_path: Path, capability: str) -> None:
        """Leaves the test out where the backend does not declare ``capability``."""

        async def declared() -> TerminalCapabilities:
            async with self.serving(tmp_path) as backend:
                return backend.capabilities

        if not getattr(asyncio.run(declared()), capability):
            pytest.skip(f"the backend does not declare {capability}")

    def test_output_and_code(self, tmp_path: Path) -> None:
        """TERMINAL-RUN-1: output comes as it is written, the exit code and the directory at the end."""

        async def scenario(t: Driver) -> None:
            assert await t.run("printf 'a\\nb'") == Result("a\nb", CommandExited(code=0, cwd=t.info.cwd))
            assert (await t.run("(exit 7)")).end == CommandExited(code=7, cwd=t.info.cwd)

        self.drive(tmp_path, scenario)

    def test_one_stream(self, tmp_path: Path) -> None:
        """TERMINAL-RUN-2: standard output and error are one stream, in order."""

        async def scenario(t: Driver) -> None:
            assert (await t.run("echo 1; echo 2 >&2; echo 3")).text == "1\n2\n3\n"

        self.drive(tmp_path, scenario)

    @pytest.mark.parametrize(
        ("command", "text"),
        [
            ("echo \"it's\" 'a \"b\"' $((1+1)) \\$HOME '`x`'", 'it\'s a "b" 2 $HOME `x`\n'),
            ("cat <<'EOF'\n$a 'b \"c\nEOF", "$a 'b \"c\n"),
            ("cat <<EOF\nunterminated", "unterminated\n"),
            ("for i in 1 2; do\n  echo $i # comment\ndone", "1\n2\n"),
            ("echo ü€𝄞 \\\n  x", "ü€𝄞 x\n"),
            ("printf '%s\\n' -n '%d \\0'", "-n\n%d \\0\n"),
            ("# only a comment", ""),
        ],
    )
    def test_any_text(self, tmp_path: Path, command: str, text: str) -> None:
        """TERMINAL-RUN-3: any text arrives as it was written."""

        async def scenario(t: Driver) -> None:
            found = await t.run(command)
            assert found.text.endswith(text)
            assert found.end.code == 0

        self.drive(tmp_path, scenario)

    @pytest.mark.parametrize("command", ["echo 'open", "if then", "for", "echo )", 'echo "$(', "}", "cat <<"])
    def test_syntax_errors(self, tmp_path: Path, command: str) -> None:
        """TERMINAL-RUN-4: what does not parse fails with a message, and the next command works."""

        async def scenario(t: Driver) -> None:
            broken = await t.run(command)
            assert broken.end.code != 0
            assert broken.text
            assert (await t.run("echo fine")).text == "fine\n"

        self.drive(tmp_path, scenario)

    def test_stdin(self, tmp_path: Path) -> None:
        """TERMINAL-RUN-5: standard input is empty unless it is given, and then exactly that."""

        async def scenario(t: Driver) -> None:
            assert (await t.run("cat; read x; echo $?")).text == "1\n"
            assert (await t.run("cat", stdin="a\nü")).text == "a\nü"
            assert (await t.run("cat", stdin="a\nü", fresh=True)).text == "a\nü"
            assert (await t.run("cat")).text == ""

        self.drive(tmp_path, scenario)

    def test_not_text(self, tmp_path: Path) -> None:
        """TERMINAL-RUN-6: bytes that are no UTF-8 are replaced; characters cut by a write or a buffer are not."""

        async def scenario(t: Driver) -> None:
            assert (await t.run("printf 'a\\377b\\0c'")).text == "a\ufffdb\0c"
            assert (await t.run("printf '\\xe2\\x82'; sleep 0.05; printf '\\xac'")).text == "€"
            many = await t.run('printf x; for ((i = 0; i < 17; i++)); do s=${s-€}$s; done; printf %s "$s"')
            assert many.text == "x" + "€" * 65536
            assert (await t.run("printf '\\xe2\\x82'")).text == "\ufffd"

        self.drive(tmp_path, scenario)

    def test_much_output(self, tmp_path: Path) -> None:
        """TERMINAL-RUN-7: ten megabytes come whole."""

        async def scenario(t: Driver) -> None:
            found = await t.run("yes 123456789 | head -c 10000000; echo end")
            assert len(found.text) == 10_000_004
            assert found.text.endswith("123456789\nend\n")

        self.drive(tmp_path, scenario)

    def test_streams(self, tmp_path: Path) -> None:
        """TERMINAL-RUN-8: output is given while the command still runs."""

        async def scenario(t: Driver) -> None:
            async with (
                asyncio.timeout(DEADLINE),
                aclosing(t.events("echo first; until [ -e go ]; do :; done")) as events,
            ):
                assert await anext(events) == CommandOutput(text="first\n")
                await t.write("go", b"")
                assert isinstance(await anext(events), CommandExited)

        self.drive(tmp_path, scenario)

    @pytest.mark.parametrize("fresh", [False, True])
    @pytest.mark.parametrize(
        "command",
        [
            "sleep 300",
            "sleep 300; echo NOT; sleep 300",
            "while :; do :; done; echo NOT",
            "f() { while :; do sleep 300; done; }; f; echo NOT",
            "sleep 300 | cat; echo NOT",
            "x=$(sleep 300); echo NOT",
            "(trap '' TERM INT; sleep 300; sleep 300); echo NOT",
            "bash -c 'sleep 300 & sleep 300 & wait; echo NOT'; echo NOT",
            "sleep 300 & wait; echo NOT",
            "read x < <(sleep 300); echo NOT",
        ],
    )
    def test_timeout(self, tmp_path: Path, command: str, fresh: bool) -> None:
        """TERMINAL-RUN-9: when its time is up all of a command ends, nothing more of it runs, the next one works."""

        async def scenario(t: Driver) -> None:
            nap = f"sleep {300 + random.random():.9f}"
            found = await t.run(f"echo begun; {command.replace('sleep 300', nap)}", timeout=0.3, fresh=fresh)
            assert found.end.reason == "timeout"
            assert found.text.startswith("begun\n")
            assert "NOT\n" not in found.text
            assert (await t.run(f"ps -eo args | grep -c '^[s]{nap[1:]}'", fresh=True)).text == "0\n"
            assert (await t.run("echo fine", fresh=fresh)).text == "fine\n"

        self.drive(tmp_path, scenario)

    def test_timeout_kills(self, tmp_path: Path) -> None:
        """TERMINAL-RUN-10: the group's processes are gone when the timeout is reported, also those that ignore TERM."""

        async def scenario(t: Driver) -> None:
            tree = (
                "(trap '' TERM; echo $BASHPID; (echo $BASHPID; sleep 300) & (trap '' TERM; echo $BASHPID; sleep 300))"
            )
            for fresh in (False, True):
                found = await t.run(tree, timeout=0.3, fresh=fresh)
                pids = [word for word in found.text.split() if word.isdigit()]
                assert len(pids) >= 3
                await gone(t, pids[:3])

        self.drive(tmp_path, scenario)

    @pytest.mark.parametrize("command", ["sleep 300", "yes", "while :; do echo y; done"])
    @pytest.mark.parametrize("fresh", [False, True])
    def test_interrupt(self, tmp_path: Path, command: str, fresh: bool) -> None:
        """TERMINAL-RUN-11: closing the events early ends the command, also in the middle of its output."""

        async def scenario(t: Driver) -> None:
            async with asyncio.timeout(DEADLINE):
                async with aclosing(t.events(f"echo $BASHPID; exec 2>/dev/null; ({command})", fresh=fresh)) as events:
                    first = await anext(events)
                    assert isinstance(first, CommandOutput)
                assert (await t.run("echo fine", fresh=fresh)).text == "fine\n"
                if fresh:
                    await gone(t, [first.text.split()[0]])

        self.drive(tmp_path, scenario)

    def test_cancelled(self, tmp_path: Path) -> None:
        """TERMINAL-RUN-12: cancelling whoever consumes the events ends the command."""

        async def scenario(t: Driver) -> None:
            task = asyncio.create_task(t.run("touch begun; sleep 300"))
            await eventually(lambda: exists(t, "begun"))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await t.run("echo fine")).text == "fine\n"

        self.drive(tmp_path, scenario)

    @pytest.mark.parametrize("fresh", [False, True])
    def test_background_child(self, tmp_path: Path, fresh: bool) -> None:
        """TERMINAL-RUN-13: a child left in the background, with the output open, does not hold the command back."""

        async def scenario(t: Driver) -> None:
            found = await t.run(
                "(while :; do echo noise; sleep 0.01; done) & echo done; pid=$!; echo $pid", fresh=fresh
            )
            assert "done\n" in found.text
            assert found.end.reason == "exited"
            other = await t.run("sleep 0.1; echo mine", fresh=fresh)
            assert other.text == "mine\n", "what an earlier command left behind does not write into a later one"

        self.drive(tmp_path, scenario)

    def test_directory_of_a_command(self, tmp_path: Path) -> None:
        """TERMINAL-RUN-14: a command's own directory is for it alone; one that is not there is an error."""

        async def scenario(t: Driver) -> None:
            await t.run("mkdir 'a b' && touch 'a b/here'")
            assert (await t.run("ls", cwd="a b")).text == "here\n"
            assert (await t.run("ls; cd /", cwd="a b")).end.cwd == t.info.cwd
            assert (await t.run("ls", cwd="a b", fresh=True)).text == "here\n"
            with pytest.raises(ToolError, match="nowhere"):
                await t.run("ls", cwd="nowhere")

        self.drive(tmp_path, scenario)

    def test_fresh(self, tmp_path: Path) -> None:
        """TERMINAL-RUN-15: a fresh command leaves nothing behind and does not wait for the shell."""

        async def scenario(t: Driver) -> None:
            await t.run("x=1; cd /", fresh=True)
            assert (await t.run("echo ${x-unset}; pwd")).text == f"unset\n{t.info.cwd}\n"
            waiting = asyncio.create_task(t.run("until [ -e go ]; do sleep 0.01; done; echo went"))
            assert (await t.run("touch go; echo apart", fresh=True)).text == "apart\n"
            assert (await waiting).text == "went\n"

        self.drive(tmp_path, scenario)

    def test_unknown_terminal(self, tmp_path: Path) -> None:
        """TERMINAL-RUN-16: a terminal that is not open is an error."""

        async def scenario(t: Driver) -> None:
            stranger = Driver(t.backend, TerminalInfo(id="no-such-terminal", backend="", cwd=""))
            with pytest.raises(ToolError):
                await stranger.run("true")
            with pytest.raises(ToolError):
                await stranger.stat("x")

        self.drive(tmp_path, scenario)

    def test_persistence(self, tmp_path: Path) -> None:
        """TERMINAL-SHELL-1: directory, variables, functions, aliases and jobs last from one command to the next."""
        self.need(tmp_path, "persistent_shell")

        async def scenario(t: Driver) -> None:
            setup = "mkdir d; cd d; x='a  b'; export Y=2; f() { echo f$1; }; alias g='echo alias'; sleep 300 &"
            assert (await t.run(setup)).end.cwd == f"{t.info.cwd}/d"
            found = await t.run('pwd; echo "$x"; printenv Y; f 3; g; jobs -r | grep -c sleep; kill %1')
            assert found.text == f"{t.info.cwd}/d\na  b\n2\nf3\nalias\n1\n"
            assert (await t.stat("../d")).kind == "directory", "file operations start from the shell's directory"

        self.drive(tmp_path, scenario)

    @pytest.mark.parametrize(
        ("command", "code"), [("exit 3", 3), ("set -e; (exit 4); echo NOT", 4), ("exec bash -c 'exit 5'", 5)]
    )
    def test_shell_lost(self, tmp_path: Path, command: str, code: int) -> None:
        """TERMINAL-SHELL-2: a command that ends the shell says so; a new one has its directory and exports."""
        self.need(tmp_path, "persistent_shell")

        async def scenario(t: Driver) -> None:
            await t.run("mkdir d; cd d; export Y=$'tab\\there \"$q\" ü\\nline'; x=1")
            lost = await t.run(command)
            assert (lost.end.reason, lost.end.code) == ("shell_lost", code)
            assert "NOT" not in lost.text
            found = await t.run('pwd; printenv Y; echo "${x-unset}"')
            assert found.text == f'{t.info.cwd}/d\ntab\there "$q" ü\nline\nunset\n'
            assert found.end.reason == "exited"

        self.drive(tmp_path, scenario)

    def test_survives_timeout(self, tmp_path: Path) -> None:
        """TERMINAL-SHELL-3: a command that runs out of time does not cost the shell its state."""
        self.need(tmp_path, "persistent_shell")

        async def scenario(t: Driver) -> None:
            await t.run("x=1; f() { echo f; }; sleep 300 &")
            for command in ("sleep 300; sleep 300", "while :; do :; done", "f2() { while :; do sleep 300; done; }; f2"):
                assert (await t.run(command, timeout=0.2)).end.reason == "timeout"
            assert (await t.run("echo $x; f; jobs -r | grep -c sleep; kill %1")).text == "1\nf\n1\n"

        self.drive(tmp_path, scenario)

    def test_in_turn(self, tmp_path: Path) -> None:
        """TERMINAL-SHELL-4: two commands at once run one after the other, each with its own output."""
        self.need(tmp_path, "persistent_shell")

        async def scenario(t: Driver) -> None:
            commands = [f"n=$((${{n-0}} + 1)); echo {i} start; sleep 0.02; echo {i} end" for i in range(5)]
            found = await asyncio.gather(*(t.run(command) for command in commands))
            assert [result.text for result in found] == [f"{i} start\n{i} end\n" for i in range(5)]
            assert (await t.run("echo $n")).text == "5\n"

        self.drive(tmp_path, scenario)

    def test_process(self, tmp_path: Path) -> None:
        """TERMINAL-PROC-1: a background process is listed, read from any offset, written to, and waited for."""
        self.need(tmp_path, "background")

        async def scenario(t: Driver) -> None:
            process = await t.spawn('read -r x; echo "got $x"; cat; exit 3')
            (entry,) = (await t.backend.processes(TerminalRef(terminal=t.id))).processes
            assert (entry.id, entry.running, entry.exit_code) == (process, True, None)
            await t.backend.write_process(WriteProcess(terminal=t.id, process=process, text="ü\n"))
            await t.output_with(process, "got ü\n")
            await t.backend.write_process(WriteProcess(terminal=t.id, process=process, text="rest", eof=True))
            ended = await t.read_process(process, offset=len("got ü\n".encode()), wait=DEADLINE)
            assert (ended.text, ended.info.running, ended.info.exit_code) == ("rest", False, 3)
            assert ended.offset == ended.info.output_bytes == len("got ü\nrest".encode())
            assert (await t.read_process(process, offset=ended.offset)).text == ""

        self.drive(tmp_path, scenario)

    @pytest.mark.parametrize(("signal", "number"), [("TERM", 15), ("KILL", 9), ("INT", 2), ("HUP", 1)])
    def test_process_signals(self, tmp_path: Path, signal: Any, number: int) -> None:
        """TERMINAL-PROC-2: a signal reaches the whole group; how a process ended is told as a negative number."""
        self.need(tmp_path, "background")

        async def scenario(t: Driver) -> None:
            process = await t.spawn(
                "trap - INT; bash -c 'trap - INT; echo $$; sleep 300; :' & echo $$; wait; sleep 300"
            )
            both = await eventually(lambda: words(t, process, 2))
            await t.backend.signal_process(SignalProcess(terminal=t.id, process=process, signal=signal))
            if signal != "INT":
                assert (await t.read_process(process, wait=DEADLINE)).info.exit_code == -number
            if signal == "KILL":
                await gone(t, both)

        self.drive(tmp_path, scenario)

    def test_process_buffer(self, tmp_path: Path) -> None:
        """TERMINAL-PROC-3: of much output the end is kept, and what is lost is counted."""
        self.need(tmp_path, "background")

        async def scenario(t: Driver) -> None:
            process = await t.spawn("yes 123456789 | head -c 1000000; printf end")
            ended = await t.read_process(process, wait=DEADLINE)
            assert ended.info.output_bytes == 1_000_003
            assert ended.text.endswith("789\nend")
            assert ended.lost + len(ended.text) == 1_000_003
            assert ended.lost > 0

        self.drive(tmp_path, scenario)

    def test_process_environment(self, tmp_path: Path) -> None:
        """TERMINAL-PROC-4: it starts in the shell's directory with the shell's exported variables."""
        self.need(tmp_path, "background")

        async def scenario(t: Driver) -> None:
            if t.backend.capabilities.persistent_shell:
                await t.run("mkdir d; cd d; export Y='a\"b'")
                process = await t.spawn("pwd; printenv Y")
                assert (await t.read_process(process, wait=DEADLINE)).text == f'{t.info.cwd}/d\na"b\n'

        self.drive(tmp_path, scenario)

    def test_no_such_process(self, tmp_path: Path) -> None:
        """TERMINAL-PROC-5: a process that is not there is an error."""
        self.need(tmp_path, "background")

        async def scenario(t: Driver) -> None:
            with pytest.raises(ToolError, match="p99"):
                await t.read_process("p99")

        self.drive(tmp_path, scenario)

    def test_pty(self, tmp_path: Path) -> None:
        """TERMINAL-PTY-1: with a pseudo-terminal a process has a terminal of the size asked for; it can be resized."""
        self.need(tmp_path, "pty")

        async def scenario(t: Driver) -> None:
            command = "tty -s && [ -t 0 ] && [ -t 1 ] && stty size && read -r x && stty size </dev/tty && echo got $x"
            process = await t.spawn(command, pty=True, columns=91, rows=17)
            await t.output_with(process, "17 91")
            resize = ResizeProcess(terminal=t.id, process=process, columns=50, rows=20)
            await t.backend.resize_process(resize)
            await t.backend.write_process(WriteProcess(terminal=t.id, process=process, text="hello\n"))
            ended = await t.read_process(process, wait=DEADLINE)
            assert "20 50" in ended.text
            assert "got hello" in ended.text
            assert ended.info.exit_code == 0
            plain = await t.spawn("sleep 300")
            with pytest.raises(ToolError):
                await t.backend.resize_process(ResizeProcess(terminal=t.id, process=plain, columns=50, rows=20))

        self.drive(tmp_path, scenario)

    def test_files(self, tmp_path: Path) -> None:
        """TERMINAL-FILE-1: bytes are written and read as they are, whole or in part; missing directories are made."""

        async def scenario(t: Driver) -> None:
            data = bytes(range(256)) * 3000
            info = await t.write("new/deep/file.bin", data)
            assert (info.path, info.kind, info.size) == (f"{t.info.cwd}/new/deep/file.bin", "file", len(data))
            assert await t.read("new/deep/file.bin") == data
            assert await t.read(info.path, offset=255, length=3) == data[255:258]
            assert await t.read("new/deep/file.bin", offset=len(data) + 5, length=3) == b""
            assert (await t.run("wc -c < new/deep/file.bin")).text.strip() == str(len(data))

        self.drive(tmp_path, scenario)

    def test_file_replaced(self, tmp_path: Path) -> None:
        """TERMINAL-FILE-2: a file that is replaced keeps its mode; a link keeps pointing to its target."""

        async def scenario(t: Driver) -> None:
            await t.run("echo old > script; chmod 751 script; ln -s script link")
            info = await t.write("link", b"new\n")
            assert (info.path, info.mode) == (f"{t.info.cwd}/script", 0o751)
            assert (await t.run("cat script; readlink link; ls -A")).text == "new\nscript\nlink\nscript\n"

        self.drive(tmp_path, scenario)

    def test_file_expected(self, tmp_path: Path) -> None:
        """TERMINAL-FILE-3: a write that expects another state of the file is refused, and nothing is changed."""

        async def scenario(t: Driver) -> None:
            info = await t.write("f", b"1")
            await t.run("echo 2 > f; touch -d '2001-01-01' f")
            with pytest.raises(ToolError, match="changed"):
                await t.write("f", b"3", expected=info.modified)
            assert await t.read("f") == b"2\n"
            await t.write("f", b"3", expected=(await t.stat("f")).modified)
            assert await t.read("f") == b"3"

        self.drive(tmp_path, scenario)

    def test_file_errors(self, tmp_path: Path) -> None:
        """TERMINAL-FILE-4: what cannot be done is an error that names the path."""

        async def scenario(t: Driver) -> None:
            await t.run("mkdir dir; touch dir/file; mkfifo pipe")
            for path in ("missing", "dir", "pipe", "dir/file/below"):
                with pytest.raises(ToolError, match=path):
                    await t.read(path)
            for path in ("dir", "dir/file/below", "pipe"):
                with pytest.raises(ToolError, match=path):
                    await t.write(path, b"")
            with pytest.raises(ToolError, match="missing"):
                await t.backend.delete(DeletePath(terminal=t.id, path="missing"))
            with pytest.raises(ToolError, match="missing"):
                await t.backend.list(ListDirectory(terminal=t.id, path="missing"))

        self.drive(tmp_path, scenario)

    def test_stat_and_list(self, tmp_path: Path) -> None:
        """TERMINAL-FILE-5: stat tells what is there, links resolved, or that nothing is; list gives all by name."""

        async def scenario(t: Driver) -> None:
            await t.run("mkdir d; echo hi > d/a; ln -s a d/b; mkdir d/c; ln -s nowhere d/z; chmod 640 d/a")
            link = await t.stat("d/b")
            assert (link.path, link.kind, link.size, link.mode) == (f"{t.info.cwd}/d/a", "file", 3, 0o640)
            assert link.modified > 1_500_000_000
            assert (await t.stat("d/nothing")).kind == "missing"
            assert (await t.stat("d/z")).kind == "missing"
            listing = await t.backend.list(ListDirectory(terminal=t.id, path="d"))
            kinds = [(entry.path.rsplit("/", 1)[-1], entry.kind) for entry in listing.entries]
            assert kinds == [("a", "file"), ("b", "file"), ("c", "directory"), ("z", "missing")]
            short = await t.backend.list(ListDirectory(terminal=t.id, path="d", limit=2))
            assert (len(short.entries), short.truncated) == (2, True)

        self.drive(tmp_path, scenario)

    def test_move_and_delete(self, tmp_path: Path) -> None:
        """TERMINAL-FILE-6: move never overwrites; delete takes a full directory only when told to, and a link alone."""

        async def scenario(t: Driver) -> None:
            await t.run("mkdir d; echo 1 > d/a; echo 2 > b; ln -s d link")
            with pytest.raises(ToolError, match="exists"):
                await t.backend.move(MovePath(terminal=t.id, path="b", to="d/a"))
            moved = await t.backend.move(MovePath(terminal=t.id, path="b", to="new/b"))
            assert (moved.path, await t.read("new/b")) == (f"{t.info.cwd}/new/b", b"2\n")
            with pytest.raises(ToolError):
                await t.backend.delete(DeletePath(terminal=t.id, path="d"))
            await t.backend.delete(DeletePath(terminal=t.id, path="link", recursive=True))
            assert (await t.run("ls; cat d/a")).text == "d\nnew\n1\n"
            await t.backend.delete(DeletePath(terminal=t.id, path="d", recursive=True))
            assert (await t.run("ls")).text == "new\n"

        self.drive(tmp_path, scenario)

    def test_no_hibernation(self, tmp_path: Path) -> None:
        """TERMINAL-SLEEP-1: what is not offered is refused."""

        async def scenario(t: Driver) -> None:
            if not t.backend.capabilities.hibernate:
                with pytest.raises(ToolError):
                    await t.backend.hibernate(TerminalRef(terminal=t.id))
                with pytest.raises(ToolError):
                    await t.backend.attach(TerminalRef(terminal=t.id))

        self.drive(tmp_path, scenario)

    def test_close(self, tmp_path: Path) -> None:
        """TERMINAL-CLOSE-1: nothing that a terminal started survives its end, and other terminals do."""

        async def scenario(t: Driver) -> None:
            info = await t.backend.open(self.request(tmp_path, "other"))
            other = Driver(t.backend, info)
            started = await other.run(
                "sleep 300 & echo $!; setsid sleep 301 & echo $!; (trap '' TERM HUP; sleep 302) & echo $!"
            )
            pids = [word for word in started.text.split() if word.isdigit()]
            if t.backend.capabilities.background:
                process = await other.spawn("echo $$; sleep 300; :")
                pids += await eventually(lambda: words(other, process, 1))
            assert len(pids) >= 3
            await t.run("x=1")
            await other.backend.close(TerminalRef(terminal=info.id))
            await gone(t, pids)
            with pytest.raises(ToolError):
                await other.run("true")
            if t.backend.capabilities.persistent_shell:
                assert (await t.run("echo $x")).text == "1\n"

        self.drive(tmp_path, scenario)


async def gone(terminal: Driver, pids: Iterable[str]) -> None:
    """Waits until no process of the ids runs; one that has ended and was not yet waited for does not."""
    check = f"ps -o stat= -p {','.join(pids)}"

    async def all_gone() -> bool:
        states = (await terminal.run(check, fresh=True)).text.split()
        return all(state.startswith("Z") for state in states)

    await eventually(all_gone)


async def exists(terminal: Driver, path: str) -> bool:
    return (await terminal.stat(path)).kind != "missing"


async def words(terminal: Driver, process: str, count: int) -> list[str]:
    """The words that the process wrote, once there are as many."""
    found = (await terminal.read_process(process)).text.split()
    return found if len(found) >= count else []


class ToolHarness:
    """Calls a plugin's tool functions with a real backend behind their context.

    ``provisions``: what the plugin's ``provide`` hook returns. ``outputs`` and ``injected`` record what the tools
    showed and what they put into the session. Use it as an async context manager; it closes the terminal.
    """

    def __init__(
        self,
        backend: TerminalBackend,
        workspace: Path,
        *,
        plugin: str,
        provisions: Iterable[Provision] = (),
        config: Mapping[str, Any] | None = None,
        session_id: str = "session",
    ) -> None:
        self.backend = backend
        self.workspace = workspace
        self.session_id = session_id
        self.outputs: list[str] = []
        self.injected: list[InboxMessage] = []
        self._config = dict(config or {})
        self._provisions = {(provision.contract, provision.name): provision for provision in provisions}
        self._made: dict[tuple[str, str], Any] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._unloaders: list[Callable[[], Any]] = []
        self._calls = 0
        self._context = PluginContext(
            cast(Host, self),
            plugin,
            scope=Scope(home=str(workspace)),
            data_root=str(workspace / "plugin-data"),
            clock=Clock(),
            log=logging.getLogger("hermes.test"),
            spawn=self._spawn,
            on_unload=self._unloaders.append,
            resolve=self._resolve,
        )

    async def __aenter__(self) -> ToolHarness:
        request = OpenTerminal(session_id=self.session_id, cwd=str(self.workspace), scope=self._context.scope)
        self.info = await self.backend.open(request)
        self.driver = Driver(self.backend, self.info)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.backend.close(TerminalRef(terminal=self.info.id))

    async def call(self, function: Callable[..., Any], **arguments: Any) -> Any:
        """As the kernel calls it: the arguments are checked against the signature, defaults filled in."""
        from hermes.tools.schema import arguments_type, check_arguments

        self._calls += 1
        call = ToolCall(
            id=f"call-{self._calls}",
            name=function.__name__,
            arguments=arguments,
            session_id=self.session_id,
            workspace=str(self.workspace),
            scope=self._context.scope,
        )
        checked = check_arguments(arguments_type(function), arguments)
        return await function(ctx=self._context.for_call(call), **checked)

    async def config(self, query: ConfigQuery) -> ConfigSection:
        return ConfigSection(values=self._config)

    async def terminal(self, query: TerminalQuery) -> TerminalInfo:
        return self.info

    async def output(self, output: CallOutput) -> Done:
        self.outputs.append(output.text)
        return Done()

    async def inject(self, message: InboxMessage) -> Done:
        self.injected.append(message)
        return Done()

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self._tasks.add(asyncio.create_task(work, name=name))

    async def _resolve(self, contract: str, name: str) -> Any:
        if contract == "terminal":
            return self.backend
        if (contract, name) not in self._made:
            self._made[contract, name] = self._provisions[contract, name].make()
        return self._made[contract, name]
