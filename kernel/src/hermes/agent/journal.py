"""Numbers what happens in a turn, stores it, and only then tells it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from hermes.contracts.events import DURABLE, AnyEvent, Event, MessageStored, encode
from hermes.contracts.host import Clock
from hermes.contracts.messages import Message
from hermes.contracts.store import Committed, SessionStore, SessionWrite, StoredEvent

Publish = Callable[[AnyEvent], Awaitable[None]]


class EventNumbers:
    """Rising numbers for a session's events, also across processes: microseconds since the epoch."""

    def __init__(self, clock: Clock, after: float = 0.0) -> None:
        self._clock = clock
        self.last = int(after * 1_000_000)

    def next(self) -> int:
        self.last = max(self.last + 1, int(self._clock.now() * 1_000_000))
        return self.last


class Journal:
    """The one way by which a turn writes to the store and speaks to its watchers."""

    def __init__(
        self,
        store: SessionStore,
        publish: Publish,
        numbers: EventNumbers,
        clock: Clock,
        *,
        session_id: str,
        turn_id: str,
        holder: str,
    ) -> None:
        self._store = store
        self._publish = publish
        self._numbers = numbers
        self._clock = clock
        self._session_id = session_id
        self._turn_id = turn_id
        self._holder = holder
        self._unsaved: list[StoredEvent] = []

    async def tell(self, event: Event) -> None:
        """Watchers hear of it now; if it is durable it goes to the store with the next write."""
        stamped = self._stamp(event)
        if isinstance(stamped, DURABLE):
            self._unsaved.append(self._stored(stamped))
        await self._publish(stamped)

    async def write(
        self, *, messages: Sequence[Message] = (), events: Sequence[Event] = (), **fields: Any
    ) -> tuple[Committed, tuple[Message, ...]]:
        """One transaction; then the watchers hear of it. ``fields``: further ones of `SessionWrite`.

        The messages come back with their ids. With ``Committed.duplicate`` nothing was written or told.
        """
        now = self._clock.now()
        numbered = [
            msgspec.structs.replace(
                message, seq=self._numbers.next(), turn_id=self._turn_id, created=message.created or now
            )
            for message in messages
        ]
        stamped = [self._stamp(event) for event in events]
        unsaved, self._unsaved = self._unsaved, []
        committed = await self._store.commit(
            SessionWrite(
                session_id=self._session_id,
                holder=self._holder,
                messages=tuple(numbered),
                events=(*unsaved, *(self._stored(event) for event in stamped if isinstance(event, DURABLE))),
                **fields,
            )
        )
        if committed.duplicate:
            return committed, ()
        stored = tuple(
            msgspec.structs.replace(message, id=number)
            for message, number in zip(numbered, committed.message_ids, strict=True)
        )
        for message in stored:
            announced = MessageStored(
                session_id=self._session_id, turn_id=self._turn_id, seq=message.seq, at=now, message=message
            )
            await self._publish(announced)
        for event in stamped:
            await self._publish(event)
        return committed, stored

    def _stamp(self, event: Event) -> AnyEvent:
        stamped: AnyEvent = msgspec.structs.replace(  # type: ignore[assignment]
            event,
            session_id=self._session_id,
            turn_id=self._turn_id,
            seq=self._numbers.next(),
            at=self._clock.now(),
        )
        return stamped

    def _stored(self, event: AnyEvent) -> StoredEvent:
        return StoredEvent(turn_id=self._turn_id, seq=event.seq, data=encode(event))
