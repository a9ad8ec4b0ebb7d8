"""What the tools remember between two calls: where a shell was, and whose end the model already knows."""

from __future__ import annotations

from hermes.contracts.terminal import ProcessRef
from hermes.contracts.values import Done, Value


class Whereabouts(Value, kw_only=True):
    terminal: str
    cwd: str
    start: str = ""
    """Where the terminal was opened."""


class Answer(Value, kw_only=True):
    yes: bool


class Journal:
    """One for all the terminals of the plugin, behind the contract ``terminal_journal``."""

    def __init__(self) -> None:
        self._cwd: dict[str, str] = {}
        self._ended: set[tuple[str, str]] = set()

    async def moved(self, now: Whereabouts) -> Answer:
        """Whether the directory is another one than after the last command."""
        before = self._cwd.get(now.terminal, now.start)
        self._cwd[now.terminal] = now.cwd
        return Answer(yes=before != now.cwd)

    async def saw_end(self, process: ProcessRef) -> Done:
        self._ended.add((process.terminal, process.process))
        return Done()

    async def end_known(self, process: ProcessRef) -> Answer:
        return Answer(yes=(process.terminal, process.process) in self._ended)
