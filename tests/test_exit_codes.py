"""How one shots end that do not end well: the exit code, an empty stdout, one line that says what to do."""

from __future__ import annotations

import json
import signal
import socket

import pytest

from hermes_testkit.command import Hermes, Ran
from hermes_testkit.model_server import Cut, Fail, ModelServer, Reply, Say, Slow


def session_of(ran: Ran) -> str:
    """The id on the line that ``-Q`` writes."""
    (line,) = [line for line in ran.err.splitlines() if line.startswith("session_id: ")]
    return line.removeprefix("session_id: ")


def without_retries(hermes: Hermes, url: str) -> None:
    hermes.use(url, agent={"retries": 0})


@pytest.mark.parametrize(
    ("reply", "code", "details"),
    [
        (Fail(404), 1, ["404", "model_not_found", "test-model"]),
        (Fail(500), 1, ["500", "server_error", "req_1"]),
        (Fail(429), 1, ["429", "rate_limit_exceeded"]),
        (Fail(401), 4, ["401", "invalid_api_key"]),
        (Fail(403), 4, ["403", "model_not_allowed"]),
        ([Say("half of an ans"), Cut()], 1, []),
    ],
    ids=["404", "500", "429", "401", "403", "cut"],
)
def test_upstream_failure(
    hermes: Hermes, model_server: ModelServer, reply: Reply, code: int, details: list[str]
) -> None:
    without_retries(hermes, model_server.url)
    model_server.script(reply)

    ran = hermes("chat", "-Q", "-q", "hi")

    assert (ran.code, ran.out) == (code, "")
    line = failure_line(ran, hermes)
    assert all(detail in line for detail in details), line
    assert json.loads(hermes("sessions", "show", session_of(ran), "--json").out)["outcome"] == "failed"


def test_connection_refused(hermes: Hermes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    without_retries(hermes, f"http://127.0.0.1:{port}/v1")

    ran = hermes("chat", "-Q", "-q", "hi")

    assert (ran.code, ran.out) == (1, "")
    assert f"127.0.0.1:{port}" in failure_line(ran, hermes)


def failure_line(ran: Ran, hermes: Hermes) -> str:
    """The one line that a quiet run says beside its session: with provider and log path, and in the log, too."""
    (line,) = [line for line in ran.err.splitlines() if not line.startswith("session_id: ")]
    log = hermes.home / "logs" / "errors.log"
    assert line.startswith("hermes: ")
    assert line.startswith("hermes: fake: ")
    assert str(log) in line
    assert line in log.read_text()
    return line


def test_sigint_in_mid_stream(hermes_with_model: Hermes, model_server: ModelServer) -> None:
    model_server.script([Say("one two "), Slow(60), Say("never")])
    process = hermes_with_model.start("-z", "count", "--json")
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["type"] == "text_delta" and "two" in line:
            break
    process.send_signal(signal.SIGINT)
    rest, err = process.communicate(timeout=30)

    assert process.returncode == 130
    assert json.loads(rest.splitlines()[-1])["outcome"] == "interrupted"
    assert "Traceback" not in err
    (session,) = json.loads(hermes_with_model("sessions", "list", "--json").out)
    shown = json.loads(hermes_with_model("sessions", "show", session["id"], "--json").out)
    assert [message["role"] for message in shown["messages"]] == ["user", "assistant"]
    assert shown["messages"][1]["parts"][0]["text"].startswith("one two")


def test_sigint_leaves_stdout_empty(hermes_with_model: Hermes, model_server: ModelServer) -> None:
    model_server.script([Say("one two "), Slow(60), Say("never")])
    process = hermes_with_model.start("-z", "count")
    assert model_server.wait_for_requests(1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)

    assert (process.returncode, out) == (130, "")
    assert "Interrupted." in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (("--frobnicate",), "--frobnicate"),
        (("chats",), '"chat"'),
        (("-z", "hi", "--max-turns", "0"), "max-turns"),
        (("-z", "hi", "--resume", "x", "--continue"), "--continue"),
        (("-z", "hi", "-m", "fake:a", "--provider", "openai"), "openai"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_usage(
    hermes_with_model: Hermes, model_server: ModelServer, arguments: tuple[str, ...], names: str
) -> None:
    ran = hermes_with_model(*arguments)

    assert (ran.code, ran.out) == (2, "")
    assert names in ran.err
    assert model_server.requests == []
