"""The place in a text that a search found, with what it found between ``**``."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .query import Piece
from .text import CJK_RUN, folded

WIDTH = 160
LEAD = 40
LOOKED_AT = 200_000
"""Characters of a message that are looked through."""


class Highlighter:
    """Finds what the pieces of a query stand for, in a folded text."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._pattern = re.compile("|".join(f"({_pattern(piece)})" for piece in pieces) or r"(?!)")

    def spans(self, text: str) -> list[tuple[int, int, int]]:
        """Start, end and number of the piece."""
        return [(found.start(), found.end(), found.lastindex or 0) for found in self._pattern.finditer(text)]


def _pattern(piece: Piece) -> str:
    tokens = [re.escape(token) for token in piece.tokens]
    if CJK_RUN.match(piece.tokens[0]):
        return tokens[0] + "".join(token[-1:] for token in piece.tokens[1:])
    if piece.kind == "substring":
        return tokens[0]
    words = r"[\W_]+".join(tokens)
    start = r"(?<![^\W_])"
    return f"{start}{words}[^\\W_]*" if piece.kind == "prefix" else f"{start}{words}(?![^\\W_])"


def snippet(text: str, highlighter: Highlighter) -> str:
    """About `WIDTH` characters, on one line, around where most of the pieces are close together."""
    text = text[:LOOKED_AT]
    spans = highlighter.spans(folded(text))
    first = _densest(spans) if spans else 0
    begin = max(0, first - LEAD)
    if begin:
        begin = text.find(" ", begin, first) + 1 or begin
    end = min(len(text), begin + WIDTH)
    out, place = ["…"] if begin else [], begin
    for start, stop in _joined(spans):
        if start >= begin and stop <= end:
            out += [text[place:start], "**", text[start:stop], "**"]
            place = stop
    out += [text[place:end], "…" if end < len(text) else ""]
    return " ".join("".join(out).split())


def _densest(spans: Sequence[tuple[int, int, int]]) -> int:
    best, most = spans[0][0], 0
    for i, (start, _, _) in enumerate(spans[:200]):
        near = {piece for begin, stop, piece in spans[i : i + 20] if stop <= start + WIDTH - LEAD}
        if len(near) > most:
            best, most = start, len(near)
    return best


def _joined(spans: Sequence[tuple[int, int, int]]) -> list[tuple[int, int]]:
    """Those that touch as one."""
    joined: list[tuple[int, int]] = []
    for start, stop, _ in spans:
        if joined and joined[-1][1] == start:
            start = joined.pop()[0]
        joined.append((start, stop))
    return joined
