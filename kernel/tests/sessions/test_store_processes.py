"""Several processes on one home, and processes that are killed."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hermes.contracts.errors import LeaseLost
from hermes.contracts.messages import Message, TextPart, text_of
from hermes.contracts.scope import LOCAL
from hermes.contracts.store import (
    HistoryQuery,
    InboxMessage,
    LeaseRequest,
    NewSession,
    SearchQuery,
    SessionQuery,
    SessionWrite,
)
from hermes.contracts.values import Done
from hermes.sessions.leases import boot_id
from hermes.sessions.sqlite import SqliteStore, open_store

WRITER = """
import asyncio, itertools, os, sys, time
from pathlib import Path
from hermes.contracts.messages import Message, TextPart
from hermes.contracts.scope import LOCAL
from hermes.contracts.store import LeaseRequest, NewSession, SearchQuery, SessionWrite
from hermes.contracts.values import Done
from hermes.sessions.leases import boot_id
from hermes.sessions.sqlite import open_store

home, session, mode, seconds = Path(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4])

def message(number):
    return Message(role="user", parts=(TextPart(f"{session} said{number} " + "filler " * (number % 40)),))

async def main():
    store = open_store(home)
    await store.create(NewSession(id=session, created=time.time(), surface="cli", principal=LOCAL))
    lease = LeaseRequest(name=f"session:{session}", holder=session, seconds=3600, pid=os.getpid(), boot=boot_id())
    assert (await store.lease(lease)).granted
    print("ready", flush=True)
    end = time.monotonic() + seconds
    for number in itertools.count(0, 3):
        if time.monotonic() > end:
            break
        writes = [SessionWrite(session_id=session, holder=session, messages=(message(number + i),)) for i in range(3)]
        if mode == "together":
            done = await asyncio.gather(*(store.commit(write) for write in writes))
        else:
            done = [await store.commit(write) for write in writes]
        for committed in done:
            print(committed.message_ids[0], flush=True)
        if mode == "search" and number % 60 == 0:
            await store.search(SearchQuery(text=f"said{number}"))
    await store.close(Done())

