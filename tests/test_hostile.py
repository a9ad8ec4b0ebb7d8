"""Hostile plugins against the real `App`: each tries one thing, isolated and in Hermes's own process.

What they try and what holds is in ``hostile/*.yaml``; ``hostile/driver.py`` plays a turn with one of them in a process
of its own. Whatever it is, the run ends in time, the other plugins work, nothing outside was read or changed, and no
process is left.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from hermes.plugins.loader import load_module
from hermes.plugins.sandbox import bubblewrap

HOSTILE = Path(__file__).parent / "hostile"
PRELUDE = (HOSTILE / "prelude.txt").read_text()
HARNESS_SECONDS = 60.0
CANARY = "canary-that-nobody-reads"
BACKWARDS = CANARY[::-1]
GOOD = '''
from hermes import tool

@tool(risk="read")
def greet() -> str:
    """Greets."""
    return "a greeting from the good one"
'''
STRICT = """
from hermes import Verdict, hookimpl

@hookimpl
def pre_tool_call(call):
    return Verdict(decision="deny", reason="the strict guard forbids it")
"""
corpus = load_module("hostile_corpus", str(HOSTILE / "corpus.py"))
ENTRIES = corpus.load()
PLACES = ("isolated", "in_process")
CASES = [
    pytest.param(entry, place, id=f"{entry.name}-{place}", marks=[pytest.mark.slow] if entry.slow else [])
    for entry in ENTRIES
    for place in PLACES
    if getattr(entry, place).run
]


class Listeners:
    """Services of the machine that no plugin may reach: two TCP ports, a UDP port, a Unix socket."""

    def __init__(self, folder: Path) -> None:
        self.seen: list[bytes] = []
        self.unix = str(folder / "service.sock")
        self._sockets = [self._stream(), self._stream(), self._stream(self.unix), self._datagram()]
        self.tcp, self.other = (found.getsockname()[1] for found in self._sockets[:2])
        self.udp = self._sockets[3].getsockname()[1]
        self._threads = [threading.Thread(target=self._listen, args=(found,)) for found in self._sockets]
        for thread in self._threads:
            thread.start()

    def _stream(self, path: str = "") -> socket.socket:
        if not path:
            return socket.create_server(("127.0.0.1", 0))
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()
        return listener

    def _datagram(self) -> socket.socket:
        found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        found.bind(("127.0.0.1", 0))
        return found

    def _listen(self, listener: socket.socket) -> None:
        stream = listener.type == socket.SOCK_STREAM
        while True:
            try:
                if not stream:
                    self.seen.append(listener.recv(4096))
                    continue
                with listener.accept()[0] as near:
                    near.settimeout(2)
                    data = near.recv(65536)
                    self.seen.append(data)
                    near.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
            except TimeoutError:
                self.seen.append(b"")
            except OSError:
                return

    def close(self) -> None:
        for found in self._sockets:
            try:
                found.shutdown(socket.SHUT_RDWR)
            except OSError:  # UDP is not connected; it is told so all the same, and wakes
                pass
            found.close()
        for thread in self._threads:
            thread.join(timeout=5)


class Ground:
    """A user with secrets, a home with plugins, services of the machine; and what is the same afterwards."""

    def __init__(self, folder: Path, entry: Any, place: str) -> None:
        self.folder = folder
        self.entry = entry
        self.place = place
        self.user, self.home, self.outside = folder / "user", folder / "home", folder / "outside"
        self.listeners = Listeners(folder)
        self.mark = str(folder)
        self.id = f"hostile-{hashlib.sha256(self.mark.encode()).hexdigest()[:12]}"
        self._furnish()
        self._put_plugins()

    def _furnish(self) -> None:
        kept = {
            self.user / ".ssh" / "id_canary": CANARY,
            self.user / ".netrc": CANARY,
            self.user / ".bashrc": "# nothing\n",
            self.outside / "notes.txt": CANARY,
            self.home / ".env": f"OTHER_TOKEN={CANARY}\n",
            self.home / "plugin-data" / "other" / "kept": CANARY,
        }
        for file, text in kept.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        (self.home / ".env").chmod(0o600)

    def _put_plugins(self) -> None:
        entry, where = self.entry, "isolated" if self.place == "isolated" else "host"
        folder = self.home / "plugins"
        folder.mkdir()
        (folder / "good.py").write_text(GOOD)
        if entry.strict:
            (folder / "strict.py").write_text(STRICT)
        for name, text in (entry.files or {"bad.py": entry.source}).items():
            file = folder / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(self._filled(self._code(text) if name.endswith(".py") and text else text))
        entries = {name: {"isolation": where} for name in ("bad", "good")}
        settings = {"plugins": {"entries": entries, "host_memory_mb": 1024}, **entry.config}
        (self.home / "config.yaml").write_text(f"# {CANARY}\n{yaml.safe_dump(settings)}")

    def _code(self, text: str) -> str:
        block = yaml.safe_dump({"name": "bad", **self.entry.manifest})
        header = "".join(f"# {line}\n" for line in block.splitlines())
        return f"# /// hermes\n{header}# ///\n{PRELUDE}\n\n{text}"

    def _filled(self, text: str) -> str:
        words = {
            "USER": self.user,
            "HOME": self.home,
            "OUTSIDE": self.outside,
            "MARK": self.mark,
            "ID": self.id,
            "TCP": self.listeners.tcp,
            "OTHER": self.listeners.other,
            "UDP": self.listeners.udp,
            "UNIX": self.listeners.unix,
        }
        return re.sub(r"@([A-Z]+)@", lambda match: str(words[match[1]]), text)

    def state(self) -> dict[str, str]:
        """What must not change, by path."""
        places = [self.user, self.outside, self.home / "plugins", self.home / "plugin-data" / "other"]
        files = [file for place in places for file in place.rglob("*") if "__pycache__" not in file.parts]
        files += [self.home / name for name in (".env", "config.yaml", "plugins.lock")]
        return {
            str(file): hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else "folder"
            for file in files
            if file.exists() and "cache" not in file.parts
        }

    def left_in_tmp(self) -> bool:
        return Path("/tmp", self.id).exists()


class Played(NamedTuple):
    """What became of a run: of the process, of what it told, and of the ground."""

    code: int
    out: bytes
    err: str
    report: dict[str, Any]
    log: str
    changed: bool
    seen: list[bytes]
    left: list[int]


def play(ground: Ground) -> Played:
    entry = ground.entry
    spec = {
        "home": str(ground.home),
        "plugins": [entry.plugin, "good", *(["strict"] if entry.strict else []), *entry.others],
        "calls": entry.calls,
        **entry.spec,
    }
    (ground.folder / "spec.json").write_text(json.dumps(spec))
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(ground.user),
        "XDG_CACHE_HOME": str(ground.folder / "cache"),
        "HOSTILE_TOKEN": CANARY,
        "ASKED_FOR": "given",
    }
    before, began = ground.state(), ticks()
    out, err = ground.folder / "out", ground.folder / "err"
    with out.open("wb") as printed, err.open("wb") as complained:
        process = subprocess.Popen(
            [sys.executable, HOSTILE / "driver.py", ground.folder / "spec.json"],
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=complained,
            cwd=ground.folder,
            env=environ,
            start_new_session=True,
        )
    try:
        process.wait(timeout=HARNESS_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        end(leftovers(ground.mark, began))
        raise AssertionError(f"it hung\n{err.read_text(errors='replace')[-4000:]}") from None
    left = leftovers(ground.mark, began, deadline=time.monotonic() + 3)
    end(left)
    file, log = ground.folder / "report.json", ground.home / "logs" / "agent.log"
    return Played(
        process.returncode,
        out.read_bytes(),
        err.read_text(errors="replace"),
        json.loads(file.read_text()) if file.exists() else {},
        log.read_text(errors="replace") if log.exists() else "",
        ground.state() != before,
        list(ground.listeners.seen),
        left,
    )


def ticks() -> int:
    """Now, as the process table tells when a process started."""
    return int(float(Path("/proc/uptime").read_text().split()[0]) * os.sysconf("SC_CLK_TCK"))


def leftovers(mark: str, began: int, deadline: float = 0.0) -> list[int]:
    """Processes of a run that are still there: younger than it, with its folder in their command or environment."""
    while True:
        found = [int(folder.name) for folder in Path("/proc").glob("[0-9]*") if _belongs(folder, mark, began)]
        if not found or time.monotonic() >= deadline:
            return found
        os.sched_yield()


def _belongs(folder: Path, mark: str, began: int) -> bool:
    try:
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        if int(fields[19]) < began or fields[0] == "Z":
            return False
        return any(mark.encode() in (folder / name).read_bytes() for name in ("cmdline", "environ"))
    except OSError:
        return False


def end(left: list[int]) -> None:
    for pid in left:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


@pytest.fixture
def ground_of(tmp_path: Path) -> Iterator[Callable[[Any, str], Ground]]:
    made: list[Ground] = []

    def make(entry: Any, place: str) -> Ground:
        made.append(Ground(tmp_path, entry, place))
        return made[-1]

    yield make
    for ground in made:
        ground.listeners.close()


@pytest.mark.parametrize(("entry", "place"), CASES)
def test_hostile_plugin(entry: Any, place: str, ground_of: Callable[[Any, str], Ground]) -> None:
    held = getattr(entry, place)
    if place == "isolated" and not bubblewrap():
        pytest.skip("bubblewrap is missing or may not be used here")
    ground = ground_of(entry, place)

    ran = play(ground)

    assert ran.code == held.exit, ran.err[-3000:]
    if held.exit == 0:
        told_as_expected(entry, place, ran)
        nothing_was_reached(held, ran, ground)
    if held.contained:
        the_others_work(entry, held, ran)
        ended_in_time(held, ran)
    if place == "isolated":
        assert ran.out == b""
        assert "Traceback" not in ran.err


def told_as_expected(entry: Any, place: str, ran: Played) -> None:
    """The results, and one message to the user that names the plugin."""
    held, report = getattr(entry, place), ran.report
    results = report["results"][: sum(len(names) for names in entry.calls)]
    for pattern in held.results:
        assert any(re.search(pattern, result, re.DOTALL) for result in results), results
    names = (f'"{entry.plugin}"', f"info {entry.plugin})")
    notices = [text for text in report["notices"] if any(name in text for name in names)]
    if held.contained:
        expected = (1 if held.told else 0) if held.tells is None else held.tells
        assert len(notices) == expected or (expected < 0 and notices), report["notices"]
        assert not held.told or any(re.search(held.told, text, re.DOTALL) for text in notices), notices
        for text in (*notices, *(ran.log.splitlines() if place == "isolated" else ())):
            assert text.isprintable(), text
        assert len("".join(notices)) < 10_000
    assert held.message in ("", report["on_message"])
    assert not held.failed or any(re.search(held.failed, why) for _, _, why in report["hosts"]), report["hosts"]
    if held.prompt:
        assert report["prompt_chars"] < held.prompt
    assert held.shown or report["shown"] == []


def nothing_was_reached(held: Any, ran: Played, ground: Ground) -> None:
    """The canaries are unread and unchanged, the listeners have seen nobody, no process is left."""
    text = "\n".join([*ran.report["results"], ran.out.decode(errors="replace"), ran.err, ran.log])
    assert (BACKWARDS in text) == (held.canaries in ("read", "both"))
    assert ran.changed == (held.canaries in ("written", "both"))
    assert bool(ran.seen) == held.reached, ran.seen
    assert not held.unseen or held.unseen.encode() not in b"".join(ran.seen), ran.seen
    assert bool(ran.left) == held.leftovers, ran.left
    assert ran.report["zombies"] == []
    assert not ground.left_in_tmp()


def the_others_work(entry: Any, held: Any, ran: Played) -> None:
    denied = held.guards or held.strict
    outcomes = held.outcomes or (["denied"] * 2 if denied else ["done"] * 2)
    report = ran.report
    assert report["outcomes"][-1:] == outcomes[-1:], report
    if held.outcomes:
        assert all(map(re.fullmatch, outcomes, report["outcomes"])), report["outcomes"]
    last = report["results"][-2:]
    if held.guards:
        assert all(f'The guard "{entry.plugin}"' in result for result in last), last
    elif held.strict:
        assert all("the strict guard forbids it" in result for result in last), last
    else:
        assert last == ["hello from the witness", "a greeting from the good one"]
        assert report["fired"][-3:] == ["hello", "greet", "end done"]


def ended_in_time(held: Any, ran: Played) -> None:
    seconds = ran.report["seconds"]
    for name in ("index", "first", "second", "close"):
        assert seconds[name] <= getattr(held, name), seconds


def test_corpus_is_whole() -> None:
    names = [entry.name for entry in ENTRIES]
    assert len(names) == len(set(names))
    assert len(names) >= 60
    for entry in ENTRIES:
        for place in PLACES:
            held = getattr(entry, place)
            assert held.contained or held.why, f"{entry.name}: {place}: say why nothing can be done"
        assert entry.isolated.run


def test_docs_tell_what_the_corpus_shows() -> None:
    text = (Path(__file__).parent.parent / "docs" / "security.md").read_text(encoding="utf-8")
    told = re.search(r"<!-- hostile plugins -->\n(.*?)\n<!-- /hostile plugins -->", text, re.DOTALL)
    assert told is not None
    assert told[1].strip() == corpus.table(), "Print it anew: python tests/hostile/corpus.py"
