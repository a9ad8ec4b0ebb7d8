"""Patches of several files in one text, in the form that begins with ``*** Begin Patch``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from hermes.contracts.errors import ToolError

from .matching import Span, closest, find, replacement

_ACTIONS: dict[str, Literal["add", "update", "delete"]] = {
    "*** Add File: ": "add",
    "*** Update File: ": "update",
    "*** Delete File: ": "delete",
}


@dataclass
class Hunk:
    anchors: list[str] = field(default_factory=list)
    """Lines that come somewhere before it, from its ``@@``."""
    lines: list[str] = field(default_factory=list)
    """Each with its sign."""

    @property
    def old(self) -> str:
        return "\n".join(line[1:] for line in self.lines if line[:1] != "+")

    @property
    def new(self) -> str:
        return "\n".join(line[1:] for line in self.lines if line[:1] != "-")


@dataclass
class FilePatch:
    action: Literal["add", "update", "delete"]
    path: str
    move_to: str = ""
    hunks: list[Hunk] = field(default_factory=list)


def parse(text: str) -> list[FilePatch]:
    """The files of a patch, in order.

    Raises:
        ToolError: it is none; the sentence names the line.
    """
    patches: list[FilePatch] = []
    started = False
    for number, line in enumerate(text.strip("\n").split("\n"), 1):
        stripped = line.rstrip()
        if stripped in ("*** Begin Patch", "*** End Patch", "*** End of File"):
            continue
        header = next((header for header in _ACTIONS if line.startswith(header)), None)
        if header is not None:
            patches.append(FilePatch(_ACTIONS[header], line[len(header) :].strip()))
            started = True
            continue
        if not started:
            raise ToolError(f'Line {number} of the patch: expected "*** Update File: path", "Add" or "Delete".')
        _line(patches[-1], line, number)
    if not patches:
        raise ToolError("The patch names no file.")
    return patches


def _line(current: FilePatch, line: str, number: int) -> None:
    if line.startswith("*** Move to: "):
        current.move_to = line.removeprefix("*** Move to: ").strip()
    elif line.startswith("@@"):
        anchor = line[2:].strip()
        last = current.hunks[-1] if current.hunks else None
        if last is None or last.lines:
            current.hunks.append(last := Hunk())
        if anchor:
            last.anchors.append(anchor)
    elif line[:1] in ("+", "-", " ", ""):
        if not current.hunks:
            current.hunks.append(Hunk())
        current.hunks[-1].lines.append(line or " ")
    else:
        raise ToolError(f'Line {number} of the patch begins with {line[:1]!r}: it has to be "+", "-", " " or "@@".')


def added(patch: FilePatch) -> str:
    """The text of a file that a patch adds."""
    lines = [line[1:] for hunk in patch.hunks for line in hunk.lines]
    return "\n".join(lines) + "\n" if lines else ""


def updated(text: str, patch: FilePatch) -> str:
    """``text`` after the hunks, each sought from where the one before ended.

    Raises:
        ToolError: a hunk, or a line that its ``@@`` names, is not there.
    """
    at = after = 0
    for number, hunk in enumerate(patch.hunks, 1):
        for anchor in hunk.anchors:
            spans = _find(text, anchor, at)
            if not spans:
                raise ToolError(f'Hunk {number} for {patch.path}: there is no line "{anchor}".')
            at = spans[0].start
            after = spans[0].end
        while hunk.lines and hunk.lines[-1] == " " and not _find(text, hunk.old, at):
            hunk.lines.pop()  # A blank line before the next header, not one of the file.
        old, new = hunk.old, hunk.new
        if not old:
            text, at = _insert(text, new, after if hunk.anchors else len(text))
            continue
        spans = _find(text, old, at)
        if not spans:
            raise ToolError(f"Hunk {number} for {patch.path} does not fit.{closest(text, old)}")
        span = spans[0]
        inserted = replacement(text, span, old, new)
        if not inserted and text[span.end : span.end + 1] == "\n":
            span = span._replace(end=span.end + 1)
        text = text[: span.start] + inserted + text[span.end :]
        at = span.start + len(inserted)
    return text


def _find(text: str, old: str, start: int) -> list[Span]:
    """From ``start`` on, or anywhere."""
    return find(text, old, start, whole_lines=True) or find(text, old, whole_lines=True)


def _insert(text: str, new: str, at: int) -> tuple[str, int]:
    """Lines after the one that ends at ``at``, and where they end."""
    head, tail = text[:at], text[at:].removeprefix("\n")
    if head and not head.endswith("\n"):
        head += "\n"
    return f"{head}{new}\n{tail}", len(head) + len(new)
