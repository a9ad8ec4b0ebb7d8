"""The session store in a file: ``state.db``. What is acknowledged is durable against the process's death.

One connection writes (`lane.Writer`), others read. The full-text index is in ``index.db``, which can be thrown
away; its code is imported with the first search, or when the process has been idle for a while.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from hermes.contracts.errors import StoreError
from hermes.contracts.store import (
    AnswerResult,
    AnswerWrite,
    Committed,
    DrainInbox,
    EventList,
    EventQuery,
    History,
    HistoryQuery,
    Inbox,
    InboxMessage,
    Lease,
    LeaseRelease,
    LeaseRequest,
    NewSession,
    Pending,
    Prune,
    Pruned,
    SearchQuery,
    SearchResult,
    SessionChange,
    SessionIds,
    SessionList,
    SessionQuery,
    SessionRecord,
    SessionRef,
    SessionWrite,
    StateKey,
    StateList,
    StateValue,
    StoreReport,
    StoreStats,
    UsageQuery,
    UsageReport,
)
from hermes.contracts.values import Done

from . import inbox, leases, reads, writes
from .failure import store_error
from .lane import Lane, Work, Writer
from .migrations import BUSY_SECONDS, check_header, check_version, create, create_file, use_wal

if TYPE_CHECKING:
    from .searcher import Searcher

T = TypeVar("T")

IDLE_SECONDS = 3.0
"""Without a write, until the index is brought up to date."""


def open_store(home: Path | None, *, clock: Callable[[], float] = time.time) -> SqliteStore:
    """Opens the store of a home, or makes it. None: a throw-away store in memory.

    ``clock`` gives seconds since the epoch.

    Raises:
        StoreError: the store cannot be used; its hint says what to do. Another program's file is left as it is.
    """
    return SqliteStore(home / "state.db" if home else None, clock)


class SqliteStore:
    """Implements `SessionStore`. May be used from several event loops, and threads."""

    def __init__(self, path: Path | None, clock: Callable[[], float]) -> None:
        self.path = path
        self._clock = clock
        self._name = str(path) if path else ":memory:"
        self._writer = Writer(self._connect, self._name, "hermes-store-writer", wal=path is not None)
        self._reader = Lane(self._connect, self._name, "hermes-store-reader") if path else None
        self._searcher: Searcher | None = None
        self._idle_loop: asyncio.AbstractEventLoop | None = None
        self._last_write = 0.0
        self._closed = False
        try:
            self._open()
        except (sqlite3.Error, OSError) as error:
            self._writer.close()
            raise store_error(error, self._name) from error
        except BaseException:
            self._writer.close()
            raise

    def _open(self) -> None:
        if self.path is None:
            create(self._writer.db)
            return
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not check_header(self.path):
            create_file(self.path)
        check_version(self._writer.db, self._name)
        use_wal(self._writer.db)
        self._writer.db.execute("PRAGMA busy_timeout=0")

    def _connect(self) -> sqlite3.Connection:
        """Waits for locks. Once it is open the writer does not: it waits in `migrations.begin`, off the event loop."""
        db = sqlite3.connect(self._name, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        db.execute("PRAGMA foreign_keys=ON")
        db.execute("PRAGMA synchronous=NORMAL")
        db.execute("PRAGMA secure_delete=ON")
        db.execute("PRAGMA wal_autocheckpoint=8000")
        db.execute("PRAGMA journal_size_limit=16777216")
        return db

    async def create(self, session: NewSession) -> SessionRecord:
        return await self.write(lambda db: writes.create(db, session))

    async def get(self, ref: SessionRef) -> SessionRecord:
        return await self._glance(lambda db: reads.get(db, ref.session_id))

    async def find(self, query: SessionQuery) -> SessionList:
        work = partial(reads.find, query=query)
        return await (self._glance(work) if query.limit <= 100 else self.read(work))

    async def change(self, change: SessionChange) -> SessionRecord:
        return await self.write(lambda db: writes.change(db, change))

    async def commit(self, write: SessionWrite) -> Committed:
        now = self._clock()
        committed = await self._writer.write(lambda db: writes.commit(db, write, now), weight=writes.weight(write))
        self._note_write()
        return committed

    async def history(self, query: HistoryQuery) -> History:
        record = await self.get(SessionRef(session_id=query.session_id))
        work = partial(reads.history, query=query)
        return await (self._glance(work) if record.message_count <= 200 else self.read(work))

    async def pending(self, ref: SessionRef) -> Pending:
        return await self._glance(lambda db: reads.pending(db, ref.session_id))

    async def events(self, query: EventQuery) -> EventList:
        return await self._glance(lambda db: reads.events(db, query))

    async def enqueue(self, message: InboxMessage) -> Done:
        return await self.write(lambda db: inbox.enqueue(db, message))

    async def drain(self, request: DrainInbox) -> Inbox:
        if not await self._glance(lambda db: reads.has_inbox(db, request.session_id)):
            return Inbox(messages=())
        now = self._clock()
        return await self.write(lambda db: inbox.drain(db, request, now))

    async def answer(self, answer: AnswerWrite) -> AnswerResult:
        return await self.write(lambda db: writes.answer(db, answer))

    async def lease(self, request: LeaseRequest) -> Lease:
        now = self._clock()
        return await self.write(lambda db: leases.take(db, request, now))

    async def release(self, lease: LeaseRelease) -> Done:
        return await self.write(lambda db: leases.release(db, lease))

    async def search(self, query: SearchQuery) -> SearchResult:
        return await self._search_lane().search(query)

    async def usage(self, query: UsageQuery) -> UsageReport:
        return await self.read(lambda db: reads.usage(db, query))

    async def get_state(self, key: StateKey) -> StateValue:
        return await self._glance(lambda db: reads.get_state(db, key))

    async def set_state(self, value: StateValue) -> Done:
        return await self.write(lambda db: writes.set_state(db, value))

    async def list_state(self, key: StateKey) -> StateList:
        return await self.read(lambda db: reads.list_state(db, key))

    async def delete(self, ids: SessionIds) -> Pruned:
        from . import upkeep

        return await upkeep.delete(self, ids)

    async def prune(self, request: Prune) -> Pruned:
        from . import upkeep

        return await upkeep.prune(self, request, self._clock())

    async def stats(self, request: Done) -> StoreStats:
        from . import upkeep

        return await self.read(lambda db: upkeep.stats(db, self.path))

    async def check(self, request: Done) -> StoreReport:
        from . import upkeep

        return await upkeep.check(self)

    async def close(self, request: Done) -> Done:
        """Stores what is queued. Later calls raise `StoreError`."""
        await asyncio.to_thread(self._close)
        return Done()

    def _close(self) -> None:
        self._closed = True
        if self._searcher is not None:
            self._searcher.close()
        if self._reader is not None:
            self._reader.close()
        self._writer.close()

    async def index_work(self) -> bool:
        """Whether the index is behind or its terms are due to be counted; then that is begun in the background."""
        return await self._search_lane().work_left()

    @property
    def index_path(self) -> Path | None:
        return self.path.with_name("index.db") if self.path else None

    @property
    def searcher(self) -> Searcher | None:
        """None while there is neither an index nor a need for one."""
        if self._searcher is None and (self.index_path is None or not self.index_path.exists()):
            return None
        return self._search_lane()

    def _search_lane(self) -> Searcher:
        if self._closed:
            raise StoreError(f"The session store {self._name} is closed.")
        if self._searcher is None:
            from .searcher import Searcher

            self._searcher = Searcher(self.index_path, self._connect, None if self.path else self._writer)
        return self._searcher

    async def write(self, work: Work[T]) -> T:
        """Does a transaction's work on the writing connection."""
        return await self._writer.write(work)

    async def _glance(self, work: Work[T]) -> T:
        """Reads what takes microseconds: at once if the writing connection is free."""
        if self._writer.idle:
            found = self._writer.read_now(work)
            if found is not None:
                return found
        return await self.read(work)

    async def truncate_wal(self) -> None:
        await self._writer.truncate_wal()

    async def read(self, work: Work[T]) -> T:
        """Does what only reads, beside whoever writes."""
        return await (self._reader or self._writer).run(work)

    def _note_write(self) -> None:
        """Sees to it that the index is brought up to date when there is nothing else to do."""
        if self.path is None:
            return
        self._last_write = time.monotonic()
        loop = asyncio.get_running_loop()
        if self._idle_loop is not loop:
            self._idle_loop = loop
            loop.call_later(IDLE_SECONDS, self._index_if_idle, loop)

    def _index_if_idle(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._closed or self._idle_loop is not loop:
            return
        wait = self._last_write + IDLE_SECONDS - time.monotonic()
        if wait > 0.05:
            loop.call_later(wait, self._index_if_idle, loop)
            return
        self._idle_loop = None
        self._search_lane().catch_up()
