"""A conversation: messages in, events out. The one way by which every surface talks to the agent."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any

import msgspec

from hermes.contracts.errors import HermesError, LeaseLost
from hermes.contracts.events import (
    AnyEvent,
    Event,
    InputAnswered,
    InputRequested,
    MessageQueued,
    MessageStored,
    TurnFinished,
    TurnSuspended,
)
from hermes.contracts.hookspecs import SessionInfo, SubagentInfo
from hermes.contracts.messages import FrozenPrompt, Message, Part, TextPart, text_of
from hermes.contracts.scope import Origin, Principal, Scope
from hermes.contracts.store import InboxMessage, Pending, RequestRecord, SessionRecord, SessionRef, UsageRow
from hermes.models.router import Target

from .calls import Asking
from .feed import Feed
from .follow import follow
from .inbox import Inbox, Queued, key_of, message_of
from .journal import EventNumbers, Journal
from .lease import session_lease
from .ledger import Ledger
from .making import make_turn
from .prompt import freeze
from .questions import Questions
from .recovery import is_answered, open_calls
from .services import ConversationOptions, Services
from .turn import Turn


class Conversation:
    """A session, live in this process. Nothing is stored before its first message."""

    def __init__(self, services: Services, options: ConversationOptions, session_id: str, record: SessionRecord | None):
        self.services = services
        self._options = options
        self._record = record
        self.id = session_id
        workspace = options.workspace or (record.workspace if record else "") or os.getcwd()
        self.session = SessionInfo(
            id=session_id,
            scope=Scope(
                home=str(services.home.path), workspace=workspace, user=options.principal.id, session=session_id
            ),
            surface=options.surface,
            principal=options.principal,
            origin=options.origin,
            workspace=workspace,
            provider=options.provider or (record.provider if record and not options.model else ""),
            model=options.model or (record.model if record and not options.provider else ""),
            parent_session=record.parent_session if record else options.parent_session,
        )
        self.feed = Feed()
        self.outcome = ""
        self._holder = f"{os.getpid()}-{services.new_id()}"
        self._inbox = Inbox(services.store, session_id, self._holder, options.principal)
        self._ledger = Ledger(services.store, session_id, self._holder, record)
        self._numbers = EventNumbers(services.clock, record.updated if record else 0.0)
        self._task: asyncio.Task[None] | None = None
        self._turn: Turn | None = None
        self._hooks = services.plugins.hooks.for_turn(options.surface)
        self._questions = Questions(services.store, self._hooks, session_id)
        self._settled = asyncio.Event()
        self._started = False
        self._closed = False
        self._cleared: str | None = None
        self._following: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        return self._task is not None and not self._task.done()

    async def send(
        self,
        content: str | Sequence[Part],
        *,
        principal: Principal | None = None,
        origin: Origin | None = None,
        steer: bool = False,
    ) -> AsyncIterator[AnyEvent]:
        """Stores a message and runs a turn on it; the events go up to its `TurnFinished` or `TurnSuspended`.

        While a turn is running, here or in another process, the message is queued behind it, or given to it
        between two steps (``steer``). Leaving the iterator does not stop the turn; `interrupt` does.

        Raises:
            HermesError: the turn could not be started: no provider, no store, ….
        """
        parts = (TextPart(content),) if isinstance(content, str) else tuple(content)
        origin = origin or self._options.origin or Origin(platform=self._options.surface)
        if not origin.idempotency_key:
            origin = msgspec.structs.replace(origin, idempotency_key=self.services.new_id())
        message = Message(role="user", parts=parts, principal=principal or self._options.principal, origin=origin)
        start = self._queue(message, steer) if self.running else self._launch(self._drive([message]))
        async for event in self._watch(start, origin.idempotency_key):
            yield event

    async def resume(self) -> AsyncIterator[AnyEvent]:
        """Goes on where the session stopped: a suspended turn whose answers are there, or an unanswered message."""
        async for event in self._watch(None if self.running else self._launch(self._drive([]))):
            yield event

    async def _watch(self, start: Coroutine[Any, Any, None] | None, key: str = "") -> AsyncIterator[AnyEvent]:
        """The events from ``start`` on, to the end of the turn, or of the one that takes up the message ``key``."""
        watcher, turn_id = self.feed.watch(), ""
        try:
            if start is not None:
                await start
            async for event in watcher:
                if event.turn_id == self._cleared:
                    continue
                yield event
                if isinstance(event, MessageStored) and key and key_of(event.message) == key:
                    turn_id = event.turn_id
                if isinstance(event, TurnSuspended):
                    break
                if isinstance(event, TurnFinished) and (not key or event.turn_id == turn_id):
                    break
        finally:
            watcher.close()
        await self._settled.wait()

    async def answer(self, request_id: str, value: str, *, by: Principal | None = None) -> bool:
        """Answers what a turn waits for. False: somebody did before, or it waits no more.

        A suspended turn goes on as soon as all its requests are answered; watch it with `feed` or ``App.events``.

        Raises:
            HermesError: the answer is none of the choices, or ``by`` may not give it.
        """
        await self._start()
        by = by or self._options.principal
        asker = self._record.principal.id if self._record else self._options.principal.id
        taken = await self._questions.take(request_id, value, by, asker)
        if taken is None:
            return False
        await self._tell_answer(taken.turn_id, InputAnswered(request_id=request_id, answer=value, by=by))
        if taken.live:
            self._questions.settle(request_id, value)
        elif taken.last and not self.running:
            await self._launch(self._drive([]))
        return True

    async def _tell_answer(self, turn_id: str, event: InputAnswered) -> None:
        """The answer itself is stored; where another process writes to the session, only the watchers here are told."""
        try:
            await self._journal(turn_id).write(events=[event])
        except LeaseLost:
            await self._publish(msgspec.structs.replace(self._stamped(event), turn_id=turn_id))

    def interrupt(self) -> None:
        """Stops the running turn, and what came so far is kept; or stops watching another process's."""
        if self._turn is not None:
            self._turn.interrupt()
        elif self._following is not None:
            self._following.cancel()

    @property
    def turn_id(self) -> str:
        """Of the turn that is running; blank if none is."""
        return self._turn.id if self._turn else ""

    @property
    def asking(self) -> Asking:
        return self._options.asking

    def steer(self, message: InboxMessage) -> bool:
        """Gives a message to the running turn, between two of its steps. False: none is running."""
        if self._turn is None:
            return False
        self._turn.steer(message_of(message))
        return True

    async def show(self, event: Event) -> None:
        """Tells the watchers of something that happens while a tool runs."""
        await self._publish(self._stamped(event))

    async def book(self, usage: tuple[UsageRow, ...]) -> None:
        """Adds what a plugin's own model calls cost."""
        await self._journal(self.turn_id).write(usage=usage)

    async def put_question(self, event: InputRequested) -> str:
        """A tool's question to the person who is there; waits for the answer."""
        record = RequestRecord(turn_id=self._turn.id if self._turn else "", request=event.request)
        announce = self._journal(record.turn_id).write(requests=(record,), events=[event])
        answer = await self._questions.wait(event.request, 0.0, announce)
        assert answer is not None, "without a deadline there is an answer"
        return answer

    async def choose_model(self, model: str) -> Target:
        """Another model, from the next turn on.

        Raises:
            ConfigError: there is none of that name, or no key for it.
        """
        provider, name = self.services.router.split(model)
        target = await self.services.router.target(self.session.scope, provider=provider, model=name)
        self.session = msgspec.structs.replace(self.session, provider=target.provider, model=target.model)
        return target

    async def prompt(self) -> FrozenPrompt:
        """The head of this session's prompt: as stored, or as it will be."""
        await self._start()
        await self._ledger.load()
        if self._ledger.prompt is None:
            options, services = self._options, self.services
            self._ledger.prompt = freeze(
                self.session,
                home=services.home,
                tools=services.registry.choose(options.toolsets or services.settings.toolsets),
                extra=await self._hooks.system_blocks(self.session),
                system=options.system,
                now=services.clock.now(),
                project_context=services.settings.agent.project_context,
            )
        return self._ledger.prompt

    async def leave(self) -> None:
        """The user starts over: the plugins are told, and this session is closed."""
        await self._hooks.on_session_reset(self.session)
        await self.close()

    async def close(self) -> None:
        """Ends the running turn, if any, and tells the plugins that the session ended."""
        if self._closed:
            return
        self._closed = True
        if self._task is not None and self.running:
            self.interrupt()
            await asyncio.wait([self._task])
        if self._started:
            await self._hooks.on_session_end(self.session, self.outcome)
            if self._options.parent_session:
                await self._hooks.on_subagent_stop(self._subagent(), self.outcome)

    def _subagent(self) -> SubagentInfo:
        return SubagentInfo(session=self.session, parent_session=self.session.parent_session, task=self._options.task)

    async def _launch(self, work: Coroutine[Any, Any, None]) -> None:
        self._begin(work)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._settled.clear()
        self._task = asyncio.create_task(work)
        self._task.add_done_callback(self._look_after_queued)

    def _look_after_queued(self, ended: asyncio.Task[None] | None = None) -> None:
        """What was queued while the last turn was ending: nobody else may take it up."""
        if self._inbox.awaited and not self._closed:
            queued, self._inbox.awaited = self._inbox.awaited, []
            self._begin(self._drive([], queued))
        self._settled.set()

    async def _drive(self, messages: list[Message], queued: Sequence[Queued] = ()) -> None:
        """Runs turns until there is nothing left to run. ``queued``: messages that are in the inbox already."""
        try:
            await self._start()
            if self._record is None:
                self._record = await self._ledger.create(self.session, self.services.clock.now())
            if queued or not await self._run_leased(messages, resume=True):
                await self._follow(queued or [await self._enqueue(message) for message in messages])
        except BaseException as error:
            self.services.log.error("the session %s stopped", self.id, exc_info=error)
            self.feed.fail(error)
            if not isinstance(error, Exception):
                raise

    async def _follow(self, queued: Sequence[Queued]) -> None:
        """Watches whoever works on the session; `interrupt` ends that, and leaves what is queued to them."""
        following = self._following = asyncio.ensure_future(follow(self, queued))
        try:
            await following
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                following.cancel()
                raise
            self.feed.publish(self._stamped(TurnFinished(outcome="interrupted")))
        finally:
            self._following = None

    async def _run_leased(self, messages: list[Message], *, resume: bool) -> bool:
        """False: another process is working on the session, or there is nothing to do.

        ``resume``: where no message waits, goes on with what is unfinished.
        """
        async with session_lease(self.services.store, self.id, self._holder, self.services.log) as granted:
            if not granted:
                return False
            await self._ledger.load()
            return await self._run_turns(messages, resume=resume)

    async def take_over(self, *, resume: bool) -> bool:
        """Runs what waits, if nobody works on the session any more."""
        return await self._run_leased([], resume=resume)

    async def _start(self) -> None:
        """Once: the plugins with hooks are activated and told of the session."""
        if not self._started:
            self._started = True
            await self.services.plugins.start()
            self.services.registry.refresh()
            await self._hooks.on_session_start(self.session)
            if self._options.parent_session:
                await self._hooks.on_subagent_start(self._subagent())

    async def _run_turns(self, messages: list[Message], *, resume: bool) -> bool:
        pending = await self.services.store.pending(SessionRef(session_id=self.id))
        if not messages and is_answered(pending):
            messages = await self._continue(pending)
        else:
            messages = [*await self._inbox.drain(), *messages]
            if not messages and not resume:
                return False
            if not messages:
                messages = await self._continue(pending)
            elif open_calls(self._ledger.history) or pending.turn is not None:
                await self._clear_away(pending)
        while messages:
            turn = await self._make_turn(self.services.new_id(), Pending())
            duplicate = await turn.begin(messages, store_prompt=not self._ledger.prompt_stored)
            if duplicate:
                raise HermesError(f"This message is in the session already, as message {duplicate}.")
            self._ledger.prompt_stored = True
            messages = await self._run(turn, turn.run())
        return True

    async def _continue(self, pending: Pending) -> list[Message]:
        """Goes on with a suspended turn, or answers a message that was left without one. Gives what waits then."""
        record, history = pending.turn, self._ledger.history
        if record is not None and record.status == "suspended":
            turn = await self._make_turn(record.id, pending)
            return await self._run(turn, turn.resume(record.message_id))
        if open_calls(history):
            await self._clear_away(pending)
        if not history or (history[-1].role == "assistant" and history[-1].finish not in ("interrupted", "broken")):
            raise HermesError("There is nothing to go on with: the last message was answered.")
        asked = next((found.id for found in reversed(history) if found.role == "user"), 0)
        turn = await self._make_turn(self.services.new_id(), Pending())
        return await self._run(turn, turn.resume(asked))

    async def _clear_away(self, pending: Pending) -> None:
        """Ends what an earlier turn left; whoever sent the message that follows is not told of that turn's end."""
        self._cleared = pending.turn.id if pending.turn else None
        await self._ledger.clear_away(pending, self._journal(self._cleared or ""))

    async def _run(self, turn: Turn, work: Coroutine[Any, Any, None]) -> list[Message]:
        """Runs a turn, and gives the messages that came meanwhile."""
        self._turn = turn
        try:
            await work
        finally:
            self._turn = None
            self.outcome = turn.outcome
            self._ledger.settle()
            await self.services.after_turn(self.id)
        late = turn.unread()
        if turn.suspended:
            for message in late:
                await self._enqueue(message)
            return []
        messages = [*late, *await self._inbox.drain()]
        if messages:
            self._settled.set()
        return messages

    async def _queue(self, message: Message, steer: bool) -> None:
        """Behind the turn that this process is running, or between two of its steps."""
        if steer and self._turn is not None:
            self._turn.steer(message)
            await self._publish(self._stamped(MessageQueued(text=text_of(message.parts), steer=True)))
            return
        queued = await self._enqueue(message)
        self._inbox.awaited.append(queued)
        if not self.running:
            self._look_after_queued()

    async def _enqueue(self, message: Message) -> Queued:
        told = self._stamped(MessageQueued(text=text_of(message.parts)))
        queued = await self._inbox.put(message, at=told.at, seq=told.seq)
        await self._publish(told)
        return queued

    async def _make_turn(self, turn_id: str, pending: Pending) -> Turn:
        await self.services.before_turn()
        prompt = await self.prompt()
        router = self.services.router
        scope = self.session.scope
        target = await router.target(scope, provider=self.session.provider, model=self.session.model)
        await self._ledger.note_model(target)
        return make_turn(
            turn_id,
            self.services,
            self._options,
            self.session,
            prompt=prompt,
            history=self._ledger.history,
            target=target,
            fallbacks=self.services.settings.fallback_providers,
            journal=self._journal(turn_id),
            wait=self._questions.wait,
            pending=pending,
        )

    def _journal(self, turn_id: str) -> Journal:
        return Journal(
            self.services.store,
            self._publish,
            self._numbers,
            self.services.clock,
            session_id=self.id,
            turn_id=turn_id,
            holder=self._holder,
        )

    async def _publish(self, event: AnyEvent) -> None:
        self.feed.publish(event)
        if self._hooks.watches_events:
            await self._hooks.on_event(event)

    def _stamped(self, event: Any) -> AnyEvent:
        stamped: AnyEvent = msgspec.structs.replace(
            event,
            session_id=self.id,
            turn_id=self._turn.id if self._turn else "",
            seq=self._numbers.next(),
            at=self.services.clock.now(),
        )
        return stamped
