"""Messages for a session whose lease somebody else holds."""

from __future__ import annotations

import sqlite3

from hermes.contracts.store import DrainInbox, Inbox, InboxMessage, SessionWrite
from hermes.contracts.values import Done

from .leases import check_holder
from .reads import session_number
from .records import encode, inbox_message_of


def enqueue(db: sqlite3.Connection, message: InboxMessage) -> Done:
    """A message that is in a session or an inbox already, by its idempotency key, is not taken again."""
    session = session_number(db, message.session_id)
    key = (message.origin.idempotency_key or None) if message.origin else None
    if key is None or not db.execute("SELECT 1 FROM messages WHERE key=?", (key,)).fetchone():
        db.execute(
            "INSERT INTO inbox (session, steer, key, message) VALUES (?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
            (session, message.steer, key, encode(message)),
        )
    return Done()


def drain(db: sqlite3.Connection, request: DrainInbox, now: float) -> Inbox:
    """Also what another holder took and did not live to store."""
    session = session_number(db, request.session_id)
    check_holder(db, request.session_id, request.holder, now)
    db.execute("DELETE FROM inbox WHERE session=? AND key IN (SELECT key FROM messages)", (session,))
    rows = db.execute(
        "SELECT num, message FROM inbox WHERE session=? AND taken<>? AND steer>=? ORDER BY num",
        (session, request.holder, request.steer_only),
    ).fetchall()
    db.executemany("UPDATE inbox SET taken=? WHERE num=?", [(request.holder, num) for num, _ in rows])
    return Inbox(messages=tuple(inbox_message_of(text) for _, text in rows))


def confirm(db: sqlite3.Connection, session: int, write: SessionWrite) -> None:
    """What this holder took out is in the session now."""
    if any(message.role == "user" for message in write.messages):
        db.execute("DELETE FROM inbox WHERE session=? AND taken=? AND taken<>''", (session, write.holder))
