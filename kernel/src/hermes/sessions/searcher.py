"""Keeps the index and serves searches: before a search it is brought up to date, the rest happens when idle."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from hermes.contracts.store import SearchQuery, SearchResult

from .failure import is_busy, is_damaged, store_error
from .index import BATCH, MANY, Index
from .lane import Lane
from .search import search

log = logging.getLogger(__name__)

FIRST_SECONDS = 2.0
"""What the first search of a process may spend on bringing the index up to date."""

YIELD_SECONDS = 0.2
"""So long the background waits for a search to end."""

SOON_SECONDS = 0.03
"""So long after a search it expects the next one of a row. Who asks now and then for an index that is being built
must not slow it down.
"""

REST_SECONDS = 0.03


class Searcher:
    """Two threads with connections of their own: one searches, one works in the background.

    ``shared``: the lane of a store in memory, which has but one connection; there is no background then.
    """

    def __init__(self, path: Path | None, connect: Callable[[], sqlite3.Connection], shared: Lane | None) -> None:
        self._path = path
        name = str(path or ":memory:")
        self._owned = [] if shared else [Lane(connect, name, f"hermes-store-{part}") for part in ("search", "index")]
        self._lane = shared or self._owned[0]
        self._keeper = None if shared else self._owned[1]
        self._index: Index | None = None
        self._keeping: Index | None = None
        self._searched = False
        self._searched_at = 0.0
        self._closing = threading.Event()
        self._quiet = threading.Event()
        self._quiet.set()

    async def search(self, query: SearchQuery) -> SearchResult:
        self._quiet.clear()
        try:
            result, due = await self._lane.run(lambda state: self._search(state, query))
        finally:
            self._searched_at = time.monotonic()
            self._quiet.set()
        if due:
            self.catch_up()
        return result

    async def forget(self, ids: Sequence[int]) -> None:
        """Takes messages out of the index that are about to be deleted.

        Where another process keeps the index locked they stay in it, are found no more, and `check` sees to them.
        """

        def work(index: Index) -> None:
            try:
                index.forget(ids)
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise
                log.warning("deleted messages stay in the index until `hermes sessions check`: %s", error)

        await self._lane.run(lambda state: self._with_index(state, work))

    async def check(self) -> str:
        """Throws the index away if it is broken. Returns what was wrong with it."""

        def work(state: sqlite3.Connection) -> str:
            index = self._open(state)
            problem = index.problem()
            if problem:
                index.rebuild()
                while index.advance():
                    pass
                index.count_terms()
            return problem

        return await self._lane.run(work)

    async def work_left(self) -> bool:
        left = await self._lane.run(lambda state: _is_due(self._open(state)))
        if left:
            self.catch_up()
        return left

    def catch_up(self) -> None:
        """In the background: indexes what is new, and counts terms when that is due."""
        if self._keeper is not None and not self._closing.is_set() and self._keeper.idle:
            self._keeper.post(self._keep)

    def close(self) -> None:
        self._closing.set()
        keeping = self._keeping
        if keeping is not None:
            keeping.db.interrupt()
        for lane in self._owned:
            lane.close()
        for index in (self._index, self._keeping):
            if index is not None:
                index.close()

    def _open(self, state: sqlite3.Connection) -> Index:
        if self._index is None:
            self._index = Index(self._path, state)
        elif self._index.is_gone():
            self._index.reopen()
            self._searched = False
        return self._index

    def _with_index(self, state: sqlite3.Connection, work: Callable[[Index], None]) -> None:
        """A broken index is thrown away; the next search fills it again."""
        index = self._open(state)
        try:
            work(index)
        except sqlite3.DatabaseError as error:
            if not is_damaged(error):
                raise
            log.warning("the index %s is damaged (%s); it is built again", self._path, error)
            index.rebuild()
            self._searched = False
            work(index)

    def _search(self, state: sqlite3.Connection, query: SearchQuery) -> tuple[SearchResult, bool]:
        found: list[SearchResult] = []

        def work(index: Index) -> None:
            self._freshen(index)
            found.append(search(index, query))

        self._with_index(state, work)
        assert self._index is not None
        return found[0], _is_due(self._index)

    def _freshen(self, index: Index) -> None:
        """More than a batch is left to the background, but for the first search; its newest messages are searched
        anyway.
        """
        if self._keeper is not None and self._searched:
            if index.behind() <= BATCH:
                index.advance()
            if index.unlisted() <= BATCH:
                index.list_terms()
            return
        self._searched = True
        deadline = time.monotonic() + (FIRST_SECONDS if self._keeper is not None else float("inf"))
        while time.monotonic() < deadline and index.advance():
            pass
        if index.unlisted() > MANY:
            index.count_terms()
        while time.monotonic() < deadline and index.list_terms():
            pass

    def _keep(self, state: sqlite3.Connection) -> None:
        try:
            if self._keeping is None:
                self._keeping = Index(self._path, state)
            elif self._keeping.is_gone():
                self._keeping.reopen()
            index = self._keeping
            while self._may_go_on() and index.advance():
                pass
            if self._may_go_on() and not index.behind() and index.counting_is_due():
                index.count_terms()
            while self._may_go_on() and index.list_terms():
                pass
        except sqlite3.Error as error:
            if not self._closing.is_set() and not is_busy(error):
                log.warning("the index was not brought up to date: %s", store_error(error, str(self._path)))

    def _may_go_on(self) -> bool:
        """Lets a search that is running finish first, and rests while more are to be expected: two threads of
        Python slow each other down.
        """
        self._quiet.wait(YIELD_SECONDS)
        if time.monotonic() < self._searched_at + SOON_SECONDS:
            self._closing.wait(REST_SECONDS)
        return not self._closing.is_set()


def _is_due(index: Index) -> bool:
    return index.behind() > 0 or index.unlisted() > 0 or index.counting_is_due()
