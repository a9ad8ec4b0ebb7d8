"""Work for a database connection, from an event loop: one piece of work at a time, on a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from hermes.contracts.errors import StoreError

from .failure import is_busy, store_error
from .migrations import begin, begin_unless_busy

log = logging.getLogger(__name__)
T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

INLINE_BYTES = 256 * 1024
"""Heavier writes than that do not run on the event loop's thread."""
GROUP = 64
CHECKPOINT_PAGES = 2_000
TRUNCATE_PAGES = 12_000
"""48 MB: beyond that a checkpoint waits for readers, so that the WAL stays under 64 MB."""


class Job(Generic[T]):
    def __init__(self, work: Work[T], weight: int) -> None:
        self.work = work
        self.weight = weight
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[T] = self._loop.create_future()

    def settle(self, result: T | None, error: BaseException | None) -> None:
        """From any thread. A caller that has gone, with its loop, is told nothing."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._settle, result, error)

    def _settle(self, result: Any, error: BaseException | None) -> None:
        if self.future.done():
            return
        if error is not None:
            self.future.set_exception(error)
        else:
            self.future.set_result(result)


class Lane:
    """A connection, opened when it is first needed, and a thread, started when there is work to wait for.

    Subclasses say what a round of the thread does. Whoever holds ``lock`` uses the connection.
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection], path: str, name: str) -> None:
        self.path = path
        self.lock = threading.Lock()
        self._connect = connect
        self._name = name
        self._db: sqlite3.Connection | None = None
        self._jobs: deque[Job[Any]] = deque()
        self._wake = threading.Semaphore(0)
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._closed = False

    @property
    def db(self) -> sqlite3.Connection:
        if self._db is None:
            self._db = self._connect()
        return self._db

    @property
    def idle(self) -> bool:
        return not self._jobs and not self.lock.locked()

    async def run(self, work: Work[T], *, weight: int = 0) -> T:
        """On the thread, after what is queued. ``weight``: bytes to be written, about."""
        self._check_open()
        job = Job(work, weight)
        self._jobs.append(job)
        self._start()
        self._wake.release()
        return await job.future

    def post(self, work: Work[None]) -> None:
        """The same for work that nobody waits for, and that reports its own failures."""
        job = Job(work, 0)
        job.future.add_done_callback(_report)
        self._jobs.append(job)
        self._start()
        self._wake.release()

    def read_now(self, work: Work[T]) -> T | None:
        """On this thread, if the connection is free; None: it is not. For work that takes microseconds."""
        self._check_open()
        if self._jobs or not self.lock.acquire(blocking=False):
            return None
        try:
            return work(self.db)
        except (sqlite3.Error, UnicodeEncodeError) as error:
            if isinstance(error, sqlite3.Error) and is_busy(error):
                return None
            raise store_error(error, self.path) from error
        finally:
            self.lock.release()

    def close(self) -> None:
        """Waits for what is queued. Closing twice is closing once."""
        self._closed = True
        if self._thread is not None:
            self._wake.release()
            self._thread.join()
            self._thread = None
        with self.lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(f"The session store {self.path} is closed.")

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
                self._thread.start()

    def _serve(self) -> None:
        while True:
            self._wake.acquire()
            if self._jobs:
                with self.lock:
                    self._round()
            elif self._closed:
                return

    def _round(self) -> None:
        """Works off one job or more; holds the lock."""
        self._do(self._jobs.popleft())

    def _do(self, job: Job[Any]) -> None:
        try:
            result = job.work(self.db)
        except BaseException as error:  # noqa: BLE001 (the caller is told; the thread serves on)
            job.settle(None, _told(error, self.path))
        else:
            job.settle(result, None)


