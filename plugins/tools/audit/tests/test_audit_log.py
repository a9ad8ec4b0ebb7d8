"""The file: what is appended, and how the chain goes on after whatever happened to it."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hermes_plugin_audit.chain import BEGINNING
from hermes_plugin_audit.log import AuditLog, LockBusyError
from hermes_plugin_audit.verify import verify

Records = Callable[[Path], list[dict[str, Any]]]


def fill(log: AuditLog, count: int, start: int = 1) -> None:
    for number in range(start, start + count):
        log.append([{"kind": "call", "number": number}], wait=0)


def test_every_line_carries_the_hash_of_the_one_before(log: AuditLog, folder: Path, records: Records) -> None:
    fill(log, 3)
    first, second, third = records(folder)
    assert [first["seq"], second["seq"], third["seq"]] == [1, 2, 3]
    assert (first["previous"], second["previous"], third["previous"]) == (BEGINNING, first["hash"], second["hash"])
    assert first["at"] == 1_800_000_000.5


def test_a_hash_can_be_checked_without_the_plugin(log: AuditLog, folder: Path) -> None:
    fill(log, 1)
    line = (folder / "audit.jsonl").read_text().rstrip("\n")
    text, _, digest = line.removesuffix('"}').rpartition(',"hash":"')
    assert hashlib.sha256(f"{text}}}".encode()).hexdigest() == digest


def test_nobody_else_may_read_it(log: AuditLog, folder: Path) -> None:
    before = os.umask(0)
    try:
        fill(log, 1)
    finally:
        os.umask(before)
    assert (folder / "audit.jsonl").stat().st_mode & 0o777 == 0o600


def test_a_link_is_not_followed(log: AuditLog, folder: Path, tmp_path: Path) -> None:
    (folder / "audit.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError):
        fill(log, 1)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("size", [1, 4095, 4096, 4097, 300_000])
def test_the_end_is_found_behind_lines_of_any_length(log: AuditLog, folder: Path, records: Records, size: int) -> None:
    log.append([{"kind": "call", "text": "x" * size}], wait=0)
    log.append([{"kind": "call", "text": "y" * size}], wait=0)
    assert [record["seq"] for record in records(folder)] == [1, 2]
    assert verify(folder).problems == ()


def test_text_of_any_kind_is_kept(log: AuditLog, folder: Path, records: Records) -> None:
    odd = 'né\u2028\n"}\ud800 ,"hash":"'
    log.append([{"kind": "call", "text": odd}], wait=0)
    fill(log, 1)
    assert records(folder)[0]["text"] == odd.replace("\ud800", "?")
    assert verify(folder).problems == ()


@pytest.mark.parametrize("torn", [b"{", b'{"seq":3,"previous":"00', b"x" * 10_000, b"\0" * 512])
def test_a_torn_line_is_set_aside_and_told_of(log: AuditLog, folder: Path, records: Records, torn: bytes) -> None:
    fill(log, 2)
    with (folder / "audit.jsonl").open("ab") as file:
        file.write(torn)
    assert verify(folder) == verify(folder)._replace(problems=(), torn=len(torn))

    fill(log, 1, start=3)
    told, third = records(folder)[2:]
    assert (told["kind"], told["seq"], told["bytes"]) == ("torn", 3, len(torn))
    assert told["sha256"] == hashlib.sha256(torn).hexdigest()
    assert (folder / told["file"]).read_bytes() == torn
    assert (third["number"], third["seq"]) == (3, 4)
    assert verify(folder) == verify(folder)._replace(problems=(), torn=0, records=4)


def test_a_log_of_nothing_but_a_torn_line_begins_anew(log: AuditLog, folder: Path, records: Records) -> None:
    (folder / "audit.jsonl").write_bytes(b'{"seq":1')
    fill(log, 1)
    assert [record["kind"] for record in records(folder)] == ["torn", "call"]
    assert verify(folder).problems == ()


def test_a_full_file_is_followed_by_one_that_carries_its_hash(folder: Path, records: Records) -> None:
    log = AuditLog(folder, now=lambda: 0.0, max_bytes=600)
    fill(log, 10)
    older = sorted(folder.glob("audit-*.jsonl"))
    assert len(older) > 1
    last = json.loads(older[-1].read_text().splitlines()[-1])
    first = records(folder)[0]
    assert (first["kind"], first["file"], first["previous"]) == ("continued", older[-1].name, last["hash"])
    report = verify(folder)
    assert report.problems == ()
    assert report.files == (*(file.name for file in older), "audit.jsonl")


def test_a_writer_that_dies_between_two_files_breaks_nothing(log: AuditLog, folder: Path, records: Records) -> None:
    fill(log, 3)
    (folder / "audit.jsonl").rename(folder / "audit-000000000003.jsonl")
    fill(log, 1)
    assert [record["seq"] for record in records(folder)] == [4, 5]
    assert verify(folder).problems == ()


def test_files_that_were_moved_away_are_vouched_for_by_their_last_hash(folder: Path) -> None:
    log = AuditLog(folder, now=lambda: 0.0, max_bytes=600)
    fill(log, 10)
    oldest = sorted(folder.glob("audit-*.jsonl"))[0]
    last = json.loads(oldest.read_text().splitlines()[-1])
    oldest.unlink()
    assert [problem.kind for problem in verify(folder).problems] == ["removed"]
    assert verify(folder, after=last["hash"]).problems == ()
    assert [problem.kind for problem in verify(folder, after="1" * 64).problems] == ["anchor"]


@pytest.mark.parametrize("harm", ["cut", "gone"])
def test_a_running_writer_notices_that_the_end_was_taken(
    log: AuditLog, folder: Path, records: Records, harm: str
) -> None:
    fill(log, 3)
    file = folder / "audit.jsonl"
    lost = records(folder)[-1]
    if harm == "cut":
        file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:2]))
    else:
        file.unlink()
    fill(log, 1)
    told = records(folder)[-2]
    assert (told["kind"], told["expected_seq"], told["expected_hash"]) == ("broken", 3, lost["hash"])


def test_a_last_line_that_is_no_record_does_not_stop_the_log(log: AuditLog, folder: Path, records: Records) -> None:
    fill(log, 2)
    with (folder / "audit.jsonl").open("ab") as file:
        file.write(b"scribble\n")
    AuditLog(folder, now=lambda: 0.0).append([{"kind": "call"}], wait=0)
    line = json.loads((folder / "audit.jsonl").read_text().splitlines()[-1])
    assert (line["seq"], line["previous"]) == (4, hashlib.sha256(b"scribble").hexdigest())
    assert [(problem.kind, problem.line) for problem in verify(folder).problems] == [("unreadable", 3)]


def test_a_lock_that_is_held_is_waited_for_and_not_for_ever(log: AuditLog, folder: Path) -> None:
    fill(log, 1)
    with (folder / "audit.lock").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(LockBusyError):
            log.append([{"kind": "call"}], wait=0.05)
        assert verify_count(folder) == 1
        fcntl.flock(held, fcntl.LOCK_UN)
        log.append([{"kind": "call"}], wait=0)


def verify_count(folder: Path) -> int:
    return len((folder / "audit.jsonl").read_bytes().splitlines())


FULL_DISK = """
    import resource, signal, sys
    from pathlib import Path
    from hermes_plugin_audit.log import AuditLog
    from hermes_plugin_audit.verify import verify

    folder = Path(sys.argv[1])
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    log = AuditLog(folder, now=lambda: 0.0)
    log.append([{"kind": "call", "text": "x" * 1000}], wait=0)
    if sys.argv[2]:
        with (folder / "audit.jsonl").open("a") as file:
            file.write(sys.argv[2])
    before = (folder / "audit.jsonl").read_bytes()
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
    try:
        log.append([{"kind": "call", "text": "y" * 3000}], wait=0)
    except OSError as error:
        print(error.errno)
    assert (folder / "audit.jsonl").read_bytes() == before
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    log.append([{"kind": "call", "text": "z"}], wait=0)
    assert not verify(folder).problems
"""


@pytest.mark.parametrize("torn", ["", '{"seq":2,'])
def test_what_does_not_fit_on_the_disk_leaves_the_log_as_it_was(folder: Path, torn: str) -> None:
    """The system's limit on a file's size stands in for the full disk: half a line is written, then none."""
    script = textwrap.dedent(FULL_DISK)
    ran = subprocess.run([sys.executable, "-c", script, str(folder), torn], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stdout) == (0, "27\n"), ran.stderr


def test_every_record_is_on_disk_before_append_returns_if_wanted(folder: Path) -> None:
    """As far as a test can see: it works, and the chain is the same."""
    log = AuditLog(folder, now=lambda: 0.0, fsync=True)
    fill(log, 3)
    assert verify(folder).records == 3
