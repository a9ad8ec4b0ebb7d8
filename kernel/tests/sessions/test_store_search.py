"""The index, and what is found with it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hermes.contracts.messages import ImagePart, Message, TextPart, ThinkingPart, ToolResultPart
from hermes.contracts.scope import LOCAL
from hermes.contracts.store import (
    Amendment,
    NewSession,
    SearchHit,
    SearchQuery,
    SessionIds,
    SessionWrite,
)
from hermes.contracts.values import Done
from hermes.sessions.sqlite import SqliteStore, open_store

ALL = ("user", "assistant", "tool")


def user(text: str) -> Message:
    return Message(role="user", parts=(TextPart(text),))


async def fill(store: SqliteStore, session_id: str, *given: Message | str) -> tuple[int, ...]:
    await store.create(NewSession(id=session_id, created=1.0, surface="cli", principal=LOCAL))
    messages = tuple(user(found) if isinstance(found, str) else found for found in given)
    return (await store.commit(SessionWrite(session_id=session_id, holder="h", messages=messages))).message_ids


async def find(store: SqliteStore, text: str, **query: Any) -> tuple[SearchHit, ...]:
    result = await store.search(SearchQuery(text=text, **query))
    assert not result.partial
    return result.hits


async def sessions(store: SqliteStore, text: str, **query: Any) -> set[str]:
    return {hit.session_id for hit in await find(store, text, **query)}


Act = Callable[[SqliteStore], Awaitable[None]]


@pytest.fixture(params=["file", "memory"])
def play(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Act], None]:
    async def run(act: Act) -> None:
        store = open_store(tmp_path if request.param == "file" else None)
        await act(store)
        await store.close(Done())

    return lambda act: asyncio.run(run(act))


def test_words_of_all_kinds(play: Callable[[Act], None]) -> None:
    async def act(store: SqliteStore) -> None:
        await fill(store, "en", "Please reconfigure the database_url in /etc/app/settings.yaml, error 0x7f3a")
        await fill(store, "fr", "Le café est fermé à Noël")
        await fill(store, "zh", "我想去北京大学看看")
        await fill(store, "ja", "東京タワーへ行きました")
        await fill(store, "ko", "서울에서 만나요")
        await fill(store, "mix", "用Python写脚本")
        for text, found in {
            "DATABASE": {"en"},
            "database_url": {"en"},
            "settings.yaml": {"en"},
            '"the database_url in"': {"en"},
            '"database the"': set(),
            "re*": {"en"},
            "recon*": {"en"},
            "*config*": {"en"},
            "*figure": {"en"},
            "onfig": {"en"},
            "0x7f3a": {"en"},
            "cafe": {"fr"},
            "CAFÉ noel": {"fr"},
            "caf*": {"fr"},
            "北京": {"zh"},
            "京大": {"zh"},
            "北京大学": {"zh"},
            "大学 北京": {"zh"},
            "北大": set(),
            "看": {"zh"},
            "東京": {"ja"},
            "タワー": {"ja"},
            "서울": {"ko"},
            "python": {"mix"},
            "用Python写": {"mix"},
            "写脚": {"mix"},
            "python 北京": set(),
        }.items():
            assert await sessions(store, text) == found, text

    play(act)


def test_what_is_searched(play: Callable[[Act], None]) -> None:
    async def act(store: SqliteStore) -> None:
        result = ToolResultPart(
            call_id="c", name="n", content=(TextPart("outputword"), ImagePart(media_type="image/png", data=b"x" * 99))
        )
        await fill(
            store,
            "s",
            Message(role="user", parts=(TextPart("one"), TextPart("two"))),
            Message(role="assistant", parts=(ThinkingPart("secretthought"), TextPart("answerword"))),
            Message(role="tool", parts=(result,)),
        )
        assert await sessions(store, "one two") == {"s"}
        assert await sessions(store, "answerword", roles=("assistant",)) == {"s"}
        assert await sessions(store, "answerword", roles=("user",)) == set()
        assert await sessions(store, "outputword") == set()
        assert await sessions(store, "outputword", roles=ALL) == {"s"}
        assert await sessions(store, "secretthought", roles=ALL) == set()
        assert await sessions(store, "answerword", roles=("nobody",)) == set()

    play(act)


def test_snippets(play: Callable[[Act], None]) -> None:
    async def act(store: SqliteStore) -> None:
        filler = "lorem ipsum dolor " * 40
        await fill(store, "s", f"{filler}\n\tthe Résumé of   Ada {filler}", "我想去北京大学看看")
        (hit,) = await find(store, "resume ada")
        assert "the **Résumé** of **Ada** lorem" in hit.snippet
        assert hit.snippet.startswith("…")
        assert hit.snippet.endswith("…")
        assert len(hit.snippet) < 200
        assert (await find(store, '"résumé of"'))[0].snippet.count("**Résumé of**") == 1
        assert (await find(store, "resu*"))[0].snippet.count("**Résumé**") == 1
        assert (await find(store, "*esum*"))[0].snippet.count("R**ésum**é") == 1
        assert (await find(store, "北京大"))[0].snippet == "我想去**北京大**学看看"

    play(act)


def test_hits_are_grouped_and_ranked(play: Callable[[Act], None]) -> None:
    async def act(store: SqliteStore) -> None:
        await fill(store, "few", "a long text about many things, in which the needle is mentioned in passing " * 3)
        await fill(store, "many", "needle", "nothing", "needle needle")
        hits = await find(store, "needle")
        assert [(hit.session_id, hit.hits) for hit in hits] == [("many", 2), ("few", 1)]

    play(act)


def test_more_hits_than_are_ranked_exactly(tmp_path: Path) -> None:
    async def run() -> None:
        store = open_store(tmp_path)
        for number in range(30):
            await fill(store, f"s{number}", *(f"common word{i} of {number}" for i in range(100)))
        await fill(store, "best", "common common common")
        hits = await find(store, "common", limit=5)
        assert len(hits) == 5
        assert hits[0].session_id == "best"
        await store.close(Done())

    asyncio.run(run())


def test_the_index_is_made_again_when_it_is_gone(tmp_path: Path) -> None:
    async def run() -> None:
        store = open_store(tmp_path)
        await fill(store, "s", "needle")
        assert await sessions(store, "needle") == {"s"}
        await store.close(Done())
        (tmp_path / "index.db").unlink()
        store = open_store(tmp_path)
        assert await sessions(store, "needle") == {"s"}
        for found in tmp_path.glob("index.db*"):
            found.unlink()
        assert await sessions(store, "needle") == {"s"}, "thrown away while it was in use"
        await store.close(Done())

    asyncio.run(run())


@pytest.mark.parametrize("damage", ["garbage", "text", "empty", "another database", "another store's"])
def test_a_broken_index_is_made_again(tmp_path: Path, damage: str) -> None:
    async def run() -> None:
        store = open_store(tmp_path)
        await fill(store, "s", *(f"needle number{i}" for i in range(500)))
        assert await sessions(store, "number77") == {"s"}
        await store.close(Done())
        path = tmp_path / "index.db"
        if damage == "garbage":
            path.write_bytes(path.read_bytes()[:4096] + os.urandom(path.stat().st_size - 4096))
        elif damage == "text":
            path.write_text("hello")
        elif damage == "empty":
            path.write_text("")
        elif damage == "another database":
            path.unlink()
            db = sqlite3.connect(path)
            db.execute("CREATE TABLE t (x)")
            db.close()
        else:
            other = open_store(tmp_path / "other")
            await fill(other, "s", *(["decoy"] * 300))
            await sessions(other, "decoy")
            await other.close(Done())
            os.replace(tmp_path / "other" / "index.db", path)
        store = open_store(tmp_path)
        assert await sessions(store, "number77") == {"s"}
        assert await sessions(store, "decoy") == set()
        assert (await store.check(Done())).problems == ()
        await store.close(Done())

    asyncio.run(run())


def test_check_mends_an_index_that_lacks_messages(tmp_path: Path) -> None:
    async def run() -> None:
        store = open_store(tmp_path)
        ids = await fill(store, "s", "needle", "thread")
        assert await sessions(store, "needle") == {"s"}
        assert (await store.check(Done())).repaired == ()
        assert store.searcher is not None
        await store.searcher.forget(ids[:1])
        assert await sessions(store, "needle") == set()
        report = await store.check(Done())
        assert report.problems == ()
        assert "1 messages where the store has 2" in report.repaired[0]
        assert await sessions(store, "needle") == {"s"}
        await store.close(Done())

    asyncio.run(run())


def test_a_replaced_text_is_searched_and_the_old_one_is_not(play: Callable[[Act], None]) -> None:
    async def act(store: SqliteStore) -> None:
        first, second = await fill(store, "s", "the oldword here", "untouched")

        async def replace(message: int, text: str) -> None:
            amendment = Amendment(message_id=message, kind="replacement", parts=(TextPart(text),))
            context = Amendment(message_id=message, kind="context", parts=(TextPart("contextword"),))
            await store.commit(SessionWrite(session_id="s", holder="h", amendments=(amendment, context)))

        await replace(second, "replacedbefore")
        assert await sessions(store, "oldword") == {"s"}
        assert await sessions(store, "untouched") == set()
        assert await sessions(store, "replacedbefore") == {"s"}
        for text in ("newword", "newestword"):
            await replace(first, text)
            assert await sessions(store, "oldword") == set()
            (hit,) = await find(store, text)
            assert hit.snippet == f"**{text}**"
        assert await sessions(store, "newword") == set()
        assert await sessions(store, "contextword") == set()
        assert (await store.check(Done())).repaired == ()
        await store.delete(SessionIds(ids=("s",)))
        assert await sessions(store, "newestword") == set()
        assert (await store.check(Done())).repaired == ()

    play(act)


def test_deleted_words_leave_the_index_file(tmp_path: Path) -> None:
    async def run() -> None:
        store = open_store(tmp_path)
        await fill(store, "s", "topsecretword")
        await fill(store, "t", "other")
        assert await sessions(store, "topsecretword") == {"s"}
        await store.delete(SessionIds(ids=("s",)))
        assert await sessions(store, "topsecretword") == set()
        assert await sessions(store, "topsecr*") == set()
        assert (await store.check(Done())).repaired == ()
        await store.close(Done())
        assert b"topsecretword" not in (tmp_path / "state.db").read_bytes()

    asyncio.run(run())


def test_the_idle_process_indexes(tmp_path: Path) -> None:
    """The index is there some seconds after the last write, without a search."""

    async def run() -> None:
        store = open_store(tmp_path)
        await fill(store, "s", "needle")
        async with asyncio.timeout(60):
            while not indexed(tmp_path / "index.db"):  # noqa: ASYNC110 (another thread makes it)
                await asyncio.sleep(0.05)
        await store.close(Done())

    asyncio.run(run())


def indexed(path: Path) -> bool:
    if not path.exists():
        return False
    db = sqlite3.connect(path)
    try:
        return bool(db.execute("SELECT value FROM meta WHERE key='watermark'").fetchone()[0] > 0)
    except (sqlite3.OperationalError, TypeError):
        return False
    finally:
        db.close()


def test_a_backlog_is_worked_off(tmp_path: Path) -> None:
    """More than the first search takes on is partial at first; the newest are found all the same."""

    async def run() -> None:
        store = open_store(tmp_path)
        await fill(store, "s", "start")
        await sessions(store, "start")
        for number in range(10):
            await fill(store, f"b{number}", *(f"bulk{number} item{i}" for i in range(500)))
        await fill(store, "new", "newest")
        found = await store.search(SearchQuery(text="newest"))
        assert [hit.session_id for hit in found.hits] == ["new"]
        async with asyncio.timeout(60):
            while await store.index_work():  # noqa: ASYNC110 (another thread works)
                await asyncio.sleep(0.02)
        for number in range(10):
            assert await sessions(store, f"bulk{number} item499") == {f"b{number}"}
            assert await sessions(store, f"*lk{number}") == {f"b{number}"}
        assert (await store.check(Done())).repaired == ()
        await store.close(Done())

    asyncio.run(run())


def test_another_process_that_indexes_is_not_waited_for(tmp_path: Path) -> None:
    async def run() -> None:
        store = open_store(tmp_path)
        await fill(store, "s", "needle")
        assert await sessions(store, "needle") == {"s"}
        other = sqlite3.connect(tmp_path / "index.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        await fill(store, "t", "needle haystack")
        assert await sessions(store, "needle") == {"s", "t"}
        assert await sessions(store, "hayst*") == {"t"}
        assert await sessions(store, "*stack") == {"t"}
        other.execute("ROLLBACK")
        other.close()
        await store.close(Done())

    asyncio.run(run())


WORDS = st.text(st.characters(categories=["L", "N"], exclude_characters="ᵒ"), min_size=1, max_size=8)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=40))
def test_no_query_is_an_error(text: str) -> None:
    async def run() -> None:
        store = open_store(None)
        await fill(store, "s", "some words 北京 here")
        await store.search(SearchQuery(text=text.encode(errors="replace").decode()))
        await store.close(Done())

    asyncio.run(run())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text("abcdé 北京大学_-.", min_size=1, max_size=12), min_size=1, max_size=5))
def test_a_text_finds_itself(texts: list[str]) -> None:
    """Any stretch of a message, as a phrase or as words, finds it; so does each part of a word with three letters."""

    async def run() -> None:
        store = open_store(None)
        for number, text in enumerate(texts):
            await fill(store, f"s{number}", text)
        for number, text in enumerate(texts):
            if any(c.isalnum() for c in text):
                assert f"s{number}" in await sessions(store, text), text
                assert f"s{number}" in await sessions(store, f'"{text}"'), text
            for word in text.replace("-", " ").replace(".", " ").replace("_", " ").split():
                if word.isascii() and len(word) > 4:
                    assert f"s{number}" in await sessions(store, f"*{word[1:-1]}*")
                    assert f"s{number}" in await sessions(store, f"{word[:2]}*")
        await store.close(Done())

    asyncio.run(run())


def test_the_index_is_private_in_a_home_that_is_not(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)

    async def act() -> None:
        store = open_store(tmp_path)
        await fill(store, "s", "words")
        assert await sessions(store, "words") == {"s"}
        await store.close(Done())

    asyncio.run(act())
    assert (tmp_path / "index.db").stat().st_mode & 0o077 == 0
