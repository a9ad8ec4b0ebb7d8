"""Every kind of tampering is found, and said of the line where it is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from hermes_plugin_audit.chain import Head, seal
from hermes_plugin_audit.log import AuditLog
from hermes_plugin_audit.verify import verify

Lines = list[bytes]
COUNT = 9


@pytest.fixture
def tampered(folder: Path, log: AuditLog) -> Callable[[Callable[[Lines], Lines]], list[tuple[str, int, int]]]:
    """Kind, line and record of every problem, after a change to a log of nine records."""

    def change(work: Callable[[Lines], Lines]) -> list[tuple[str, int, int]]:
        for number in range(1, COUNT + 1):
            log.append([{"kind": "call", "tool": f"tool-{number}"}], wait=0)
        file = folder / "audit.jsonl"
        file.write_bytes(b"".join(line + b"\n" for line in work(file.read_bytes().splitlines())))
        return [(problem.kind, problem.line, problem.seq) for problem in verify(folder).problems]

    return change


Tampered = Callable[[Callable[[Lines], Lines]], list[tuple[str, int, int]]]


def test_an_untouched_log_is_sound(tampered: Tampered, folder: Path) -> None:
    assert tampered(lambda lines: lines) == []
    assert verify(folder).records == COUNT


@pytest.mark.parametrize("place", range(COUNT))
@pytest.mark.parametrize("field", ["tool", "seq", "previous", "hash", "at"])
def test_a_changed_field_is_found_on_its_line(tampered: Tampered, place: int, field: str) -> None:
    def change(lines: Lines) -> Lines:
        value = {"tool": b"tool-", "seq": b'"seq":', "previous": b'"previous":"', "hash": b'"hash":"', "at": b'"at":'}
        start = lines[place].index(value[field]) + len(value[field])
        digit = b"1" if lines[place][start : start + 1] != b"1" else b"2"
        lines[place] = lines[place][:start] + digit + lines[place][start + 1 :]
        return lines

    found = tampered(change)
    assert ("changed", place + 1) in [(kind, line) for kind, line, _ in found]
    others = [line for kind, line, _ in found if kind != "changed"]
    assert set(others) <= {place + 2}, "what does not follow from it any more may be told of too"


def test_white_space_counts(tampered: Tampered) -> None:
    assert tampered(lambda lines: [*lines[:3], lines[3].replace(b",", b", ", 1), *lines[4:]]) == [("changed", 4, 4)]


def test_a_line_that_was_changed_and_sealed_anew_does_not_fit(tampered: Tampered) -> None:
    def change(lines: Lines) -> Lines:
        before = json.loads(lines[3])
        forged, _ = seal(Head(4, before["hash"]), {"kind": "call", "tool": "harmless"})
        return [*lines[:4], forged, *lines[5:]]

    assert tampered(change) == [("replaced", 6, 6)]


@pytest.mark.parametrize(
    ("first", "count", "told"),
    [(0, 1, ("removed", 1, 1)), (4, 1, ("removed", 5, 5)), (2, 5, ("removed", 3, 3)), (0, 8, ("removed", 1, 1))],
)
def test_removed_lines_are_missed(
    tampered: Tampered, folder: Path, first: int, count: int, told: tuple[str, int, int]
) -> None:
    assert tampered(lambda lines: lines[:first] + lines[first + count :]) == [told]
    (problem,) = verify(folder).problems
    assert problem.text.startswith(f"records {first + 1} to {first + count} " if count > 1 else f"record {first + 1} ")


@pytest.mark.parametrize(("moved", "to"), [(4, 5), (2, 7), (7, 2), (0, 8), (8, 0), (8, 7)])
def test_a_moved_line_is_found(tampered: Tampered, moved: int, to: int) -> None:
    def change(lines: Lines) -> Lines:
        line = lines.pop(moved)
        return [*lines[:to], line, *lines[to:]]

    found = tampered(change)
    assert {kind for kind, _, _ in found} == {"reordered"}
    neighbours = abs(moved - to) == 1
    assert (to + 1, moved + 1) in [found[1:] for found in found] or neighbours


def test_all_lines_in_reverse_are_found(tampered: Tampered) -> None:
    found = tampered(lambda lines: lines[::-1])
    assert {kind for kind, _, _ in found} == {"reordered"}
    assert len(found) == COUNT - 1


@pytest.mark.parametrize("place", [1, 4, 8])
def test_a_line_that_was_put_in_is_found(tampered: Tampered, place: int) -> None:
    """With the number and the predecessor that the next one has, too."""

    def change(lines: Lines) -> Lines:
        forged, _ = seal(Head(place, json.loads(lines[place - 1])["hash"]), {"kind": "call", "tool": "never called"})
        return [*lines[:place], forged, *lines[place:]]

    found = tampered(change)
    assert "inserted" in [kind for kind, _, _ in found]
    assert {line for _, line, _ in found} <= {place + 1, place + 2}


@pytest.mark.parametrize("copy_of", [0, 3, 5])
def test_a_copied_line_is_found(tampered: Tampered, copy_of: int) -> None:
    found = tampered(lambda lines: [*lines[:6], lines[copy_of], *lines[6:]])
    assert found == [("inserted", 7, copy_of + 1)]


@pytest.mark.parametrize("text", [b"", b"scribble", b"[]", b'{"seq":5}', b"\xff\xfe", b'{"seq":"5"}'])
def test_what_is_no_record_is_found(tampered: Tampered, text: bytes) -> None:
    assert tampered(lambda lines: [*lines[:4], text, *lines[4:]]) == [("unreadable", 5, 0)]


def test_a_record_that_was_scribbled_over_is_found(tampered: Tampered) -> None:
    assert tampered(lambda lines: [*lines[:4], b"#" * len(lines[4]), *lines[5:]]) == [("unreadable", 5, 0)]


def test_several_harms_are_each_told(tampered: Tampered) -> None:
    def change(lines: Lines) -> Lines:
        lines[1] = lines[1].replace(b"tool-2", b"tool-x")
        return [*lines[:4], *lines[5:7], lines[8], lines[7]]

    assert tampered(change) == [("changed", 2, 2), ("removed", 5, 5), ("reordered", 7, 9)]


def test_the_end_that_was_cut_off_needs_an_anchor(tampered: Tampered, folder: Path) -> None:
    kept: list[str] = []

    def cut(lines: Lines) -> Lines:
        kept.extend(json.loads(line)["hash"] for line in lines)
        return lines[:6]

    assert tampered(cut) == []
    assert verify(folder, head=kept[5]).problems == ()
    assert verify(folder, head=kept[2]).problems == (), "the log may have grown since"
    (problem,) = verify(folder, head=kept[8]).problems
    assert problem.kind == "anchor"


def test_a_log_that_was_written_anew_needs_an_anchor(tampered: Tampered, folder: Path) -> None:
    kept: list[str] = []

    def forge(lines: Lines) -> Lines:
        kept.append(json.loads(lines[-1])["hash"])
        head, forged = Head(), []
        for number in range(COUNT):
            line, head = seal(head, {"kind": "call", "tool": f"harmless-{number}"})
            forged.append(line)
        return forged

    assert tampered(forge) == []
    assert [problem.kind for problem in verify(folder, head=kept[0]).problems] == ["anchor"]


def test_a_changed_line_is_no_anchor(tampered: Tampered, folder: Path) -> None:
    def change(lines: Lines) -> Lines:
        return [*lines[:-1], lines[-1].replace(b"tool-9", b"tool-x")]

    assert tampered(change) == [("changed", 9, 9)]
    assert "anchor" in [problem.kind for problem in verify(folder, head=verify(folder).head).problems]


@pytest.mark.parametrize("harm", ["removed", "changed", "swapped"])
def test_older_files_are_part_of_the_chain(folder: Path, harm: str) -> None:
    log = AuditLog(folder, now=lambda: 0.0, max_bytes=600)
    for number in range(12):
        log.append([{"kind": "call", "tool": f"tool-{number}"}], wait=0)
    older = sorted(folder.glob("audit-*.jsonl"))
    if harm == "removed":
        older[1].unlink()
        assert [problem.kind for problem in verify(folder).problems] == ["removed"]
    elif harm == "changed":
        older[1].write_bytes(older[1].read_bytes().replace(b"tool-", b"fool-", 1))
        (problem,) = verify(folder).problems
        assert (problem.kind, problem.file) == ("changed", older[1].name)
    else:
        first, second = older[0].read_bytes(), older[1].read_bytes()
        older[0].write_bytes(second)
        older[1].write_bytes(first)
        assert {problem.kind for problem in verify(folder).problems} == {"reordered"}


def test_no_log_is_sound_and_has_no_head(tmp_path: Path) -> None:
    assert verify(tmp_path / "nowhere") == (0, (), "", (), 0)
    assert verify(tmp_path / "nowhere", head=hashlib.sha256().hexdigest()).problems[0].kind == "anchor"


def test_a_copy_of_the_last_line_further_up_is_found(tampered: Tampered) -> None:
    assert tampered(lambda lines: [*lines[:6], lines[8], *lines[6:]]) == [("inserted", 7, 9)]
