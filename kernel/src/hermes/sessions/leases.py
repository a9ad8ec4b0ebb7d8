"""Who may write to what, across processes. A lease ends when it is released, when its time is over, or when
its holder's process is seen to be dead.
"""

from __future__ import annotations

import functools
import os
import sqlite3

from hermes.contracts.errors import LeaseLost
from hermes.contracts.store import Lease, LeaseRelease, LeaseRequest
from hermes.contracts.values import Done


def take(db: sqlite3.Connection, request: LeaseRequest, now: float) -> Lease:
    held = live_holder(db, request.name, now)
    if held is not None and held.holder != request.holder:
        return held
    expires = now + request.seconds
    db.execute(
        "INSERT OR REPLACE INTO leases (name, holder, expires, pid, boot) VALUES (?, ?, ?, ?, ?)",
        (request.name, request.holder, expires, request.pid, request.boot),
    )
    return Lease(granted=True, holder=request.holder, expires=expires)


def release(db: sqlite3.Connection, lease: LeaseRelease) -> Done:
    db.execute("DELETE FROM leases WHERE name=? AND holder=?", (lease.name, lease.holder))
    return Done()


def live_holder(db: sqlite3.Connection, name: str, now: float) -> Lease | None:
    """Who holds it now, as the answer to somebody else's request; None: it is free."""
    row = db.execute("SELECT holder, expires, pid, boot FROM leases WHERE name=?", (name,)).fetchone()
    if row is None or row[1] <= now or _is_dead(row[2], row[3]):
        return None
    return Lease(granted=False, holder=row[0], expires=row[1])


def check_holder(db: sqlite3.Connection, session_id: str, holder: str, now: float) -> None:
    """Raises:
    LeaseLost: somebody else holds the session's lease.
    """
    row = db.execute(
        "SELECT holder, expires, pid, boot FROM leases WHERE name=?", (f"session:{session_id}",)
    ).fetchone()
    if row is None or row[0] == holder or row[1] <= now or _is_dead(row[2], row[3]):
        return
    raise LeaseLost(
        f"Another process ({row[0]}) has taken over session {session_id}; nothing was written.",
        hint="Go on there, or wait until it is done.",
    )


@functools.cache
def boot_id() -> str:
    """Changes with every start of the machine, and differs between machines; blank where it cannot be told."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def _is_dead(pid: int, boot: str) -> bool:
    """Whether the process is gone for certain. One of another boot may live on another machine: time decides."""
    if not pid or not boot or boot != boot_id():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Killed, and not yet waited for by its parent."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[:1] in ([b"Z"], [b"X"])
    except OSError:
        return False
