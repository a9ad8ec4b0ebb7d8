"""Several writers at once, and writers that are killed."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import pytest

from hermes_plugin_audit.verify import raw_lines, snapshot, verify

KILLS = 100
WRITER = """
    import sys, time
    from pathlib import Path
    from hermes_plugin_audit.log import AuditLog

    log = AuditLog(Path(sys.argv[1]), now=time.time, max_bytes=int(sys.argv[3]))
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(500):
        text = "x" * (number * 7 % 600)
        log.append([{"kind": "call", "writer": sys.argv[2], "number": number, "text": text}], wait=30)
"""


@pytest.mark.parametrize("max_bytes", [0, 50_000])
def test_two_processes_write_one_chain(folder: Path, max_bytes: int) -> None:
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(folder)]
    writers = [
        subprocess.Popen([*command, name, str(max_bytes)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for name in ("a", "b")
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=60)
        assert writer.returncode == 0

    report = verify(folder)
    assert report.problems == ()
    written = [json.loads(line) for path, size in snapshot(folder) for line in raw_lines(path, size)]
    calls = [record for record in written if record["kind"] == "call"]
    assert Counter(record["writer"] for record in calls) == {"a": 500, "b": 500}
    for name in ("a", "b"):
        assert [record["number"] for record in calls if record["writer"] == name] == list(range(500))
    assert (len(report.files) > 5) == bool(max_bytes)


def test_a_writer_killed_at_any_moment_leaves_a_chain_that_goes_on(folder: Path) -> None:
    """A hundred times; nothing that a writer knew to be written is lost, and every torn line is told of."""
    script = Path(__file__).with_name("kill_writers.py")
    ran = subprocess.run(
        [sys.executable, str(script), str(folder), str(KILLS), "4711"], capture_output=True, text=True, timeout=110
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["known"] >= KILLS
    assert found["written"] >= found["known"]
    assert found["told"] == found["torn"]
