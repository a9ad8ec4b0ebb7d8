"""Deleting, pruning, counting and checking: nothing that a turn needs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hermes.contracts.errors import StoreError
from hermes.contracts.store import Prune, Pruned, SessionIds, StoreReport, StoreStats

from .index import newest_message
from .leases import live_holder
from .reads import session_number

if TYPE_CHECKING:
    from .sqlite import SqliteStore

SESSIONS_AT_ONCE = 20
MESSAGES_AT_ONCE = 2_000
FREE_PAGES = 2_000
"""So many free pages are given back to the disk in one transaction."""


async def delete(store: SqliteStore, ids: SessionIds) -> Pruned:
    """Raises:
    SessionNotFound: one of them is not there; then none is deleted.
    """
    unique = tuple(dict.fromkeys(ids.ids))
    numbers = await store.read(lambda db: [session_number(db, session_id) for session_id in unique])
    messages = 0
    for start in range(0, len(unique), SESSIONS_AT_ONCE):
        chunk = numbers[start : start + SESSIONS_AT_ONCE]
        await _forget(store, await store.read(partial(_messages_of, sessions=chunk)))
        messages += await store.write(partial(_delete_sessions, sessions=chunk))
    await _tidy(store)
    return Pruned(session_ids=unique, messages=messages)


async def prune(store: SqliteStore, request: Prune, now: float) -> Pruned:
    """Sessions that somebody holds at the moment are left alone."""
    old: list[str] = []
    if request.before:
        old = await store.read(lambda db: _sessions_before(db, request.before, now))
    messages = 0
    if request.dry_run:
        messages = await store.read(lambda db: sum(_count(db, session_id) for session_id in old))
    elif old:
        messages = (await delete(store, SessionIds(ids=tuple(old)))).messages
    if request.unreachable:
        skipped = set(old) if request.dry_run else set()
        for session_id in await store.read(_branched):
            if session_id in skipped:
                continue
            doomed = await store.read(partial(_unreachable, session_id=session_id, now=now))
            if request.dry_run:
                messages += len(doomed)
                continue
            await _forget(store, doomed)
            while deleted := await store.write(partial(_delete_unreachable, session_id=session_id, now=now)):
                messages += deleted
        if not request.dry_run:
            await _tidy(store)
    return Pruned(session_ids=tuple(old), messages=messages)


def stats(db: sqlite3.Connection, path: Path | None) -> StoreStats:
    sessions, oldest, newest = db.execute("SELECT count(*), min(created), max(updated) FROM sessions").fetchone()
    (messages,) = db.execute("SELECT count(*) FROM messages").fetchone()
    (size,) = db.execute("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size").fetchone()
    index = 0
    if path is not None:
        index = sum(_size(path.with_name(name)) for name in ("index.db", "index.db-wal"))
        size += _size(path.with_name(path.name + "-wal"))
    return StoreStats(
        sessions=sessions,
        messages=messages,
        bytes=size,
        index_bytes=index,
        oldest=oldest or 0.0,
        newest=newest or 0.0,
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


async def check(store: SqliteStore) -> StoreReport:
    problems = await store.read(lambda db: tuple(_problems(db)))
    repaired: tuple[str, ...] = ()
    if not problems and store.searcher is not None:
        wrong = await store.searcher.check()
        if wrong:
            repaired = (f"The index {wrong}; it was thrown away and built again.",)
    return StoreReport(path=str(store.path or ":memory:"), problems=problems, repaired=repaired)


def _problems(db: sqlite3.Connection) -> Iterator[str]:
    try:
        for (line,) in db.execute("PRAGMA integrity_check(20)").fetchall():
            if line != "ok":
                yield f"The file is damaged: {line}"
        for table, row, parent, _ in db.execute("PRAGMA foreign_key_check").fetchmany(20):
            yield f"A row of {table} ({row}) belongs to something in {parent} that is not there."
        for session_id, head in db.execute(
            "SELECT s.id, s.head FROM sessions s LEFT JOIN messages m ON m.id=s.head AND m.session=s.num "
            "WHERE s.head>0 AND m.id IS NULL LIMIT 20"
        ):
            yield f"Session {session_id} points at message {head}, which it does not have."
        for number, parent in db.execute(
            "SELECT c.id, c.parent FROM messages c LEFT JOIN messages p ON p.id=c.parent AND p.session=c.session "
            "WHERE c.parent>0 AND (p.id IS NULL OR p.depth<>c.depth-1 OR p.id>=c.id) LIMIT 20"
        ):
            yield f"Message {number} follows message {parent}, which is not in its place in the same session."
        for (session_id,) in db.execute(
            "SELECT s.id FROM sessions s JOIN messages m ON m.id=s.head WHERE m.depth<>s.depth LIMIT 20"
        ):
            yield f"Session {session_id} miscounts its messages."
    except sqlite3.DatabaseError as error:
        yield f"The file is damaged: {error}"


async def _forget(store: SqliteStore, ids: Sequence[int]) -> None:
    """The index goes first: what is gone from the store cannot be named to it any more."""
    if ids and store.searcher is not None:
        await store.searcher.forget(ids)


async def _tidy(store: SqliteStore) -> None:
    """Drops what nothing refers to, and gives the room back to the disk, a bit at a time."""
    await store.write(_drop_blobs)
    while (await store.read(_free_pages)) > FREE_PAGES // 4:
        before = await store.read(_free_pages)
        await store.write(lambda db: db.execute(f"PRAGMA incremental_vacuum({FREE_PAGES})").fetchall())
        if await store.read(_free_pages) >= before:
            break
    await store.truncate_wal()


def _free_pages(db: sqlite3.Connection) -> int:
    found: int = db.execute("PRAGMA freelist_count").fetchone()[0]
    return found


def _drop_blobs(db: sqlite3.Connection) -> None:
    db.execute(
        "DELETE FROM blobs WHERE hash NOT IN (SELECT system_blob FROM sessions WHERE system_blob IS NOT NULL "
        "UNION SELECT tools_blob FROM sessions WHERE tools_blob IS NOT NULL)"
    )


def _messages_of(db: sqlite3.Connection, sessions: Sequence[int]) -> list[int]:
    marks = ", ".join("?" * len(sessions))
    return [row[0] for row in db.execute(f"SELECT id FROM messages WHERE session IN ({marks}) ORDER BY id", sessions)]


def _delete_sessions(db: sqlite3.Connection, sessions: Sequence[int]) -> int:
    _keep_newest(db)
    messages = 0
    for number in sessions:
        db.execute("DELETE FROM leases WHERE name=(SELECT 'session:' || id FROM sessions WHERE num=?)", (number,))
        messages += db.execute("DELETE FROM messages WHERE session=?", (number,)).rowcount
        db.execute("DELETE FROM sessions WHERE num=?", (number,))
    return messages


def _delete_unreachable(db: sqlite3.Connection, session_id: str, now: float) -> int:
    """Newest first, so that what is left is whole wherever it stops; looked up again, for a head may have moved."""
    _keep_newest(db)
    ids = _unreachable(db, session_id, now)[:MESSAGES_AT_ONCE]
    db.executemany("DELETE FROM messages WHERE id=?", [(number,) for number in ids])
    return len(ids)


def _keep_newest(db: sqlite3.Connection) -> None:
    """An id is never given twice, also when the newest messages are deleted."""
    db.execute("INSERT OR REPLACE INTO meta VALUES ('last_message', ?)", (newest_message(db),))


def _sessions_before(db: sqlite3.Connection, before: float, now: float) -> list[str]:
    rows = db.execute("SELECT id FROM sessions WHERE updated<? ORDER BY updated", (before,)).fetchall()
    return [session_id for (session_id,) in rows if live_holder(db, f"session:{session_id}", now) is None]


def _branched(db: sqlite3.Connection) -> list[str]:
    """The sessions that have more messages than lead to their head."""
    rows = db.execute(
        "SELECT id FROM sessions WHERE depth<>(SELECT count(*) FROM messages WHERE session=num) ORDER BY num"
    )
    return [session_id for (session_id,) in rows]


def _unreachable(db: sqlite3.Connection, session_id: str, now: float) -> list[int]:
    """Newest first. Those of a session that somebody holds count as reachable."""
    if live_holder(db, f"session:{session_id}", now) is not None:
        return []
    number, head = db.execute("SELECT num, head FROM sessions WHERE id=?", (session_id,)).fetchone() or (0, 0)
    parents = dict(db.execute("SELECT id, parent FROM messages WHERE session=?", (number,)))
    while head:
        head = parents.pop(head, 0)
    return sorted(parents, reverse=True)


def _count(db: sqlite3.Connection, session_id: str) -> int:
    try:
        number = session_number(db, session_id)
    except StoreError:
        return 0
    found: int = db.execute("SELECT count(*) FROM messages WHERE session=?", (number,)).fetchone()[0]
    return found
