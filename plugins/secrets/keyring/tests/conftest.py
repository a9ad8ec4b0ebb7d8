"""Backends of the library ``keyring``, as other packages bring them: entries in a file of JSON."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import keyring
import keyring.backend
import keyring.errors
import pytest


class FileKeyring(keyring.backend.KeyringBackend):
    """``asked`` are the names that were looked for. ``locked``: it waits until it is set."""

    priority: ClassVar[float] = 5
    name = "Test keyring"

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file = file
        self.asked: list[str] = []
        self.locked = threading.Event()
        self.locked.set()
        self.broken = ""

    def entries(self) -> dict[str, dict[str, str]]:
        return json.loads(self.file.read_text()) if self.file.exists() else {}

    def write(self, entries: dict[str, dict[str, str]]) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(json.dumps(entries))

    def get_password(self, service: str, username: str) -> str | None:
        self.asked.append(username)
        self.locked.wait(60)
        if self.broken:
            raise keyring.errors.KeyringLocked(self.broken)
        return self.entries().get(service, {}).get(username)

    def set_password(self, service: str, username: str, password: str) -> None:
        entries = self.entries()
        entries.setdefault(service, {})[username] = password
        self.write(entries)

    def delete_password(self, service: str, username: str) -> None:
        entries = self.entries()
        del entries[service][username]
        self.write(entries)


class PlainKeyring(FileKeyring):
    priority: ClassVar[float] = 0.5
    name = "Plain text"


@pytest.fixture
def use_keyring() -> Iterator[Any]:
    """Makes a backend the system's, until the test ends."""
    before = keyring.get_keyring()
    yield keyring.set_keyring
    keyring.set_keyring(before)


@pytest.fixture
def system(tmp_path: Path, use_keyring: Any) -> FileKeyring:
    made = FileKeyring(tmp_path / "keyring.json")
    use_keyring(made)
    return made


@pytest.fixture
def plain(tmp_path: Path) -> PlainKeyring:
    """Not in use yet."""
    return PlainKeyring(tmp_path / "plain.json")


@pytest.fixture
def make_keyring() -> type[FileKeyring]:
    return FileKeyring
