"""``hermes`` alone, on a pseudo-terminal: a person types, reads, is asked, and presses Ctrl+C."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hermes_testkit.command import Hermes
from hermes_testkit.model_server import Call, Fail, ModelServer, Say, Slow, Tokens

SECONDS = 30.0
CTRL_C = "\x03"
CTRL_D = "\x04"
UP = "\x1b[A"

TAKE_TERMINAL = """
import fcntl, os, signal, sys, termios
signal.signal(signal.SIGINT, signal.SIG_DFL)
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
"""Takes the terminal, so that Ctrl+C on it is a signal, which a test runner may ignore; then becomes the command."""


class Screen:
    """A running chat on a terminal of its own. ``text``: all that was shown, without escape sequences."""

    def __init__(self, hermes: Hermes, *arguments: str) -> None:
        self._master, slave = pty.openpty()
        hermes.environ["TERM"] = "xterm"
        self.process = subprocess.Popen(
            [sys.executable, "-c", TAKE_TERMINAL, "-m", "hermes.cli.main", *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=hermes.workspace,
            env=hermes.environ,
            start_new_session=True,
        )
        os.close(slave)
        self.text = ""
        self._seen = 0

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def expect(self, wanted: str) -> str:
        """Waits for ``wanted`` in what came since the last time; gives back what came up to its end."""
        deadline = time.monotonic() + SECONDS
        while (found := self.text.find(wanted, self._seen)) < 0:
            if not self._read(deadline - time.monotonic()):
                raise AssertionError(f"{wanted!r} did not come; on the screen is:\n{self.text}")
        start, self._seen = self._seen, found + len(wanted)
        return self.text[start : self._seen]

    def prompt(self) -> str:
        """Waits until the chat wants a line."""
        return self.expect("\n> ")

    def press_ctrl_c_at_the_prompt(self) -> None:
        """Once the process waits for a key: before that, a signal is seen with the next key only."""
        deadline = time.monotonic() + SECONDS
        stat = Path(f"/proc/{self.process.pid}/stat")
        while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "S":
            assert time.monotonic() < deadline, "the chat does not wait for a key"
        self.type(CTRL_C)

    def end(self) -> int:
        """The rest of the output is read to its end."""
        deadline = time.monotonic() + SECONDS
        while self._read(deadline - time.monotonic()):
            pass
        return self.process.wait(timeout=SECONDS)

    def _read(self, seconds: float) -> bool:
        if seconds <= 0 or not select.select([self._master], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:
            return False
        shown = data.decode(errors="replace").replace("\r\n", "\n")
        self.text += re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", shown)
        return bool(data)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)


Chat = Callable[..., Screen]


@pytest.fixture
def chat(hermes_with_model: Hermes) -> Iterator[Chat]:
    """Starts ``hermes`` with these arguments and waits for its first prompt."""
    screens: list[Screen] = []

    def start(*arguments: str) -> Screen:
        screens.append(Screen(hermes_with_model, *arguments))
        screens[-1].prompt()
        return screens[-1]

    yield start
    for screen in screens:
        screen.close()


def sessions(hermes: Hermes) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(hermes("sessions", "list", "--json").out)
    return found


def test_turn_streams(chat: Chat, model_server: ModelServer) -> None:
    model_server.script([Say("one "), Slow(0.2), Say("two")])
    screen = chat()
    assert "fake:test-model" in screen.text

    screen.type("count\n")
    screen.expect("one ")
    screen.expect("two")
    screen.prompt()
    screen.type("/exit\n")

    assert screen.end() == 0
    assert "hermes --resume" in screen.text
    assert "Traceback" not in screen.text


def test_session_goes_on_from_turn_to_turn(chat: Chat, hermes: Hermes, model_server: ModelServer) -> None:
    screen = chat()
    screen.type("first\n")
    screen.prompt()
    screen.type("second\n")
    screen.prompt()
    screen.type(CTRL_D)

    assert screen.end() == 0
    assert len(model_server.requests[1].json["messages"]) == len(model_server.requests[0].json["messages"]) + 2
    (session,) = sessions(hermes)
    assert (session["message_count"], session["outcome"]) == (4, "done")

    again = chat("--resume", str(session["id"]))
    again.type("third\n")
    again.prompt()
    assert len(model_server.requests[2].json["messages"]) == len(model_server.requests[0].json["messages"]) + 4


@pytest.mark.parametrize(("answered", "made"), [("once", True), ("o", True), ("deny", False)])
def test_approval_is_asked_and_answered_inline(
    chat: Chat, hermes: Hermes, model_server: ModelServer, answered: str, made: bool
) -> None:
    model_server.script(Call("terminal", {"command": "touch made"}), "I am done.")
    screen = chat()

    screen.type("make it\n")
    asked = screen.expect("[once/session/always/deny] > ")
    screen.type("perhaps\n")
    screen.expect("[once/session/always/deny] > ")
    screen.type(f"{answered}\n")
    screen.expect("I am done.")
    screen.prompt()

    assert "touch made" in asked
    assert (hermes.workspace / "made").exists() is made
    (result,) = [message for message in model_server.requests[1].json["messages"] if message["role"] == "tool"]
    assert ("the user declined" in result["content"]) is not made


def test_answer_for_the_session_is_not_asked_again(chat: Chat, model_server: ModelServer) -> None:
    model_server.script(
        Call("terminal", {"command": "touch a"}), "One.", Call("terminal", {"command": "touch b"}), "Two."
    )
    screen = chat()

    screen.type("make a\n")
    screen.expect("[once/session/always/deny] > ")
    screen.type("session\n")
    screen.prompt()
    screen.type("make b\n")
    second = screen.expect("Two.")

    assert "[once/session" not in second


def test_ctrl_c_stops_a_slow_turn_and_keeps_what_came(chat: Chat, hermes: Hermes, model_server: ModelServer) -> None:
    model_server.script([Say("one two "), Slow(60), Say("never")], "I went on.")
    screen = chat()

    screen.type("count\n")
    screen.expect("one two")
    screen.type(CTRL_C)
    screen.expect("[stopped]")
    screen.prompt()
    screen.type("go on\n")
    screen.expect("I went on.")
    screen.prompt()
    screen.type("/exit\n")

    assert screen.end() == 0
    said = [message["content"] for message in model_server.requests[1].json["messages"] if message["role"] != "system"]
    assert said[0] == "count"
    assert said[1].startswith("one two")
    assert said[2] == "go on"
    (session,) = sessions(hermes)
    assert session["message_count"] == 4


def test_ctrl_c_stops_a_tool(chat: Chat, hermes: Hermes, model_server: ModelServer) -> None:
    model_server.script(Call("terminal", {"command": "sleep 600"}), "I went on.")
    screen = chat()

    screen.type("wait\n")
    screen.expect("terminal")
    screen.type(CTRL_C)
    screen.expect("[stopped]")
    screen.prompt()
    screen.type("go on\n")
    screen.expect("I went on.")

    (result,) = [message for message in model_server.requests[1].json["messages"] if message["role"] == "tool"]
    assert "nterrupted" in result["content"]


def test_ctrl_c_twice_at_the_prompt_leaves(chat: Chat) -> None:
    screen = chat()

    screen.press_ctrl_c_at_the_prompt()
    screen.expect("to leave")
    screen.prompt()
    screen.press_ctrl_c_at_the_prompt()

    assert screen.end() == 0
    assert "Traceback" not in screen.text


def test_commands(chat: Chat, hermes: Hermes, model_server: ModelServer) -> None:
    model_server.script([Say("Hello."), Tokens(prompt=100, completion=20)])
    screen = chat()

    screen.type("/help\n")
    text = screen.prompt()
    assert all(name in text for name in ("/new", "/model", "/usage", "/exit"))
    screen.type("/nothing\n")
    assert "There is no command /nothing. /help shows them." in screen.prompt()
    screen.type("hi\n")
    screen.prompt()
    screen.type("/usage\n")
    assert "100 tokens in, 20 out" in screen.prompt()
    screen.type("/model\n")
    assert "fake:test-model" in screen.prompt()
    screen.type("/model fake:other\n")
    assert "fake:other" in screen.prompt()
    screen.type("/model nobody:x\n")
    screen.prompt()
    screen.type("/model fake:other\n")
    screen.prompt()
    screen.type("/new\n")
    assert "New session:" in screen.prompt()
    screen.type("afresh\n")
    screen.prompt()
    screen.type("/exit\n")

    assert screen.end() == 0
    assert len(sessions(hermes)) == 2
    assert len(model_server.requests[1].json["messages"]) == len(model_server.requests[0].json["messages"])


def test_model_that_was_chosen_is_used(chat: Chat, model_server: ModelServer) -> None:
    screen = chat()
    screen.type("/model other\n")
    screen.prompt()
    screen.type("hi\n")
    screen.prompt()

    assert model_server.requests[0].json["model"] == "other"


def test_failed_turn_does_not_end_the_chat(chat: Chat, model_server: ModelServer) -> None:
    model_server.script(Fail(404), "Better now.")
    screen = chat()

    screen.type("hi\n")
    assert "404 model_not_found" in screen.prompt()
    screen.type("again\n")
    screen.expect("Better now.")


def test_lines_can_be_edited_and_called_back(chat: Chat, model_server: ModelServer) -> None:
    pytest.importorskip("readline")
    screen = chat()

    screen.type("first\n")
    screen.prompt()
    screen.type(f"{UP}\n")
    screen.prompt()

    assert [seen.json["messages"][-1]["content"] for seen in model_server.requests] == ["first", "first"]


def test_no_provider_is_told_at_once(hermes: Hermes) -> None:
    screen = Screen(hermes)
    try:
        assert screen.end() == 2
        assert "No provider is chosen" in screen.text
    finally:
        screen.close()
