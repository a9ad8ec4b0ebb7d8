"""The store's file: whose it is, and what becomes of it when things go wrong."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from hermes.contracts.errors import StoreError
from hermes.contracts.messages import FrozenPrompt, Message, SystemBlock, TextPart, text_of
from hermes.contracts.scope import LOCAL
from hermes.contracts.store import (
    Committed,
    HistoryQuery,
    NewSession,
    Prune,
    SessionIds,
    SessionQuery,
    SessionRef,
    SessionWrite,
    StoredEvent,
)
from hermes.contracts.values import Done
from hermes.sessions.sqlite import SqliteStore, open_store


def user(text: str) -> Message:
    return Message(role="user", parts=(TextPart(text),))


async def create(store: SqliteStore, session_id: str = "s") -> None:
    await store.create(NewSession(id=session_id, created=1.0, surface="cli", principal=LOCAL))


async def write(store: SqliteStore, *messages: Message, session_id: str = "s") -> Committed:
    return await store.commit(SessionWrite(session_id=session_id, holder="h", messages=messages))


async def texts(store: SqliteStore, session_id: str = "s") -> list[str]:
    history = await store.history(HistoryQuery(session_id=session_id))
    return [text_of(message.parts) for message in history.messages]


def foreign(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("CREATE TABLE sessions (id TEXT PRIMARY KEY, source TEXT)")
    db.execute("INSERT INTO sessions VALUES ('a', 'cli')")
    db.commit()
    db.close()


def test_another_programs_store_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    foreign(path)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="another program") as caught:
        open_store(tmp_path)
    assert "hermes import" in caught.value.hint
    assert "move the file away" in caught.value.hint
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == ["state.db"]


def test_another_programs_store_in_use_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    foreign(path)
    db = sqlite3.connect(path)
    db.execute("INSERT INTO sessions VALUES ('b', 'cli')")
    db.commit()
    before = {found.name: found.read_bytes() for found in tmp_path.iterdir()}
    assert "state.db-wal" in before
    with pytest.raises(StoreError, match="another program"):
        open_store(tmp_path)
    assert {found.name: found.read_bytes() for found in tmp_path.iterdir()} == before
    db.close()


@pytest.mark.parametrize("content", [b"hello", b"SQLite format 3\0", os.urandom(5000)])
def test_what_is_no_database_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(content)
    with pytest.raises(StoreError, match="no SQLite database"):
        open_store(tmp_path)
    assert path.read_bytes() == content


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    (tmp_path / "state.db").touch()

    async def run() -> None:
        store = open_store(tmp_path)
        await create(store)
        await store.delete(SessionIds(ids=("s",)))
        assert (await store.check(Done())).problems == ()
        await store.close(Done())

    asyncio.run(run())


def test_a_newer_layout_is_refused(tmp_path: Path) -> None:
    asyncio.run(open_store(tmp_path).close(Done()))
    db = sqlite3.connect(tmp_path / "state.db")
    db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(StoreError, match="newer Hermes") as caught:
        open_store(tmp_path)
    assert "pip install -U" in caught.value.hint


def test_a_store_is_private_and_survives(tmp_path: Path) -> None:
    home = tmp_path / "new" / "home"

    async def run() -> None:
        store = open_store(home)
        await create(store)
        await write(store, user("kept"))
        await store.close(Done())
        with pytest.raises(StoreError, match="closed"):
            await write(store, user("lost"))
        await store.close(Done())
        again = open_store(home)
        assert await texts(again) == ["kept"]
        await again.close(Done())

    asyncio.run(run())
    assert stat.S_IMODE((home / "state.db").stat().st_mode) == 0o600
    assert not (home / "index.db").exists()


def test_a_home_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("x")
    with pytest.raises(StoreError):
        open_store(tmp_path / "home")


def test_a_full_disk_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """SQLite's own limit of pages gives the error that a full disk gives."""

    async def run() -> None:
        store = open_store(tmp_path)
        await create(store)
        await write(store, user("before"))
        (pages,) = await store.read(lambda db: db.execute("PRAGMA page_count").fetchone())
        limit = f"PRAGMA max_page_count={pages + 3}"
        await store.write(lambda db: db.execute(limit).fetchone())
        with pytest.raises(StoreError, match="disk is full") as caught:
            await write(store, user("x" * 100_000))
        assert "Free some space" in caught.value.hint
        results = await asyncio.gather(
            write(store, user("small")),
            write(store, user("y" * 300_000)),
            write(store, user("small too")),
            return_exceptions=True,
        )
        assert [isinstance(result, StoreError) for result in results] == [False, True, False]
        await store.write(lambda db: db.execute("PRAGMA max_page_count=100000").fetchone())
        await write(store, user("after"))
        assert await texts(store) == ["before", "small", "small too", "after"]
        assert (await store.check(Done())).problems == ()
        await store.close(Done())

    asyncio.run(run())


