"""The operating system's sessions that a terminal has started, so that all can be found and ended."""

from __future__ import annotations

import os

from . import proctable
from .reaper import Reaper
from .running import end_all


class Sessions:
    """``marker`` (``NAME=value``) is in the environment of all that the terminal starts."""

    def __init__(self, marker: str, reaper: Reaper) -> None:
        self.marker = marker
        self._reaper = reaper
        self._ids: set[int] = set()
        self._used = False

    def add(self, session: int) -> None:
        self._used = True
        self._ids.add(session)
        self._reaper.add(session)

    def left(self, session: int) -> None:
        """Its leader has ended. An empty one is forgotten: its number may become a stranger's."""
        try:
            os.killpg(session, 0)
        except ProcessLookupError:
            self._ids.discard(session)
            self._reaper.forget(session)
        except PermissionError:
            pass

    def members(self) -> list[proctable.Entry]:
        everyone = proctable.snapshot()
        found = {entry.pid: entry for entry in proctable.family(self._ids, everyone=everyone)}
        found.update((entry.pid, entry) for entry in proctable.marked(self.marker, everyone))
        return [entry for pid, entry in found.items() if pid != os.getpid()]

    async def end(self, grace: float) -> None:
        if self._used:
            await end_all(self.members, grace)
        self._ids.clear()
