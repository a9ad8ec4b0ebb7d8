"""Finds messages: the newest that match, ranked, grouped by session."""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from hermes.contracts.store import SearchHit, SearchQuery, SearchResult

from .index import Index
from .query import Piece, Plan, parse, plan
from .snippet import Highlighter, snippet
from .text import folded, searched_text

CANDIDATES = 2_000
RERANKED = 400
CHEAP_MESSAGES = 20_000
"""Exact bm25 walks through all messages that each piece occurs in; beyond so many the newest are ranked by us."""

FIRST_WINDOW = 50_000
LARGEST_WINDOW = 200_000
DEADLINE = 0.08
"""Seconds, after which no further window of messages is looked at."""

FRESH = 150
"""So many messages above the watermark are searched directly."""


@dataclass
class _Group:
    """What was found in one session."""

    score: float
    message: int
    hits: int = 0


@dataclass
class _Search:
    index: Index
    query: SearchQuery
    deadline: float
    session: int = 0
    partial: bool = False
    members: set[int] = field(default_factory=set)
    """The messages of ``session``, where only one is searched."""

    @property
    def state(self) -> sqlite3.Connection:
        return self.index.state


def search(index: Index, query: SearchQuery) -> SearchResult:
    """Needs an index that is nearly up to date: see `searcher`.

    Reads one snapshot of the store: SQLite forgets the pages that it has read whenever a new one is begun.
    """
    if index.state.in_transaction:
        return _search(index, query)
    index.state.execute("BEGIN")
    try:
        return _search(index, query)
    finally:
        index.state.rollback()


def _search(index: Index, query: SearchQuery) -> SearchResult:
    run = _Search(index, query, time.monotonic() + DEADLINE)
    if query.session_id and not _restrict(run):
        return SearchResult(hits=())
    pieces = parse(index, query.text)
    if not pieces:
        return SearchResult(hits=())
    indexed = plan(index, pieces, query.roles, table="docs")
    fresh = _fresh(run, pieces)
    run.partial |= index.unlisted() > 0 and any(piece.kind != "phrase" for piece in indexed.pieces)
    exact = not fresh and sum(indexed.messages) <= CHEAP_MESSAGES
    found = fresh + _newest(run, indexed)
    scores = None
    if exact and len(found) < CANDIDATES:
        scores = _bm25(run, indexed, found)
    elif found:
        found = found[:CANDIDATES]
        scores = _rerank(run, indexed, found[:RERANKED])
    groups = _group(run, found, scores or {})
    return SearchResult(hits=_hits(run, groups, indexed.pieces), partial=run.partial)


def _restrict(run: _Search) -> bool:
    row = run.state.execute("SELECT num FROM sessions WHERE id=?", (run.query.session_id,)).fetchone()
    if row is None:
        return False
    run.session = row[0]
    run.members = {number for (number,) in run.state.execute("SELECT id FROM messages WHERE session=?", row)}
    return bool(run.members)


def _fresh(run: _Search, pieces: Sequence[Piece]) -> list[int]:
    """Matches above the watermark, newest first."""
    index = run.index
    if not index.behind():
        return []
    documents = index.documents(index.meta("watermark"), FRESH + 1, newest_first=True)
    run.partial |= len(documents) > FRESH
    if not documents:
        return []
    index.load_fresh(documents[:FRESH])
    fresh = plan(index, pieces, run.query.roles, table="fresh")
    if not fresh.expression:
        return []
    rows = index.db.execute("SELECT rowid FROM temp.fresh WHERE fresh MATCH ? ORDER BY rowid DESC", (fresh.expression,))
    return [number for (number,) in rows if not run.members or number in run.members]


