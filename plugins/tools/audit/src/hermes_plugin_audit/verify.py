"""Reads the whole log and says what was done to it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from .chain import BEGINNING, Entry, is_sound, read
from .log import FILE, locked, older_files

LOCK_SECONDS = 10.0


class Line(NamedTuple):
    """``entry`` is None where the line is no record; ``hash`` is then that of its bytes."""

    file: str
    number: int
    entry: Entry | None
    sound: bool
    hash: str


class Problem(NamedTuple):
    """``kind``: ``changed``, ``replaced``, ``removed``, ``inserted``, ``reordered``, ``unreadable`` or ``anchor``."""

    kind: str
    text: str
    file: str = ""
    line: int = 0
    seq: int = 0


class Report(NamedTuple):
    """``head`` is the last record's hash. ``torn``: bytes at the end that a writer left when it was killed."""

    records: int
    files: tuple[str, ...]
    head: str
    problems: tuple[Problem, ...]
    torn: int


def snapshot(folder: Path) -> list[tuple[Path, int]]:
    """The log's files and their sizes, at a moment when nobody writes; none if there is no log."""
    if not folder.is_dir():
        return []
    with locked(folder, LOCK_SECONDS):
        found = [*older_files(folder), folder / FILE]
        return [(path, path.stat().st_size) for path in found if path.exists()]


def raw_lines(path: Path, size: int) -> Iterator[bytes]:
    """Up to ``size``, with their newlines; the last may have none."""
    with path.open("rb") as file:
        for line in file:
            size -= len(line)
            yield line if size >= 0 else line[:size]
            if size <= 0:
                return


def verify(folder: Path, *, head: str = "", after: str = "") -> Report:
    """``head``: a hash that has to be in the log. ``after``: that of the last record of files that were moved away."""
    files = snapshot(folder)
    walk = _Walk(after or BEGINNING, from_start=not after)
    torn = _Torn()
    for window in _windows(_lines(files, torn)):
        walk.take(*window)
    problems = walk.conclude()
    if head and head not in walk.hashes:
        text = f"no record has the hash {head}: the log's end was cut off, or it was written anew"
        problems.append(Problem("anchor", text))
    return Report(
        records=walk.count,
        files=tuple(path.name for path, _ in files),
        head=walk.hash if walk.count else "",
        problems=tuple(problems),
        torn=torn.bytes,
    )


class _Torn:
    bytes = 0


def _lines(files: Iterable[tuple[Path, int]], torn: _Torn) -> Iterator[Line]:
    for path, size in files:
        for number, raw in enumerate(raw_lines(path, size), start=1):
            if not raw.endswith(b"\n") and path.name == FILE:
                torn.bytes = len(raw)
                return
            line = raw.removesuffix(b"\n")
            entry = read(line)
            if entry is None:
                yield Line(path.name, number, None, False, hashlib.sha256(line).hexdigest())
            else:
                yield Line(path.name, number, entry, is_sound(line, entry), entry.hash)


def _windows(lines: Iterator[Line]) -> Iterator[tuple[Line, Line | None, Line | None]]:
    """Each line with the two that follow it."""
    first, second = next(lines, None), next(lines, None)
    while first is not None:
        third = next(lines, None)
        yield first, second, third
        first, second = second, third


