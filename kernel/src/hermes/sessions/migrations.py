"""The layout of ``state.db``, and how a file comes to have it."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from hermes.contracts.errors import StoreError

from .failure import is_busy

APPLICATION_ID = 0x48524D53
"""In the file's header: "HRMS". A file without it belongs to another program."""

VERSION = 1
BUSY_SECONDS = 5.0

_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;

CREATE TABLE sessions (
    num INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    created REAL NOT NULL,
    updated REAL NOT NULL,
    surface TEXT NOT NULL,
    principal TEXT NOT NULL,        -- its id
    person TEXT NOT NULL,           -- the whole of it, as JSON
    workspace TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    title TEXT NOT NULL,
    parent_session TEXT NOT NULL,
    head INTEGER NOT NULL DEFAULT 0,
    depth INTEGER NOT NULL DEFAULT 0,           -- of the head: how many messages lead to it
    outcome TEXT NOT NULL DEFAULT '',
    error TEXT NOT NULL DEFAULT '',
    preview TEXT NOT NULL DEFAULT '',
    api_calls INTEGER NOT NULL DEFAULT 0,
    input_tokens INTEGER NOT NULL DEFAULT 0,
    output_tokens INTEGER NOT NULL DEFAULT 0,
    cache_read_tokens INTEGER NOT NULL DEFAULT 0,
    cache_write_tokens INTEGER NOT NULL DEFAULT 0,
    reasoning_tokens INTEGER NOT NULL DEFAULT 0,
    reported_usd REAL,
    cost_usd REAL,
    system_blob BLOB REFERENCES blobs,
    tools_blob BLOB REFERENCES blobs
);
CREATE INDEX sessions_by_time ON sessions(updated);
CREATE UNIQUE INDEX sessions_by_title ON sessions(title) WHERE title <> '';

CREATE TABLE blobs (hash BLOB PRIMARY KEY, data TEXT NOT NULL) WITHOUT ROWID;

-- An id is greater than every id given before it: the full-text index lives by that. A parent is checked by
-- the writer; a foreign key on it would need an index that nothing else uses.
CREATE TABLE messages (
    id INTEGER PRIMARY KEY,
    session INTEGER NOT NULL REFERENCES sessions ON DELETE CASCADE,
    parent INTEGER NOT NULL,
    depth INTEGER NOT NULL,
    role TEXT NOT NULL,
    created REAL NOT NULL,
    seq INTEGER NOT NULL,
    turn TEXT NOT NULL,
    finish TEXT NOT NULL,
    key TEXT,                       -- the origin's idempotency key
    principal TEXT,
    origin TEXT,
    state TEXT,
    parts TEXT NOT NULL
);
CREATE INDEX messages_by_session ON messages(session);
CREATE UNIQUE INDEX messages_by_key ON messages(key) WHERE key IS NOT NULL;

CREATE TABLE amendments (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    session INTEGER NOT NULL,
    message INTEGER NOT NULL REFERENCES messages ON DELETE CASCADE,
    kind TEXT NOT NULL,
    plugin TEXT NOT NULL,
    parts TEXT NOT NULL
);
CREATE INDEX amendments_by_session ON amendments(session);
CREATE INDEX amendments_by_message ON amendments(message);

CREATE TABLE turns (
    num INTEGER PRIMARY KEY,
    session INTEGER NOT NULL REFERENCES sessions ON DELETE CASCADE,
    id TEXT NOT NULL,
    status TEXT NOT NULL,
    started REAL NOT NULL,
    message INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    error TEXT,
    model_calls INTEGER NOT NULL,
    UNIQUE (session, id)
);

CREATE TABLE calls (
    num INTEGER PRIMARY KEY,
    session INTEGER NOT NULL REFERENCES sessions ON DELETE CASCADE,
    turn TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    effects TEXT NOT NULL,
    message INTEGER NOT NULL,
    result TEXT,
    UNIQUE (session, turn, id)
);

CREATE TABLE requests (
    num INTEGER PRIMARY KEY,
    session INTEGER NOT NULL REFERENCES sessions ON DELETE CASCADE,
    turn TEXT NOT NULL,
    id TEXT NOT NULL,
    status TEXT NOT NULL,
    answer TEXT NOT NULL,
    by TEXT NOT NULL,
    request TEXT NOT NULL,
    UNIQUE (session, id)
);

CREATE TABLE events (
    session INTEGER NOT NULL REFERENCES sessions ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    turn TEXT NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (session, seq)
) WITHOUT ROWID;

