"""The full-text index, ``index.db``: made from ``state.db``, thrown away whenever it does not fit it.

``docs`` is a contentless FTS5 table with a column for each role; ``terms`` has every term with the number of
messages it is in, and ``grams`` the trigrams of the terms, for prefixes and substrings. Each batch is written
in one transaction with the watermark, the id of the newest message that is indexed. The two files are never
attached to one connection: a transaction would lock both.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from .failure import is_busy, is_damaged
from .migrations import BUSY_SECONDS, begin, begin_unless_busy, use_wal
from .text import searched_text, with_bigrams

VERSION = 1
BATCH = 200
LONGEST_TERM = 64
MANY = 20_000
"""From so many messages on it is quicker to count all terms than to list the new ones."""

GROWTH = 1.25
"""How much the index grows until the frequencies of its terms are counted anew."""

TOKENIZER = 'tokenize="unicode61 remove_diacritics 2"'
ROLES = ("assistant", "user", "tool")
"""The columns, the one with most words first: entries of the first column take two bytes less."""

COLUMNS = ", ".join(ROLES)

_SCHEMA = f"""
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE VIRTUAL TABLE docs USING fts5({COLUMNS}, content='', {TOKENIZER});
CREATE VIRTUAL TABLE vocabulary USING fts5vocab(docs, row);
CREATE TABLE terms (id INTEGER PRIMARY KEY, term TEXT NOT NULL, messages INTEGER NOT NULL);
CREATE INDEX terms_by_term ON terms(term, messages);
CREATE VIRTUAL TABLE grams USING fts5(term, content='', columnsize=0, detail=none, tokenize=trigram);
"""

_TEMPORARY = f"""
CREATE VIRTUAL TABLE temp.fresh USING fts5({COLUMNS}, content='', {TOKENIZER});
CREATE VIRTUAL TABLE temp.fresh_terms USING fts5vocab(temp, fresh, row);
CREATE VIRTUAL TABLE temp.probe USING fts5(text, content='', {TOKENIZER});
CREATE VIRTUAL TABLE temp.probe_tokens USING fts5vocab(temp, probe, instance);
"""

_INSERT = f"INSERT INTO {{}}(rowid, {COLUMNS}) VALUES (?, ?, ?, ?)"
_DELETE = f"INSERT INTO docs(docs, rowid, {COLUMNS}) VALUES ('delete', ?, ?, ?, ?)"

Document = tuple[int, str, str]
"""Of a message: its id, role and searched text."""


class Index:
    """One connection to the index, for one thread at a time. ``state`` reads ``state.db``."""

    def __init__(self, path: Path | None, state: sqlite3.Connection) -> None:
        self.path = path
        self.state = state
        self.db = sqlite3.connect(":memory:")
        self._inode = 0
        self.reopen()

    def reopen(self) -> None:
        """Opens the file; one that is damaged, or was not made from this store, is thrown away."""
        self.db.close()
        try:
            self._connect()
            if self._fits():
                return
        except sqlite3.DatabaseError as error:
            if not is_damaged(error):
                raise
        self.rebuild()

    def rebuild(self) -> None:
        """Throws the index away; it is filled again by `advance`."""
        self.db.close()
        if self.path is not None:
            for suffix in ("", "-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        self._connect()

    def is_gone(self) -> bool:
        """Whether somebody has thrown the file away, and perhaps made another."""
        if self.path is None:
            return False
        try:
            return self.path.stat().st_ino != self._inode
        except FileNotFoundError:
            return True

    def _connect(self) -> None:
        if self.path is not None:
            # Only one that is new: closing a descriptor of a file in use would end SQLite's locks on it.
            with contextlib.suppress(FileExistsError):
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        db = sqlite3.connect(
            self.path or ":memory:", timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        self.db = db
        db.execute("PRAGMA synchronous=NORMAL")
        db.execute("PRAGMA temp_store=MEMORY")
        db.execute("PRAGMA cache_size=-32000")
        db.execute("PRAGMA journal_size_limit=16777216")
        db.execute("PRAGMA secure_delete=OFF")
        if self.path is not None:
            use_wal(db)
        begin(db)
        if not db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
            for statement in _SCHEMA.split(";\n"):
                if statement.strip():
                    db.execute(statement)
            values = {"version": VERSION, "store_id": self._store_id(), "watermark": 0, "amended": 0}
            values |= {"counted": 0, "listed": 0}
            db.executemany("INSERT INTO meta VALUES (?, ?)", values.items())
        db.execute("COMMIT")
        db.executescript(_TEMPORARY)
        db.execute("PRAGMA busy_timeout=0")
        if self.path is not None:
            self._inode = self.path.stat().st_ino

    def _store_id(self) -> str:
        found: str = self.state.execute("SELECT value FROM meta WHERE key='store_id'").fetchone()[0]
        return found

    def _fits(self) -> bool:
        """Whether it was made from this store, by this version, and not from a later state of it."""
        try:
            meta = dict(self.db.execute("SELECT key, value FROM meta"))
        except sqlite3.OperationalError as error:
            if is_busy(error):
                raise
            return False
        if meta.get("version") != VERSION or meta.get("store_id") != self._store_id():
            return False
        return bool(meta["watermark"] <= newest_message(self.state))

    def close(self) -> None:
        self.db.close()

    def meta(self, key: str) -> int:
        value: int = self.db.execute("SELECT value FROM meta WHERE key=?", (key,)).fetchone()[0]
        return value

    def _set_meta(self, **values: int) -> None:
        self.db.executemany("UPDATE meta SET value=? WHERE key=?", [(value, key) for key, value in values.items()])

    def behind(self) -> int:
        """How many ids there are above the watermark; at least the number of messages to be indexed."""
        return newest_message(self.state) - self.meta("watermark")

    def advance(self) -> int:
        """Indexes the next messages. Returns how many; 0: there is none, or another connection is at it."""
        if not begin_unless_busy(self.db):
            return 0
        try:
            self._apply_amendments()
            documents = self.documents(self.meta("watermark"), BATCH)
            if documents:
                self.db.executemany(_INSERT.format("docs"), _rows(documents))
                self._set_meta(watermark=documents[-1][0])
            self.db.execute("COMMIT")
        except BaseException:
            self.db.rollback()
            raise
        return len(documents)

    def unlisted(self) -> int:
        """How many indexed messages there are, at most, whose terms are not listed."""
        return self.meta("watermark") - self.meta("listed")

    def list_terms(self) -> int:
        """Lists the terms of the next messages; how often known ones occur is counted later, by `count_terms`.

        Returns for how many messages; 0: there is none, or another connection is at it.
        """
        if not begin_unless_busy(self.db):
            return 0
        try:
            listed, watermark = self.meta("listed"), self.meta("watermark")
            documents = [found for found in self.documents(listed, BATCH) if found[0] <= watermark]
            if documents:
                self.load_fresh(documents)
                self._list_fresh_terms()
            if listed < watermark:
                self._set_meta(listed=documents[-1][0] if len(documents) == BATCH else watermark)
            self.db.execute("COMMIT")
        except BaseException:
            self.db.rollback()
            raise
        return len(documents)

    def documents(self, after: int, limit: int, *, newest_first: bool = False) -> list[Document]:
        """The messages above an id, as they are to be indexed."""
        order = "DESC" if newest_first else "ASC"
        rows = self.state.execute(
            f"SELECT id, role, parts FROM messages WHERE id>? ORDER BY id {order} LIMIT ?", (after, limit)
        ).fetchall()
        replaced = self._replacements(min(row[0] for row in rows), max(row[0] for row in rows)) if rows else {}
        return [(row[0], row[1], searched_text(row[2], replaced.get(row[0]))) for row in rows]

    def _replacements(self, first: int, last: int) -> dict[int, str]:
        """Texts that were put in the place of messages' own, as far as the index knows of them."""
        return dict(
            self.state.execute(
                "SELECT message, parts FROM amendments WHERE message BETWEEN ? AND ? AND kind='replacement' "
                "AND id<=? ORDER BY id",
                (first, last, self.meta("amended")),
            )
        )

    def _apply_amendments(self) -> None:
        """Indexes messages anew whose text was replaced after they were indexed."""
        amended, watermark = self.meta("amended"), self.meta("watermark")
        rows = self.state.execute(
            "SELECT id, message FROM amendments WHERE id>? AND kind='replacement' ORDER BY id LIMIT ?",
            (amended, BATCH),
        ).fetchall()
        for number, message in rows:
            if message <= watermark:
                old = self.documents(message - 1, 1)
                self._set_meta(amended=number)
                self._replace(old, self.documents(message - 1, 1))
        if rows:
            self._set_meta(amended=rows[-1][0])

    def _replace(self, old: Sequence[Document], new: Sequence[Document]) -> None:
        if self._delete(old):
            self.db.executemany(_INSERT.format("docs"), _rows(new))
            self.load_fresh(new)
            self._list_fresh_terms()

    def _delete(self, documents: Iterable[Document]) -> int:
        """FTS5 forgets a document when it is told its text, which must be what was indexed."""
        known = [
            document
            for document in documents
            if self.db.execute("SELECT 1 FROM docs_docsize WHERE id=?", (document[0],)).fetchone()
        ]
        self.db.executemany(_DELETE, _rows(known))
        return len(known)

    def forget(self, ids: Sequence[int]) -> None:
        """Takes messages out that are about to be deleted; they must be in ``state.db`` still."""
        for start in range(0, len(ids), BATCH):
            begin(self.db)
            try:
                for number in ids[start : start + BATCH]:
                    self._delete(document for document in self.documents(number - 1, 1) if document[0] == number)
                self.db.execute("COMMIT")
            except BaseException:
                self.db.rollback()
                raise

    def load_fresh(self, documents: Sequence[Document]) -> None:
        """Puts messages into a table of this connection's own, which is searched as the index is."""
        self.db.execute("INSERT INTO temp.fresh(fresh) VALUES ('delete-all')")
        self.db.executemany(_INSERT.format("temp.fresh"), _rows(documents))

    def _list_fresh_terms(self) -> None:
        """Lists the terms in ``fresh`` that are new; how often the others occur is counted later."""
        found = self.db.execute(
            "INSERT INTO terms (term, messages) SELECT term, doc FROM temp.fresh_terms f WHERE length(term)<=? "
            "AND NOT EXISTS (SELECT 1 FROM terms t WHERE t.term=f.term) ORDER BY doc DESC RETURNING id, term",
            (LONGEST_TERM,),
        ).fetchall()
        self.db.executemany("INSERT INTO grams (rowid, term) VALUES (?, ?)", found)

    def counting_is_due(self) -> bool:
        return self.unlisted() > MANY or self.meta("watermark") > self.meta("counted") * GROWTH

    def count_terms(self) -> None:
        """Lists all terms anew, the commonest first, so that low ids are common terms. Not while another connection
        is writing: it is due again then.
        """
        if not begin_unless_busy(self.db):
            return
        try:
            self.db.execute("DELETE FROM terms")
            self.db.execute("INSERT INTO grams(grams) VALUES ('delete-all')")
            self.db.execute(
                "INSERT INTO terms (term, messages) SELECT term, doc FROM vocabulary WHERE length(term)<=? "
                "ORDER BY doc DESC",
                (LONGEST_TERM,),
            )
            self.db.execute("INSERT INTO grams (rowid, term) SELECT id, term FROM terms WHERE length(term)>2")
            watermark = self.meta("watermark")
            self._set_meta(counted=watermark, listed=watermark)
            self.db.execute("COMMIT")
        except BaseException:
            self.db.rollback()
            raise

    def tokens(self, text: str) -> list[str]:
        """What the index makes of a text."""
        self.db.execute("INSERT INTO temp.probe(probe) VALUES ('delete-all')")
        self.db.execute("INSERT INTO temp.probe(rowid, text) VALUES (1, ?)", (text,))
        return [row[0] for row in self.db.execute("SELECT term FROM temp.probe_tokens ORDER BY offset")]

    def problem(self) -> str:
        """What does not fit the store, in words; blank: nothing."""
        try:
            self.db.execute("INSERT INTO docs(docs, rank) VALUES ('integrity-check', 0)")
            (indexed,) = self.db.execute("SELECT count(*) FROM docs_docsize").fetchone()
        except sqlite3.DatabaseError as error:
            if is_busy(error):
                return ""
            return f"is damaged ({error})"
        watermark = self.meta("watermark")
        (stored,) = self.state.execute("SELECT count(*) FROM messages WHERE id<=?", (watermark,)).fetchone()
        if watermark > newest_message(self.state) or indexed != stored:
            return f"has {indexed} messages where the store has {stored}"
        return ""


def newest_message(state: sqlite3.Connection) -> int:
    """The greatest id that was ever given to a message, or nearly so."""
    found: int = state.execute(
        "SELECT max(ifnull((SELECT max(id) FROM messages), 0),"
        " ifnull((SELECT value FROM meta WHERE key='last_message'), 0))"
    ).fetchone()[0]
    return found


def _rows(documents: Sequence[Document]) -> list[tuple[Any, ...]]:
    rows = []
    for number, role, text in documents:
        text = with_bigrams(text)
        rows.append((number, *(text if role == column else None for column in ROLES)))
    return rows
