"""What goes wrong between here and a model, on every wire: the turn succeeds by another try or a fallback, or ends in
one clear error; and no tool runs twice.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from hermes import AnyEvent, App, ModelRetry, ToolFinished, TurnFinished, tool
from hermes_testkit.model_server import (
    Call,
    Cut,
    Drop,
    ErrorChunk,
    Fail,
    KeepAlive,
    Malformed,
    ModelServer,
    Say,
    Slow,
    Think,
)
from hermes_testkit.scripted import SetClock, collect
from hermes_testkit.wires import WIRES

PLUGINS = ["openai", "anthropic", "gemini", "bedrock"]
ADDRESSES = {"chat_completions": "/v1", "responses": "/v1", "gemini": "/v1beta"}
DEADLINE = 20.0
"""Seconds within which every drill ends, whatever happens."""
LIMITED, BUSY = Fail(429), Fail(529)


class Counter:
    name = "counter"

    def __init__(self) -> None:
        self.ran = 0

    @tool(risk="read", effects="none")
    def count(self) -> str:
        """Counts."""
        self.ran += 1
        return f"counted {self.ran}"


class Drill(NamedTuple):
    """``error`` blank: the turn succeeds. ``calls``: how many model calls it takes. ``fallback``: there is one."""

    id: str
    script: Sequence[Any]
    calls: int
    error: str = ""
    fallback: bool = False
    waits: float = 0.0
    """Seconds that are waited at least."""
    timeout: float = 10.0
    """Seconds without a byte."""


DRILLS = (
    Drill("429 burst", [LIMITED, LIMITED, "ok"], 3),
    Drill("429 burst that says how long", [Fail(429, headers={"Retry-After": "7"})] * 2 + ["ok"], 3, waits=14),
    Drill("429 that asks for an hour", [Fail(429, headers={"Retry-After": "3600"}), "ok"], 1, "RateLimited"),
    Drill("429 for ever", [LIMITED] * 9, 4, "RateLimited"),
    Drill("429 with a fallback", [LIMITED, "ok"], 2, fallback=True),
    Drill("quota used up", [Fail(429, reason="quota"), "ok"], 1, "NotEntitled"),
    Drill("quota used up, with a fallback", [Fail(429, reason="quota"), "ok"], 2, fallback=True),
    Drill("529", [BUSY, BUSY, BUSY, "ok"], 4),
    Drill("529 for ever, with a fallback", [BUSY] * 4 + ["ok"], 5, fallback=True),
    Drill("500", [Fail(500), "ok"], 2),
    Drill("503 for ever", [Fail(503)] * 9, 4, "Overloaded"),
    Drill("dropped", [Drop(), "ok"], 2),
    Drill("dropped for ever", [Drop()] * 9, 4, "ConnectionFailed"),
    Drill("no JSON", [[Say("So"), Malformed()], "ok"], 2),
    Drill("error after 200", [ErrorChunk(), "ok"], 2),
    Drill("error after some text", [[Say("So far"), ErrorChunk()], "ok"], 2),
    Drill("nothing said", [Say(""), "ok"], 2),
    Drill("silence", [[Slow(3600), Say("never")], "ok"], 2, timeout=1.5),
    Drill("slow headers, alive", [[KeepAlive(), Say("ok")]], 1),
    Drill("wrong key", [Fail(401), "ok"], 1, "AuthenticationFailed", fallback=True),
    Drill("no permission", [Fail(403), "ok"], 1, "NotEntitled", fallback=True),
    Drill("no credit", [Fail(402), "ok"], 1, "NotEntitled"),
    Drill("bad request", [Fail(400), "ok"], 1, "BadRequest", fallback=True),
    Drill("no such model", [Fail(404), "ok"], 1, "ModelNotFound", fallback=True),
    Drill("refused content", [Fail(400, reason="filtered"), "ok"], 1, "ContentRefused", fallback=True),
    Drill("too long", [Fail(400, reason="overflow"), "ok"], 1, "ContextOverflow", fallback=True),
)


def settings(roots: dict[str, str], timeout: float = 10.0) -> dict[str, Any]:
    """Providers by name, each at its root; the name begins with its wire's."""
    providers = {
        name: {
            "transport": name.partition("-")[0],
            "base_url": f"{root}{ADDRESSES.get(name.partition('-')[0], '')}",
            "key_env": "DRILL_KEY",
            "models": [f"{name}-model"],
        }
        for name, root in roots.items()
    }
    fallbacks = [f"{name}:{name}-model" for name in roots if name.endswith("-second")]
    return {
        "providers": providers,
        "fallback_providers": fallbacks,
        "model": {"provider": next(iter(roots)), "timeout": timeout},
        "plugins": {"enabled": PLUGINS},
    }


class Drilled(NamedTuple):
    finished: TurnFinished
    events: list[AnyEvent]
    ran: int
    waited: float
    seconds: float


