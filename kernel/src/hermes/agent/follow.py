"""Watching sessions: what happened, what happens, and what another process makes of what we gave it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from hermes.contracts.errors import SessionNotFound
from hermes.contracts.events import AnyEvent, MessageStored, TurnFinished, TurnSuspended, decode
from hermes.contracts.store import EventQuery, HistoryQuery, SessionStore

from .inbox import Queued, key_of

if TYPE_CHECKING:
    from .conversation import Conversation

POLL = 0.1
"""Seconds between looks at the store."""
PAGE = 1000
"""Events read at once."""


async def stored_events(store: SessionStore, session_id: str, after: int) -> list[AnyEvent]:
    """Durable events and stored messages with a higher number, in order."""
    events: list[AnyEvent] = []
    start = after
    while rows := (await store.events(EventQuery(session_id=session_id, after=start, limit=PAGE))).events:
        events += [decode(row.data) for row in rows]
        start = rows[-1].seq
        if len(rows) < PAGE:
            break
    history = await store.history(HistoryQuery(session_id=session_id))
    events += [
        MessageStored(
            session_id=session_id, turn_id=message.turn_id, seq=message.seq, at=message.created, message=message
        )
        for message in history.messages
        if message.seq > after
    ]
    return sorted(events, key=lambda event: event.seq)


async def follow(conversation: Conversation, queued: Sequence[Queued]) -> None:
    """Shows what the holder of the session does, until it has answered what is queued.

    If the holder goes away, the conversation takes the session over, and the messages with it.
    """
    services, feed = conversation.services, conversation.feed
    seq = min((message.seq for message in queued), default=int(services.clock.now() * 1_000_000))
    waiting = {message.key for message in queued}
    while True:
        events = await stored_events(services.store, conversation.id, seq)
        shown = {(event.turn_id, event.seq) for event in feed.kept()} if events else set()
        for event in events:
            seq = event.seq
            if (event.turn_id, event.seq) not in shown:
                feed.publish(event)
            if isinstance(event, MessageStored) and event.message.role == "user":
                waiting.discard(key_of(event.message))
            if isinstance(event, TurnFinished | TurnSuspended) and not waiting:
                return
        if await conversation.take_over(resume=not queued):
            if not queued:
                return
        else:
            await asyncio.sleep(POLL)


async def session_events(
    store: SessionStore, live: Conversation | None, session_id: str, after: int, *, follow: bool
) -> AsyncIterator[AnyEvent]:
    """What is stored, then what is told here (``live``) or goes on being stored by another process.

    Raises:
        SessionNotFound: it is neither stored nor live here.
    """
    kept = list(live.feed.kept()) if live else []
    start = kept[0].seq if kept else None
    ended = False
    for event in await _stored(store, session_id, after, live=live is not None):
        if start is not None and event.seq >= start:
            break
        after, ended = event.seq, isinstance(event, TurnFinished | TurnSuspended)
        yield event
    if live is None:
        while follow and not ended:
            for event in await stored_events(store, session_id, after):
                after, ended = event.seq, isinstance(event, TurnFinished | TurnSuspended)
                yield event
            await asyncio.sleep(POLL)
        return
    watcher = live.feed.watch(after)
    try:
        newest = kept[-1].seq if kept else 0
        if not follow and newest <= after:
            return
        async for event in watcher:
            yield event
            if not follow and event.seq >= newest:
                return
            if follow and isinstance(event, TurnFinished | TurnSuspended) and not live.running:
                return
    finally:
        watcher.close()


async def _stored(store: SessionStore, session_id: str, after: int, *, live: bool) -> list[AnyEvent]:
    """A session that is live here and has no message yet is not in the store, and nothing happened in it."""
    try:
        return await stored_events(store, session_id, after)
    except SessionNotFound:
        if live:
            return []
        raise
