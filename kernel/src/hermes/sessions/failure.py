"""What SQLite reports, as errors that say what to do."""

from __future__ import annotations

import sqlite3

from hermes.contracts.errors import StoreError

_ADVICE = {
    "SQLITE_FULL": ("the disk is full", "Free some space, then try again."),
    "SQLITE_READONLY": ("it is read-only", "Make the file and its folder writable, or choose another home."),
    "SQLITE_PERM": ("access to it is denied", "Make the file and its folder yours, or choose another home."),
    "SQLITE_CANTOPEN": ("it cannot be opened", "Check that its folder exists and is yours."),
    "SQLITE_BUSY": ("another process keeps it locked", "Wait for that process or end it, then try again."),
    "SQLITE_LOCKED": ("another process keeps it locked", "Wait for that process or end it, then try again."),
    "SQLITE_CORRUPT": ("it is damaged", "Run `hermes sessions check`; if it stays so, restore a backup."),
    "SQLITE_NOTADB": ("it is not a database", "Move the file away, or restore a backup."),
    "SQLITE_IOERR": ("the disk failed", "Check the disk and its free space, then try again."),
    "SQLITE_TOOBIG": ("what was to be stored is larger than a database can hold", "Keep it in a file instead."),
}


def is_busy(error: sqlite3.Error) -> bool:
    return _name(error).startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


def is_damaged(error: sqlite3.Error) -> bool:
    return _name(error).startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))


def store_error(error: BaseException, path: str) -> StoreError:
    """What a caller of the store is told. The failed work was rolled back: nothing of it is stored."""
    if isinstance(error, StoreError):
        return error
    if isinstance(error, UnicodeEncodeError):
        return StoreError(
            f"Nothing was stored: the text has half a character at position {error.start} ({error.reason}).",
            hint="Decode the text with errors='replace' first.",
        )
    if isinstance(error, OSError):
        return StoreError(
            f"The session store {path} cannot be used: {error.strerror or error}.",
            hint="Make its folder writable and see that the disk has room, or choose another home.",
        )
    name = _name(error)
    for prefix, (cause, hint) in _ADVICE.items():
        if name.startswith(prefix):
            return StoreError(f"The session store {path} cannot be used: {cause} ({error}).", hint=hint)
    return StoreError(f"The session store {path} failed: {error}.", hint="Run `hermes sessions check`.")


def _name(error: BaseException) -> str:
    return getattr(error, "sqlite_errorname", "") or ""
