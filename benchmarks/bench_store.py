"""The session store at its size: `python benchmarks/bench_store.py [MESSAGES] [--home FOLDER]`.

Prints each figure with its target, and next to it what bare sqlite3 needs for the same work in the same run:
the same rows into one plain table, the same texts into one plain FTS5 table. Ratios are time over bare time.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import random
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from hermes.contracts.messages import Message, TextPart, ToolResultPart
from hermes.contracts.scope import LOCAL
from hermes.contracts.store import (
    HistoryQuery,
    NewSession,
    SearchQuery,
    SessionQuery,
    SessionRef,
    SessionWrite,
)
from hermes.contracts.values import Done
from hermes.sessions.sqlite import SqliteStore, open_store

PER_SESSION = 50
HOLDER = "bench"
WRITER = "--writer-until"


class Corpus:
    """Texts as sessions have them: words by Zipf's law, names and numbers that occur once, some Chinese."""

    def __init__(self, seed: int = 7, words: int = 60_000) -> None:
        self.random = random.Random(seed)
        syllables = [a + b + c for a in "bcdfghlmnprstvw" for b in "aeiou" for c in ("", "n", "r", "s", "l")]
        chosen: dict[str, None] = {}
        while len(chosen) < words:
            chosen["".join(self.random.choices(syllables, k=self.random.choice((1, 2, 2, 3, 3, 4))))] = None
        self.words = list(chosen)
        self._weights = list(itertools.accumulate(1 / (rank + 3) for rank in range(words)))
        self._characters = [chr(0x4E00 + i) for i in range(2_500)]
        self._character_weights = list(itertools.accumulate(1 / (rank + 10) for rank in range(2_500)))

    def text(self, role: str) -> str:
        pick = self.random
        if pick.random() < 0.03:
            return "".join(pick.choices(self._characters, cum_weights=self._character_weights, k=pick.randint(10, 60)))
        low, high = {"user": (5, 40), "assistant": (15, 100), "tool": (10, 110)}[role]
        found = pick.choices(self.words, cum_weights=self._weights, k=pick.randint(low, high))
        if role == "tool":
            found[0] = f"/src/{found[0]}/{found[1]}_{pick.randrange(10**6):06x}.py:{pick.randrange(900)}"
        return " ".join(found)

    def messages(self, count: int) -> list[Message]:
        made = []
        for number in range(count):
            role = ("user", "assistant", "tool", "assistant")[number % 4]
            text = TextPart(self.text(role))
            part = ToolResultPart(call_id=f"c{number}", name="read_file", content=(text,)) if role == "tool" else text
            made.append(Message(role=role, parts=(part,), created=1.7e9 + number, seq=number + 1, turn_id="t1"))  # type: ignore[arg-type]
        return made


def report(
    name: str, value: float, unit: str, target: float | None = None, *, most: bool = False, note: str = ""
) -> None:
    """``most``: the target is an upper limit."""
    verdict = ""
    if target is not None:
        verdict = "PASS" if (value <= target if most else value >= target) else "MISS"
        verdict += f" ({'<=' if most else '>='} {target:,g})"
    print(f"{name:<52} {value:>12,.2f} {unit:<6} {verdict:<22} {note}", flush=True)


def bare(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=NORMAL")
    db.execute(
        "CREATE TABLE IF NOT EXISTS messages (id INTEGER PRIMARY KEY, session INT, parent INT, depth INT, role TEXT, "
        "created REAL, seq INT, turn TEXT, parts TEXT)"
    )
    db.execute("CREATE INDEX IF NOT EXISTS by_session ON messages(session)")
    return db


def bare_insert(db: sqlite3.Connection, session: int, first: int, messages: Sequence[Message]) -> None:
    db.execute("BEGIN IMMEDIATE")
    db.executemany(
        "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (first + i, session, first + i - 1, i, m.role, m.created, m.seq, m.turn_id, text_of(m))
            for i, m in enumerate(messages)
        ],
    )
    db.execute("COMMIT")


def text_of(message: Message) -> str:
    part = message.parts[0]
    inner = part.content[0] if isinstance(part, ToolResultPart) else part
    return inner.text if isinstance(inner, TextPart) else ""


