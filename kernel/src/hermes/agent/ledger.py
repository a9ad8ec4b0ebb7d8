"""A session as the store has it, and as this process last saw it."""

from __future__ import annotations

import msgspec

from hermes.contracts.events import TurnFinished
from hermes.contracts.hookspecs import SessionInfo
from hermes.contracts.messages import FrozenPrompt, Message
from hermes.contracts.store import (
    HistoryQuery,
    NewSession,
    Pending,
    SessionChange,
    SessionRecord,
    SessionRef,
    SessionStore,
)
from hermes.models.router import Target

from .journal import Journal
from .recovery import open_calls, results_of_abandonment, results_of_crash


class Ledger:
    """Keeps the history in memory between turns, and reads it again when another process has written to it."""

    def __init__(self, store: SessionStore, session_id: str, holder: str, record: SessionRecord | None) -> None:
        self._store = store
        self._session_id = session_id
        self._holder = holder
        self._record = record
        self._head = -1 if record else 0
        self.history: list[Message] = []
        self.prompt: FrozenPrompt | None = None
        self.prompt_stored = False

    async def create(self, session: SessionInfo, now: float) -> SessionRecord:
        self._head = 0
        self._record = await self._store.create(
            NewSession(
                id=session.id,
                created=now,
                surface=session.surface,
                principal=session.principal,
                workspace=session.workspace,
                provider=session.provider,
                model=session.model,
                parent_session=session.parent_session,
            )
        )
        return self._record

    async def load(self) -> None:
        """Reads the history, unless this process has it."""
        if self._record is None:
            return
        record = await self._store.get(SessionRef(session_id=self._session_id))
        self._record = record
        if record.head == self._head:
            return
        history = await self._store.history(HistoryQuery(session_id=self._session_id))
        self.history[:] = history.messages
        self._head = record.head
        if history.prompt is not None:
            self.prompt, self.prompt_stored = history.prompt, True

    def settle(self) -> None:
        """What is in memory is what was stored."""
        self._head = self.history[-1].id if self.history else 0

    async def clear_away(self, pending: Pending, journal: Journal) -> None:
        """Ends a turn that was cut off or left waiting: its calls get results, none is run."""
        calls = open_calls(self.history)
        suspended = pending.turn is not None and pending.turn.status == "suspended"
        results = (results_of_abandonment if suspended else results_of_crash)(calls, pending)
        turn = pending.turn
        unfinished = turn is not None and turn.status != "finished"
        _, stored = await journal.write(
            messages=results,
            events=[TurnFinished(outcome="interrupted")] if unfinished else (),
            turn=msgspec.structs.replace(turn, status="finished", outcome="interrupted")
            if turn and unfinished
            else None,
            requests=tuple(
                msgspec.structs.replace(record, status="void") for record in pending.requests if record.status == "open"
            ),
        )
        self.history.extend(stored)
        self.settle()

    async def note_model(self, target: Target) -> None:
        """The session's provider and model are those of its last turn."""
        record = self._record
        if record is not None and (record.provider, record.model) != (target.provider, target.model):
            self._record = await self._store.change(
                SessionChange(session_id=self._session_id, provider=target.provider, model=target.model)
            )
