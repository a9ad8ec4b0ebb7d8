"""Files of this machine, as a terminal backend gives them. Paths here are absolute."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from hermes.contracts.errors import ToolError
from hermes.contracts.terminal import DirectoryListing, FileData, FileInfo

LARGE = 256 * 1024
"""Bytes from which reading and writing is left to a thread."""

_WHY = {
    errno.ENOENT: "there is no such file",
    errno.EACCES: "permission denied",
    errno.EPERM: "operation not permitted",
    errno.ENOSPC: "the disk is full",
    errno.EROFS: "the file system is read-only",
    errno.ENOTDIR: "a part of the path is a file, not a directory",
    errno.EISDIR: "it is a directory",
    errno.ENAMETOOLONG: "the name is too long",
    errno.ELOOP: "its links go round in a circle",
    errno.ENOTEMPTY: "the directory is not empty",
    errno.EDQUOT: "the disk quota is used up",
}


@contextlib.contextmanager
def told(action: str, path: str) -> Iterator[None]:
    """Turns an `OSError` into a `ToolError` that names ``path``."""
    try:
        yield
    except OSError as error:
        reason = _WHY.get(error.errno or 0) or error.strerror or type(error).__name__
        raise ToolError(f"Cannot {action} {path}: {reason}.") from error
    except ValueError as error:
        raise ToolError(f"Cannot {action} {path!r}: {error}.") from None


def info(path: str) -> FileInfo:
    """What is at ``path``, links followed; kind ``missing`` when nothing is."""
    with told("look at", path):
        real = os.path.realpath(path)
        try:
            found = os.stat(real)
        except (FileNotFoundError, NotADirectoryError):
            return FileInfo(path=real, kind="missing")
    return _info_of(real, found)


def _info_of(path: str, found: os.stat_result) -> FileInfo:
    kind = stat.S_IFMT(found.st_mode)
    return FileInfo(
        path=path,
        kind="file" if kind == stat.S_IFREG else "directory" if kind == stat.S_IFDIR else "other",
        size=found.st_size,
        modified=found.st_mtime,
        mode=stat.S_IMODE(found.st_mode),
    )


def listing(path: str, limit: int) -> DirectoryListing:
    """Entries by name, links followed; a broken one is ``missing``. Their paths are not resolved."""
    with told("list", path):
        names = sorted(os.listdir(path))
        entries = []
        for name in names[:limit]:
            entry = os.path.join(path, name)
            try:
                entries.append(_info_of(entry, os.stat(entry)))
            except OSError:
                entries.append(FileInfo(path=entry, kind="missing"))
    return DirectoryListing(entries=tuple(entries), truncated=len(names) > limit)


def read(path: str, offset: int, length: int) -> FileData:
    """At most ``length`` bytes (-1: all) from ``offset``. Only regular files: others may never end, or never answer."""
    with told("read", path):
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            what = (
                "a directory; list it" if stat.S_ISDIR(found.st_mode) else "no regular file (a device, pipe or socket)"
            )
            raise ToolError(f"Cannot read {path}: it is {what}.")
        with open(path, "rb", buffering=0) as file:
            if offset:
                file.seek(offset)
            data = file.readall() if length < 0 else file.read(length)
            return FileData(data=data or b"", info=_info_of(os.path.realpath(path), os.fstat(file.fileno())))


def write(path: str, data: bytes, expected: float | None) -> FileInfo:
    """The file is replaced whole or not at all, its mode and, where we may, its owner kept; a link stays a link."""
    with told("write", path):
        target = os.path.realpath(path)
        try:
            before: os.stat_result | None = os.stat(target)
        except FileNotFoundError:
            before = None
        if before is not None and not stat.S_ISREG(before.st_mode):
            raise ToolError(f"Cannot write {path}: it is no regular file.")
        if expected is not None and (before.st_mtime if before else 0.0) != expected:
            raise ToolError(f"{path} has changed on disk since it was read. Read it again, then repeat the change.")
        os.makedirs(os.path.dirname(target), exist_ok=True)
        temporary = os.path.join(os.path.dirname(target), f".{os.path.basename(target)[:100]}.{secrets.token_hex(6)}")
        try:
            _write_new(temporary, data, before)
            os.replace(temporary, target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        return _info_of(target, os.stat(target))


def _write_new(path: str, data: bytes, like: os.stat_result | None) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    with open(descriptor, "wb", buffering=0) as file:
        rest = memoryview(data)
        while rest:
            rest = rest[file.write(rest) :]
        if like is not None:
            if (like.st_uid, like.st_gid) != (os.geteuid(), os.getegid()):
                with contextlib.suppress(PermissionError):  # Only root gives files away.
                    os.fchown(descriptor, like.st_uid, like.st_gid)
            os.fchmod(descriptor, stat.S_IMODE(like.st_mode))
        os.fsync(descriptor)


def move(path: str, to: str) -> FileInfo:
    """Never over something that exists. Makes missing directories; works across file systems."""
    with told("move", path):
        os.lstat(path)
        if os.path.lexists(to):
            raise ToolError(f"Cannot move {path}: {to} exists. Delete it first, or choose another name.")
        os.makedirs(os.path.dirname(to), exist_ok=True)
        shutil.move(path, to)
    return info(to)


def delete(path: str, recursive: bool) -> None:
    """Of a link, the link. A directory that is not empty only if ``recursive``."""
    with told("delete", path):
        if os.path.realpath(path) == "/":
            raise ToolError("The root directory is not deleted.")
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            os.unlink(path)
        elif recursive:
            shutil.rmtree(path)
        else:
            os.rmdir(path)
