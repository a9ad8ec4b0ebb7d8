"""Output as a model reads it: without colours, its middle cut when it is long."""

from __future__ import annotations

import re
from collections import deque

LIMIT = 49_000
"""Characters of output kept in a result: with what is said around it, under the kernel's 50,000."""

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")


class Clip:
    """Takes text in pieces and keeps its head (40 %) and its tail (60 %), whatever its length."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._head_room = limit * 2 // 5
        self._tail_room = limit - self._head_room
        self._head: list[str] = []
        self._tail: deque[str] = deque()
        self._tail_length = 0
        self._total = 0

    def add(self, text: str) -> None:
        self._total += len(text)
        taken = text[: self._head_room]
        if taken:
            self._head.append(taken)
            self._head_room -= len(taken)
            text = text[len(taken) :]
        if text:
            self._tail.append(text)
            self._tail_length += len(text)
            while self._tail_length - len(self._tail[0]) >= self._tail_room:
                self._tail_length -= len(self._tail.popleft())

    def text(self) -> str:
        tail = "".join(self._tail)
        cut = len(tail) - self._tail_room
        head = "".join(self._head)
        lost = self._total - len(head) - min(len(tail), self._tail_room)
        if cut > 0:
            tail = tail[cut:]
        if not lost:
            return _ESCAPES.sub("", head + tail)
        return _ESCAPES.sub("", f"{head}\n[… {lost:,} characters cut …]\n{tail}")


def clip(text: str, limit: int = LIMIT) -> str:
    clipped = Clip(limit)
    clipped.add(text)
    return clipped.text()


def last_lines(text: str, count: int) -> str:
    """The last lines of ``text``, at most 4,000 characters of them."""
    return "\n".join(clip(text[-8000:], 8000).rstrip("\n").rsplit("\n", count)[-count:])[-4000:]
