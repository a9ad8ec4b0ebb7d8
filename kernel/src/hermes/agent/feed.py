"""The live events of one session, for any number of watchers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable

from hermes.contracts.events import AnyEvent

KEPT = 20_000


class Feed:
    """Keeps the newest events, so that a watcher who comes late misses none of the running turn."""

    def __init__(self) -> None:
        self._kept: deque[AnyEvent] = deque(maxlen=KEPT)
        self._watchers: set[Watcher] = set()

    def publish(self, event: AnyEvent) -> None:
        self._kept.append(event)
        for watcher in self._watchers:
            watcher.push(event)

    def kept(self) -> Iterable[AnyEvent]:
        return tuple(self._kept)

    def watch(self, after: int | None = None) -> Watcher:
        """Events from now on; with ``after``, also the kept ones with a higher number."""
        watcher = Watcher(self)
        if after is not None:
            for event in self._kept:
                if event.seq > after:
                    watcher.push(event)
        self._watchers.add(watcher)
        return watcher

    def fail(self, error: BaseException) -> None:
        """The turn ended without a last event: every watcher raises ``error``."""
        for watcher in self._watchers:
            watcher.fail(error)

    def leave(self, watcher: Watcher) -> None:
        self._watchers.discard(watcher)


class Watcher:
    """One watcher's queue. A slow one holds up nobody."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._queue: deque[AnyEvent] = deque()
        self._news = asyncio.Event()
        self._error: BaseException | None = None

    def push(self, event: AnyEvent) -> None:
        self._queue.append(event)
        self._news.set()

    def fail(self, error: BaseException) -> None:
        self._error = error
        self._news.set()

    async def __aiter__(self) -> AsyncIterator[AnyEvent]:
        while True:
            while self._queue:
                yield self._queue.popleft()
            if self._error is not None:
                raise self._error
            self._news.clear()
            await self._news.wait()

    def close(self) -> None:
        self._feed.leave(self)
