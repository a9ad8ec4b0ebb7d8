"""One bash that lasts: directory, environment, functions and aliases stay from one command to the next.

The shell reads our lines from its standard input and evaluates the command, which it gets as one quoted word, so
no text can run away with the rest of the line. How it ended comes back on a descriptor of its own; the output of
each command has a FIFO of its own, so what an earlier one left behind in the background does not mix with it.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import subprocess
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

from hermes.contracts.terminal import CommandEvent, CommandExited, CommandOutput, RunCommand

from . import proctable
from .running import TIMED_OUT, Running, end_all, exit_code
from .sessions import Sessions
from .wires import InputWriter, OutputReader, read_some, watch_exit

LOST_NOTE = "[the shell had to be ended too; the next one starts in its directory, with its exported variables]\n"
PATIENCE = 0.3
"""Seconds that the shell has to report when all it waited for is gone."""

# `set -m` puts every pipeline into a group of its own. The trap on URG ends a command whose loop runs in the shell
# itself, without ending the shell: from then on a DEBUG trap skips each simple command (`break 0` leaves all loops,
# and fails) until __hermes_end. errexit and nounset are for one command: later they would end the shell.
_PRELUDE = r"""
exec 63>&CONTROL CONTROL>&-
__hermes_end() {
  { builtin trap - DEBUG; builtin shopt -u extdebug; builtin set +euT; } 2>/dev/null
  [[ -z ${3-} ]] || { builtin cd -- "$3"; OLDPWD=$4; }
  { builtin printf '%s\0%s\0%s\0' "$1" "$2" "${PWD-}"; builtin jobs -p; builtin printf '\0'
    builtin export -p; builtin printf '\0'; } >&63
}
__hermes_stop() {
  builtin shopt -s extdebug; builtin set -T
  builtin trap '
    [[ $BASH_COMMAND == __hermes_* || ${FUNCNAME-} == __hermes_* ]] || { break 0 2>/dev/null; false; }' DEBUG
}
trap __hermes_stop URG
trap '__hermes_end exit $?' EXIT
shopt -s expand_aliases
set -m
"""
_REPORT_FIELDS = 5


class Shell:
    """One command at a time: a second `run` waits for the first.

    A command that ends the shell (``exit``, ``exec``, a failure under ``set -e``) is answered with ``shell_lost``;
    the next one gets a new shell in the last known directory with the last known exported variables.
    ``exports`` is bash's own listing of these.
    """

    def __init__(self, program: str, env: dict[str, str], cwd: str, folder: Path, sessions: Sessions) -> None:
        self.cwd = cwd
        self.exports = ""
        self._program = program
        self._env = env
        self._folder = folder
        self._sessions = sessions
        self._turn = asyncio.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._input: InputWriter | None = None
        self._control = -1
        self._report = bytearray()
        self._count = 0
        self._background: tuple[int, ...] = ()
        self._leftovers: list[OutputReader] = []
        self._current: Running | None = None
        self._closed = False

    async def run(self, command: RunCommand) -> AsyncGenerator[CommandEvent, None]:
        async with self._turn:
            if self._process is None:
                self._start()
            process = self._process
            self._count += 1
            fifo = self._folder / f"out{self._count}"
            self._folder.mkdir(parents=True, exist_ok=True)  # A command may have cleared the temporary files away.
            os.mkfifo(fifo, 0o600)
            running = Running(os.open(fifo, os.O_RDONLY | os.O_NONBLOCK), command.timeout, self._stop)
            self._current = running
            before = self.cwd
            try:
                self._send(self._lines(command, fifo))
                async with aclosing(running.output()) as output:
                    async for piece in output:
                        yield piece
            finally:
                self._current = None
                fifo.unlink(missing_ok=True)
                self.keep_leftover(running)
            lost = self._process is not process
            if lost and command.cwd:
                self.cwd = before
            if running.timed_out:
                if lost:
                    yield CommandOutput(text=LOST_NOTE)
                yield CommandExited(code=TIMED_OUT, cwd=self.cwd, reason="timeout")
            elif self._closed:
                yield CommandExited(code=running.code, cwd=self.cwd, reason="killed")
            else:
                yield CommandExited(code=running.code, cwd=self.cwd, reason="shell_lost" if lost else "exited")

    def keep_leftover(self, running: Running) -> None:
        """Reads on, until `close`, what those write that the command has left in the background."""
        self._leftovers = [reader for reader in self._leftovers if not reader.ended]
        if leftover := running.leftover():
            self._leftovers.append(leftover)

    def close(self) -> None:
        """Gives the descriptors back. The processes are the business of `Sessions`."""
        self._closed = True
        if self._process is not None:
            self._process.kill()
            self._lost(self._process.wait())
        for reader in self._leftovers:
            reader.close()
        self._leftovers.clear()

    def _start(self) -> None:
        source, sink = os.pipe()
        os.set_blocking(source, False)
        try:
            process = subprocess.Popen(
                ["bash", "--norc", "--noprofile"],
                executable=self._program,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=nearest_directory(self.cwd),
                env=self._env,
                pass_fds=(sink,),
                start_new_session=True,
            )
        except BaseException:
            os.close(source)
            raise
        finally:
            os.close(sink)
        assert process.stdin is not None
        self._sessions.add(process.pid)
        self._process = process
        self._input = InputWriter(os.dup(process.stdin.fileno()))
        process.stdin.close()
        self._control = source
        self._report.clear()
        self._background = ()
        asyncio.get_running_loop().add_reader(source, self._read_report)
        watch_exit(process, lambda code: self._lost(code) if process is self._process else None)
        directory = shlex.quote(self.cwd)
        restored = f"{self.exports}\nbuiltin cd -- {directory}\n" if self.exports else ""
        self._send(_PRELUDE.replace("CONTROL", str(sink)) + restored)

    def _lines(self, command: RunCommand, fifo: Path) -> str:
        source = Path(os.devnull)
        if command.stdin:
            source = self._folder / "stdin"
            source.write_bytes(command.stdin.encode("utf-8", "surrogateescape"))
        enter, back = "", ""
        if command.cwd:
            enter = f"__hermes_back=$PWD __hermes_old=${{OLDPWD-}}; builtin cd -- {shlex.quote(command.cwd)}\n"
            back = '"$__hermes_back" "$__hermes_old"'
        run = f"eval {shlex.quote(command.command)} <{shlex.quote(str(source))} >{shlex.quote(str(fifo))} 2>&1\n"
        return f"{enter}{run}__hermes_end {self._count} $? {back}\n"

    def _send(self, text: str) -> None:
        assert self._input is not None
        self._input.write(text.encode("utf-8", "surrogateescape"))

    def _read_report(self) -> None:
        data = read_some(self._control, 65536)
        if data == b"":
            asyncio.get_running_loop().remove_reader(self._control)
        self._take_report(data or b"")

    def _take_report(self, data: bytes) -> None:
        self._report += data
        while self._report.count(b"\0") >= _REPORT_FIELDS:
            *fields, rest = bytes(self._report).split(b"\0", _REPORT_FIELDS)
            self._report = bytearray(rest)
            number, status, cwd, jobs, exports = (field.decode("utf-8", "surrogateescape") for field in fields)
            self.cwd, self.exports = cwd or self.cwd, exports
            self._background = tuple(int(group) for group in jobs.split())
            if self._current is not None and number == str(self._count):
                self._current.finish(int(status))

    def _lost(self, returncode: int) -> None:
        """The shell's process has ended; what it reported last is still in the pipe."""
        if self._process is None:
            return
        while data := read_some(self._control, 65536):
            self._take_report(data)
        asyncio.get_running_loop().remove_reader(self._control)
        os.close(self._control)
        if self._input is not None:
            self._input.abort()
        self._sessions.left(self._process.pid)
        self._process = self._input = None
        if self._current is not None:
            self._current.finish(exit_code(returncode))

    async def _stop(self) -> None:
        """Ends the command in flight: all that it started, and the shell itself only when it does not come back."""
        process, running = self._process, self._current
        if process is None or running is None:
            return
        spare = self._background

        def started() -> list[proctable.Entry]:
            return [entry for entry in proctable.family({process.pid}, spare=spare) if entry.pid != process.pid]

        # A command substitution shares the shell's group. When it is ended, bash goes on with the next command
        # before it looks at its traps; a shell that waits for one can only be ended with it.
        if any(entry.group == process.pid for entry in started()):
            process.kill()
        else:
            process.send_signal(signal.SIGURG)
        await end_all(started)
        try:
            await asyncio.wait_for(running.ended.wait(), PATIENCE)
        except TimeoutError:
            process.kill()
            await running.ended.wait()
        if self._process is process:
            self._send("builtin jobs >/dev/null\n")  # Else bash tells the next command which jobs we ended.


def nearest_directory(path: str) -> str:
    """``path``, or the nearest folder above it that is still there."""
    folder = Path(path)
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return str(folder)
