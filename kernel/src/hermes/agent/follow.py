"""Watching a session that another process is working on, until it has answered what we gave it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

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
