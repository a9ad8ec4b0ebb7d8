"""Messages that wait for a turn: behind a running one, or with whoever holds the session."""

from __future__ import annotations

from typing import NamedTuple

from hermes.contracts.messages import ImagePart, Message, TextPart, text_of
from hermes.contracts.scope import Principal
from hermes.contracts.store import DrainInbox, InboxMessage, SessionStore


class Queued(NamedTuple):
    """A message in the inbox. ``seq``: an event number from before it was put there."""

    key: str
    seq: int


def key_of(message: Message) -> str:
    """What tells a message from all others, also of the same words."""
    return message.origin.idempotency_key if message.origin else ""


def message_of(waiting: InboxMessage) -> Message:
    return Message(
        role="user",
        parts=(TextPart(waiting.text), *waiting.images),
        principal=waiting.principal,
        origin=waiting.origin,
    )


class Inbox:
    """The inbox of one session, and which of its messages this conversation waits for."""

    def __init__(self, store: SessionStore, session_id: str, holder: str, principal: Principal) -> None:
        self._store = store
        self._session_id = session_id
        self._holder = holder
        self._principal = principal
        self.awaited: list[Queued] = []

    async def put(self, message: Message, *, at: float, seq: int) -> Queued:
        """For whoever works on the session."""
        await self._store.enqueue(
            InboxMessage(
                session_id=self._session_id,
                text=text_of(message.parts),
                images=tuple(part for part in message.parts if isinstance(part, ImagePart)),
                principal=message.principal or self._principal,
                origin=message.origin,
                at=at,
            )
        )
        return Queued(key_of(message), seq)

    async def drain(self) -> list[Message]:
        """Takes up what is there, also what this conversation put there."""
        found = await self._store.drain(DrainInbox(session_id=self._session_id, holder=self._holder))
        messages = [message_of(waiting) for waiting in found.messages]
        taken = {key_of(message) for message in messages}
        self.awaited = [queued for queued in self.awaited if queued.key not in taken]
        return messages