class Writer(Lane):
    """The process's one writing connection. Each piece of work is a transaction; those that wait share one.

    A small write runs at once on the caller's thread while nobody else writes: handing it to a thread and
    back takes three times as long as the write itself. With synchronous=NORMAL a commit does not wait for the
    disk; the checkpoint, which does, always runs on the thread.
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection], path: str, name: str, *, wal: bool) -> None:
        super().__init__(connect, path, name)
        self._wal = wal
        self._pages = 0
        self._truncate = False

    async def write(self, work: Work[T], *, weight: int = 0) -> T:
        """In a transaction of its own, durable against the process's death when it returns."""
        self._check_open()
        small = weight <= INLINE_BYTES and self._pages < CHECKPOINT_PAGES
        if small and not self._jobs and self.lock.acquire(blocking=False):
            try:
                if begin_unless_busy(self.db):
                    return self._finish(work, weight)
            except (sqlite3.Error, UnicodeEncodeError) as error:
                raise store_error(error, self.path) from error
            finally:
                self.lock.release()
        return await self.run(work, weight=weight)

    async def truncate_wal(self) -> None:
        """Empties the WAL, where deleted text would stay for a while, as far as readers allow."""
        self._truncate = self._wal
        await self.run(lambda _: None)

    def _finish(self, work: Work[T], weight: int) -> T:
        try:
            result = work(self.db)
            self.db.execute("COMMIT")
        except BaseException:
            self.db.rollback()
            raise
        self._count(weight)
        return result

    def _count(self, weight: int) -> None:
        """Estimates the pages that a commit adds to the WAL, on the safe side."""
        if self._wal:
            self._pages += 6 + weight // 3_000

    def _round(self) -> None:
        if self._truncate:
            self._checkpoint()
        jobs = [self._jobs.popleft()]
        weight = jobs[0].weight
        while self._jobs and len(jobs) < GROUP and weight + self._jobs[0].weight <= INLINE_BYTES:
            jobs.append(self._jobs.popleft())
            weight += jobs[-1].weight
        if len(jobs) == 1 or not self._do_together(jobs):
            for job in jobs:
                self._do(job)
        if self._pages >= CHECKPOINT_PAGES:
            self._checkpoint()

    def _do(self, job: Job[Any]) -> None:
        try:
            begin(self.db)
            result = self._finish(job.work, job.weight)
        except BaseException as error:  # noqa: BLE001 (the caller is told; the thread serves on)
            job.settle(None, _told(error, self.path))
        else:
            job.settle(result, None)

    def _do_together(self, jobs: list[Job[Any]]) -> bool:
        """One transaction for all; one that fails is undone alone. False: nothing was done, do them singly."""
        db = self.db
        settled: list[tuple[Job[Any], Any, BaseException | None]] = []
        try:
            begin(db)
        except sqlite3.Error as error:
            for job in jobs:
                job.settle(None, _told(error, self.path))
            return True
        try:
            for job in jobs:
                db.execute("SAVEPOINT job")
                try:
                    settled.append((job, job.work(db), None))
                except Exception as error:  # noqa: BLE001 (the caller is told)
                    if not db.in_transaction:
                        return False
                    db.execute("ROLLBACK TO job")
                    settled.append((job, None, error))
                db.execute("RELEASE job")
            db.execute("COMMIT")
        except sqlite3.Error:
            db.rollback()
            return False
        self._count(weight=sum(job.weight + 6_000 for job in jobs))
        for job, result, failure in settled:
            job.settle(result, _told(failure, self.path) if failure else None)
        return True

    def _checkpoint(self) -> None:
        """Moves the WAL into the file. Other processes' readers can hold that up; then it is tried again later."""
        try:
            _, frames, _ = self.db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if frames > TRUNCATE_PAGES or self._truncate:
                self._truncate = False
                self.db.execute("PRAGMA busy_timeout=1000")
                self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                self.db.execute("PRAGMA busy_timeout=0")
        except sqlite3.Error as error:
            if not is_busy(error):
                log.error("%s", store_error(error, self.path))
        self._pages = 0


def _report(future: asyncio.Future[None]) -> None:
    if not future.cancelled() and future.exception() is not None:
        log.error("%s", future.exception())


def _told(error: BaseException, path: str) -> BaseException:
    if isinstance(error, sqlite3.Error | UnicodeEncodeError):
        told = store_error(error, path)
        told.__cause__ = error
        return told
    return error
