"""What every `SessionStore` does. Inherit, and say how one is made::

    class TestMyStore(SessionStoreSuite):
        def make_store(self, tmp_path: Path) -> SessionStore:
            return MyStore(tmp_path)

With ``factory = "my_module:MyStore"`` and ``arguments`` in place of the method it runs in a plugin host, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from hermes.contracts.errors import ErrorInfo, LeaseLost, SessionNotFound, StoreError
from hermes.contracts.events import InputRequest
from hermes.contracts.messages import (
    FrozenPrompt,
    ImagePart,
    Message,
    ProviderState,
    SystemBlock,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    ToolSpec,
    Usage,
    text_of,
)
from hermes.contracts.scope import LOCAL, Origin, Principal
from hermes.contracts.store import (
    Amendment,
    AnswerWrite,
    CallRecord,
    Committed,
    DrainInbox,
    EventQuery,
    History,
    HistoryQuery,
    InboxMessage,
    LeaseRelease,
    LeaseRequest,
    NewSession,
    Pending,
    Prune,
    RequestRecord,
    SearchQuery,
    SessionChange,
    SessionIds,
    SessionQuery,
    SessionRecord,
    SessionRef,
    SessionStore,
    SessionWrite,
    StateKey,
    StateValue,
    StoredEvent,
    TurnRecord,
    UsageField,
    UsageQuery,
    UsageRow,
)
from hermes.contracts.values import Done

from .contract_suite import FactorySuite

T = TypeVar("T")
HOLDER = "one"


def user(text: str, **fields: Any) -> Message:
    return Message(role="user", parts=(TextPart(text),), **fields)


def assistant(text: str, **fields: Any) -> Message:
    return Message(role="assistant", parts=(TextPart(text),), **fields)


def texts(history: History) -> list[str]:
    return [text_of(message.parts) for message in history.messages]


class Scene:
    """A store and a few short words for it. Its session ``s`` exists."""

    def __init__(self, store: SessionStore) -> None:
        self.store = store

    async def create(self, session_id: str, **fields: Any) -> SessionRecord:
        given = {"created": 1_000.0, "surface": "cli", "principal": LOCAL, **fields}
        return await self.store.create(NewSession(id=session_id, **given))

    async def write(self, *messages: Message, session: str = "s", holder: str = HOLDER, **fields: Any) -> Committed:
        return await self.store.commit(SessionWrite(session_id=session, holder=holder, messages=messages, **fields))

    async def get(self, session: str = "s") -> SessionRecord:
        return await self.store.get(SessionRef(session_id=session))

    async def history(self, session: str = "s", head: int | None = None) -> History:
        return await self.store.history(HistoryQuery(session_id=session, head=head))

    async def pending(self) -> Pending:
        return await self.store.pending(SessionRef(session_id="s"))

    async def lease(self, holder: str, seconds: float = 60.0, name: str = "session:s") -> bool:
        return (await self.store.lease(LeaseRequest(name=name, holder=holder, seconds=seconds))).granted

    async def find(self, **query: Any) -> list[str]:
        return [found.id for found in (await self.store.find(SessionQuery(**query))).sessions]

    async def search(self, text: str, **query: Any) -> list[str]:
        """The sessions found; waits for an index that is being built, a limited number of times."""
        for _ in range(200):
            result = await self.store.search(SearchQuery(text=text, **query))
            if not result.partial:
                break
            await asyncio.sleep(0.02)
        return [hit.session_id for hit in result.hits]


class SessionStoreSuite(FactorySuite):
    """Inherit, and define ``factory`` or `make_store`."""

    contract = "store"

    def make_store(self, tmp_path: Path) -> SessionStore:
        """A new, empty store."""
        raise NotImplementedError

    @asynccontextmanager
    async def serving(self, tmp_path: Path) -> AsyncIterator[SessionStore]:
        if self.factory:
            async with self.opened() as served:
                yield served
        else:
            yield self.make_store(tmp_path)

    @pytest.fixture
    def play(self, tmp_path: Path) -> Callable[[Callable[[Scene], Awaitable[T]]], T]:
        """Runs a coroutine function on a `Scene`."""

        async def run(act: Callable[[Scene], Awaitable[T]]) -> T:
            async with self.serving(tmp_path) as store:
                scene = Scene(store)
                try:
                    await scene.create("s")
                    return await act(scene)
                finally:
                    await store.close(Done())

        return lambda act: asyncio.run(run(act))

    def test_a_new_session_can_be_read(self, play: Any) -> None:
        """STORE-CREATE-1: what a session was created with is what is read."""

        async def act(scene: Scene) -> None:
            someone = Principal(id="telegram:7", name="Ada")
            made = await scene.create(
                "t", principal=someone, workspace="/w", provider="p", model="m", title="A title", parent_session="s"
            )
            assert made == await scene.get("t")
            assert (made.id, made.created, made.surface, made.principal) == ("t", 1_000.0, "cli", someone)
            assert (made.workspace, made.provider, made.model, made.title) == ("/w", "p", "m", "A title")
            assert (made.parent_session, made.head, made.message_count, made.cost_usd) == ("s", 0, 0, None)

        play(act)

    def test_a_session_id_is_unique(self, play: Any) -> None:
        """STORE-CREATE-2: a second session of the same id is an error."""

        async def act(scene: Scene) -> None:
            with pytest.raises(StoreError):
                await scene.create("s")

        play(act)

    def test_unknown_sessions(self, play: Any) -> None:
        """STORE-CREATE-3: whatever names a session that is not there raises `SessionNotFound`."""

        async def act(scene: Scene) -> None:
            ref = SessionRef(session_id="none")
            for attempt in (
                lambda: scene.store.get(ref),
                lambda: scene.store.pending(ref),
                lambda: scene.history("none"),
                lambda: scene.write(user("x"), session="none"),
                lambda: scene.store.change(SessionChange(session_id="none", title="x")),
                lambda: scene.store.events(EventQuery(session_id="none")),
                lambda: scene.store.delete(SessionIds(ids=("s", "none"))),
            ):
                with pytest.raises(SessionNotFound):
                    await attempt()
            assert (await scene.get()).id == "s"

        play(act)

    def test_append_and_read(self, play: Any) -> None:
        """STORE-APPEND-1: messages come back as they were, in order, with ids and parents."""

        async def act(scene: Scene) -> None:
            state = ProviderState(provider="p", model="m", endpoint="e", data='{"signature":"x"}')
            given = (
                user("hi", principal=LOCAL, origin=Origin(platform="cli", chat="1"), created=1.5, seq=3, turn_id="t"),
                Message(
                    role="assistant",
                    parts=(ThinkingPart("hm"), TextPart("ok"), ToolCallPart(id="c", name="ls", arguments='{"a":')),
                    provider_state=(state,),
                    finish="tool_calls",
                ),
                Message(
                    role="tool",
                    parts=(
                        ToolResultPart(
                            call_id="c",
                            name="ls",
                            content=(TextPart("é\0🙂"), ImagePart(media_type="image/png", data=b"\0\xff")),
                            is_error=True,
                        ),
                    ),
                ),
            )
            committed = await scene.write(*given)
            stored = (await scene.history()).messages
            assert tuple(message.id for message in stored) == committed.message_ids
            assert [message.parent for message in stored] == [0, *committed.message_ids[:-1]]
            assert committed.head == stored[-1].id
            bare = [_without_place(message) for message in stored]
            assert bare == list(given)

        play(act)

    def test_append_goes_under_the_head(self, play: Any) -> None:
        """STORE-APPEND-2: without a parent, messages follow the head; the record counts and previews them."""

        async def act(scene: Scene) -> None:
            await scene.write(user("first\n words"))
            await scene.write(assistant("second"))
            record = await scene.get()
            assert (record.message_count, record.preview) == (2, "first words")
            assert texts(await scene.history()) == ["first\n words", "second"]
            assert record.updated >= record.created

        play(act)

    def test_branch(self, play: Any) -> None:
        """STORE-BRANCH-1: a parent other than the head begins a branch; the old one can still be read."""

        async def act(scene: Scene) -> None:
            one, two = (await scene.write(user("1"), assistant("2"))).message_ids
            await scene.write(user("3"), parent=one)
            assert texts(await scene.history()) == ["1", "3"]
            assert texts(await scene.history(head=two)) == ["1", "2"]
            await scene.write(user("root"), parent=0)
            assert texts(await scene.history()) == ["root"]
            assert (await scene.get()).message_count == 1

        play(act)

    def test_undo(self, play: Any) -> None:
        """STORE-HEAD-1: moving the head moves what is read and what comes next; 0 is before the first message."""

        async def act(scene: Scene) -> None:
            one, two = (await scene.write(user("1"), assistant("2"))).message_ids
            assert (await scene.write(head=one)).head == one
            assert texts(await scene.history()) == ["1"]
            await scene.write(head=two)
            assert texts(await scene.history()) == ["1", "2"]
            await scene.write(head=0)
            assert texts(await scene.history()) == []
            assert (await scene.get()).head == 0

        play(act)

    def test_heads_and_parents_exist(self, play: Any) -> None:
        """STORE-HEAD-2: a head, a parent or an amended message of another session is refused, and nothing written."""

        async def act(scene: Scene) -> None:
            await scene.create("other")
            (foreign,) = (await scene.write(user("x"), session="other")).message_ids
            for fields in (
                {"head": foreign},
                {"parent": foreign},
                {"parent": foreign + 99},
                {"amendments": (Amendment(message_id=foreign, kind="context", parts=(TextPart("x"),)),)},
            ):
                with pytest.raises(StoreError):
                    await scene.write(user("lost"), **fields)
            with pytest.raises(StoreError):
                await scene.history(head=foreign)
            assert texts(await scene.history()) == []

        play(act)

    def test_one_write_is_one_transaction(self, play: Any) -> None:
        """STORE-ATOMIC-1: a write that fails leaves nothing of itself."""

        async def act(scene: Scene) -> None:
            event = StoredEvent(turn_id="t", seq=1, data=b"{}")
            await scene.write(events=(event,))
            with pytest.raises(StoreError):
                await scene.write(
                    user("lost"),
                    events=(event,),
                    turn=TurnRecord(id="t", status="running", started=1.0),
                    usage=(_usage_row(),),
                )
            assert texts(await scene.history()) == []
            assert await scene.pending() == Pending()
            assert (await scene.get()).api_calls == 0

        play(act)

    def test_idempotency(self, play: Any) -> None:
        """STORE-IDEMPOTENT-1: a message whose key is known, in any session, is not written again."""

        async def act(scene: Scene) -> None:
            await scene.create("other")
            origin = Origin(platform="telegram", idempotency_key="k1")
            first = await scene.write(user("once", origin=origin))
            for session in ("s", "other"):
                again = await scene.write(user("twice", origin=origin), session=session, events=(_event(1),))
                assert again.duplicate == first.message_ids[0]
                assert again.message_ids == ()
                assert (await scene.store.events(EventQuery(session_id=session))).events == ()
            assert texts(await scene.history()) == ["once"]
            blank = Origin(platform="telegram")
            await scene.write(user("a", origin=blank), user("b", origin=blank))
            assert len((await scene.history()).messages) == 3

        play(act)

    def test_amendments(self, play: Any) -> None:
        """STORE-AMEND-1: context goes behind a message's parts, a replacement takes the place of its text."""

        async def act(scene: Scene) -> None:
            state = ProviderState(provider="p", model="m", endpoint="e", data="{}")
            call = ToolCallPart(id="c", name="ls")
            answer = Message(
                role="assistant", parts=(ThinkingPart("t"), TextPart("old"), call), provider_state=(state,)
            )
            asked, answered = (await scene.write(user("q"), answer)).message_ids
            await scene.write(
                amendments=(
                    Amendment(message_id=asked, kind="context", parts=(TextPart("c1"),), plugin="memory"),
                    Amendment(message_id=asked, kind="context", parts=(TextPart("c2"),)),
                    Amendment(message_id=answered, kind="replacement", parts=(TextPart("new"),)),
                )
            )
            question, replaced = (await scene.history()).messages
            assert question.parts == (TextPart("q"), TextPart("c1"), TextPart("c2"))
            assert replaced.parts == (ThinkingPart("t"), TextPart("new"), call)
            assert replaced.provider_state == (state,)
            await scene.write(amendments=(Amendment(message_id=answered, kind="replacement", parts=(TextPart("3"),)),))
            assert texts(await scene.history())[1] == "3"

        play(act)

    def test_prompt(self, play: Any) -> None:
        """STORE-PROMPT-1: the frozen prompt is kept with the session, and only a write with one changes it."""

        async def act(scene: Scene) -> None:
            assert (await scene.history()).prompt is None
            tool = ToolSpec(name="ls", description="lists", parameters={"type": "object", "properties": {}})
            prompt = FrozenPrompt(system=(SystemBlock(name="persona", text="You."),), tools=(tool,))
            await scene.write(user("x"), prompt=prompt)
            await scene.write(user("y"))
            assert (await scene.history()).prompt == prompt
            empty = FrozenPrompt()
            await scene.write(prompt=empty)
            assert (await scene.history()).prompt == empty

        play(act)

    def test_pending(self, play: Any) -> None:
        """STORE-PENDING-1: an unfinished turn is found with its calls and requests, as last written."""

        async def act(scene: Scene) -> None:
            turn = TurnRecord(id="t", status="running", started=5.0)
            (asked,) = (await scene.write(user("x"), turn=turn)).message_ids
            call = CallRecord(turn_id="t", call_id="c", name="ls", state="intended", effects="none")
            (answered,) = (await scene.write(assistant("calls"), calls=(call,))).message_ids
            started = CallRecord(turn_id="t", call_id="c", name="ls", state="started", effects="none")
            request = InputRequest(id="r", kind="approval", prompt="May I?", choices=("yes", "no"))
            record = RequestRecord(turn_id="t", request=request)
            await scene.write(calls=(started,), requests=(record,))
            found = await scene.pending()
            assert found.turn == TurnRecord(id="t", status="running", started=5.0, message_id=asked)
            assert [(c.state, c.message_id) for c in found.calls] == [("started", answered)]
            assert found.requests == (record,)
            result = ToolResultPart(call_id="c", name="ls", content=(TextPart("done"),))
            finished = CallRecord(
                turn_id="t",
                call_id="c",
                name="ls",
                state="finished",
                effects="none",
                message_id=answered,
                result=result,
            )
            await scene.write(calls=(finished,))
            assert (await scene.pending()).calls == (finished,)

        play(act)

    def test_finished_turn(self, play: Any) -> None:
        """STORE-PENDING-2: a finished turn is not pending; its outcome and error are the session's."""

        async def act(scene: Scene) -> None:
            await scene.write(turn=TurnRecord(id="t", status="running", started=5.0))
            error = ErrorInfo(kind="RateLimited", message="slow down", retry_after=3.0)
            await scene.write(turn=TurnRecord(id="t", status="finished", started=5.0, outcome="failed", error=error))
            assert (await scene.pending()).turn is None
            record = await scene.get()
            assert (record.outcome, record.error) == ("failed", "slow down")
            await scene.write(turn=TurnRecord(id="u", status="suspended", started=6.0))
            assert (await scene.pending()).turn == TurnRecord(id="u", status="suspended", started=6.0)

        play(act)

    def test_the_first_answer_wins(self, play: Any) -> None:
        """STORE-ANSWER-1: of several answers at once one is accepted, and the others learn which."""

        async def act(scene: Scene) -> None:
            request = InputRequest(id="r", kind="question", prompt="Which?")
            await scene.write(
                turn=TurnRecord(id="t", status="suspended", started=1.0),
                requests=(RequestRecord(turn_id="t", request=request),),
            )
            results = await asyncio.gather(
                *(
                    scene.store.answer(AnswerWrite(session_id="s", request_id="r", answer=f"a{i}", by=f"p{i}"))
                    for i in range(5)
                )
            )
            winners = [result for result in results if result.accepted]
            assert len(winners) == 1
            for result in results:
                assert (result.record.answer, result.record.by) == (winners[0].record.answer, winners[0].record.by)
                assert result.record.status == "answered"

        play(act)

    def test_an_answer_is_not_reopened(self, play: Any) -> None:
        """STORE-ANSWER-2: a writer that takes a request for open does not undo an answer; voiding it does."""

        async def act(scene: Scene) -> None:
            request = InputRequest(id="r", kind="question", prompt="Which?")
            record = RequestRecord(turn_id="t", request=request)
            await scene.write(turn=TurnRecord(id="t", status="suspended", started=1.0), requests=(record,))
            await scene.store.answer(AnswerWrite(session_id="s", request_id="r", answer="this", by="me"))
            await scene.write(requests=(record,))
            (found,) = (await scene.pending()).requests
            assert (found.status, found.answer) == ("answered", "this")
            await scene.write(requests=(RequestRecord(turn_id="t", request=request, status="void"),))
            assert (await scene.pending()).requests[0].status == "void"
            late = await scene.store.answer(AnswerWrite(session_id="s", request_id="r", answer="late", by="me"))
            assert not late.accepted
            with pytest.raises(StoreError):
                await scene.store.answer(AnswerWrite(session_id="s", request_id="none", answer="x", by="me"))

        play(act)

    def test_events(self, play: Any) -> None:
        """STORE-EVENTS-1: events are replayed in the order of their numbers, from any of them."""

        async def act(scene: Scene) -> None:
            await scene.write(events=(_event(5), _event(7)))
            await scene.write(events=(_event(6), _event(2**52)))
            found = (await scene.store.events(EventQuery(session_id="s", after=5))).events
            assert [event.seq for event in found] == [6, 7, 2**52]
            assert found[0] == _event(6)
            assert len((await scene.store.events(EventQuery(session_id="s", limit=2))).events) == 2

        play(act)

    def test_usage(self, play: Any) -> None:
        """STORE-USAGE-1: usage is summed in the record, and by provider, model and task in the report."""

        async def act(scene: Scene) -> None:
            usage = Usage(
                input_tokens=1, output_tokens=2, cache_read_tokens=3, cache_write_tokens=4, reasoning_tokens=1
            )
            main, title = _usage_row(usage=usage, cost_usd=0.5), _usage_row(usage=usage, task="title")
            await scene.write(usage=(main, main))
            await scene.write(usage=(title,))
            record = await scene.get()
            assert record.usage == usage + usage + usage
            assert (record.api_calls, record.cost_usd) == (3, 1.0)
            report = await scene.store.usage(UsageQuery(session_id="s"))
            assert [(s.task, s.api_calls, s.cost_usd) for s in report.sums] == [("main", 2, 1.0), ("title", 1, None)]
            assert report.sums[0].usage == usage + usage
            for query in ({"turn_id": "none"}, {"principal": "none"}, {"since": 1e12}, {"until": 0.5}):
                assert (await scene.store.usage(UsageQuery(**query))).sums == ()
                assert (await scene.store.usage(UsageQuery(by=(), **query))).sums == ()

        play(act)

    def test_usage_apart(self, play: Any) -> None:
        """STORE-USAGE-2: usage is summed by what is asked for; what a deleted session spent stays, without its id."""

        async def act(scene: Scene) -> None:
            await scene.create("other")
            await scene.write(usage=(_usage_row(cost_usd=0.5), _usage_row(model="n", principal="bob")))
            await scene.write(usage=(_usage_row(provider="q", task="title", cost_usd=0.25),), session="other")

            async def sums(*by: UsageField) -> list[tuple[Any, ...]]:
                found = (await scene.store.usage(UsageQuery(by=by))).sums
                return [(*(getattr(s, name) for name in by), s.api_calls, s.unpriced_calls, s.cost_usd) for s in found]

            assert await sums() == [(3, 1, 0.75)]
            assert await sums("provider") == [("p", 2, 1, 0.5), ("q", 1, 0, 0.25)]
            assert await sums("provider", "model") == [
                ("p", "m", 1, 0, 0.5),
                ("p", "n", 1, 1, None),
                ("q", "m", 1, 0, 0.25),
            ]
            assert await sums("task") == [("main", 2, 1, 0.5), ("title", 1, 0, 0.25)]
            assert await sums("principal") == [("local", 2, 0, 0.75), ("bob", 1, 1, None)]
            assert await sums("session_id") == [("s", 2, 1, 0.5), ("other", 1, 0, 0.25)]
            await scene.store.delete(SessionIds(ids=("s", "other")))
            assert await sums("session_id") == [("", 3, 1, 0.75)]

        play(act)

    def test_usage_in_time(self, play: Any) -> None:
        """STORE-USAGE-3: usage is summed from a time on, up to another, and by stretches of time; none is empty."""

        async def act(scene: Scene) -> None:
            times = (10.0, 19.5, 20.0, 40.0)
            await scene.write(usage=tuple(_usage_row(at=at, model=f"m{int(at)}") for at in times))

            async def calls(**query: Any) -> list[tuple[float, int]]:
                found = (await scene.store.usage(UsageQuery(**{"by": (), **query}))).sums
                return [(s.period, s.api_calls) for s in found]

            assert await calls(since=20.0) == [(0.0, 2)]
            assert await calls(until=20.0) == [(0.0, 2)]
            assert await calls(since=15.0, until=30.0) == [(0.0, 2)]
            assert await calls(periods=(10.0, 20.0, 30.0, 40.0)) == [(10.0, 2), (20.0, 1), (40.0, 1)]
            assert await calls(periods=(15.0, 25.0), until=40.0) == [(15.0, 2)]
            apart = await scene.store.usage(UsageQuery(by=("model",), periods=(0.0, 20.0)))
            assert [(s.period, s.model) for s in apart.sums] == [
                (0.0, "m10"),
                (0.0, "m19"),
                (20.0, "m20"),
                (20.0, "m40"),
            ]

        play(act)

    def test_find(self, play: Any) -> None:
        """STORE-FIND-1: newest first, by prefix, title, surface, principal and age."""

        async def act(scene: Scene) -> None:
            await scene.create("a1", title="Trip", surface="api", principal=Principal(id="p"))
            await scene.create("a2", created=900.0)
            assert await scene.find(prefix="a") == ["a1", "a2"]
            assert await scene.find(title="Trip") == ["a1"]
            assert await scene.find(title="Tri") == []
            assert await scene.find(surface="api") == ["a1"]
            assert await scene.find(principal="p") == ["a1"]
            assert await scene.find(before=950.0) == ["a2"]
            await scene.write(user("x"), session="a2")
            assert await scene.find() == ["a2", *(i for i in await scene.find() if i != "a2")]
            assert await scene.find(limit=1, offset=1) == (await scene.find())[1:2]

        play(act)

    def test_titles(self, play: Any) -> None:
        """STORE-TITLE-1: titles are unique and at most 100 characters long; other fields change alone."""

        async def act(scene: Scene) -> None:
            await scene.create("b")
            await scene.create("c")
            change = scene.store.change
            assert (await change(SessionChange(session_id="s", title="Same"))).title == "Same"
            assert (await change(SessionChange(session_id="s", title="Same"))).title == "Same"
            assert (await change(SessionChange(session_id="b", title="Same"))).title == "Same #2"
            assert (await change(SessionChange(session_id="c", title="Same"))).title == "Same #3"
            for session in ("b", "c"):
                assert len((await change(SessionChange(session_id=session, title="x" * 300))).title) == 100
            changed = await change(SessionChange(session_id="s", model="m2"))
            assert (changed.title, changed.model) == ("Same", "m2")
            assert (await change(SessionChange(session_id="s", title=""))).title == ""

        play(act)

    def test_leases(self, play: Any) -> None:
        """STORE-LEASE-1: one holder at a time, who may renew; release and time free a lease."""

        async def act(scene: Scene) -> None:
            assert await scene.lease("one")
            assert await scene.lease("one")
            assert not await scene.lease("two")
            await scene.store.release(LeaseRelease(name="session:s", holder="two"))
            assert not await scene.lease("two")
            await scene.store.release(LeaseRelease(name="session:s", holder="one"))
            assert await scene.lease("two", seconds=-1.0)
            assert await scene.lease("three")

        play(act)

    def test_lease_guards_the_session(self, play: Any) -> None:
        """STORE-LEASE-2: while somebody else holds the session, a write raises `LeaseLost` and writes nothing."""

        async def act(scene: Scene) -> None:
            await scene.write(user("free"))
            assert await scene.lease("two")
            with pytest.raises(LeaseLost):
                await scene.write(user("mine"))
            await scene.store.enqueue(InboxMessage(session_id="s", text="x", principal=LOCAL))
            with pytest.raises(LeaseLost):
                await scene.store.drain(DrainInbox(session_id="s", holder=HOLDER))
            await scene.write(user("theirs"), holder="two")
            assert texts(await scene.history()) == ["free", "theirs"]

        play(act)

    def test_inbox(self, play: Any) -> None:
        """STORE-INBOX-1: queued messages come out once, in order, the steering ones alone where asked."""

        async def act(scene: Scene) -> None:
            for text, steer in (("later", False), ("now", True), ("last", False)):
                await scene.store.enqueue(InboxMessage(session_id="s", text=text, principal=LOCAL, steer=steer, at=2.0))
            first = await scene.store.drain(DrainInbox(session_id="s", holder=HOLDER, steer_only=True))
            assert [message.text for message in first.messages] == ["now"]
            assert first.messages[0] == InboxMessage(session_id="s", text="now", principal=LOCAL, steer=True, at=2.0)
            rest = await scene.store.drain(DrainInbox(session_id="s", holder=HOLDER))
            assert [message.text for message in rest.messages] == ["later", "last"]
            assert (await scene.store.drain(DrainInbox(session_id="s", holder=HOLDER))).messages == ()

        play(act)

    def test_inbox_outlives_its_taker(self, play: Any) -> None:
        """STORE-INBOX-2: what was taken and not stored is given to the next holder; what was stored is not."""

        async def act(scene: Scene) -> None:
            await scene.store.enqueue(InboxMessage(session_id="s", text="x", principal=LOCAL))
            assert len((await scene.store.drain(DrainInbox(session_id="s", holder="dies"))).messages) == 1
            assert len((await scene.store.drain(DrainInbox(session_id="s", holder="next"))).messages) == 1
            await scene.write(user("x"), holder="next")
            assert (await scene.store.drain(DrainInbox(session_id="s", holder="third"))).messages == ()

        play(act)

    def test_inbox_idempotency(self, play: Any) -> None:
        """STORE-INBOX-3: a message of a known idempotency key is queued once, and not once it is stored."""

        async def act(scene: Scene) -> None:
            origin = Origin(platform="x", idempotency_key="k")
            message = InboxMessage(session_id="s", text="x", principal=LOCAL, origin=origin)
            await scene.store.enqueue(message)
            await scene.store.enqueue(message)
            assert len((await scene.store.drain(DrainInbox(session_id="s", holder=HOLDER))).messages) == 1
            await scene.write(user("x", origin=origin))
            await scene.store.enqueue(message)
            assert (await scene.store.drain(DrainInbox(session_id="s", holder=HOLDER))).messages == ()

        play(act)

    def test_search(self, play: Any) -> None:
        """STORE-SEARCH-1: words, phrases and prefixes; all must occur, in one message; grouped by session."""

        async def act(scene: Scene) -> None:
            await scene.create("t", title="Foxes")
            await scene.write(user("The quick brown fox"), assistant("jumps over the lazy dog"))
            await scene.write(user("a brown dog and a quick fox, foxes"), assistant("another fox"), session="t")
            assert set(await scene.search("fox")) == {"s", "t"}
            assert await scene.search("lazy DOG") == ["s"]
            assert await scene.search("lazy fox") == []
            assert await scene.search('"brown fox"') == ["s"]
            assert await scene.search("foxe*") == ["t"]
            assert await scene.search("fox", session_id="t") == ["t"]
            assert await scene.search("fox", limit=1) == (await scene.search("fox"))[:1]
            (hit,) = (await scene.store.search(SearchQuery(text="another"))).hits
            assert (hit.session_id, hit.title, hit.role, hit.snippet) == ("t", "Foxes", "assistant", "**another** fox")

        play(act)

    def test_search_sees_the_latest(self, play: Any) -> None:
        """STORE-SEARCH-2: what was acknowledged is found at once."""

        async def act(scene: Scene) -> None:
            for number in range(20):
                await scene.write(user(f"message number{number}"))
                assert await scene.search(f"number{number}") == ["s"]

        play(act)

    def test_search_roles(self, play: Any) -> None:
        """STORE-SEARCH-3: tool results are searched only when asked for."""

        async def act(scene: Scene) -> None:
            result = ToolResultPart(call_id="c", name="ls", content=(TextPart("needle"),))
            await scene.write(user("x"), Message(role="tool", parts=(result,)))
            assert await scene.search("needle") == []
            assert await scene.search("needle", roles=("tool",)) == ["s"]

        play(act)

    @pytest.mark.parametrize(
        "text",
        ['"', "*", "AND", "a AND", "NEAR(a b)", "(", "^x", "role:x", "-x", "'", "\0", "{a b} : c", "", "🙂", 'a"*'],
    )
    def test_search_takes_any_text(self, play: Any, text: str) -> None:
        """STORE-SEARCH-4: no text is an error."""

        async def act(scene: Scene) -> None:
            await scene.write(user("some words"))
            await scene.search(text)
            assert await scene.search("words") == ["s"]

        play(act)

    def test_plugin_state(self, play: Any) -> None:
        """STORE-STATE-1: each plugin has keys of its own, listed by prefix, removed by None."""

        async def act(scene: Scene) -> None:
            for plugin, key in (("p", "a.1"), ("p", "a.2"), ("p", "b"), ("q", "a.1")):
                await scene.store.set_state(StateValue(plugin=plugin, key=key, value=f'"{plugin}{key}"'))
            found = await scene.store.list_state(StateKey(plugin="p", key="a."))
            assert [(entry.key, entry.value) for entry in found.values] == [("a.1", '"pa.1"'), ("a.2", '"pa.2"')]
            await scene.store.set_state(StateValue(plugin="p", key="a.1"))
            assert (await scene.store.get_state(StateKey(plugin="p", key="a.1"))).value is None
            assert (await scene.store.get_state(StateKey(plugin="q", key="a.1"))).value == '"qa.1"'

        play(act)

    def test_delete(self, play: Any) -> None:
        """STORE-DELETE-1: a deleted session is gone from every view; what it cost stays in the report."""

        async def act(scene: Scene) -> None:
            await scene.create("t")
            await scene.write(user("needle"), events=(_event(1),), usage=(_usage_row(),))
            await scene.write(user("needle"), session="t")
            assert set(await scene.search("needle")) == {"s", "t"}
            deleted = await scene.store.delete(SessionIds(ids=("s",)))
            assert (deleted.session_ids, deleted.messages) == (("s",), 1)
            assert await scene.find() == ["t"]
            assert await scene.search("needle") == ["t"]
            assert (await scene.store.usage(UsageQuery())).sums[0].api_calls == 1
            assert (await scene.store.check(Done())).problems == ()

        play(act)

    def test_prune(self, play: Any) -> None:
        """STORE-PRUNE-1: old sessions go, and messages that no head reaches; a dry run only counts."""

        async def act(scene: Scene) -> None:
            (one, _) = (await scene.write(user("keep"), assistant("undone needle"))).message_ids
            await scene.write(assistant("kept"), parent=one)
            await scene.create("old", created=5.0)
            assert await scene.search("needle") == ["s"]
            planned = await scene.store.prune(Prune(before=10.0, dry_run=True))
            assert sorted(await scene.find()) == ["old", "s"]
            done = await scene.store.prune(Prune(before=10.0))
            assert planned == done
            assert (done.session_ids, done.messages) == (("old",), 1)
            assert await scene.find() == ["s"]
            assert texts(await scene.history()) == ["keep", "kept"]
            assert await scene.search("needle") == []
            (new,) = (await scene.write(user("more"))).message_ids
            assert new > one
            assert (await scene.store.check(Done())).problems == ()

        play(act)

    def test_prune_leaves_the_held_alone(self, play: Any) -> None:
        """STORE-PRUNE-2: a session that somebody is working on is not pruned."""

        async def act(scene: Scene) -> None:
            await scene.create("old", created=5.0)
            assert await scene.lease("two", name="session:old")
            assert (await scene.store.prune(Prune(before=10.0))).session_ids == ()
            assert "old" in await scene.find()

        play(act)

    def test_ids_are_never_given_twice(self, play: Any) -> None:
        """STORE-APPEND-3: message ids rise, also after the newest messages were deleted."""

        async def act(scene: Scene) -> None:
            await scene.create("t")
            (last,) = (await scene.write(user("x"), session="t")).message_ids
            await scene.store.delete(SessionIds(ids=("t",)))
            assert (await scene.write(user("y"))).message_ids[0] > last

        play(act)

    def test_stats_and_check(self, play: Any) -> None:
        """STORE-CHECK-1: a sound store says so, and counts what it has."""

        async def act(scene: Scene) -> None:
            await scene.write(user("x"), assistant("y"))
            stats = await scene.store.stats(Done())
            assert (stats.sessions, stats.messages) == (1, 2)
            assert stats.bytes > 0
            assert (await scene.store.check(Done())).problems == ()

        play(act)

    def test_many_at_once(self, play: Any) -> None:
        """STORE-APPEND-4: writes that are made at the same time all get in, one that fails does not stop the others."""

        async def act(scene: Scene) -> None:
            (root,) = (await scene.write(user("root"))).message_ids
            results = await asyncio.gather(
                *(scene.write(user(str(i)), parent=root if i % 10 else 10**9) for i in range(100)),
                return_exceptions=True,
            )
            failed = [result for result in results if isinstance(result, BaseException)]
            assert len(failed) == 10
            assert all(isinstance(error, StoreError) for error in failed)
            ids = [number for result in results if isinstance(result, Committed) for number in result.message_ids]
            assert len(set(ids)) == 90
            for number, result in enumerate(results):
                if isinstance(result, Committed):
                    assert texts(await scene.history(head=result.message_ids[0]))[-1] == str(number)

        play(act)


def _event(seq: int) -> StoredEvent:
    return StoredEvent(turn_id="t", seq=seq, data=b'{"type":"notice","text":"\xc3\xa9"}')


def _usage_row(**fields: Any) -> UsageRow:
    given = {"turn_id": "t", "at": 1.0, "provider": "p", "model": "m", "principal": "local", "usage": Usage(), **fields}
    return UsageRow(**given)


def _without_place(message: Message) -> Message:
    return Message(
        **{name: getattr(message, name) for name in message.__struct_fields__ if name not in ("id", "parent")}
    )
