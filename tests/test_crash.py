"""A process that is killed at any moment of a turn loses nothing that it acknowledged, and repeats nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import selectors
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec
import pytest

from hermes import (
    Done,
    HistoryQuery,
    Message,
    Pending,
    SessionQuery,
    SessionRef,
    SessionStore,
    ToolCallPart,
    ToolResultPart,
    text_of,
)
from hermes.sessions.sqlite import open_store
from hermes_testkit.command import Hermes
from hermes_testkit.model_server import Call, ModelServer, Reply, Say, SeenRequest, Slow

SESSIONS = 6
EVENTS = 42
"""About as many as a turn here prints."""
LINGER = 0.03
"""The most seconds between an event and the kill: longer than what happens between two events."""
DEADLINE = 30.0
UNKNOWN = "Interrupted; effect unknown."
NOT_RUN = "Interrupted before it was started: it was not run."


def scripted(request: SeenRequest) -> Reply:
    """Two rounds of tools and a slow answer for "work", a word for all else. Every command leaves its call's id."""
    messages = request.json["messages"]
    asked = max(number for number, message in enumerate(messages) if message["role"] == "user")
    if not messages[asked]["content"].startswith("work"):
        return Say("went on")
    ids = [f"call_{request.number}_{number}" for number in range(3)]
    match sum(message["role"] == "tool" for message in messages[asked:]):
        case 0:
            file = {"path": f"{ids[1]}.txt", "content": "x"}
            return [Say("I begin."), effect(ids[0]), Call("write_file", file, id=ids[1]), effect(ids[2])]
        case 3:
            return [effect(ids[0])]
        case _:
            return [Slow(0.005), Say("That was all there was to do.")]


def effect(call_id: str) -> Call:
    command = f"sleep 0.01; echo {call_id} >> effects; sleep 0.01; echo did {call_id}"
    return Call("terminal", {"command": command}, id=call_id)


class Round(NamedTuple):
    """What a killed process had said. ``ended``: the turn was over before the kill."""

    session: str
    messages: list[Message]
    started: set[str]
    ended: bool


class Left(NamedTuple):
    """What a killed process left in the store."""

    history: tuple[Message, ...]
    pending: Pending


class Victim:
    """The command line on one home, killed again and again."""

    def __init__(self, hermes: Hermes, rng: random.Random) -> None:
        self.hermes = hermes
        self.rng = rng
        self.acknowledged: dict[str, dict[int, Message]] = {}
        self.seen: Counter[str] = Counter()

    def kill_once(self, number: int) -> None:
        known = sorted(self.acknowledged)
        session = self.rng.choice(known) if len(known) >= SESSIONS else ""
        died = self._run_and_kill(f"work {number}", session)
        if not died.session:
            self.seen["before the first message"] += 1
            return
        kept = self.acknowledged.setdefault(died.session, {})
        kept.update({message.id: message for message in died.messages})
        left = self._left(died.session)
        assert_kept(kept, left.history)
        states = {record.call_id: record.state for record in left.pending.calls}
        assert all(states.get(call_id, "finished") != "intended" for call_id in died.started), "started, and not stored"
        done_by_now = self.effects()
        assert not [call_id for call_id, state in states.items() if state == "intended" and call_id in done_by_now]
        self._go_on(died.session, number)
        self._judge(died, left)

    def _run_and_kill(self, prompt: str, session: str) -> Round:
        """Kills after a random event, and a little: the moments are spread over the turn however busy the machine."""
        lines_before, linger = self.rng.randrange(EVENTS), self.rng.random() * LINGER
        resume = ["--resume", session] if session else []
        with open(self.hermes.home.parent / "stderr", "ab") as errors:
            process = self.hermes.start("chat", "-q", prompt, "--json", *resume, text=False, stderr=errors)
        try:
            output, ended = read_lines(process, lines_before)
            until = time.monotonic() + linger
            while time.monotonic() < until and process.poll() is None:
                time.sleep(0.001)
        finally:
            process.send_signal(signal.SIGKILL)
            assert process.stdout is not None
            output += process.stdout.read()
            process.stdout.close()
            process.wait(DEADLINE)
        return said(output, session, ended)

    def _left(self, session: str) -> Left:
        async def look(store: SessionStore) -> Left:
            report = await store.check(Done())
            assert not report.problems, report.problems
            history = await store.history(HistoryQuery(session_id=session))
            return Left(history.messages, await store.pending(SessionRef(session_id=session)))

        return self.with_store(look)

    def with_store(self, work: Callable[[SessionStore], Awaitable[Any]]) -> Any:
        async def opened() -> Any:
            store = open_store(self.hermes.home)
            try:
                return await work(store)
            finally:
                await store.close(Done())

        return asyncio.run(opened())

    def _go_on(self, session: str, number: int) -> None:
        ran = self.hermes("chat", "-q", f"and now? {number}", "-Q", "--resume", session)
        assert (ran.code, ran.out) == (0, "went on\n"), ran

    def _judge(self, died: Round, left: Left) -> None:
        """The history after the session went on: every call has one result, and the result tells the truth."""
        history = self._left(died.session).history
        assert_kept(self.acknowledged[died.session], history)
        results = results_of(history)
        for record in left.pending.calls:
            text = results[record.call_id]
            if record.result is not None:
                assert text == text_of(record.result.content)
            elif record.state == "started":
                assert text.startswith(UNKNOWN if record.effects == "external" else "Interrupted. It is safe"), text
            else:
                assert text == NOT_RUN
            self.seen[f"a call was {record.state}"] += 1
        if died.ended:
            self.seen["after the turn"] += 1
        elif not left.pending.calls:
            self.seen["outside of calls"] += 1

    def effects(self) -> Counter[str]:
        with contextlib.suppress(FileNotFoundError):
            return Counter((self.hermes.workspace / "effects").read_text().split())
        return Counter()

    def judge_all(self) -> None:
        """At the end, over all sessions."""
        listed = self.hermes("sessions", "check", "--json")
        assert (listed.code, json.loads(listed.out)["problems"]) == (0, []), listed
        effects = self.effects()
        assert set(effects.values()) <= {1}, "an effect was repeated"

        async def histories(store: SessionStore) -> list[tuple[Message, ...]]:
            found = (await store.find(SessionQuery(limit=1000))).sessions
            assert {session.id for session in found} >= set(self.acknowledged)
            for session, kept in self.acknowledged.items():
                assert_kept(kept, (await store.history(HistoryQuery(session_id=session))).messages)
            return [(await store.history(HistoryQuery(session_id=session.id))).messages for session in found]

        for history in self.with_store(histories):
            for call_id, text in results_of(history).items():
                if f"did {call_id}" in text:
                    assert effects[call_id] == 1
                elif text == NOT_RUN:
                    assert call_id not in effects