async def fill(store: SqliteStore, folder: Path, count: int) -> int:
    """Returns the bytes of text."""
    corpus, plain = Corpus(), bare(folder / "bare.db")
    spent = plain_spent = 0.0
    size = 0
    for session in range(count // PER_SESSION):
        messages = corpus.messages(PER_SESSION)
        size += sum(len(text_of(message).encode()) for message in messages)
        session_id = f"s{session:07}"
        await store.create(NewSession(id=session_id, created=1.7e9 + session, surface="cli", principal=LOCAL))
        write = SessionWrite(session_id=session_id, holder=HOLDER, messages=tuple(messages))
        begun = time.perf_counter()
        await store.commit(write)
        middle = time.perf_counter()
        bare_insert(plain, session, session * PER_SESSION + 1, messages)
        spent += middle - begun
        plain_spent += time.perf_counter() - middle
    plain.close()
    report(
        f"appends in batches of {PER_SESSION}", count / spent, "/s", 100_000, note=f"{spent / plain_spent:.2f}x bare"
    )
    return size


async def one_by_one(store: SqliteStore, folder: Path, count: int = 20_000) -> None:
    await store.create(NewSession(id="single", created=1.7e9, surface="cli", principal=LOCAL))
    messages = Corpus(11, 5_000).messages(count)
    begun = time.perf_counter()
    for message in messages:
        await store.commit(SessionWrite(session_id="single", holder=HOLDER, messages=(message,)))
    spent = time.perf_counter() - begun
    plain = bare(folder / "bare.db")
    (first,) = plain.execute("SELECT max(id)+1 FROM messages").fetchone()
    begun = time.perf_counter()
    for number, message in enumerate(messages):
        bare_insert(plain, 10**7, first + number, (message,))
    plain_spent = time.perf_counter() - begun
    plain.close()
    report("appends one by one", count / spent, "/s", 10_000, note=f"{spent / plain_spent:.2f}x bare")
    wal = (folder / "state.db-wal").stat().st_size / 2**20
    report("WAL after that", wal, "MB", 64, most=True)


async def listings(store: SqliteStore, folder: Path) -> None:
    async def newest() -> None:
        await store.find(SessionQuery(limit=50))

    found = await store.find(SessionQuery(limit=50))
    sessions = (await store.stats(Done())).sessions
    await timed(f"50 newest of {sessions:,} sessions", newest, 200, 2)
    record = found.sessions[-1]

    async def history() -> None:
        await store.history(HistoryQuery(session_id=record.id))

    await timed(f"history of {record.message_count} messages", history, 100)


async def timed(name: str, work: Callable[[], Awaitable[None]], rounds: int, target: float | None = None) -> None:
    taken = []
    for _ in range(rounds):
        begun = time.perf_counter()
        await work()
        taken.append((time.perf_counter() - begun) * 1e3)
    report(name, statistics.median(taken), "ms", target, most=True, note=f"p99 {percentile(taken, 99):.2f} ms")


def percentile(values: Sequence[float], percent: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


async def opening(folder: Path) -> None:
    clean = [await open_once(folder) for _ in range(20)]
    report("open, clean", statistics.median(clean), "ms", 10, most=True, note=f"worst {max(clean):.2f} ms")
    killed = []
    for _ in range(5):
        writer = start_writer(folder, pause=0)
        await wait_for(folder / "state.db-wal", 3 << 20)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        killed.append(await open_once(folder))
    report("open, after a kill", statistics.median(killed), "ms", 50, most=True, note=f"worst {max(killed):.2f} ms")
    new = []
    for _ in range(10):
        with tempfile.TemporaryDirectory() as fresh:
            new.append(await open_once(Path(fresh)))
    report("open, a new home", statistics.median(new), "ms", 10, most=True, note=f"worst {max(new):.2f} ms")


async def wait_for(path: Path, size: int) -> None:
    deadline = time.monotonic() + 30
    while not path.exists() or path.stat().st_size < size:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{path} does not grow")
        await asyncio.sleep(0.01)


async def open_once(folder: Path) -> float:
    begun = time.perf_counter()
    store = open_store(folder)
    await store.find(SessionQuery(limit=1))
    spent = (time.perf_counter() - begun) * 1e3
    await store.close(Done())
    return spent


def start_writer(folder: Path, pause: float) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, __file__, WRITER, str(pause), "--home", str(folder)])


async def write_forever(folder: Path, pause: float) -> None:
    """Appends one message after another until it is killed, or its parent ends."""
    store, parent = open_store(folder), os.getppid()
    session_id = f"w{os.getpid()}"
    await store.create(NewSession(id=session_id, created=time.time(), surface="cli", principal=LOCAL))
    for message in itertools.cycle(Corpus(13, 5_000).messages(2_000)):
        await store.commit(SessionWrite(session_id=session_id, holder=HOLDER, messages=(message,)))
        if os.getppid() != parent:
            return
        if pause:
            await asyncio.sleep(pause)


