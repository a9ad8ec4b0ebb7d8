"""Finding the passage that a patch means, and replacing it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from typing import NamedTuple

from hermes.contracts.errors import ToolError

_PLAIN = str.maketrans(
    {"‘": "'", "’": "'", "‚": "'", "“": '"', "”": '"', "„": '"', "–": "-", "—": "-", "−": "-", "\u2011": "-"}
    | {"\u00a0": " ", "\u2009": " ", "\u202f": " ", "…": "..."}
)
MAX_COMPARED = 5000
"""Lines of a file that are compared for the closest passage."""


class Span(NamedTuple):
    start: int
    end: int
    indent: str | None = None
    """How the first line of the passage is indented, where that is not as it was given."""


def _ends(line: str) -> str:
    return line.rstrip()


def _typography(line: str) -> str:
    return line.translate(_PLAIN).rstrip()


def _indentation(line: str) -> str:
    return line.translate(_PLAIN).strip()


def _spacing(line: str) -> str:
    return re.sub(r"\s+", " ", line.translate(_PLAIN)).strip()


_STRATEGIES: tuple[Callable[[str], str], ...] = (str, _ends, _typography, _indentation, _spacing)


def find(text: str, old: str, start: int = 0, *, whole_lines: bool = False) -> list[Span]:
    """Where ``old`` is in ``text`` from ``start`` on: exactly; else by lines, ever less strictly.

    The first way that finds anything decides. Lines are matched whole: ends, then typographic quotes and dashes,
    then indentation, then all white space are taken as equal.
    """
    found, at = [], -1 if whole_lines else text.find(old, start)
    while at >= 0:
        found.append(Span(at, at + len(old)))
        at = text.find(old, at + len(old))
    if found or (not old.strip() and not whole_lines):
        return found
    lines, offsets = _lines(text)
    wanted = old.removesuffix("\n").split("\n")
    for key in _STRATEGIES:
        if spans := _by_lines(lines, offsets, wanted, key, start):
            return spans
    return []


def _lines(text: str) -> tuple[list[str], list[int]]:
    lines = text.split("\n")
    offsets = [0]
    for line in lines:
        offsets.append(offsets[-1] + len(line) + 1)
    return lines, offsets


def _by_lines(
    lines: list[str], offsets: list[int], wanted: list[str], key: Callable[[str], str], start: int
) -> list[Span]:
    keys, sought = [key(line) for line in lines], [key(line) for line in wanted]
    found: list[Span] = []
    at = 0
    while at + len(sought) <= len(keys):
        if offsets[at] >= start and keys[at] == sought[0] and keys[at : at + len(sought)] == sought:
            first = next((i for i, line in enumerate(wanted) if line.strip()), 0)
            here, there = _indent(lines[at + first]), _indent(wanted[first])
            end = offsets[at + len(sought)] - 1
            found.append(Span(offsets[at], end, here if here != there else None))
            at += len(sought)
        else:
            at += 1
    return found


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def replacement(text: str, span: Span, old: str, new: str) -> str:
    """What comes in the place of ``span``: ``new``, indented as the passage is."""
    if text[span.start : span.end] == old:
        return new
    if old.endswith("\n") and new.endswith("\n"):
        new = new[:-1]
    if span.indent is None:
        return new
    first = next((line for line in old.split("\n") if line.strip()), "")
    given = _indent(first)
    shifted = [
        span.indent + line[len(given) :] if line.strip() and line.startswith(given) else line
        for line in new.split("\n")
    ]
    return "\n".join(shifted)


def replace(text: str, old: str, new: str, *, every: bool, path: str) -> str:
    """``text`` with the passage replaced.

    Raises:
        ToolError: it is not there, or in several places; the message shows what is.
    """
    if not old:
        raise ToolError("old is empty. Give the passage to replace; write_file writes whole files.")
    if old == new:
        raise ToolError("old and new are the same: there is nothing to change.")
    spans = find(text, old)
    if not spans:
        raise ToolError(f"The passage is not in {path}.{closest(text, old)}")
    if len(spans) > 1 and not every:
        lines = ", ".join(str(text.count("\n", 0, span.start) + 1) for span in spans[:20])
        raise ToolError(
            f"The passage is {len(spans)} times in {path}, at lines {lines}. Give more of what is around it, "
            "or replace_all=true."
        )
    for span in reversed(spans):
        text = text[: span.start] + replacement(text, span, old, new) + text[span.end :]
    return text


def closest(text: str, old: str) -> str:
    """The passage that is most like ``old``, with line numbers; blank when none is like it."""
    lines = text.split("\n")[:MAX_COMPARED]
    wanted = [line.strip() for line in old.strip("\n").split("\n")]
    anchor = max(range(len(wanted)), key=lambda i: len(wanted[i]))
    matcher = difflib.SequenceMatcher(autojunk=False)
    matcher.set_seq2(wanted[anchor])
    best, score = -1, 0.6
    for number, line in enumerate(lines):
        matcher.set_seq1(line.strip())
        if matcher.real_quick_ratio() > score and matcher.quick_ratio() > score and (ratio := matcher.ratio()) > score:
            best, score = number, ratio
    if best < 0:
        return " Read the file to see what is."
    first = max(0, best - anchor)
    shown = lines[first : first + min(len(wanted), 30)]
    numbered = "\n".join(f"{first + 1 + i}|{line[:300]}" for i, line in enumerate(shown))
    return f" The closest is:\n{numbered}"
