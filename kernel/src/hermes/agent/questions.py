"""What a session waits for: who may answer, whose answer counts, and who is told."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, NamedTuple

from hermes.contracts.errors import HermesError
from hermes.contracts.events import InputRequest
from hermes.contracts.hookspecs import ApprovalDecision
from hermes.contracts.scope import Principal
from hermes.contracts.store import AnswerWrite, SessionRef, SessionStore
from hermes.plugins.hooks import Hooks

LOOK = 0.5
"""Seconds between looks for an answer that was given to another process."""


class Taken(NamedTuple):
    """An answer that counts. ``live``: the turn is there and waits; ``last``: nothing else is open."""

    turn_id: str
    live: bool
    last: bool


class Questions:
    """The open requests of one session; they are in the store, and the turn that is live waits for them here."""

    def __init__(self, store: SessionStore, hooks: Hooks, session_id: str) -> None:
        self._store = store
        self._hooks = hooks
        self._session_id = session_id
        self._waiting: dict[str, asyncio.Future[str]] = {}

    async def wait(self, request: InputRequest, seconds: float, announce: Coroutine[Any, Any, Any]) -> str | None:
        """The answer of a person who is there; None if none came in time (0: as long as it takes)."""
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting[request.id] = answer
        elsewhere: asyncio.Task[None] | None = None
        try:
            await announce
            elsewhere = asyncio.create_task(self._look_elsewhere(request.id, answer))
            async with asyncio.timeout(seconds or None):
                return await answer
        except TimeoutError:
            return None
        finally:
            self._waiting.pop(request.id, None)
            if elsewhere is not None:
                elsewhere.cancel()

    async def _look_elsewhere(self, request_id: str, answer: asyncio.Future[str]) -> None:
        """Another process may take the answer, a chat's while this one is a command line's."""
        while not answer.done():
            await asyncio.sleep(LOOK)
            found = (await self._store.pending(SessionRef(session_id=self._session_id))).requests
            for record in found:
                if record.request.id == request_id and record.status == "answered" and not answer.done():
                    answer.set_result(record.answer)

    async def take(self, request_id: str, value: str, by: Principal, asker: str) -> Taken | None:
        """Stores an answer, if it is the first; None if it is not, or nothing waits for it.

        Raises:
            HermesError: the answer is none of the choices, or ``by`` may not give it.
        """
        pending = await self._store.pending(SessionRef(session_id=self._session_id))
        record = next((found for found in pending.requests if found.request.id == request_id), None)
        if record is None or record.status != "open":
            return None
        request = record.request
        if by.id not in (request.entitled or (asker,)):
            raise HermesError(f"{by.name or by.id} may not answer this.", hint="Only those it was asked of may.")
        if request.choices and request.kind == "approval" and value not in request.choices:
            raise HermesError(f"{value!r} is none of: {', '.join(request.choices)}.")
        written = AnswerWrite(session_id=self._session_id, request_id=request_id, answer=value, by=by.id)
        if not (await self._store.answer(written)).accepted:
            return None
        if request.kind == "approval":
            decision = ApprovalDecision(answer=value, by=by, session_id=self._session_id, turn_id=record.turn_id)
            await self._hooks.on_approval(request, decision)
        waiting = self._waiting.get(request_id)
        # Read again: another answer may have come meanwhile, and then one of the two has to be the last.
        left = (await self._store.pending(SessionRef(session_id=self._session_id))).requests
        return Taken(
            turn_id=record.turn_id,
            live=waiting is not None and not waiting.done(),
            last=all(found.status != "open" for found in left),
        )

    def settle(self, request_id: str, value: str) -> None:
        """Hands the answer to the turn that waits."""
        waiting = self._waiting.get(request_id)
        if waiting is not None and not waiting.done():
            waiting.set_result(value)