async def indexing(store: SqliteStore, folder: Path, count: int, size: int) -> None:
    begun = time.perf_counter()
    while (await store.search(SearchQuery(text="anything"))).partial:  # noqa: ASYNC110 (another thread works)
        await asyncio.sleep(0.25)
    spent = time.perf_counter() - begun
    while await store.index_work():  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    whole = time.perf_counter() - begun
    plain = bare(folder / "bare.db")
    plain.execute("CREATE VIRTUAL TABLE docs USING fts5(text, content='')")
    begun = time.perf_counter()
    plain.execute("INSERT INTO docs(rowid, text) SELECT id, parts FROM messages")
    plain_spent = time.perf_counter() - begun
    plain.close()
    report(
        "index from nothing",
        whole,
        "s",
        60 * count / 1e6,
        most=True,
        note=f"{whole / plain_spent:.2f}x bare; ready for searches after {spent:.1f} s",
    )
    (index,) = (
        sqlite3.connect(folder / "index.db")
        .execute("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
        .fetchone()
    )
    report("index over text", index / size, "x", 0.8, most=True, note=f"{index / 2**20:.0f} of {size / 2**20:.0f} MB")


def queries(corpus: Corpus) -> dict[str, list[str]]:
    """Forty of each kind."""
    pick = random.Random(3)
    common, middle, rare = corpus.words[:60], corpus.words[200:2_000], corpus.words[20_000:40_000]

    def characters(length: int) -> str:
        return "".join(chr(0x4E00 + pick.randrange(200)) for _ in range(length))

    return {
        "word": [pick.choice(middle) for _ in range(40)],
        "rare word": [pick.choice(rare) for _ in range(40)],
        "frequent word": [pick.choice(common) for _ in range(40)],
        "three words": [" ".join(pick.sample(corpus.words[:500], 3)) for _ in range(40)],
        "phrase": [f'"{pick.choice(common)} {pick.choice(middle)}"' for _ in range(40)],
        "phrase of frequent words": [f'"{pick.choice(common)} {pick.choice(common)}"' for _ in range(40)],
        "prefix of 2": [f"{pick.choice(middle)[:2]}*" for _ in range(40)],
        "prefix of 4": [f"{pick.choice(corpus.words)[:4]}*" for _ in range(40)],
        "substring of 3": [f"*{pick.choice(middle)[-3:]}*" for _ in range(40)],
        "substring of 5": [f"*{pick.choice(rare)[-5:]}*" for _ in range(40)],
        "Chinese, 2": [characters(2) for _ in range(40)],
        "word in no message": [f"{pick.choice(rare)}zzq" for _ in range(40)],
    }


async def searching(store: SqliteStore, corpus: Corpus, situation: str, folder: Path) -> None:
    everything = []
    for kind, texts in queries(corpus).items():
        taken = []
        hits = partial = 0
        for text in texts if situation == "warm" else texts[:20]:
            begun = time.perf_counter()
            found = await store.search(SearchQuery(text=text))
            taken.append((time.perf_counter() - begun) * 1e3)
            hits += bool(found.hits)
            partial += found.partial
        everything += taken
        note = f"p99 {percentile(taken, 99):.1f} ms, {hits}/{len(taken)} found something, {partial} partial"
        if situation == "warm":
            note += f"; bare {bare_search(folder, kind, texts[:5]):.1f} ms"
        report(f"search, {situation}: {kind}", statistics.median(taken), "ms", note=note)
    report(f"search, {situation}: median of all", statistics.median(everything), "ms", 20, most=True)
    report(f"search, {situation}: p99 of all", percentile(everything, 99), "ms", 100, most=True)


def bare_search(folder: Path, kind: str, texts: Sequence[str]) -> float:
    """The median of plain FTS5 ranking everything; nan for what it cannot search."""
    if "substring" in kind or "Chinese" in kind or "no message" in kind:
        return float("nan")
    with bare(folder / "bare.db") as db:
        taken = []
        for text in texts:
            begun = time.perf_counter()
            db.execute("SELECT rowid FROM docs WHERE docs MATCH ? ORDER BY rank LIMIT 20", (text,)).fetchall()
            taken.append((time.perf_counter() - begun) * 1e3)
    return statistics.median(taken)


async def run(count: int, folder: Path) -> None:
    print(f"{count:,} messages, SQLite {sqlite3.sqlite_version}, Python {sys.version.split()[0]}")
    store = open_store(folder)
    size = await fill(store, folder, count)
    await one_by_one(store, folder)
    await listings(store, folder)
    await indexing(store, folder, count, size)
    corpus = Corpus()
    await searching(store, corpus, "cold", folder)
    await searching(store, corpus, "warm", folder)
    for name, pause in (("100 writes/s", 0.01), ("a writer at full speed", 0.0)):
        writer = start_writer(folder, pause)
        try:
            await searching(store, corpus, f"beside {name}", folder)
        finally:
            writer.kill()
            writer.wait()
    await store.get(SessionRef(session_id="single"))
    await store.close(Done())
    await opening(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("messages", nargs="?", type=int, default=1_000_000)
    parser.add_argument("--home", type=Path)
    parser.add_argument(WRITER, type=float, dest="pause", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.pause is not None:
        asyncio.run(write_forever(options.home, options.pause))
        return
    folder = options.home or Path(tempfile.mkdtemp(prefix="bench-store-"))
    try:
        asyncio.run(run(options.messages, folder))
    finally:
        if options.home is None:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
