"""The backend ``local``: this machine, as the user who runs the agent.

What is guaranteed of processes: `close` ends all that the terminal started, also what left its process group or
session, unless it cleared its environment and its parents are gone; when this process dies, even by KILL, a reaper
does the same (Linux). What is not: commands run as our own user, so nothing stops them from reading files of that
user, or ``/proc/<pid>/environ`` of the agent where the system lets one process of a user look at another.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import NoReturn

from hermes.contracts.errors import ToolError
from hermes.contracts.terminal import (
    CommandEvent,
    DeletePath,
    DirectoryListing,
    FileData,
    FileInfo,
    ListDirectory,
    MovePath,
    OpenTerminal,
    PathRef,
    ProcessInfo,
    ProcessList,
    ProcessOutput,
    ReadFile,
    ReadProcess,
    ResizeProcess,
    RunCommand,
    SignalProcess,
    SpawnProcess,
    TerminalCapabilities,
    TerminalInfo,
    TerminalRef,
    WriteFile,
    WriteProcess,
)
from hermes.contracts.values import Done

from . import disk
from .environment import child_environment, parse_exports
from .fresh import run_fresh
from .processes import Processes
from .reaper import Reaper
from .sessions import Sessions
from .shell import Shell, nearest_directory

MARKER = "HERMES_TERMINAL"
CLOSE_GRACE = 0.3


class _Terminal:
    """One session's shell, processes and what they are started with."""

    def __init__(self, name: str, program: str, env: dict[str, str], cwd: str, folder: Path, reaper: Reaper) -> None:
        self.id = name
        self.program = program
        self.env = env
        self.sessions = Sessions(f"{MARKER}={env[MARKER]}", reaper)
        folder.mkdir(mode=0o700)
        self.shell = Shell(program, env, cwd, folder, self.sessions)
        self.processes = Processes(program, self.sessions)

    @property
    def exported(self) -> dict[str, str]:
        """The environment as the shell's last command left it."""
        return {**self.env, **parse_exports(self.shell.exports)}

    def resolve(self, path: str) -> str:
        if not path:
            raise ToolError("The path is empty. Give one, absolute or from the terminal's directory.")
        return os.path.normpath(os.path.join(self.shell.cwd, os.path.expanduser(path)))

    def directory(self, path: str) -> str:
        """Where to run something; empty: where the shell is."""
        if not path:
            return nearest_directory(self.shell.cwd)
        resolved = self.resolve(path)
        if not os.path.isdir(resolved):
            raise ToolError(f"There is no directory {resolved} to run in. Make it first, or choose another.")
        return resolved