def as_nobody(work: Callable[[], None]) -> str:
    """What went wrong, in a process for which permissions count; blank: nothing."""
    receive, send = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            os.close(receive)
            if os.geteuid() == 0:
                os.setuid(65534)
            work()
        except BaseException:  # noqa: BLE001 (the parent is told)
            os.write(send, traceback.format_exc().encode()[-60_000:])
        os._exit(0)
    os.close(send)
    with open(receive, encoding="utf-8") as file:
        told = file.read()
    os.waitpid(child, 0)
    return told


@pytest.mark.parametrize("new", [True, False])
def test_a_read_only_home(tmp_path: Path, new: bool) -> None:
    home = tmp_path / "home"
    home.mkdir()
    if not new:
        asyncio.run(open_store(home).close(Done()))
        (home / "state.db").chmod(0o444)
    home.chmod(0o555)
    folder = tmp_path
    while stat.S_IMODE(folder.stat().st_mode) & 0o001 == 0 and folder.parent != folder:
        folder.chmod(0o755)
        folder = folder.parent

    def work() -> None:
        async def run() -> None:
            store = open_store(home)
            await create(store)

        with pytest.raises(StoreError, match=r"state\.db") as caught:
            asyncio.run(run())
        assert "writable" in caught.value.hint or "Check that" in caught.value.hint

    assert as_nobody(work) == ""
    home.chmod(0o755)


def test_a_damaged_file_is_reported(tmp_path: Path) -> None:
    async def fill() -> None:
        store = open_store(tmp_path)
        await create(store)
        await write(store, *(user("x" * 500) for _ in range(500)))
        await store.close(Done())

    asyncio.run(fill())
    path = tmp_path / "state.db"
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 20_000] = os.urandom(20_000)
    path.write_bytes(content)

    async def look() -> None:
        store = open_store(tmp_path)
        report = await store.check(Done())
        assert report.problems
        assert "damaged" in report.problems[0]
        with pytest.raises(StoreError, match="damaged") as caught:
            await texts(store)
        assert "sessions check" in caught.value.hint
        await store.close(Done())

    asyncio.run(look())


def test_a_locked_file_is_waited_for_and_then_reported(tmp_path: Path) -> None:
    async def run() -> None:
        store = open_store(tmp_path)
        await create(store)
        other = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        results = await asyncio.gather(write(store, user("a")), write(store, user("b")), return_exceptions=True)
        for result in results:
            assert isinstance(result, StoreError)
            assert "locked" in str(result)
            assert result.hint
        waiting = asyncio.create_task(write(store, user("patient")))
        await asyncio.sleep(0)
        assert await texts(store) == []
        assert not waiting.done()
        other.execute("COMMIT")
        await waiting
        assert await texts(store) == ["patient"]
        other.close()
        await store.close(Done())

    asyncio.run(run())


def test_of_writes_that_share_a_transaction_one_can_fail_alone(tmp_path: Path) -> None:
    """They wait for a lock together; one fails when it has written its message already."""
    event = StoredEvent(turn_id="t", seq=1, data=b"{}")

    async def run() -> None:
        store = open_store(tmp_path)
        await create(store)
        await store.commit(SessionWrite(session_id="s", holder="h", events=(event,)))
        other = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        bad = SessionWrite(session_id="s", holder="h", messages=(user("bad"),), events=(event,))
        tasks = [
            asyncio.create_task(store.commit(bad) if number == 3 else write(store, user(str(number))))
            for number in range(8)
        ]
        await asyncio.sleep(0)
        other.execute("COMMIT")
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [number for number, result in enumerate(results) if isinstance(result, StoreError)] == [3]
        assert await texts(store) == ["0", "1", "2", "4", "5", "6", "7"]
        other.close()
        await store.close(Done())

    asyncio.run(run())


def test_half_a_character_is_refused_with_a_sentence(tmp_path: Path) -> None:
    async def run() -> None:
        store = open_store(tmp_path)
        await create(store)
        with pytest.raises(StoreError, match="half a character"):
            await write(store, user("a"), user("b\ud800"))
        assert await texts(store) == []
        await store.close(Done())

    asyncio.run(run())


