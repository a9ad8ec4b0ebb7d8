"""Descriptors and exits, as the event loop sees them."""

from __future__ import annotations

import asyncio
import codecs
import fcntl
import os
import subprocess
import sys
import termios
import threading
from collections.abc import Callable

CHUNK = 256 * 1024
HIGH_WATER = 1024 * 1024
"""Bytes held for a slow consumer before we stop reading, which stops the writer."""


class OutputReader:
    """Reads a descriptor as it fills and gives its text in pieces; ``on_data`` is called when there is some."""

    def __init__(self, descriptor: int, on_data: Callable[[], None]) -> None:
        os.set_blocking(descriptor, False)
        self.ended = False
        self._descriptor = descriptor
        self._on_data = on_data
        self._loop = asyncio.get_running_loop()
        self._held = bytearray()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._loop.add_reader(descriptor, self._ready)
        self._watching = True

    def take(self, *, final: bool = False) -> str:
        """What came since the last time. ``final``: a cut character at the end is replaced, not kept for later."""
        text = self._decoder.decode(bytes(self._held), final)
        self._held.clear()
        if not (self._watching or self.ended):
            self._loop.add_reader(self._descriptor, self._ready)
            self._watching = True
        return text

    def drain(self) -> None:
        """Reads what is in the pipe now; a background writer may go on for ever, so not until its end."""
        waiting = bytearray(4)
        fcntl.ioctl(self._descriptor, termios.FIONREAD, waiting)
        left = int.from_bytes(waiting, sys.byteorder)
        while left > 0 and (data := read_some(self._descriptor, min(left, CHUNK))):
            self._held += data
            left -= len(data)

    def discard_rest(self) -> None:
        """Reads and forgets whatever still comes, so that nobody who writes it blocks or dies; closes at its end."""
        self._unwatch()
        self._forget()
        if not self.ended:
            self._loop.add_reader(self._descriptor, self._forget)
            self._watching = True

    def close(self) -> None:
        self._unwatch()
        self.ended = True
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _ready(self) -> None:
        data = read_some(self._descriptor, CHUNK)
        if data is None:
            return
        self._held += data
        self.ended = not data
        if self.ended or len(self._held) > HIGH_WATER:
            self._unwatch()
        self._on_data()

    def _forget(self) -> None:
        if read_some(self._descriptor, CHUNK) == b"":
            self.close()

    def _unwatch(self) -> None:
        if self._watching:
            self._loop.remove_reader(self._descriptor)
            self._watching = False


def read_some(descriptor: int, size: int) -> bytes | None:
    """``b""``: the end; None: nothing yet."""
    try:
        return os.read(descriptor, size)
    except BlockingIOError:
        return None
    except OSError:
        return b""  # What a pseudo-terminal says when the last process has left it.


def watch_exit(process: subprocess.Popen[bytes], on_exit: Callable[[int], None]) -> None:
    """Calls ``on_exit`` in the event loop with the return code, once."""
    loop = asyncio.get_running_loop()
    try:
        descriptor = os.pidfd_open(process.pid)
    except (AttributeError, OSError):

        def wait() -> None:
            code = process.wait()
            if not loop.is_closed():
                loop.call_soon_threadsafe(on_exit, code)

        threading.Thread(target=wait, name=f"wait-{process.pid}", daemon=True).start()
        return

    def exited() -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        on_exit(process.wait())

    loop.add_reader(descriptor, exited)


class InputWriter:
    """Writes to a non-blocking descriptor as it takes it, in order, without waiting."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._pending = bytearray()
        self._closing = False
        self._loop = asyncio.get_running_loop()
        self.taken = asyncio.Event()
        """Set while nothing is pending."""
        self.taken.set()
        self.broken = False

    def write(self, data: bytes) -> None:
        idle = not self._pending
        self._pending += data
        if idle:
            self._flush()
            if self._pending:
                self.taken.clear()
                self._loop.add_writer(self._descriptor, self._flush)

    def close(self) -> None:
        """When all is written."""
        self._closing = True
        if not self._pending:
            self._end()

    def abort(self) -> None:
        self._pending.clear()
        if not self.taken.is_set():
            self._loop.remove_writer(self._descriptor)
        self._end()

    def _flush(self) -> None:
        try:
            while self._pending:
                del self._pending[: os.write(self._descriptor, self._pending)]
        except BlockingIOError:
            return
        except OSError:
            self.broken = True  # Nobody reads it any more.
            self._pending.clear()
        if not self.taken.is_set():
            self._loop.remove_writer(self._descriptor)
            self.taken.set()
        if self._closing:
            self._end()

    def _end(self) -> None:
        self.taken.set()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
