"""A command in flight: its output as it comes, its clock, and how it is ended before its time."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncGenerator, Awaitable, Callable

from hermes.contracts.terminal import CommandOutput

from . import proctable
from .wires import OutputReader

GRACE = 0.5
"""Seconds between TERM and KILL."""

TIMED_OUT = 124
"""The code of a command that was ended for its time, as the coreutils' ``timeout`` gives it."""


async def end_all(find: Callable[[], list[proctable.Entry]], grace: float = GRACE) -> None:
    """TERM to all that ``find`` finds, then KILL to those that are there after ``grace`` seconds, and to their heirs.

    Returns when nothing is found, or two seconds after the first KILL: what hangs in the kernel stays.
    """
    asked: set[int] = set()
    start, delay = time.monotonic(), 0.005
    while (entries := find()) and (elapsed := time.monotonic() - start) < grace + 2.0:
        if elapsed < grace:
            proctable.send(signal.SIGTERM, [entry for entry in entries if entry.pid not in asked])
            asked.update(entry.pid for entry in entries)
        else:
            proctable.send(signal.SIGKILL, entries)
        await asyncio.sleep(delay)
        delay = min(delay * 2, 0.08)


def exit_code(returncode: int) -> int:
    """As a shell tells it: 128 and the signal's number for what a signal ended."""
    return 128 - returncode if returncode < 0 else returncode


class Running:
    """``stop`` has to bring about `finish`; it is called once, by the clock or when nobody listens any more."""

    def __init__(self, output: int, timeout: float, stop: Callable[[], Awaitable[None]]) -> None:
        self.timed_out = False
        self.code = 0
        self.ended = asyncio.Event()
        self._wake = asyncio.Event()
        self._output = OutputReader(output, self._wake.set)
        self._timeout = timeout
        self._stop = stop
        self._stopping: asyncio.Task[None] | None = None

    def finish(self, code: int) -> None:
        if not self.ended.is_set():
            self.code = code
            self.ended.set()
            self._wake.set()

    async def output(self) -> AsyncGenerator[CommandOutput, None]:
        """Ends when the command has; closing it early ends the command, and waits for that."""
        clock = asyncio.get_running_loop().call_later(self._timeout, self._time_out)
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                ended = self.ended.is_set()
                if ended:
                    self._output.drain()
                if text := self._output.take(final=ended):
                    yield CommandOutput(text=text)
                if ended:
                    break
        finally:
            clock.cancel()
            if not self.ended.is_set():
                self._begin_stop()
            if self._stopping is not None:
                await asyncio.shield(self._stopping)

    def leftover(self) -> OutputReader | None:
        """What reads on for those who still write; None when there is nobody."""
        self._output.discard_rest()
        return None if self._output.ended else self._output

    def _time_out(self) -> None:
        if not self.ended.is_set():
            self.timed_out = True
            self._begin_stop()

    def _begin_stop(self) -> None:
        if self._stopping is None:
            self._stopping = asyncio.ensure_future(self._stop())