def read_lines(process: subprocess.Popen[bytes], count: int) -> tuple[bytes, bool]:
    """Reads until there are ``count`` lines, or the end. Tells whether it was the end."""
    assert process.stdout is not None
    descriptor, output = process.stdout.fileno(), b""
    until = time.monotonic() + DEADLINE
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while output.count(b"\n") < count:
            assert selector.select(until - time.monotonic()), f"nothing came any more after {output!r}"
            piece = os.read(descriptor, 65536)
            if not piece:
                return output, True
            output += piece
    return output, False


def said(output: bytes, session: str, ended: bool) -> Round:
    """Complete lines only: a process may die in the middle of one."""
    events = [json.loads(line) for line in output.split(b"\n")[:-1]]
    stored = [event for event in events if event["type"] == "message_stored"]
    return Round(
        session=stored[0]["session_id"] if stored else session,
        messages=[msgspec.convert(event["message"], Message) for event in stored],
        started={event["call_id"] for event in events if event["type"] == "tool_started"},
        ended=ended or any(event["type"] == "turn_finished" for event in events),
    )


def assert_kept(acknowledged: dict[int, Message], history: tuple[Message, ...]) -> None:
    stored = {message.id: message for message in history}
    for number, message in acknowledged.items():
        assert number in stored, f"the message {number} is lost: {message}"
        kept = stored[number]
        assert (kept.role, kept.parts, kept.seq) == (message.role, message.parts, message.seq)


def results_of(history: tuple[Message, ...]) -> dict[str, str]:
    """The text of each call's result. Every call has one, right behind its answer, in call order."""
    calls: list[str] = []
    results: dict[str, str] = {}
    for message in history:
        if message.role == "tool":
            (part,) = message.parts
            assert isinstance(part, ToolResultPart)
            assert part.call_id == calls[len(results)], "a result is out of order, or twice there"
            results[part.call_id] = text_of(part.content)
            continue
        assert len(results) == len(calls), "a call has no result"
        calls += [part.id for part in message.parts if isinstance(part, ToolCallPart)]
    assert len(set(calls)) == len(calls) == len(results)
    return results


def crash(hermes: Hermes, rounds: int) -> Counter[str]:
    """What the kills hit, counted."""
    seed = int(os.environ.get("CRASH_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"CRASH_SEED={seed}")  # noqa: T201 (pytest shows it with a failure)
    with ModelServer(default=scripted) as server:
        hermes.use(server.url, approvals={"mode": "off"})
        victim = Victim(hermes, random.Random(seed))
        for number in range(rounds):
            victim.kill_once(number)
        victim.judge_all()
    print(dict(victim.seen))  # noqa: T201
    return victim.seen


def test_ten_kills(hermes: Hermes) -> None:
    seen = crash(hermes, 10)
    assert seen.total() > seen["after the turn"], "no kill hit a turn"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(4))
def test_two_hundred_kills(hermes: Hermes, part: int) -> None:
    """Fifty on each of four homes."""
    seen = crash(hermes, 50)
    for moment in ("outside of calls", "a call was intended", "a call was started", "a call was finished"):
        assert seen[moment], f"no kill hit the moment: {moment}; {seen}"
