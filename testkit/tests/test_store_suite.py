"""The embedded store keeps its contract: in a file, in memory, and served by a plugin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hermes.contracts.store import SessionStore
from hermes.sessions.sqlite import open_store
from hermes_testkit.store_suite import SessionStoreSuite


class TestStoreInFile(SessionStoreSuite):
    def make_store(self, tmp_path: Path) -> SessionStore:
        return open_store(tmp_path)


class TestStoreInMemory(SessionStoreSuite):
    factory = "hermes.sessions.sqlite:open_store"

    def arguments(self) -> tuple[Any, ...]:
        return (None,)


class TestStoreServed(SessionStoreSuite):
    factory = "hermes.sessions.sqlite:open_store"

    def arguments(self) -> tuple[Path]:
        folder = self.folder / "store"
        folder.mkdir(exist_ok=True)
        return (folder,)