def drill(home: Path, roots: dict[str, str], **options: Any) -> Drilled:
    counter, clock = Counter(), SetClock()
    started = clock.now()
    began = time.monotonic()

    async def work() -> list[AnyEvent]:
        overrides = settings(roots, **options)
        environ = {"DRILL_KEY": "sk-drill-0123456789"}
        async with App(home, plugins=[counter], environ=environ, overrides=overrides, clock=clock) as app:
            conversation = await app.conversation()
            async with asyncio.timeout(DEADLINE):
                return await collect(conversation.send("Go"))

    events = asyncio.run(work())
    assert isinstance(events[-1], TurnFinished)
    return Drilled(events[-1], events, counter.ran, clock.now() - started, time.monotonic() - began)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("case", DRILLS, ids=lambda case: case.id)
def test_a_drill(tmp_path: Path, wire: str, case: Drill) -> None:
    with ModelServer(*case.script) as server:
        roots = {f"{wire}-first": server.root, **({f"{wire}-second": server.root} if case.fallback else {})}
        done = drill(tmp_path, roots, timeout=case.timeout)
        assert len(server.requests) == case.calls
    assert (done.finished.outcome, done.finished.text) == (("failed", "") if case.error else ("done", "ok"))
    if case.error:
        assert done.finished.error is not None
        assert done.finished.error.kind == case.error
        assert done.finished.error.message.startswith(f"{wire}-first")
        assert done.finished.error.hint
    elif case.fallback:
        assert done.finished.model == f"{wire}-second-model"
    assert len([event for event in done.events if isinstance(event, ModelRetry)]) == case.calls - 1
    assert done.waited >= case.waits


@pytest.mark.parametrize("wire", WIRES)
def test_an_answer_that_is_cut_anywhere_is_asked_for_again(tmp_path: Path, wire: str) -> None:
    """Cut after every piece, and before the end; the text that was shown is void, and the tool runs once."""
    for after in (*range(16), -1):
        answer = [Think("Hm."), Say("Counting now."), Call("count", {}), Cut(after)]
        with ModelServer(answer, Call("count", {}), "done") as server:
            done = drill(tmp_path, {f"{wire}-first": server.root})
            assert len(server.requests) == 3
        assert (done.finished.text, done.ran) == ("done", 1), after
        assert len([event for event in done.events if isinstance(event, ModelRetry)]) == 1


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    "failure", [LIMITED, BUSY, Drop(), [Say("half"), Cut()], [Say("half"), ErrorChunk()], Malformed()]
)
def test_a_tool_that_ran_is_not_run_again(tmp_path: Path, wire: str, failure: Any) -> None:
    with ModelServer(Call("count", {}), failure, failure, "done") as server:
        done = drill(tmp_path, {f"{wire}-first": server.root})
    assert (done.finished.text, done.ran) == ("done", 1)
    assert len([event for event in done.events if isinstance(event, ToolFinished)]) == 1


@pytest.mark.parametrize("wire", WIRES)
def test_a_host_that_is_not_there(tmp_path: Path, wire: str) -> None:
    done = drill(tmp_path, {f"{wire}-first": "http://no-such-host.invalid"}, timeout=5)
    assert done.finished.error is not None
    assert done.finished.error.kind == "ConnectionFailed"
    assert "no-such-host.invalid" in done.finished.error.message
    assert done.seconds < DEADLINE


@pytest.fixture(scope="module")
def untrusted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate that nobody trusts, with its key."""
    file = tmp_path_factory.mktemp("tls") / "own.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1"]
    subprocess.run(
        [*made, "-keyout", str(file), "-out", str(file.with_suffix(".crt"))], check=True, capture_output=True
    )
    file.write_text(file.read_text() + file.with_suffix(".crt").read_text())
    return file


@contextmanager
def listening(certificate: Path | None) -> Iterator[int]:
    """A port that speaks TLS with this certificate; without one it says nothing at all."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if certificate is not None:
        context.load_cert_chain(certificate)
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    connection = server.accept()[0]
                except OSError:
                    return
                held.append(connection)
                if certificate is not None:
                    try:
                        context.wrap_socket(connection, server_side=True).close()
                    except OSError:
                        connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(5)
            for connection in held:
                connection.close()


@pytest.mark.parametrize("wire", WIRES)
def test_a_certificate_that_nobody_trusts(tmp_path: Path, wire: str, untrusted: Path) -> None:
    with listening(untrusted) as port:
        done = drill(tmp_path, {f"{wire}-first": f"https://127.0.0.1:{port}"}, timeout=5)
    assert done.finished.error is not None
    assert done.finished.error.kind == "ConnectionFailed"
    assert "certificate" in done.finished.error.hint


@pytest.mark.parametrize("wire", WIRES)
def test_headers_that_never_come(tmp_path: Path, wire: str) -> None:
    with listening(None) as port, ModelServer("ok") as server:
        roots = {f"{wire}-first": f"http://127.0.0.1:{port}", f"{wire}-second": server.root}
        done = drill(tmp_path, roots, timeout=0.6)
    assert (done.finished.text, done.finished.model) == ("ok", f"{wire}-second-model")
    assert done.seconds < DEADLINE
