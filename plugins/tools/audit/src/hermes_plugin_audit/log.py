"""Appends to the log, from any number of processes, and keeps the chain whole whatever happened to the file."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .chain import Head, read, seal

FILE = "audit.jsonl"
LOCK = "audit.lock"
TAIL = 4096
LOCK_POLL = 0.002
"""Seconds between two tries for the lock, which is held for some tens of microseconds."""

Fields = Mapping[str, Any]


class LockBusyError(OSError):
    """Another process holds the lock."""


class Tail(NamedTuple):
    """The end of a file. ``end``: where its last whole line ends; what follows was torn off when a writer died."""

    head: Head
    end: int
    torn: bytes


def older_files(folder: Path) -> list[Path]:
    """Files that were full, the oldest first."""
    return sorted(folder.glob("audit-[0-9]*.jsonl"))


class AuditLog:
    """The log in ``folder``. ``max_bytes``: when a new file is begun; 0: never."""

    def __init__(self, folder: Path, *, now: Callable[[], float], fsync: bool = False, max_bytes: int = 0) -> None:
        self._folder = folder
        self._file = folder / FILE
        self._now = now
        self._fsync = fsync
        self._max_bytes = max_bytes
        self._last = Head()
        """As this process left it; the log may have grown since, and not have shrunk."""

    def append(self, records: Sequence[Fields], *, wait: float) -> None:
        """All of the records, or none. Waits so many seconds for the lock.

        Raises:
            LockBusyError: the lock could not be had.
            OSError: the log cannot be written.
        """
        with locked(self._folder, wait):
            tail = self._tail()
            if self._is_full(tail):
                tail = self._begin_file(tail)
            lines, head = self._lines(tail, records)
            self._write(tail, b"".join(lines))
            self._last = head

    def _lines(self, tail: Tail, records: Sequence[Fields]) -> tuple[list[bytes], Head]:
        lines, head = [], tail.head
        for fields in (*self._remarks(tail), *records):
            line, head = seal(head, {"at": self._now(), "pid": os.getpid(), **fields})
            lines.append(line + b"\n")
        return lines, head

    def _remarks(self, tail: Tail) -> Iterator[Fields]:
        """What has to be said of the log itself before it goes on."""
        head, last = tail.head, self._last
        if head.seq < last.seq or (head.seq == last.seq and head.hash != last.hash):
            yield {"kind": "broken", "expected_seq": last.seq, "expected_hash": last.hash}
        if not tail.end and head.seq:
            yield {"kind": "continued", "file": older_files(self._folder)[-1].name}
        if tail.torn:
            digest = hashlib.sha256(tail.torn).hexdigest()
            aside = self._folder / f"audit.torn-{digest[:16]}"
            _write_all(aside, tail.torn, fsync=self._fsync)
            yield {"kind": "torn", "file": aside.name, "bytes": len(tail.torn), "sha256": digest}

    def _tail(self) -> Tail:
        try:
            tail = tail_of(self._file)
        except FileNotFoundError:
            tail = Tail(Head(), 0, b"")
        if not tail.end and (older := older_files(self._folder)):
            tail = tail._replace(head=tail_of(older[-1]).head)
        return tail

    def _is_full(self, tail: Tail) -> bool:
        return bool(self._max_bytes and tail.end and not tail.torn and tail.end >= self._max_bytes)

    def _begin_file(self, tail: Tail) -> Tail:
        older = self._folder / f"audit-{tail.head.seq:012d}.jsonl"
        if older.exists():
            return tail
        self._file.rename(older)
        return Tail(tail.head, 0, b"")

    def _write(self, tail: Tail, data: bytes) -> None:
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            try:
                _pwrite(descriptor, data, tail.end)
                if tail.torn:
                    os.ftruncate(descriptor, tail.end + len(data))
                if self._fsync:
                    os.fsync(descriptor)
            except OSError:
                _pwrite(descriptor, tail.torn, tail.end)
                os.ftruncate(descriptor, tail.end + len(tail.torn))
                raise
        finally:
            os.close(descriptor)
        if self._fsync and not tail.end:
            _sync_folder(self._folder)


@contextlib.contextmanager
def locked(folder: Path, wait: float) -> Iterator[None]:
    """Holds the log's lock.

    Raises:
        LockBusyError: not within ``wait`` seconds.
        OSError: there is no such folder, or it cannot be written to.
    """
    until = time.monotonic() + wait
    while (descriptor := _try_lock(folder / LOCK)) is None:
        if time.monotonic() >= until:
            raise LockBusyError(f"another process holds {folder / LOCK}")
        time.sleep(LOCK_POLL)
    try:
        yield
    finally:
        os.close(descriptor)


def _try_lock(path: Path) -> int | None:
    """None: it is held, or the file was replaced meanwhile."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.stat(path).st_ino == os.fstat(descriptor).st_ino:
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def tail_of(path: Path) -> Tail:
    """Where a file's chain ends.

    Raises:
        OSError: it cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size
        length = TAIL
        while True:
            start = max(size - length, 0)
            data = _pread(descriptor, size - start, start)
            whole, newline, torn = data.rpartition(b"\n")
            line = whole.rpartition(b"\n")[2] if newline else b""
            if not start or (newline and b"\n" in whole):
                break
            length *= 8
        end = size - len(torn)
        entry = read(line) if newline else None
        if entry is not None:
            return Tail(Head(entry.seq, entry.hash), end, torn)
        return Tail(_head_by_reading(descriptor, end) if end else Head(), end, torn)
    finally:
        os.close(descriptor)


def _head_by_reading(descriptor: int, end: int) -> Head:
    """The last line is no record any more. The chain goes on from its bytes; `verify` will tell of it."""
    lines = _pread(descriptor, end, 0).splitlines()
    seq = 0
    for line in lines:
        entry = read(line)
        seq = entry.seq if entry is not None else seq + 1
    return Head(seq, hashlib.sha256(lines[-1]).hexdigest())


def _pread(descriptor: int, length: int, start: int) -> bytes:
    pieces = []
    while length > 0 and (piece := os.pread(descriptor, length, start)):
        pieces.append(piece)
        start, length = start + len(piece), length - len(piece)
    return b"".join(pieces)


def _pwrite(descriptor: int, data: bytes, start: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, start)
        view, start = view[written:], start + written


def _write_all(path: Path, data: bytes, *, fsync: bool) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        _pwrite(descriptor, data, 0)
        if fsync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
