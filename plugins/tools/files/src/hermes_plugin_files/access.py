"""A session's files, through its terminal: what was read is remembered, what changed meanwhile is not overwritten."""

from __future__ import annotations

import difflib

from hermes.contracts.errors import ToolError
from hermes.contracts.host import PluginContext
from hermes.contracts.terminal import (
    DeletePath,
    FileInfo,
    ListDirectory,
    MovePath,
    PathRef,
    ReadFile,
    TerminalBackend,
    WriteFile,
)

from .ledger import FileState, Ledger

MAX_TEXT = 20 * 1024 * 1024
"""Bytes of a file that is patched or shown whole."""


class Files:
    """Made for one call."""

    def __init__(self, backend: TerminalBackend, terminal: str, ledger: Ledger) -> None:
        self.backend = backend
        self.terminal = terminal
        self._ledger = ledger

    @classmethod
    async def of(cls, ctx: PluginContext) -> Files:
        backend, info = await ctx.terminal()
        return cls(backend, info.id, await ctx.provider("file_ledger", "files"))

    async def stat(self, path: str) -> FileInfo:
        return await self.backend.stat(PathRef(terminal=self.terminal, path=path))

    async def existing(self, path: str) -> FileInfo:
        """
        Raises:
            ToolError: there is nothing; it names what is called nearly so.
        """
        info = await self.stat(path)
        if info.kind == "missing":
            raise ToolError(f"There is no file {path}.{await self._similar(info.path)}")
        return info

    async def read(self, info: FileInfo, offset: int = 0, length: int = -1) -> bytes:
        request = ReadFile(terminal=self.terminal, path=info.path, offset=offset, length=length)
        return (await self.backend.read(request)).data

    async def saw(self, info: FileInfo) -> None:
        await self._ledger.saw(FileState(terminal=self.terminal, path=info.path, modified=info.modified))

    async def text(self, path: str) -> tuple[FileInfo, str]:
        """The whole of a file that is to be changed, and its state.

        Raises:
            ToolError: it is not there, no text, too large, or has changed since the session saw it.
        """
        info = await self.existing(path)
        await self.check_fresh(info, path)
        if info.size > MAX_TEXT:
            raise ToolError(f"{path} is too large to patch ({info.size:,} bytes). Change it with a command.")
        data = await self.read(info)
        try:
            return info, data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ToolError(f"{path} is not UTF-8 text (byte {error.start}). Change it with a command.") from None

    async def check_fresh(self, info: FileInfo, path: str) -> None:
        seen = await self._ledger.last_seen(FileState(terminal=self.terminal, path=info.path))
        if seen.modified and info.modified != seen.modified:
            raise ToolError(
                f"{path} has changed on disk since you last read it. Read it again, then repeat the change."
            )

    async def write(self, info: FileInfo, data: bytes) -> FileInfo:
        """Refused by the backend when the file is no longer in the state of ``info``."""
        request = WriteFile(terminal=self.terminal, path=info.path, data=data, expected=info.modified)
        written = await self.backend.write(request)
        await self.saw(written)
        return written

    async def delete(self, info: FileInfo) -> None:
        await self.backend.delete(DeletePath(terminal=self.terminal, path=info.path))

    async def move(self, info: FileInfo, to: str) -> FileInfo:
        moved = await self.backend.move(MovePath(terminal=self.terminal, path=info.path, to=to))
        await self.saw(moved)
        return moved

    async def _similar(self, path: str) -> str:
        folder, _, name = path.rpartition("/")
        try:
            listing = await self.backend.list(ListDirectory(terminal=self.terminal, path=folder or "/", limit=2000))
        except ToolError:
            return f" There is no directory {folder} either."
        names = [entry.path.rsplit("/", 1)[-1] for entry in listing.entries]
        folded = {each.lower(): each for each in names}
        close = difflib.get_close_matches(name.lower(), folded, n=5, cutoff=0.6)
        stem = name.rsplit(".", 1)[0].lower()
        close += [key for key in folded if stem and stem in key and key not in close][:3]
        return f" Similar: {', '.join(folded[key] for key in close)}." if close else ""
