"""Processes in the background: output in a rolling buffer, input, signals, an optional pseudo-terminal."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Mapping

from hermes.contracts.errors import ToolError
from hermes.contracts.terminal import (
    ProcessInfo,
    ProcessOutput,
    ReadProcess,
    ResizeProcess,
    SignalProcess,
    SpawnProcess,
    WriteProcess,
)

from . import proctable
from .sessions import Sessions
from .wires import CHUNK, InputWriter, read_some, watch_exit

BUFFER = 200 * 1024
"""Bytes of output kept per process."""
MAX_PROCESSES = 64
RETENTION = 30 * 60.0
"""Seconds that one that has ended can still be read."""
WRITE_TIMEOUT = 5.0

# Opening the terminal as a session's leader makes it the controlling one; then the command takes our place.
_ON_TERMINAL = 'exec <>"$0" >&0 2>&1; exec -a bash "$1" --norc --noprofile -c "$2"'


class Process:
    """One process, its descriptors and what it has written."""

    def __init__(self, name: str, request: SpawnProcess, program: str, env: Mapping[str, str], cwd: str) -> None:
        self.id = name
        self.command = request.command
        self.pty = request.pty
        self.started = time.time()
        self.ended_at = 0.0
        self.exit_code: int | None = None
        self.exited = asyncio.Event()
        self._buffer = bytearray()
        self._written = 0
        self._slave = -1
        self._loop = asyncio.get_running_loop()
        self._popen = (
            self._on_terminal(request, program, env, cwd) if request.pty else self._on_pipes(program, env, cwd)
        )
        self.pid = self._popen.pid
        os.set_blocking(self._output, False)
        self._loop.add_reader(self._output, self._ready)

    def _on_pipes(self, program: str, env: Mapping[str, str], cwd: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            ["bash", "--norc", "--noprofile", "-c", self.command],
            executable=program,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=dict(env),
            start_new_session=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        self._input: InputWriter | None = InputWriter(os.dup(process.stdin.fileno()))
        self._output = os.dup(process.stdout.fileno())
        process.stdin.close()
        process.stdout.close()
        return process

    def _on_terminal(
        self, request: SpawnProcess, program: str, env: Mapping[str, str], cwd: str
    ) -> subprocess.Popen[bytes]:
        self._output, self._slave = os.openpty()
        self.resize(request.columns, request.rows)
        process = subprocess.Popen(
            ["bash", "--norc", "--noprofile", "-c", _ON_TERMINAL, os.ttyname(self._slave), program, self.command],
            executable=program,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=cwd,
            env={"TERM": "xterm-256color", **env, "COLUMNS": str(request.columns), "LINES": str(request.rows)},
            start_new_session=True,
        )
        self._input = InputWriter(os.dup(self._output))
        return process

    def watch(self, sessions: Sessions) -> None:
        def ended(code: int) -> None:
            self.exit_code, self.ended_at = code, time.time()
            self._drain()
            if self._slave >= 0:
                os.close(self._slave)
                self._slave = -1
            self.close_input()
            sessions.left(self.pid)
            self.exited.set()

        sessions.add(self.pid)
        watch_exit(self._popen, ended)

    @property
    def info(self) -> ProcessInfo:
        return ProcessInfo(
            id=self.id,
            command=self.command,
            pid=self.pid,
            started=self.started,
            running=not self.exited.is_set(),
            exit_code=self.exit_code,
            output_bytes=self._written,
        )

    def read(self, offset: int) -> ProcessOutput:
        """From byte ``offset`` on. A character that is cut by the end is left for the next read."""
        first = self._written - len(self._buffer)
        start = min(max(offset, first), self._written)
        data = bytes(self._buffer[start - first :])
        if not self.exited.is_set():
            data = data[: len(data) - _cut_tail(data)]
        return ProcessOutput(
            info=self.info, text=data.decode("utf-8", "replace"), offset=start + len(data), lost=max(0, first - offset)
        )

    async def write(self, text: str, eof: bool) -> None:
        if self._input is None or self._input.broken or self.exited.is_set():
            raise ToolError(f'Process "{self.id}" takes no input: it has ended, or its input was closed.')
        data = text.encode("utf-8", "surrogateescape")
        if eof and self.pty:
            data += b"\x04"
        self._input.write(data)
        try:
            await asyncio.wait_for(self._input.taken.wait(), WRITE_TIMEOUT)
        except TimeoutError:
            raise ToolError(f'Process "{self.id}" does not read its input; it gets the text when it does.') from None
        if eof and not self.pty:
            self.close_input()

    def close_input(self) -> None:
        if self._input is not None:
            if self.exited.is_set():
                self._input.abort()
            else:
                self._input.close()
            self._input = None

    def resize(self, columns: int, rows: int) -> None:
        if self._output < 0:
            raise ToolError(f'Process "{self.id}" has ended.')
        fcntl.ioctl(self._output, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def close(self) -> None:
        self._stop_reading()
        if not self.exited.is_set():
            self._popen.kill()
            self.exit_code, self.ended_at = self._popen.wait(), time.time()
            self.exited.set()
        self.close_input()
        if self._slave >= 0:
            os.close(self._slave)
            self._slave = -1

    def _ready(self) -> None:
        data = read_some(self._output, CHUNK)
        if data == b"":
            self._stop_reading()
        self._keep(data or b"")

    def _drain(self) -> None:
        """What is in the pipe when the process ends is its output; what its heirs write later is added as it comes."""
        for _ in range(4):
            if self._output < 0 or not (data := read_some(self._output, CHUNK)):
                return
            self._keep(data)

    def _keep(self, data: bytes) -> None:
        self._written += len(data)
        self._buffer += data
        del self._buffer[: max(0, len(self._buffer) - BUFFER)]

    def _stop_reading(self) -> None:
        if self._output >= 0:
            self._loop.remove_reader(self._output)
            os.close(self._output)
            self._output = -1


def _cut_tail(data: bytes) -> int:
    """How many bytes at the end begin a UTF-8 character that is not whole."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 != 0x80:
            need = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
            return back if need > back else 0
    return 0


