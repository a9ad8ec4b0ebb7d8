"""What a search asks for: words, "phrases", prefixes* and *substrings*; all must occur."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .index import LONGEST_TERM, ROLES, Index
from .text import CJK, CJK_RUN

EXPANSION = 48
"""A prefix or substring stands for so many terms at most, the commonest."""

GRAM_MATCHES = 2_000

_PIECE = re.compile(r'"([^"]*)"\*?|(\S+)')
_BORDER = re.compile(f"(?<=[{CJK}])(?=[^{CJK}])|(?<=[^{CJK}])(?=[{CJK}])")

Kind = Literal["phrase", "prefix", "substring"]


@dataclass(frozen=True)
class Piece:
    """Something that must occur. ``tokens`` as the index has them; a phrase of one is a word."""

    kind: Kind
    tokens: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """``expression`` is FTS5's; blank: nothing can match. ``messages``: in how many each piece occurs, about."""

    pieces: tuple[Piece, ...]
    expression: str
    messages: tuple[int, ...]


def parse(index: Index, text: str) -> tuple[Piece, ...]:
    """Punctuation means nothing, but for quotes and stars: no text is an error."""
    pieces: list[Piece] = []
    for match in _PIECE.finditer(text.replace("\0", " ")):
        quoted, word = match[1], match[2]
        if quoted is not None:
            pieces += _split(index, quoted, "phrase")
        else:
            kind: Kind = "phrase"
            if word.startswith("*") and len(word.strip("*")) > 2:
                kind = "substring"
            elif word.endswith("*"):
                kind = "prefix"
            pieces += _split(index, word, kind)
    return tuple(dict.fromkeys(pieces))


def _split(index: Index, text: str, kind: Kind) -> list[Piece]:
    """At the borders of scripts, where the index has no phrases."""
    pieces = []
    for stretch in _BORDER.split(text):
        if CJK_RUN.match(stretch):
            pairs = tuple(stretch[i : i + 2] for i in range(len(stretch) - 1))
            pieces.append(Piece("phrase", pairs) if pairs else Piece("prefix", (stretch,)))
            continue
        tokens = tuple(index.tokens(stretch))
        if kind == "phrase" and tokens:
            pieces.append(Piece("phrase", tokens))
        elif tokens:
            pieces += [Piece("phrase", (token,)) for token in tokens[:-1]]
            pieces.append(Piece(kind if len(tokens[-1]) > 2 or kind == "prefix" else "prefix", tokens[-1:]))
    return pieces


def plan(index: Index, pieces: Sequence[Piece], roles: Sequence[str], *, table: str) -> Plan:
    """``table``: ``docs``, or ``fresh`` for what `Index.load_fresh` put there."""
    terms = ("terms", "messages") if table == "docs" else ("temp.fresh_terms", "doc")
    used: list[Piece] = []
    conditions: list[str] = []
    counts: list[int] = []
    for piece in pieces:
        if piece.kind == "phrase":
            count = min(_occurrences(index, token, *terms) for token in piece.tokens)
            if count or len(piece.tokens) > 1 or not _may_be_part(piece.tokens[0]):
                used.append(piece)
                conditions.append(_quoted(" ".join(piece.tokens)))
                counts.append(count)
                continue
            piece = Piece("substring", piece.tokens)
        found = _expand(index, piece, *terms)
        used.append(piece)
        conditions.append(f"({' OR '.join(_quoted(term) for term, _ in found)})" if found else "")
        counts.append(sum(count for _, count in found))
    if not all(conditions):
        return Plan(tuple(used), "", tuple(counts))
    expression = " AND ".join(conditions)
    columns = [role for role in ROLES if role in roles] if roles else list(ROLES)
    if len(columns) < len(ROLES):
        expression = f"{{{' '.join(columns)}}} : ({expression})" if columns else ""
    return Plan(tuple(used), expression, tuple(counts))


def _may_be_part(token: str) -> bool:
    """Whether a word that does not occur is looked for within others."""
    return 2 < len(token) <= LONGEST_TERM and not CJK_RUN.match(token)


def _occurrences(index: Index, token: str, table: str, count: str) -> int:
    row = index.db.execute(f"SELECT {count} FROM {table} WHERE term=?", (token,)).fetchone()
    return row[0] if row else 0


def _expand(index: Index, piece: Piece, table: str, count: str) -> list[tuple[str, int]]:
    """The commonest terms that a prefix or a substring stands for."""
    token = piece.tokens[0]
    if piece.kind == "prefix":
        rows = index.db.execute(
            f"SELECT term, {count} FROM {table} WHERE term>=? AND term<? ORDER BY {count} DESC LIMIT ?",
            (token, token + "\U0010ffff", EXPANSION),
        )
    elif table == "terms":
        grams = " AND ".join(_quoted(token[i : i + 3]) for i in range(len(token) - 2))
        rows = index.db.execute(
            "SELECT term, messages FROM (SELECT rowid AS number FROM grams WHERE grams MATCH ? ORDER BY rowid LIMIT ?) "
            "CROSS JOIN terms ON id=number WHERE instr(term, ?) ORDER BY messages DESC LIMIT ?",
            (grams, GRAM_MATCHES, token, EXPANSION),
        )
    else:
        rows = index.db.execute(
            f"SELECT term, {count} FROM {table} WHERE instr(term, ?) ORDER BY {count} DESC LIMIT ?", (token, EXPANSION)
        )
    return rows.fetchall()


def _quoted(text: str) -> str:
    doubled = text.replace('"', '""')
    return f'"{doubled}"'
