"""``plugins.lock``: what was installed into a home, exactly, and what the user agreed to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import msgspec

from hermes.contracts.errors import PluginError

from .manifest import Permissions, Struct

FORMAT = 1

Kind = Literal["package", "git", "archive", "folder"]


class LockedPlugin(Struct, kw_only=True):
    """One installed plugin. It lies in ``packages/<name>/<tree>``, which is only ever replaced as a whole."""

    name: str
    source: str
    """As the user named it: a package, ``owner/repo``, an address, a path."""
    kind: Kind
    version: str = ""
    url: str = ""
    """What was fetched."""
    commit: str = ""
    sha256: str = ""
    """Of the archive that was fetched."""
    tree: str
    """SHA-256 over the names and contents of the installed files."""
    module: str
    """The import package that has the manifest, or a single file's name."""
    permissions: Permissions = Permissions()
    """What the user agreed to."""
    requirements: list[str] = []
    """The packages it needs beside Hermes's own, pinned."""
    signed_by: str = ""
    installed: float = 0.0
    """Seconds since the epoch."""


class PluginsLock(Struct, kw_only=True):
    format: int = FORMAT
    plugins: dict[str, LockedPlugin] = {}


def package_folder(packages: Path, locked: LockedPlugin) -> Path:
    """Where an installed plugin lies; ``packages`` is the home's folder for all of them."""
    return packages / locked.name / locked.tree[:16]


def read_lock(file: Path) -> PluginsLock:
    """The lock; empty if there is none.

    Raises:
        PluginError: it cannot be read, or is of a newer Hermes.
    """
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        return PluginsLock()
    except OSError as error:
        raise PluginError(f"{file} cannot be read: {error.strerror}.", hint="Mend its permissions.") from None
    try:
        lock = msgspec.json.decode(data, type=PluginsLock)
    except msgspec.DecodeError as error:
        raise PluginError(
            f"{file} is no lock file: {error}.", hint="Restore it from a backup, or move it away and install again."
        ) from None
    if lock.format > FORMAT:
        raise PluginError(f"{file} is of a newer Hermes.", hint="Upgrade Hermes: pip install --upgrade hermes-agent")
    return lock


def write_lock(file: Path, lock: PluginsLock) -> None:
    """Replaces the file as a whole, sorted, so that two of them can be compared line by line."""
    scratch = file.with_suffix(f".lock.{os.getpid()}")
    lock = PluginsLock(plugins=dict(sorted(lock.plugins.items())))
    scratch.write_bytes(msgspec.json.format(msgspec.json.encode(lock), indent=2) + b"\n")
    os.replace(scratch, file)
