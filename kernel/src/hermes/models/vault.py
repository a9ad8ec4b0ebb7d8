"""``auth.json``: the credentials that were added with ``hermes auth``, for this user's eyes only."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import msgspec

from hermes.contracts.credential import StoredCredential
from hermes.contracts.errors import ConfigError
from hermes.contracts.values import Value

LOOK_SECONDS = 0.05
"""How often a task that waits for a lock looks whether it is free."""


class Contents(Value, kw_only=True):
    version: int = 1
    credentials: tuple[StoredCredential, ...] = ()


class Vault:
    """Read whenever the file has changed; written whole, under a lock that all processes of the home keep."""

    def __init__(self, path: Path, locks: Path) -> None:
        self.path = path
        self._locks = locks
        self._seen: tuple[int, int, int] | None = None
        self._contents = Contents()

    def all(self) -> tuple[StoredCredential, ...]:
        """Raises ConfigError if the file is no vault, or if others may read it."""
        try:
            status = os.stat(self.path)
        except FileNotFoundError:
            self._seen, self._contents = None, Contents()
            return ()
        seen = (status.st_mtime_ns, status.st_size, status.st_ino)
        if seen != self._seen:
            if status.st_mode & 0o077:
                raise ConfigError(f"{self.path} can be read by others.", hint=f"chmod 600 {self.path}")
            self._contents, self._seen = self._read(), seen
        return self._contents.credentials

    def of(self, provider: str, user: str) -> list[StoredCredential]:
        """In the order in which they were added: those of this user, and those of everyone."""
        return [entry for entry in self.all() if entry.provider == provider and entry.user in ("", user)]

    def put(self, credential: StoredCredential) -> None:
        """Adds it, or puts it in the place of the one with its id."""

        def change(known: list[StoredCredential]) -> list[StoredCredential]:
            if any(entry.id == credential.id for entry in known):
                return [credential if entry.id == credential.id else entry for entry in known]
            return [*known, credential]

        self.update(change)

    def remove(self, credential_id: str) -> None:
        self.update(lambda known: [entry for entry in known if entry.id != credential_id])

    def update(self, change: Callable[[list[StoredCredential]], list[StoredCredential]]) -> None:
        """Raises ConfigError if the file is no vault, or has more in it than a vault has."""
        with self.locked("auth"):
            known = list(self._own().credentials) if self.path.exists() else []
            data = msgspec.json.format(msgspec.json.encode(Contents(credentials=tuple(change(known)))), indent=2)
            new = self.path.with_name(f".{self.path.name}.new")  # of one name: a killed writer's is written over
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(new, self.path)

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Blocks until no other process of the home holds the lock of that name."""
        self._locks.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(self._locks / f"{name}.lock", "a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @asynccontextmanager
    async def waited(self, name: str) -> AsyncIterator[None]:
        """The same for a task. Not in a thread: many that wait would leave none for the one they wait for."""
        self._locks.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(self._locks / f"{name}.lock", os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            while not _taken(file):  # noqa: ASYNC110 (its holder may be another process)
                await asyncio.sleep(LOOK_SECONDS)
            yield
        finally:
            os.close(file)

    def _own(self) -> Contents:
        """What is there, if writing loses nothing of it."""
        contents = self._read()
        if set(msgspec.json.decode(self.path.read_bytes())) - set(Contents.__struct_fields__):
            raise ConfigError(
                f"{self.path} is another program's, and writing to it would lose what it holds.",
                hint=f"Move it away: mv {self.path} {self.path}.old",
            )
        return contents

    def _read(self) -> Contents:
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=Contents)
        except (OSError, msgspec.DecodeError) as error:
            raise ConfigError(
                f"{self.path} cannot be read: {error}.",
                hint="Move it away, and log in again: hermes auth login PROVIDER",
            ) from None


def _taken(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
