"""Who is running, whose child, in which group and session; and signals to all of them."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple


class Entry(NamedTuple):
    pid: int
    parent: int
    group: int
    session: int


def snapshot() -> list[Entry]:
    """All processes but zombies. From /proc, or from ``ps`` where there is none."""
    found: list[Entry] = []
    if not Path("/proc/self/stat").exists():
        return _from_ps()
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb", buffering=0) as file:
                line = file.read(512)
        except OSError:
            continue
        state, parent, group, session = line[line.rindex(b")") + 2 :].split(None, 4)[:4]
        if state not in (b"Z", b"X"):
            found.append(Entry(int(name), int(parent), int(group), int(session)))
    return found


def _from_ps() -> list[Entry]:
    # The session of ps is an address on some systems; a group there stands for the session it leads.
    output = subprocess.run(["ps", "-axo", "pid=,ppid=,pgid=,stat="], capture_output=True, text=True, check=False)
    rows = (line.split() for line in output.stdout.splitlines())
    return [Entry(int(r[0]), int(r[1]), int(r[2]), int(r[2])) for r in rows if not r[3].startswith("Z")]


def family(
    sessions: Collection[int], *, spare: Collection[int] = (), everyone: list[Entry] | None = None
) -> list[Entry]:
    """Members of the sessions and all descendants of their leaders, the leaders too.

    What belongs to a group in ``spare``, or descends from it, is left out.
    """
    everyone = snapshot() if everyone is None else everyone
    children: dict[int, list[Entry]] = {}
    for entry in everyone:
        children.setdefault(entry.parent, []).append(entry)
    chosen = {entry.pid: entry for entry in everyone if entry.session in sessions or entry.pid in sessions}
    spared: set[int] = set()
    for entry in _descend([e for e in everyone if e.group in spare], children):
        spared.add(entry.pid)
    for entry in _descend(list(chosen.values()), children):
        chosen.setdefault(entry.pid, entry)
    return [entry for pid, entry in chosen.items() if pid not in spared]


def _descend(roots: list[Entry], children: dict[int, list[Entry]]) -> Iterable[Entry]:
    seen: set[int] = set()
    stack = list(roots)
    while stack:
        entry = stack.pop()
        if entry.pid in seen:
            continue
        seen.add(entry.pid)
        yield entry
        stack.extend(children.get(entry.pid, ()))


def marked(marker: str, everyone: list[Entry]) -> list[Entry]:
    """Processes with ``marker`` (``NAME=value``) in their environment: also those that left the session."""
    wanted = marker.encode() + b"\0"
    found: list[Entry] = []
    for entry in everyone:
        try:
            with open(f"/proc/{entry.pid}/environ", "rb", buffering=0) as file:
                environ = file.read()
        except OSError:
            continue
        if environ.startswith(wanted) or b"\0" + wanted in environ:
            found.append(entry)
    return found


def send(signum: signal.Signals, entries: Iterable[Entry]) -> None:
    for entry in entries:
        try:
            os.kill(entry.pid, signum)
        except (ProcessLookupError, PermissionError):
            continue  # It ended meanwhile, or became another user's: not ours to end.
