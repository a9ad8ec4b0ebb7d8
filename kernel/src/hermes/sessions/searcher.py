"""Keeps the index and serves searches: before a search it is brought up to date, the rest happens when idle."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from hermes.contracts.store import SearchQuery, SearchResult

from .failure import is_busy, is_damaged, store_error
from .index import BATCH, Index
from .lane import Lane
from .search import search

log = logging.getLogger(__name__)

FIRST_SECONDS = 2.0
"""What the first search of a process may spend on bringing the index up to date."""

SECONDS = 0.025
"""The same, of the others."""


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
        self._closing = False

    async def search(self, query: SearchQuery) -> SearchResult:
        result, behind = await self._lane.run(lambda state: self._search(state, query))
        if behind:
            self.catch_up()
        return result

    async def forget(self, ids: Sequence[int]) -> None:
        """Takes messages out of the index that are about to be deleted."""
        await self._lane.run(lambda state: self._with_index(state, lambda index: index.forget(ids)))

    async def check(self) -> str:
        """Throws the index away if it is broken. Returns what was wrong with it."""

        def work(state: sqlite3.Connection) -> str:
            index = self._open(state)
            problem = index.problem()
            if problem:
                index.rebuild()
                while index.advance(list_terms=False):
                    pass
                index.count_terms()
            return problem

        return await self._lane.run(work)

    def catch_up(self) -> None:
        """In the background: indexes what is new, and counts terms when that is due."""
        if self._keeper is not None and not self._closing and self._keeper.idle:
            self._keeper.post(self._keep)

    def close(self) -> None:
        self._closing = True
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
        return found[0], bool(self._index.behind()) or self._index.counting_is_due()

    def _freshen(self, index: Index) -> None:
        """A backlog that would take too long is left to the background, its newest messages are searched anyway."""
        deadline = time.monotonic() + (SECONDS if self._searched or self._keeper is None else FIRST_SECONDS)
        many = index.behind() > 10 * BATCH
        while index.behind() and (time.monotonic() < deadline or self._keeper is None):
            if not index.advance(list_terms=not many):
                break
        if index.meta("listed") < index.meta("watermark") and (not self._searched or self._keeper is None):
            index.count_terms()
        self._searched = True

    def _keep(self, state: sqlite3.Connection) -> None:
        try:
            if self._keeping is None:
                self._keeping = Index(self._path, state)
            index = self._keeping
            many = index.behind() > 10 * BATCH
            while not self._closing and index.advance(list_terms=not many):
                pass
            if not self._closing and not index.behind() and index.counting_is_due():
                index.count_terms()
        except sqlite3.Error as error:
            if not self._closing and not is_busy(error):
                log.warning("the index was not brought up to date: %s", store_error(error, str(self._path)))