class LocalTerminal:
    """A `TerminalBackend`. ``shell``: the bash to use. ``passthrough``: variables commands see beside the harmless."""

    capabilities = TerminalCapabilities(background=True, pty=True, hibernate=False, persistent_shell=True)

    def __init__(self, *, shell: str = "bash", passthrough: Sequence[str] = ()) -> None:
        self._shell = shell
        self._passthrough = tuple(passthrough)
        self._token = secrets.token_hex(8)
        self._terminals: dict[str, _Terminal] = {}
        self._count = 0
        self._folder: Path | None = None
        self._reaper: Reaper | None = None

    async def open(self, request: OpenTerminal) -> TerminalInfo:
        """The session's terminal, a new one if it has none. The shell starts with the first command."""
        known = self._terminals.get(request.session_id)
        if known is not None:
            return TerminalInfo(id=known.id, backend="local", cwd=known.shell.cwd)
        cwd = os.path.abspath(os.path.expanduser(request.cwd)) if request.cwd else os.getcwd()
        if not os.path.isdir(cwd):
            raise ToolError(f"There is no directory {cwd} to work in. Start Hermes in one that exists.")
        self._count += 1
        name = request.session_id or f"local-{self._count}"
        env = child_environment(os.environ, self._passthrough, request.env)
        env = {**env, MARKER: f"{self._token}.{self._count}"}
        folder, reaper = self._base()
        self._terminals[name] = _Terminal(name, self._shell_path(), env, cwd, folder / str(self._count), reaper)
        return TerminalInfo(id=name, backend="local", cwd=cwd)

    def _shell_path(self) -> str:
        found = shutil.which(self._shell)
        if found is None:
            raise ToolError(
                f'The shell "{self._shell}" is not there.', hint="Install bash, or set terminal.shell to its path."
            )
        return found

    def _base(self) -> tuple[Path, Reaper]:
        if self._folder is None or self._reaper is None:
            self._folder = Path(tempfile.mkdtemp(prefix="hermes-terminal-"))
            self._reaper = Reaper(self._shell_path(), f"{MARKER}={self._token}.", str(self._folder))
        return self._folder, self._reaper

    async def run(self, command: RunCommand) -> AsyncGenerator[CommandEvent, None]:
        """Closing the iterator early ends the command, and returns when it has ended."""
        terminal = self._get(command.terminal)
        if "\0" in command.command:
            raise ToolError("The command has a NUL byte in it, which no shell takes. Write it as \\0 where it is data.")
        cwd = terminal.directory(command.cwd) if command.cwd or command.fresh else ""
        command = RunCommand(
            terminal=command.terminal,
            command=command.command,
            timeout=command.timeout,
            cwd=cwd,
            stdin=command.stdin,
            fresh=command.fresh,
        )
        events = (
            run_fresh(command, terminal.program, terminal.exported, terminal.shell, terminal.sessions)
            if command.fresh
            else terminal.shell.run(command)
        )
        async with aclosing(events) as stream:
            async for event in stream:
                yield event

    async def spawn(self, request: SpawnProcess) -> ProcessInfo:
        terminal = self._get(request.terminal)
        if "\0" in request.command:
            raise ToolError("The command has a NUL byte in it, which no shell takes.")
        return terminal.processes.spawn(request, terminal.exported, terminal.directory(request.cwd))

    async def processes(self, terminal: TerminalRef) -> ProcessList:
        return ProcessList(processes=self._get(terminal.terminal).processes.list())

    async def read_process(self, request: ReadProcess) -> ProcessOutput:
        return await self._get(request.terminal).processes.read(request)

    async def write_process(self, request: WriteProcess) -> Done:
        await self._get(request.terminal).processes.write(request)
        return Done()

    async def signal_process(self, request: SignalProcess) -> Done:
        self._get(request.terminal).processes.signal(request)
        return Done()

    async def resize_process(self, request: ResizeProcess) -> Done:
        self._get(request.terminal).processes.resize(request)
        return Done()

    async def stat(self, request: PathRef) -> FileInfo:
        return disk.info(self._get(request.terminal).resolve(request.path))

    async def list(self, request: ListDirectory) -> DirectoryListing:
        path = self._get(request.terminal).resolve(request.path)
        return await asyncio.to_thread(disk.listing, path, request.limit)

    async def read(self, request: ReadFile) -> FileData:
        path = self._get(request.terminal).resolve(request.path)
        size = request.length if request.length >= 0 else disk.info(path).size - request.offset
        if size > disk.LARGE:
            return await asyncio.to_thread(disk.read, path, request.offset, request.length)
        return disk.read(path, request.offset, request.length)

    async def write(self, request: WriteFile) -> FileInfo:
        path = self._get(request.terminal).resolve(request.path)
        if len(request.data) > disk.LARGE:
            return await asyncio.to_thread(disk.write, path, request.data, request.expected)
        return disk.write(path, request.data, request.expected)

    async def move(self, request: MovePath) -> FileInfo:
        terminal = self._get(request.terminal)
        return await asyncio.to_thread(disk.move, terminal.resolve(request.path), terminal.resolve(request.to))

    async def delete(self, request: DeletePath) -> Done:
        path = self._get(request.terminal).resolve(request.path)
        await asyncio.to_thread(disk.delete, path, request.recursive)
        return Done()

    async def hibernate(self, terminal: TerminalRef) -> Done:
        _cannot_hibernate()

    async def attach(self, terminal: TerminalRef) -> TerminalInfo:
        _cannot_hibernate()

    async def close(self, terminal: TerminalRef) -> Done:
        """Ends everything that the terminal started."""
        found = self._get(terminal.terminal)
        del self._terminals[terminal.terminal]
        found.shell.close()
        await found.sessions.end(CLOSE_GRACE)
        found.processes.close()
        if not self._terminals:
            self._leave()
        return Done()

    async def shutdown(self) -> None:
        """Closes what is still open."""
        for name in tuple(self._terminals):
            await self.close(TerminalRef(terminal=name))

    def _leave(self) -> None:
        if self._reaper is not None and self._folder is not None:
            self._reaper.close()
            shutil.rmtree(self._folder, ignore_errors=True)
            self._reaper = self._folder = None

    def _get(self, name: str) -> _Terminal:
        try:
            return self._terminals[name]
        except KeyError:
            raise ToolError(f'The terminal "{name}" is not open.', hint="Start a new session.") from None


def _cannot_hibernate() -> NoReturn:
    raise ToolError("The local terminal cannot be put to sleep or attached to.", hint="Use a backend that can.")