-- What was spent stays on the books when its session is deleted.
CREATE TABLE usage (
    num INTEGER PRIMARY KEY,
    session INTEGER REFERENCES sessions ON DELETE SET NULL,
    turn TEXT NOT NULL,
    at REAL NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    task TEXT NOT NULL,
    principal TEXT NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    reported_usd REAL,
    cost_usd REAL
);
CREATE INDEX usage_by_session ON usage(session);
CREATE INDEX usage_by_time ON usage(at);

-- A message that was taken out stays until its taker has stored it, so that it outlives the taker's death.
CREATE TABLE inbox (
    num INTEGER PRIMARY KEY AUTOINCREMENT,
    session INTEGER NOT NULL REFERENCES sessions ON DELETE CASCADE,
    steer INTEGER NOT NULL,
    taken TEXT NOT NULL DEFAULT '',
    key TEXT UNIQUE,
    message TEXT NOT NULL
);
CREATE INDEX inbox_by_session ON inbox(session);

CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    expires REAL NOT NULL,
    pid INTEGER NOT NULL,
    boot TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE plugin_state (
    plugin TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (plugin, key)
) WITHOUT ROWID;
"""


def check_header(path: Path) -> bool:
    """Looks at the file without opening it as a database, so that another program's stays as it is.

    Returns whether there is a store in it already.

    Raises:
        StoreError: the file is another program's, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            header = file.read(100)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StoreError(
            f"The session store {path} cannot be read: {error.strerror}.",
            hint="Make the file and its folder yours, or choose another home.",
        ) from error
    if not header:
        return False
    if not header.startswith(b"SQLite format 3\0") or len(header) < 100:
        raise StoreError(
            f"{path} is not a session store: it is no SQLite database, or a damaged one.",
            hint="Move the file away, or restore a backup.",
        )
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise StoreError(
            f"{path} was written by another program; it was left as it is.",
            hint="`hermes import` is the command that will import it. Until then move the file away, "
            f"e.g. to {path.with_name('state.old.db')}, and a new store is begun.",
        )
    return True


def create_file(path: Path) -> None:
    """Makes the store, unless another process is quicker. It appears whole under its name, or not at all."""
    if path.exists():
        _create_in_place(path)
        return
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    draft.unlink(missing_ok=True)
    os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        with contextlib.closing(sqlite3.connect(draft, isolation_level=None)) as db:
            db.execute("PRAGMA journal_mode=MEMORY")
            db.execute("PRAGMA auto_vacuum=INCREMENTAL")
            create(db)
        os.link(draft, path)
    except FileExistsError:
        pass
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _create_in_place(path)
    finally:
        draft.unlink(missing_ok=True)


def _create_in_place(path: Path) -> None:
    """In an empty file, or where files cannot have two names. Such a store does not give room back to the disk."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    with contextlib.closing(sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)) as db:
        create(db)


def create(db: sqlite3.Connection) -> None:
    """Makes an empty database a store, in one transaction, unless another process just did."""
    begin(db)
    try:
        if not db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
            for statement in _SCHEMA.split(";\n"):
                if statement.strip():
                    db.execute(statement)
            db.execute("INSERT INTO meta VALUES ('store_id', ?)", (os.urandom(16).hex(),))
            db.execute(f"PRAGMA application_id={APPLICATION_ID}")
            db.execute(f"PRAGMA user_version={VERSION}")
        db.execute("COMMIT")
    except BaseException:
        db.rollback()
        raise


def check_version(db: sqlite3.Connection, path: str) -> None:
    """Raises:
    StoreError: a newer program wrote the file.
    """
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise StoreError(
            f"The session store {path} was written by a newer Hermes (layout {version}, known here: {VERSION}).",
            hint="Upgrade: pip install -U hermes-agent.",
        )


def use_wal(db: sqlite3.Connection) -> None:
    """SQLite does not wait for other processes when it switches the mode, so we do."""
    retry_while_busy(lambda: db.execute("PRAGMA journal_mode=WAL"))


def begin(db: sqlite3.Connection) -> None:
    """Begins to write, after whoever is writing now; gives up after `BUSY_SECONDS`."""
    retry_while_busy(lambda: db.execute("BEGIN IMMEDIATE"))


def begin_unless_busy(db: sqlite3.Connection) -> bool:
    """Begins to write if nobody else does. False: somebody does."""
    try:
        db.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if is_busy(error):
            return False
        raise
    return True


def retry_while_busy(step: Callable[[], object]) -> None:
    deadline = time.monotonic() + BUSY_SECONDS
    pause = 0.0002
    while True:
        try:
            step()
            return
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > deadline:
                raise
        time.sleep(pause)
        pause = min(pause * 2, 0.01)
