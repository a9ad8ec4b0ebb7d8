"""What models write between tags in their text: thoughts, and calls of tools."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

Kind = Literal["text", "thinking", "call"]

THINK, THINK_END = "<think>", "</think>"
CALL, CALL_END = "<tool_call>", "</tool_call>"


class Said(NamedTuple):
    kind: Kind
    text: str


class Tags:
    """Takes text cut anywhere, and gives it without the tags.

    ``<think>`` counts at the beginning of an answer alone, where it is no word of the text; calls count anywhere, and
    come whole. Blanks around both are left out, unless text stands before and after them.
    """

    def __init__(self, *, thinking: bool, calls: bool) -> None:
        self._inside: Kind = "text"
        self._may_think = thinking
        self._calls = calls
        self._rest = ""
        self._skip_blanks = False
        self._spoken = False
        self._gap = ""
        """Blanks between a text and the calls after it, for the text that may follow."""

    def feed(self, text: str) -> Iterator[Said]:
        self._rest += text
        step = True
        while step:
            before = (self._inside, len(self._rest))
            match self._inside:
                case "text":
                    said = self._text()
                case "thinking":
                    said = self._upto("thinking", THINK_END)
                case "call":
                    said = self._upto("call", CALL_END)
            if said.text or said.kind == "call":
                yield said
            step = (self._inside, len(self._rest)) != before

    def finish(self) -> Iterator[Said]:
        """The answer has ended: what was held back, also a call that was not closed."""
        if self._rest:
            yield Said(self._inside, self._rest)
        self._rest = ""

    def _text(self) -> Said:
        if self._may_think:
            begun = self._rest.lstrip()
            if begun.startswith(THINK):
                self._enter("thinking", begun[len(THINK) :])
                return Said("text", "")
            if THINK.startswith(begun):
                return Said("text", "")
            self._may_think = False
        if self._skip_blanks:
            self._rest = self._rest.lstrip()
            if self._rest != CALL and CALL.startswith(self._rest):
                return Said("text", "")
            self._skip_blanks = False
            if not self._rest.startswith(CALL):
                self._rest, self._gap = self._gap + self._rest, ""
        if not self._calls:
            return self._take(len(self._rest))
        place = self._rest.find(CALL)
        if place < 0:
            return self._take(_certain(self._rest, CALL))
        before = self._rest[:place]
        said = Said("text", before.rstrip())
        self._spoken = self._spoken or bool(said.text)
        if self._spoken:
            self._gap = before[len(said.text) :] or self._gap
        self._enter("call", self._rest[place + len(CALL) :])
        return said

    def _upto(self, kind: Kind, end: str) -> Said:
        place = self._rest.find(end)
        if place >= 0:
            said = Said(kind, self._rest[:place])
            self._enter("text", self._rest[place + len(end) :])
            self._skip_blanks = True
            return said
        if kind == "call":
            return Said("text", "")
        return self._take(_certain(self._rest, end))

    def _enter(self, kind: Kind, rest: str) -> None:
        self._inside, self._rest, self._may_think = kind, rest, False

    def _take(self, length: int) -> Said:
        said, self._rest = Said(self._inside, self._rest[:length]), self._rest[length:]
        self._spoken = self._spoken or (self._inside == "text" and length > 0)
        return said


def _certain(text: str, tag: str) -> int:
    """How much of ``text`` can be no part of ``tag``, nor blanks before it."""
    length = len(text)
    for size in range(min(len(tag) - 1, length), 0, -1):
        if tag.startswith(text[length - size :]):
            length -= size
            break
    return len(text[:length].rstrip())