class Processes:
    """Those of one terminal."""

    def __init__(self, program: str, sessions: Sessions) -> None:
        self._program = program
        self._sessions = sessions
        self._table: dict[str, Process] = {}
        self._count = 0

    def spawn(self, request: SpawnProcess, env: Mapping[str, str], cwd: str) -> ProcessInfo:
        self._prune(room=1)
        if len(self._table) >= MAX_PROCESSES:
            raise ToolError(f"{MAX_PROCESSES} processes are running already; kill one that is not needed.")
        self._count += 1
        process = Process(f"p{self._count}", request, self._program, env, cwd)
        self._table[process.id] = process
        process.watch(self._sessions)
        return process.info

    def list(self) -> tuple[ProcessInfo, ...]:
        self._prune()
        return tuple(process.info for process in self._table.values())

    async def read(self, request: ReadProcess) -> ProcessOutput:
        process = self._get(request.process)
        if request.wait > 0 and not process.exited.is_set():
            try:
                await asyncio.wait_for(process.exited.wait(), request.wait)
            except TimeoutError:
                pass  # It still runs, and the answer says so.
        return process.read(request.offset)

    async def write(self, request: WriteProcess) -> None:
        await self._get(request.process).write(request.text, request.eof)

    def signal(self, request: SignalProcess) -> None:
        process = self._get(request.process)
        entries = proctable.family({process.pid}) if not process.exited.is_set() else []
        proctable.send(signal.Signals[f"SIG{request.signal}"], entries)

    def resize(self, request: ResizeProcess) -> None:
        process = self._get(request.process)
        if not process.pty:
            raise ToolError(f'Process "{process.id}" has no terminal to resize; it was started without pty.')
        process.resize(request.columns, request.rows)

    def close(self) -> None:
        for process in self._table.values():
            process.close()
        self._table.clear()

    def _get(self, name: str) -> Process:
        try:
            return self._table[name]
        except KeyError:
            known = ", ".join(self._table) or "none"
            raise ToolError(f'No process "{name}". There are: {known}.') from None

    def _prune(self, room: int = 0) -> None:
        ended = sorted((p for p in self._table.values() if p.exited.is_set()), key=lambda process: process.ended_at)
        surplus = len(self._table) + room - MAX_PROCESSES
        for position, process in enumerate(ended):
            if position < surplus or time.time() - process.ended_at > RETENTION:
                process.close()
                del self._table[process.id]
