"""Watching a session that another process is working on, until it has answered what we gave it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hermes.contracts.events import AnyEvent, MessageQueued, MessageStored, TurnFinished, TurnSuspended, decode
from hermes.contracts.messages import Message, text_of
from hermes.contracts.store import EventQuery, HistoryQuery, SessionStore

if TYPE_CHECKING:
    from .conversation import Conversation

POLL = 0.1
"""Seconds between looks at the store."""


async def stored_events(store: SessionStore, session_id: str, after: int) -> list[AnyEvent]:
    """Durable events and stored messages with a higher number, in order."""
    rows = await store.events(EventQuery(session_id=session_id, after=after))
    history = await store.history(HistoryQuery(session_id=session_id))
    events: list[AnyEvent] = [decode(row.data) for row in rows.events]
    events += [
        MessageStored(
            session_id=session_id, turn_id=message.turn_id, seq=message.seq, at=message.created, message=message
        )
        for message in history.messages
        if message.seq > after
    ]
    return sorted(events, key=lambda event: event.seq)


async def follow(conversation: Conversation, messages: Sequence[Message]) -> None:
    """Queues the messages and shows what the holder of the session does with them.

    If the holder goes away, the conversation takes the session over, and the messages with it.
    """
    services, feed = conversation.services, conversation.feed
    seq = int(services.clock.now() * 1_000_000)
    for message in messages:
        await services.store.enqueue(conversation.inbox_message(message, steer=False))
        feed.publish(MessageQueued(session_id=conversation.id, seq=seq, text=text_of(message.parts)))
    wanted = {text_of(message.parts) for message in messages}
    taken_up = not wanted
    while True:
        for event in await stored_events(services.store, conversation.id, seq):
            seq = event.seq
            feed.publish(event)
            if isinstance(event, MessageStored) and event.message.role == "user":
                taken_up = taken_up or text_of(event.message.parts) in wanted
            if isinstance(event, TurnFinished | TurnSuspended) and taken_up:
                return
        if await conversation.take_over():
            return
        await asyncio.sleep(POLL)
