"""The message tree, against a model of it: append, branch, undo, amend, prune, in any order."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from hermes.contracts.messages import Message, TextPart
from hermes.contracts.scope import LOCAL
from hermes.contracts.store import Amendment, HistoryQuery, NewSession, Prune, SessionRef, SessionWrite
from hermes.contracts.values import Done
from hermes.sessions.sqlite import SqliteStore, open_store

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
PLACE = st.integers(0, 10**6)
STEP = st.one_of(
    st.tuples(st.just("append"), st.lists(TEXT, min_size=1, max_size=4)),
    st.tuples(st.just("branch"), PLACE, st.lists(TEXT, min_size=1, max_size=3)),
    st.tuples(st.just("undo"), PLACE),
    st.tuples(st.just("amend"), PLACE, st.sampled_from(["context", "replacement"]), TEXT),
    st.tuples(st.just("prune")),
    st.tuples(st.just("reopen")),
)


class Model:
    """The tree as plain dictionaries."""

    def __init__(self) -> None:
        self.parents: dict[int, int] = {}
        self.texts: dict[int, tuple[str, ...]] = {}
        self.context: dict[int, tuple[str, ...]] = {}
        self.head = 0

    def place(self, number: int) -> int:
        """One of the messages, or 0."""
        known = [0, *self.parents]
        return known[number % len(known)]

    def path(self) -> list[int]:
        found, at = [], self.head
        while at:
            found.append(at)
            at = self.parents[at]
        return found[::-1]

    def read(self) -> list[tuple[str, ...]]:
        return [self.texts[number] + self.context.get(number, ()) for number in self.path()]

    def add(self, parent: int, ids: tuple[int, ...], texts: list[str]) -> None:
        for number, text in zip(ids, texts, strict=True):
            self.parents[number], self.texts[number] = parent, (text,)
            parent = number
        self.head = parent


async def play(home: Path | None, steps: list[tuple[object, ...]]) -> None:
    store, model = open_store(home), Model()
    await store.create(NewSession(id="s", created=1.0, surface="cli", principal=LOCAL))
    for step in steps:
        if step[0] == "reopen" and home is not None:
            await store.close(Done())
            store = open_store(home)
        else:
            await take(store, model, step)
        history = (await store.history(HistoryQuery(session_id="s"))).messages
        assert [tuple(part.text for part in m.parts if isinstance(part, TextPart)) for m in history] == model.read()
        assert [message.id for message in history] == model.path()
        record = await store.get(SessionRef(session_id="s"))
        assert (record.head, record.message_count) == (model.head, len(model.path()))
    assert (await store.check(Done())).problems == ()
    await store.close(Done())


async def take(store: SqliteStore, model: Model, step: tuple[object, ...]) -> None:
    match step:
        case ("append", [*texts]):
            written = await store.commit(SessionWrite(session_id="s", holder="h", messages=messages(texts)))
            model.add(model.head, written.message_ids, texts)
        case ("branch", int(number), [*texts]):
            parent = model.place(number)
            write = SessionWrite(session_id="s", holder="h", parent=parent, messages=messages(texts))
            model.add(parent, (await store.commit(write)).message_ids, texts)
        case ("undo", int(number)):
            model.head = model.place(number)
            await store.commit(SessionWrite(session_id="s", holder="h", head=model.head))
        case ("amend", int(number), "context" | "replacement" as kind, str(text)) if model.place(number):
            place = model.place(number)
            amendment = Amendment(message_id=place, kind=kind, parts=(TextPart(text),))
            await store.commit(SessionWrite(session_id="s", holder="h", amendments=(amendment,)))
            if kind == "context":
                model.context[place] = (*model.context.get(place, ()), text)
            else:
                model.texts[place] = (text,)
        case ("prune",):
            pruned = await store.prune(Prune())
            path = set(model.path())
            assert pruned.messages == len(model.parents) - len(path)
            model.parents = {number: parent for number, parent in model.parents.items() if number in path}


def messages(texts: list[str]) -> tuple[Message, ...]:
    return tuple(Message(role="user", parts=(TextPart(text),)) for text in texts)


@settings(max_examples=60, deadline=None)
@given(st.lists(STEP, max_size=15))
def test_the_tree_in_memory(steps: list[tuple[object, ...]]) -> None:
    asyncio.run(play(None, steps))


@settings(max_examples=25, deadline=None)
@given(st.lists(STEP, max_size=15))
def test_the_tree_in_a_file(steps: list[tuple[object, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(Path(folder), steps))
