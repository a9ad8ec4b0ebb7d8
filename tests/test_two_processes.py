"""Two processes on one home, writing at once: on sessions of their own, and on the same one."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hermes_testkit.command import Hermes
from hermes_testkit.model_server import Call, ModelServer, Reply, Say, SeenRequest, Slow

DRIVER = Path(__file__).with_name("turns_driver.py")
GRACE = 60.0
"""Seconds that a process gets to end its last turn."""


def scripted(request: SeenRequest) -> Reply:
    """Every third answer takes a tool first."""
    if request.json["messages"][-1]["role"] == "user" and request.number % 3 == 0:
        return Call("write_file", {"path": f"{request.number}.txt", "content": "x"})
    return answer(request)


def answer(request: SeenRequest) -> Reply:
    """Names what it answers."""
    asked = [message["content"] for message in request.json["messages"] if message["role"] == "user"]
    return Say(f"answer to {asked[-1]}")


def start(hermes: Hermes, url: str, name: str, seconds: float, shared: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, str(DRIVER), str(hermes.home), url, name, str(seconds), shared]
    return subprocess.Popen(
        command, env=hermes.environ, cwd=hermes.workspace, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def promised(process: subprocess.Popen[str], seconds: float) -> list[dict[str, Any]]:
    """What it was promised, when it has ended well and without a complaint."""
    out, err = process.communicate(timeout=seconds + GRACE)
    assert (process.returncode, err) == (0, "")
    return [json.loads(line) for line in out.splitlines()]


def assert_sound(hermes: Hermes) -> None:
    checked = hermes("sessions", "check", "--json")
    assert (checked.code, json.loads(checked.out)["problems"]) == (0, [])
    errors = hermes.home / "logs" / "errors.log"
    assert not errors.exists() or errors.read_text() == ""


def assert_answered(hermes: Hermes, lines: Sequence[dict[str, Any]]) -> None:
    """Each message is in its session once, and an answer that names it stands behind it."""
    for session in {line["session"] for line in lines}:
        exported = hermes("sessions", "export", session, "--json")
        assert exported.code == 0, exported.err
        entries = [json.loads(line) for line in exported.out.splitlines()]
        said = [(entry.get("role"), text_of(entry)) for entry in entries]
        for text in (line["text"] for line in lines if line["session"] == session):
            assert said.count(("user", text)) == 1, f"{text} is lost, or twice there"
        assert_each_answered(said)


def assert_each_answered(said: Sequence[tuple[str, str]]) -> None:
    """Messages that were queued together are answered together, by an answer to the last of them."""
    waiting = ""
    for role, text in said:
        if role == "user":
            waiting = text
        elif role == "assistant" and text:
            assert text == f"answer to {waiting}"
            waiting = ""
    assert not waiting, f"{waiting} was not answered"


def text_of(entry: dict[str, Any]) -> str:
    return "".join(part.get("text", "") for part in entry.get("parts", ()) if part.get("type") == "text")


def two_at_once(hermes: Hermes, seconds: float, *, share: bool) -> list[list[dict[str, Any]]]:
    with ModelServer(default=scripted) as server:
        hermes.use(server.url, approvals={"mode": "off"})
        session = begin(hermes) if share else ""
        processes = [start(hermes, server.url, name, seconds, session) for name in ("ann", "ben")]
        try:
            return [promised(process, seconds) for process in processes]
        finally:
            for process in processes:
                process.kill()


def begin(hermes: Hermes) -> str:
    """A session with one turn."""
    ran = hermes("chat", "-q", "begin", "-Q")
    assert ran.code == 0, ran.err
    return ran.err.split("session_id: ")[1].split()[0]


SECONDS = [pytest.param(3.0, id="short"), pytest.param(60.0, id="minute", marks=pytest.mark.slow)]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("seconds", SECONDS)
def test_on_sessions_of_their_own(hermes: Hermes, seconds: float) -> None:
    ann, ben = two_at_once(hermes, seconds, share=False)
    assert ann
    assert ben
    assert not any(line["queued"] for line in [*ann, *ben])
    assert len({line["session"] for line in ann} & {line["session"] for line in ben}) == 0
    assert_answered(hermes, [*ann, *ben])
    assert_sound(hermes)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("seconds", SECONDS)
def test_on_the_same_session(hermes: Hermes, seconds: float) -> None:
    ann, ben = two_at_once(hermes, seconds, share=True)
    assert ann
    assert ben
    assert any(line["queued"] for line in [*ann, *ben]), "they never met"
    assert_answered(hermes, [*ann, *ben])
    assert_sound(hermes)


def test_what_was_queued_is_answered_when_the_holder_is_killed(hermes: Hermes) -> None:
    with ModelServer(default=answer) as server:
        hermes.use(server.url)
        session = begin(hermes)
        server.script([Say("I begin"), Slow(600), Say("and never end")])
        holder = hermes.start("chat", "-q", "hold", "--json", "--resume", session)
        waiting = None
        try:
            assert server.wait_for_requests(2)
            waiting = hermes.start("chat", "-q", "wait", "--json", "--resume", session)
            assert waiting.stdout is not None
            assert json.loads(waiting.stdout.readline())["type"] == "message_queued"
            holder.send_signal(signal.SIGKILL)
            out, err = waiting.communicate(timeout=GRACE)
        finally:
            for process in (holder, waiting):
                if process is not None:
                    process.kill()
                    process.communicate()
        assert (waiting.returncode, err) == (0, "")
        events = [json.loads(line) for line in out.splitlines()]
        assert [event["text"] for event in events if event["type"] == "turn_finished"] == ["answer to wait"]
        exported = hermes("sessions", "export", session, "--json").out
        said = [(entry.get("role"), text_of(entry)) for entry in map(json.loads, exported.splitlines())]
        assert said[1:] == [
            ("user", "begin"),
            ("assistant", "answer to begin"),
            ("user", "hold"),
            ("user", "wait"),
            ("assistant", "answer to wait"),
        ]
