"""The embedded store keeps its contract, in a file and in memory."""

from __future__ import annotations

from pathlib import Path

from hermes.contracts.store import SessionStore
from hermes.sessions.sqlite import open_store
from hermes_testkit.store_suite import SessionStoreSuite


class TestStoreInFile(SessionStoreSuite):
    def make_store(self, tmp_path: Path) -> SessionStore:
        return open_store(tmp_path)


class TestStoreInMemory(SessionStoreSuite):
    def make_store(self, tmp_path: Path) -> SessionStore:
        return open_store(None)
