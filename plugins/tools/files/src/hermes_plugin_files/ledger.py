"""Which state of a file a session has seen, so that what changed meanwhile is not overwritten unseen."""

from __future__ import annotations

from collections import OrderedDict

from hermes.contracts.values import Done, Value

CAPACITY = 10_000


class FileState(Value, kw_only=True):
    terminal: str
    path: str
    """Absolute, links resolved."""
    modified: float = 0.0
    """Seconds since the epoch; 0: never seen, or not there."""


class Ledger:
    """One for all sessions, behind the contract ``file_ledger``; in memory, the oldest entries are forgotten."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, str], float] = OrderedDict()

    async def saw(self, state: FileState) -> Done:
        key = (state.terminal, state.path)
        self._seen[key] = state.modified
        self._seen.move_to_end(key)
        if len(self._seen) > CAPACITY:
            self._seen.popitem(last=False)
        return Done()

    async def last_seen(self, state: FileState) -> FileState:
        modified = self._seen.get((state.terminal, state.path), 0.0)
        return FileState(terminal=state.terminal, path=state.path, modified=modified)
