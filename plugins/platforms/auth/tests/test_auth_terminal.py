"""``hermes auth`` on a terminal: a person types a key, or changes their mind."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from hermes_testkit.command import Hermes

KEY = "sk-acme-0123456789abcdefghij"
ACME = {"transport": "chat_completions", "base_url": "http://127.0.0.1:9/v1", "models": ["m"], "key_env": ["ACME_KEY"]}
SECONDS = 30.0
TAKE_TERMINAL = """
import fcntl, os, signal, sys, termios
signal.signal(signal.SIGINT, signal.SIG_DFL)
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
"""Takes the terminal, so that Ctrl+C on it is a signal, which a test runner may ignore; then becomes the command."""


class Terminal:
    """The command on a pseudo-terminal. ``text``: all that was shown."""

    def __init__(self, hermes: Hermes, *arguments: str) -> None:
        self._master, slave = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-c", TAKE_TERMINAL, "-m", "hermes.cli.main", *arguments],
            stdin=slave, stdout=slave, stderr=slave, cwd=hermes.workspace, env=hermes.environ, start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        self.text = ""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._master)

    def expect(self, wanted: str) -> None:
        deadline = time.monotonic() + SECONDS
        while wanted not in self.text:
            ready, _, _ = select.select([self._master], [], [], max(deadline - time.monotonic(), 0))
            assert ready, f"{wanted!r} did not come:\n{self.text}"
            self.text += os.read(self._master, 4096).decode(errors="replace")

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def interrupt(self) -> None:
        """Ctrl+C, once, when the process waits for something."""
        deadline = time.monotonic() + SECONDS
        stat = Path(f"/proc/{self._process.pid}/stat")
        while stat.read_text().rpartition(")")[2].split()[0] != "S":
            assert time.monotonic() < deadline, "it does not wait"
        self.type("\x03")

    def end(self) -> int:
        return self._process.wait(SECONDS)


@pytest.fixture
def acme(hermes: Hermes, logins: Any) -> Hermes:
    hermes.configure({"providers": {"acme": {**ACME, "oauth": logins.oauth()}}})
    return hermes


def test_a_key_is_asked_for_without_an_echo(acme: Hermes) -> None:
    with Terminal(acme, "auth", "add", "acme") as terminal:
        terminal.expect("Key for acme")
        terminal.type(f"{KEY}\n")
        terminal.expect("Added ")
        assert terminal.end() == 0
    assert KEY not in terminal.text


def test_one_interrupt_ends_the_question_for_a_key(acme: Hermes) -> None:
    with Terminal(acme, "auth", "add", "acme") as terminal:
        terminal.expect("Key for acme")
        terminal.interrupt()
        assert terminal.end() == 130
    assert not (acme.home / "auth.json").exists()


@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        ({}, "Waiting for you to agree there"),
        ({"flow": "pkce"}, "Waiting for the browser"),
        ({"flow": "pkce", "redirect_url": "https://logins.example/shown"}, "Then paste here"),
    ],
    ids=["code", "browser", "pasting"],
)
def test_one_interrupt_ends_a_login(acme: Hermes, logins: Any, changes: dict[str, str], asked: str) -> None:
    logins.polls = [{"error": "authorization_pending"}] * 1000
    acme.configure({"providers": {"acme": {**ACME, "oauth": logins.oauth(**changes)}}})
    with Terminal(acme, "auth", "login", "acme", "--no-browser") as terminal:
        terminal.expect(asked)
        terminal.interrupt()
        assert terminal.end() == 130
    assert not (acme.home / "auth.json").exists()