def test_equal_prompts_are_stored_once(tmp_path: Path) -> None:
    prompt = FrozenPrompt(system=(SystemBlock(name="a", text="text"),))

    async def run() -> None:
        store = open_store(tmp_path)
        for session_id in ("s", "t"):
            await create(store, session_id)
            await store.commit(SessionWrite(session_id=session_id, holder="h", prompt=prompt))
        assert await count(store, "blobs") == 2
        await store.delete(SessionIds(ids=("s",)))
        assert await count(store, "blobs") == 2
        assert (await store.history(HistoryQuery(session_id="t"))).prompt == prompt
        await store.delete(SessionIds(ids=("t",)))
        assert await count(store, "blobs") == 0
        await store.close(Done())

    asyncio.run(run())


async def count(store: SqliteStore, table: str) -> int:
    found: int = await store.read(lambda db: db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
    return found


def test_deleting_gives_the_disk_its_room_back(tmp_path: Path) -> None:
    async def run() -> None:
        store = open_store(tmp_path)
        await create(store, "big")
        await create(store)
        for _ in range(20):
            await write(store, *(user("x" * 1_000) for _ in range(1_000)), session_id="big")
        await write(store, user("kept"))
        before = (await store.stats(Done())).bytes
        await store.delete(SessionIds(ids=("big",)))
        await store.prune(Prune())
        assert (await store.stats(Done())).bytes < before / 2
        assert await texts(store) == ["kept"]
        await store.close(Done())
        assert (tmp_path / "state.db").stat().st_size < 3_000_000 < before / 4

    asyncio.run(run())


def test_the_wal_stays_small(tmp_path: Path) -> None:
    """Also with a reader that holds on to an old state for a while."""

    async def run() -> None:
        store = open_store(tmp_path)
        await create(store)
        wal, largest = tmp_path / "state.db-wal", 0
        reader = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
        for step in range(60):
            if step % 20 == 5:
                reader.execute("BEGIN")
                reader.execute("SELECT count(*) FROM sessions").fetchone()
            if step % 20 == 10:
                reader.execute("COMMIT")
            await write(store, *(user("x" * 2_000) for _ in range(1_000)))
            largest = max(largest, wal.stat().st_size)
        reader.close()
        assert largest < 64 << 20
        await store.close(Done())

    asyncio.run(run())


def test_a_wrong_tree_is_a_problem(tmp_path: Path) -> None:
    async def run() -> None:
        store = open_store(tmp_path)
        await create(store)
        ids = (await write(store, user("1"), user("2"), user("3"))).message_ids
        await store.write(lambda db: db.execute("UPDATE messages SET parent=999 WHERE id=?", (ids[1],)))
        (problem,) = (await store.check(Done())).problems
        assert f"Message {ids[1]} follows message 999" in problem
        await store.write(lambda db: db.execute("UPDATE sessions SET head=777"))
        assert any("points at message 777" in found for found in (await store.check(Done())).problems)
        await store.close(Done())

    asyncio.run(run())


def test_one_store_serves_several_loops(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    asyncio.run(create(store))
    for number in range(3):
        asyncio.run(write(store, user(str(number))))
    assert asyncio.run(texts(store)) == ["0", "1", "2"]
    asyncio.run(store.close(Done()))


def test_a_short_run_does_not_import_the_search(tmp_path: Path) -> None:
    """What a one-shot run does: create, some commits, history, close."""
    program = f"""
import asyncio, sys
from pathlib import Path
from hermes.contracts.messages import Message, TextPart
from hermes.contracts.scope import LOCAL
from hermes.contracts.store import HistoryQuery, NewSession, SessionWrite
from hermes.contracts.values import Done
from hermes.sessions.sqlite import open_store

async def run():
    store = open_store(Path({str(tmp_path)!r}))
    await store.create(NewSession(id="s", created=1.0, surface="cli", principal=LOCAL))
    for _ in range(5):
        write = SessionWrite(session_id="s", holder="h", messages=(Message(role="user", parts=(TextPart("x"),)),))
        await store.commit(write)
    assert len((await store.history(HistoryQuery(session_id="s"))).messages) == 5
    await store.close(Done())

asyncio.run(run())
heavy = ["index", "search", "searcher", "query", "snippet", "text", "upkeep", "transcript"]
print([name for name in heavy if "hermes.sessions." + name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_records_survive_the_border(tmp_path: Path) -> None:
    async def run() -> None:
        store = open_store(tmp_path)
        await create(store)
        record = await store.get(SessionRef(session_id="s"))
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(record), type=type(record)) == record
        assert (await store.find(SessionQuery())).sessions == (record,)
        await store.close(Done())

    asyncio.run(run())