def _newest(run: _Search, indexed: Plan) -> list[int]:
    """The newest matches in the index, at most `CANDIDATES`. Looks at a window of messages at a time: FTS5
    cannot be stopped in the midst of a step.
    """
    if not indexed.expression:
        return []
    found: list[int] = []
    top = min(run.index.meta("watermark"), max(run.members, default=2**62))
    bottom = min(run.members, default=1)
    window = FIRST_WINDOW
    while top >= bottom and len(found) < CANDIDATES:
        if time.monotonic() > run.deadline:
            run.partial = True
            break
        rows = run.index.db.execute(
            "SELECT rowid FROM docs WHERE docs MATCH ? AND rowid BETWEEN ? AND ? ORDER BY rowid DESC LIMIT ?",
            (indexed.expression, max(top - window + 1, bottom), top, -1 if run.members else CANDIDATES - len(found)),
        )
        found += [number for (number,) in rows if not run.members or number in run.members]
        top -= window
        window = min(window * 2, LARGEST_WINDOW)
    return found


def _bm25(run: _Search, indexed: Plan, found: list[int]) -> dict[int, float]:
    if not found:
        return {}
    wanted = set(found)
    rows = run.index.db.execute(
        "SELECT rowid, -bm25(docs) FROM docs WHERE docs MATCH ? AND rowid BETWEEN ? AND ?",
        (indexed.expression, found[-1], found[0]),
    )
    return {number: score for number, score in rows if number in wanted}


def _rerank(run: _Search, indexed: Plan, found: list[int]) -> dict[int, float]:
    """bm25's formula over the texts themselves, and a bonus for the newer."""
    texts = {number: folded(text) for number, _, text in _documents(run, found)}
    if not texts:
        return {}
    total = max(run.index.meta("watermark"), 1)
    average = max(sum(map(len, texts.values())) / len(texts), 1.0)
    words = [
        (piece.tokens[0] if piece.kind != "phrase" else piece.tokens[-1], math.log(1 + total / (count + 1)))
        for piece, count in zip(indexed.pieces, indexed.messages, strict=True)
    ]
    scores = {}
    for place, number in enumerate(found):
        text = texts.get(number)
        if text is None:
            continue
        length = 1.2 * (0.25 + 0.75 * len(text) / average)
        score = 0.0
        for word, rarity in words:
            count = text.count(word)
            score += rarity * count * 2.2 / (count + length)
        scores[number] = score * (1.0 - 0.25 * place / len(found))
    return scores


def _documents(run: _Search, ids: Sequence[int]) -> list[tuple[int, str, str]]:
    rows = run.state.execute(
        "SELECT m.id, m.role, m.parts, (SELECT a.parts FROM amendments a WHERE a.message=m.id "
        "AND a.kind='replacement' ORDER BY a.id DESC LIMIT 1) "
        "FROM json_each(?) CROSS JOIN messages m ON m.id=value",
        (repr(list(ids)),),
    )
    return [(number, role, searched_text(parts, replaced)) for number, role, parts, replaced in rows]


def _group(run: _Search, found: list[int], scores: dict[int, float]) -> list[_Group]:
    """By session, the best first. What is in the index but no more in the store is left out."""
    rows = run.state.execute(
        "SELECT m.id, m.session FROM json_each(?) CROSS JOIN messages m ON m.id=value", (repr(found),)
    )
    groups: dict[int, _Group] = {}
    for number, session in rows:
        score = scores.get(number, 0.0)
        group = groups.get(session)
        if group is None:
            group = groups[session] = _Group(score, number)
        elif score > group.score:
            group.score, group.message = score, number
        group.hits += 1
    ranked = sorted(groups.values(), key=lambda group: (-group.score, -group.message))
    return ranked[: run.query.limit]


def _hits(run: _Search, groups: list[_Group], pieces: Sequence[Piece]) -> tuple[SearchHit, ...]:
    texts = {number: text for number, _, text in _documents(run, [group.message for group in groups])}
    highlighter = Highlighter(pieces)
    hits = []
    for group in groups:
        row = run.state.execute(
            "SELECT s.id, s.title, m.role, m.created FROM messages m JOIN sessions s ON s.num=m.session WHERE m.id=?",
            (group.message,),
        ).fetchone()
        if row is not None:
            hits.append(
                SearchHit(
                    session_id=row[0],
                    title=row[1],
                    message_id=group.message,
                    role=row[2],
                    created=row[3],
                    snippet=snippet(texts.get(group.message, ""), highlighter),
                    hits=group.hits,
                )
            )
    return tuple(hits)