class _Walk:
    """Follows the chain; ``seq`` and ``hash`` are those of the last line that stands where it belongs."""

    def __init__(self, start: str, *, from_start: bool) -> None:
        self.seq = 0
        self.hash = start
        self.count = 0
        self.hashes: set[str] = set()
        self._numbered = from_start
        self._before: tuple[int, str] | None = None
        """The place before a line that could not be read."""
        self._problems: list[Problem] = []
        self._missing: dict[int, Problem] = {}
        self._strays: list[tuple[Line, int]] = []

    def take(self, line: Line, second: Line | None, third: Line | None) -> None:
        self.count += 1
        entry = line.entry
        if entry is None:
            self._report("unreadable", line, "is no record")
            self._before = (self.seq, self.hash)
            self.seq, self.hash = self.seq + 1, line.hash
        elif not line.sound:
            self._report("changed", line, f"record {entry.seq} was changed")
            self._take_changed(line, entry, second)
        elif self._follows(entry):
            if _is_rival(line, second, third):
                self._strays.append((line, self.seq))
            else:
                self._go_on(line, entry)
        else:
            self._take_misplaced(line, entry, second)

    def _follows(self, entry: Entry) -> bool:
        if not self._numbered and entry.previous == self.hash:
            return True
        if (entry.previous, entry.seq) == (self.hash, self.seq + 1):
            return True
        if self._before is None:
            return False
        # After a line that could not be read: it stood for a record, or was put in between two.
        return entry.seq == self.seq + 1 or (entry.seq, entry.previous) == (self._before[0] + 1, self._before[1])

    def _go_on(self, line: Line, entry: Entry) -> None:
        self.seq, self.hash, self._before, self._numbered = entry.seq, entry.hash, None, True
        if line.sound:
            self.hashes.add(entry.hash)

    def _take_changed(self, line: Line, entry: Entry, second: Line | None) -> None:
        """Its own words are not to be trusted, but its place can be told from what stands around it."""
        if second is not None and second.entry is not None and second.entry.previous == entry.hash:
            self._go_on(line, Entry(second.entry.seq - 1, entry.previous, entry.hash))
        elif entry.previous == self.hash or entry.seq == self.seq + 1:
            self._go_on(line, Entry(self.seq + 1, entry.previous, entry.hash))

    def _take_misplaced(self, line: Line, entry: Entry, second: Line | None) -> None:
        if not self._numbered:
            self._report("anchor", line, f"record {entry.seq} does not follow the given hash")
            self._go_on(line, entry)
        elif second is not None and second.entry is not None and second.entry.previous == self.hash:
            self._strays.append((line, self.seq))
        elif entry.seq > self.seq + 1:
            for seq in range(self.seq + 1, entry.seq):
                self._missing[seq] = Problem("removed", "", line.file, line.number, seq)
            self._go_on(line, entry)
        elif entry.seq <= self.seq:
            self._strays.append((line, self.seq))
        else:
            text = f"record {self.seq} is another than the one that record {entry.seq} was written after"
            self._report("replaced", line, text)
            self._go_on(line, entry)

    def conclude(self) -> list[Problem]:
        """All problems, once it is known which of the missing records stand elsewhere."""
        for line, after in sorted(self._strays, key=_number):
            assert line.entry is not None
            seq = line.entry.seq
            at_the_end = self._follows(line.entry)
            if at_the_end:
                self._go_on(line, line.entry)
            if self._missing.pop(seq, None) is not None or at_the_end:
                self._report("reordered", line, f"record {seq} was moved: it stands after record {after}")
            else:
                self._report("inserted", line, f"record {seq} does not belong after record {after}: it was inserted")
        return sorted([*self._problems, *_ranges(self._missing)], key=lambda found: (found.file == FILE, found[2:4]))

    def _report(self, kind: str, line: Line, text: str) -> None:
        seq = line.entry.seq if line.entry else 0
        self._problems.append(Problem(kind, text, line.file, line.number, seq))


def _number(stray: tuple[Line, int]) -> int:
    return stray[0].entry.seq if stray[0].entry else 0


def _is_rival(line: Line, second: Line | None, third: Line | None) -> bool:
    """Whether the line claims the place of the one that stands behind it, and only that one is built on."""
    assert line.entry is not None
    if second is None or second.entry is None or not second.sound:
        return False
    same = (second.entry.seq, second.entry.previous) == (line.entry.seq, line.entry.previous)
    built_on = third is not None and third.entry is not None and third.entry.previous == second.hash
    return same and built_on and second.hash != line.hash


def _ranges(missing: dict[int, Problem]) -> Iterator[Problem]:
    """Records that are gone, those in a row together."""
    run: list[Problem] = []
    for seq in sorted(missing):
        if run and (seq != run[-1].seq + 1 or missing[seq][2:4] != run[-1][2:4]):
            yield _gone(run)
            run = []
        run.append(missing[seq])
    if run:
        yield _gone(run)


def _gone(run: list[Problem]) -> Problem:
    first, last = run[0].seq, run[-1].seq
    which = f"record {first} is" if first == last else f"records {first} to {last} are"
    return run[0]._replace(text=f"{which} missing before this line")
