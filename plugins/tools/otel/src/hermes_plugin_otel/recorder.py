"""From the hooks to the thread that makes telemetry of what they noted."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from hermes import HermesError, PluginContext

from .settings import Settings, read_settings

if TYPE_CHECKING:
    from .telemetry import Telemetry
    from .tracker import Tracker

MAX_WAITING = 20_000
"""Notes that the thread may be behind; what comes on top is dropped, and counted."""

LONGEST_REST = 1.0
"""Seconds. In between the thread is woken at the end of a turn: to wake it for every note would cost the turn more than
the note does.
"""

Note = tuple[float, str, tuple[object, ...]]


async def make_recorder(ctx: PluginContext) -> Recorder | None:
    """None, and a line in the log, where nothing is to be sent, or the settings do not say well where to."""
    try:
        settings = await read_settings(ctx)
    except HermesError as error:
        ctx.log.error("otel sends nothing: %s %s", error, error.hint)
        return None
    if not settings.endpoint and not settings.file:
        ctx.log.info("otel sends nothing: neither otel.endpoint nor otel.file is set")
        return None
    recorder = Recorder(settings, now=ctx.clock.now, log=ctx.log)
    ctx.on_unload(recorder.close)
    return recorder


class Recorder:
    """Takes notes at once, and works on them on a daemon thread that the first one starts."""

    def __init__(
        self,
        settings: Settings,
        *,
        now: Callable[[], float],
        log: logging.Logger | logging.LoggerAdapter[logging.Logger],
    ) -> None:
        self._settings = settings
        self._now = now
        self._log = log
        self._notes: deque[Note] = deque()
        self._news = threading.Event()
        self._ends = False
        self._thread: threading.Thread | None = None
        self._on_end: Callable[[], None] = lambda: None
        self._dropped = 0
        self._telemetry: Telemetry | None = None

    def note(self, what: str, *values: object) -> None:
        """``what`` names a method of `Tracker`; ``values`` are immutable, and are looked at later."""
        if len(self._notes) >= MAX_WAITING:
            self._dropped += 1
            return
        self._notes.append((self._now(), what, values))
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="otel", daemon=True)
            self._thread.start()

    def wake(self) -> None:
        """Has the thread work on what there is."""
        self._news.set()

    async def close(self) -> None:
        """Sends what is not sent yet, but waits no longer than the settings say."""
        if self._thread is None:
            return
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()

        def tell() -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
                loop.call_soon_threadsafe(ended.set)

        self._on_end = tell
        self._ends = True
        self._news.set()
        try:
            async with asyncio.timeout(self._settings.flush_seconds):
                await ended.wait()
        except TimeoutError:
            if self._telemetry is not None:
                self._telemetry.say_no_more()
            self._log.warning(
                "otel: not all could be sent within %g s (otel.flush_seconds); the rest is lost",
                self._settings.flush_seconds,
            )
        if self._dropped:
            self._log.warning("otel: %d notes were dropped, because there were too many at once", self._dropped)

    def _work(self) -> None:
        try:
            telemetry = self._telemetry = self._make_telemetry()
            while not self._ends or self._notes:
                self._news.wait(0 if self._ends else LONGEST_REST)
                self._news.clear()
                while self._notes:
                    note = self._notes.popleft()
                    if telemetry is not None:
                        self._take(telemetry.tracker, note)
            if telemetry is not None:
                telemetry.close()
        finally:
            self._on_end()

    def _make_telemetry(self) -> Telemetry | None:
        try:
            from .telemetry import Telemetry

            return Telemetry(self._settings, self._log)
        except Exception:  # noqa: BLE001 (the boundary: telemetry fails alone)
            self._log.exception("otel sends nothing: OpenTelemetry could not be set up")
            return None

    def _take(self, tracker: Tracker, note: Note) -> None:
        at, what, values = note
        try:
            getattr(tracker, what)(at, *values)
        except Exception:  # noqa: BLE001 (the boundary: telemetry fails alone)
            self._log.exception("otel: a note was not understood: %s", what)
