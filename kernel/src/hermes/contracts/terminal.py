"""Terminal backends: where commands run and files live.

A backend holds many terminals, one a session. Tools reach commands AND files through the same one, so
that file tools work wherever commands do. Paths are absolute or start from the terminal's directory.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Literal, Protocol

from .scope import Scope
from .values import Done, Value


class TerminalCapabilities(Value, kw_only=True):
    """What a backend can do. The conformance suite follows it."""

    background: bool = True
    pty: bool = False
    hibernate: bool = False
    persistent_shell: bool = True
    """Directory, environment and functions last from one command to the next."""


class OpenTerminal(Value, kw_only=True):
    session_id: str
    cwd: str = ""
    """Empty: the backend's own default."""
    env: dict[str, str] = {}
    """Added to the backend's allowlisted environment."""
    scope: Scope


class TerminalRef(Value, kw_only=True):
    terminal: str


class TerminalInfo(Value, kw_only=True):
    id: str
    backend: str
    cwd: str


class RunCommand(Value, kw_only=True):
    terminal: str
    command: str
    """In the backend's shell language, bash."""
    timeout: float
    """Seconds; then the command's whole process group is killed."""
    cwd: str = ""
    """For this command only; empty: the terminal's."""
    stdin: str = ""
    fresh: bool = False
    """Run apart from the persistent shell: nothing of it lasts, and it does not wait for its turn there."""


class CommandOutput(Value, tag="output", kw_only=True):
    """A piece of output as it came; standard output and error are one stream, as on a screen."""

    text: str


class CommandExited(Value, tag="exited", kw_only=True):
    """The end. ``reason``: ``exited``, ``timeout``, ``killed``, or ``shell_lost`` (the persistent state is gone)."""

    code: int
    cwd: str
    reason: Literal["exited", "timeout", "killed", "shell_lost"] = "exited"


CommandEvent = CommandOutput | CommandExited


class SpawnProcess(Value, kw_only=True):
    terminal: str
    command: str
    cwd: str = ""
    pty: bool = False
    columns: int = 120
    rows: int = 40


class ProcessRef(Value, kw_only=True):
    terminal: str
    process: str


class ProcessInfo(Value, kw_only=True):
    id: str
    command: str
    pid: int
    started: float
    """Seconds since the epoch."""
    running: bool
    exit_code: int | None = None
    """Negative: the signal that ended it."""
    output_bytes: int = 0
    """Written so far, also what the buffer no longer holds."""


class ProcessList(Value, kw_only=True):
    processes: tuple[ProcessInfo, ...]


class ReadProcess(Value, kw_only=True):
    """Reads output from byte ``offset`` on; waits up to ``wait`` seconds for the process to end."""

    terminal: str
    process: str
    offset: int = 0
    wait: float = 0.0


class ProcessOutput(Value, kw_only=True):
    info: ProcessInfo
    text: str
    offset: int
    """Where the next read goes on."""
    lost: int = 0
    """Bytes before ``text`` that the buffer no longer holds."""


class WriteProcess(Value, kw_only=True):
    terminal: str
    process: str
    text: str = ""
    eof: bool = False


class SignalProcess(Value, kw_only=True):
    """To the process's whole group. ``KILL`` also ends what ignores ``TERM``."""

    terminal: str
    process: str
    signal: Literal["INT", "TERM", "KILL", "HUP"] = "TERM"


class ResizeProcess(Value, kw_only=True):
    terminal: str
    process: str
    columns: int
    rows: int


class PathRef(Value, kw_only=True):
    terminal: str
    path: str


class FileInfo(Value, kw_only=True):
    path: str
    """Absolute, links resolved."""
    kind: Literal["file", "directory", "other", "missing"]
    size: int = 0
    modified: float = 0.0
    mode: int = 0
    """Permission bits."""


class DirectoryListing(Value, kw_only=True):
    entries: tuple[FileInfo, ...]
    truncated: bool = False


class ListDirectory(Value, kw_only=True):
    terminal: str
    path: str
    limit: int = 1000


class ReadFile(Value, kw_only=True):
    """``length`` bytes from ``offset``; -1: all."""

    terminal: str
    path: str
    offset: int = 0
    length: int = -1


class FileData(Value, kw_only=True):
    data: bytes
    info: FileInfo


class WriteFile(Value, kw_only=True):
    """Replaces the file whole or not at all, makes missing directories, keeps the mode of one that exists."""

    terminal: str
    path: str
    data: bytes
    expected: float | None = None
    """Refused with a `ToolError` when the file was modified at another time than this."""


class MovePath(Value, kw_only=True):
    terminal: str
    path: str
    to: str


class DeletePath(Value, kw_only=True):
    terminal: str
    path: str
    recursive: bool = False


class TerminalBackend(Protocol):
    """Errors are `ToolError`s: a missing file, a terminal that is gone, a process that is not there."""

    capabilities: TerminalCapabilities

    async def open(self, request: OpenTerminal) -> TerminalInfo: ...
    def run(self, command: RunCommand) -> AsyncIterator[CommandEvent]: ...
    async def spawn(self, request: SpawnProcess) -> ProcessInfo: ...
    async def processes(self, terminal: TerminalRef) -> ProcessList: ...
    async def read_process(self, request: ReadProcess) -> ProcessOutput: ...
    async def write_process(self, request: WriteProcess) -> Done: ...
    async def signal_process(self, request: SignalProcess) -> Done: ...
    async def resize_process(self, request: ResizeProcess) -> Done: ...
    async def stat(self, request: PathRef) -> FileInfo: ...
    async def list(self, request: ListDirectory) -> DirectoryListing: ...
    async def read(self, request: ReadFile) -> FileData: ...
    async def write(self, request: WriteFile) -> FileInfo: ...
    async def move(self, request: MovePath) -> FileInfo: ...
    async def delete(self, request: DeletePath) -> Done: ...
    async def hibernate(self, terminal: TerminalRef) -> Done: ...
    async def attach(self, terminal: TerminalRef) -> TerminalInfo: ...
    async def close(self, terminal: TerminalRef) -> Done: ...