asyncio.run(main())
"""


def start(home: Path, session: str, mode: str = "single", seconds: float = 60.0) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(home), session, mode, str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def read_until(process: subprocess.Popen[str], lines: int) -> list[str]:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", process.stderr.read() if process.stderr else ""
    return [process.stdout.readline().strip() for _ in range(lines)]


def whole_lines(text: str) -> Iterator[int]:
    for line in text.splitlines(keepends=True):
        if line.endswith("\n") and line.strip().isdigit():
            yield int(line)


async def history(store: SqliteStore, session: str) -> tuple[Message, ...]:
    return (await store.history(HistoryQuery(session_id=session))).messages


def write_at_once(home: Path, seconds: float) -> None:
    writers = [start(home, f"w{i}", mode, seconds) for i, mode in enumerate(("single", "search", "together"))]
    outputs = [writer.communicate(timeout=seconds + 60) for writer in writers]
    assert [(writer.returncode, error) for writer, (_, error) in zip(writers, outputs, strict=True)] == [(0, "")] * 3

    async def look() -> None:
        store = open_store(home)
        for number, (output, _) in enumerate(outputs):
            acknowledged = list(whole_lines(output))
            messages = await history(store, f"w{number}")
            assert len(acknowledged) > 30
            assert {message.id for message in messages} == set(acknowledged)
            said = sorted(int(text_of(message.parts).split()[1].removeprefix("said")) for message in messages)
            assert said == list(range(len(messages)))
        report = await store.check(Done())
        assert (report.problems, report.repaired) == ((), ())
        await store.close(Done())

    asyncio.run(look())


def test_three_processes_write_at_once(tmp_path: Path) -> None:
    write_at_once(tmp_path, 3.0)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_three_processes_write_for_a_minute(tmp_path: Path) -> None:
    write_at_once(tmp_path, 60.0)


def test_processes_make_one_store(tmp_path: Path) -> None:
    """All find no file, and all want to make it."""
    writers = [start(tmp_path, f"w{i}", "single", 0.2) for i in range(5)]
    for writer in writers:
        _, error = writer.communicate(timeout=60)
        assert (writer.returncode, error) == (0, "")

    async def look() -> None:
        store = open_store(tmp_path)
        assert len((await store.find(SessionQuery())).sessions) == 5
        await store.close(Done())

    asyncio.run(look())


def test_nothing_acknowledged_is_lost_by_kill_9(tmp_path: Path) -> None:
    """Thirty rounds on one home, killed at random moments, also while the store is made and the index written."""
    pick = random.Random(5)
    acknowledged: dict[str, list[int]] = {}
    for number in range(30):
        session = f"k{number}"
        process = start(tmp_path, session, ("single", "together", "search")[number % 3])
        lines = read_until(process, pick.randrange(0, 200))
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate(timeout=30)
        assert process.returncode == -signal.SIGKILL
        acknowledged[session] = [int(line) for line in lines if line] + list(whole_lines(rest))

    async def look() -> None:
        store = open_store(tmp_path)
        for session, ids in acknowledged.items():
            found = {message.id for message in await history(store, session)}
            assert set(ids) <= found
        assert (await store.check(Done())).problems == ()
        hits = (await store.search(SearchQuery(text="said0", limit=100))).hits
        assert {hit.session_id for hit in hits} == {session for session, ids in acknowledged.items() if ids}
        await store.close(Done())

    asyncio.run(look())
    with sqlite3.connect(tmp_path / "state.db") as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    db.close()


def test_a_killed_making_leaves_a_home_that_works(tmp_path: Path) -> None:
    """Killed between starting Python and the first write: at worst a file without a store in it."""
    for number in range(12):
        home = tmp_path / str(number)
        home.mkdir()
        process = start(home, "k")
        deadline = time.monotonic() + 30
        while not (home / "state.db").exists() and time.monotonic() < deadline:
            pass
        for _ in range(number * 200):
            pass
        process.kill()
        process.communicate(timeout=30)

        async def look(home: Path = home) -> None:
            store = open_store(home)
            await store.create(NewSession(id="after", created=1.0, surface="cli", principal=LOCAL))
            assert (await store.check(Done())).problems == ()
            await store.close(Done())

        asyncio.run(look())


def test_a_killed_holders_lease_is_free_at_once(tmp_path: Path) -> None:
    process = start(tmp_path, "k")
    read_until(process, 3)

    async def run() -> None:
        store = open_store(tmp_path)
        mine = LeaseRequest(name="session:k", holder="me", seconds=60, pid=os.getpid(), boot=boot_id())
        refused = await store.lease(mine)
        assert not refused.granted
        assert refused.holder == "k"
        write = SessionWrite(session_id="k", holder="me", messages=(Message(role="user", parts=(TextPart("x"),)),))
        with pytest.raises(LeaseLost):
            await store.commit(write)
        process.kill()
        await asyncio.to_thread(os.waitid, os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert (await store.lease(mine)).granted, "dead, though its parent has not waited for it yet"
        await store.commit(write)
        await store.close(Done())

    if not boot_id():
        process.kill()
    asyncio.run(run())
    process.communicate(timeout=30)


def test_a_lease_of_another_boot_ends_by_time(tmp_path: Path) -> None:
    """Its process may live on another machine that shares the home."""
    now = 1_000.0

    async def run() -> None:
        nonlocal now
        store = open_store(tmp_path, clock=lambda: now)
        gone = LeaseRequest(name="n", holder="far", seconds=30, pid=2**22 - 1, boot="another")
        mine = LeaseRequest(name="n", holder="me", seconds=30, pid=os.getpid(), boot=boot_id())
        assert (await store.lease(gone)).expires == 1_030.0
        now = 1_029.9
        assert not (await store.lease(mine)).granted
        now = 1_030.0
        assert (await store.lease(mine)).granted
        await store.close(Done())

    asyncio.run(run())


def test_a_message_reaches_a_session_of_another_process(tmp_path: Path) -> None:
    async def run() -> None:
        one, two = open_store(tmp_path), open_store(tmp_path)
        await one.create(NewSession(id="s", created=1.0, surface="cli", principal=LOCAL))
        await two.enqueue(InboxMessage(session_id="s", text="hello", principal=LOCAL))
        assert (await one.stats(Done())).sessions == 1
        await one.close(Done())
        await two.close(Done())

    asyncio.run(run())
