"""Plugin hosts that are killed at any moment: every turn ends, every call has one result, no guard is got around."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from hermes import (
    AnyEvent,
    App,
    Clock,
    HistoryQuery,
    Message,
    ModelRequest,
    PluginError,
    SessionRef,
    ToolCall,
    ToolCallPart,
    ToolResultPart,
    TurnFinished,
    TurnStarted,
    Verdict,
    hookimpl,
    text_of,
)
from hermes_testkit.scripted import Reply, ScriptedModel, call, collect, make_app, say

DEADLINE = 60.0
LONGEST_WAIT = 0.1
"""Seconds between two kills, at most, beside what a host takes to be there again."""
LEFT_ALONE = 0.4
"""The share of kills before which all hosts are let come back, so that there is something to hit."""
ROUNDS, CALLS = 2, 3
"""Of a turn: answers with calls, and calls in each. The last of each is one that the guard forbids."""
GONE = "ended while work ran; its effect is unknown."

TOGETHER = """
import asyncio, os
from hermes import Verdict, hookimpl, tool

def note(ctx, file, line):
    with open(ctx.data_dir / file, "a") as log:
        log.write(line + "\\n")
        log.flush()
        os.fsync(log.fileno())
"""
PLUGINS = {
    "worker": '''
@tool(risk="exec")
async def work(key: str, ctx) -> str:
    """Works."""
    note(ctx, "log", "begun " + key)
    await asyncio.sleep(0.01)
    note(ctx, "log", "ended " + key)
    return "did " + key
''',
    "observer": """
@hookimpl
def on_event(event, ctx):
    note(ctx, "events", f"{event.seq}")

@hookimpl
async def post_tool_call(call, result, ctx):
    note(ctx, "calls", call.id)
""",
    "guard": """
@hookimpl
def pre_tool_call(call, ctx):
    note(ctx, "log", call.arguments["key"])
    if call.arguments["key"].endswith("forbidden"):
        return Verdict(decision="deny", reason="It is forbidden.")
    return Verdict(decision="allow")
""",
}


class Opener:
    """Without it the kernel's floor would ask, since an "allow" from a host does not count."""

    name = "opener"

    @hookimpl
    def pre_tool_call(self, call: ToolCall) -> Verdict:
        return Verdict(decision="allow")


def install(home: Path, *names: str) -> dict[str, Any]:
    """The settings that have them in hosts of their own."""
    (home / "plugins").mkdir(parents=True)
    for name in names:
        (home / "plugins" / f"{name}.py").write_text(TOGETHER + PLUGINS[name])
    entries = {name: {"isolation": "isolated"} for name in names}
    return {"plugins": {"entries": entries}, "sessions": {"transcripts": False}}


class LeapingClock(Clock):
    """With `leap`, a minute passes for whoever counts deaths, and for nobody who waits."""

    def __init__(self) -> None:
        self._leapt = 0.0

    def leap(self) -> None:
        self._leapt += 61.0

    def monotonic(self) -> float:
        return super().monotonic() + self._leapt


class Keys:
    """Two rounds of calls, then a word. Every call has a key of its own."""

    def __init__(self) -> None:
        self._number = 0

    def __call__(self, request: ModelRequest) -> Reply:
        asked = max(number for number, message in enumerate(request.messages) if message.role == "user")
        if sum(message.role == "tool" for message in request.messages[asked:]) == ROUNDS * CALLS:
            return say("That was all.")
        self._number += 1
        keys = [f"{self._number}-{place}" for place in range(CALLS - 1)]
        return say("", *(call("work", key=key) for key in (*keys, f"{self._number}-forbidden")))


class Killer(threading.Thread):
    """Kills random processes of random hosts at random moments, so many in all."""

    def __init__(self, app: App, clock: LeapingClock, chance: random.Random, kills: int) -> None:
        super().__init__(name="killer", daemon=True)
        self.killed: Counter[str] = Counter()
        self.left = kills
        self._app = app
        self._clock = clock
        self._chance = chance
        self._leave = threading.Event()

    def run(self) -> None:
        while self.left and not self._leave.wait(self._chance.uniform(0, LONGEST_WAIT)):
            if self._chance.random() < LEFT_ALONE:
                self._let_them_come_back()
            hosts = [host for host in self._app.plugins.hosts() if host.pid]
            if hosts:
                host = self._chance.choice(hosts)
                self._clock.leap()
                if kill(self._chance.choice(family(host.pid))):
                    self.killed[host.name] += 1
                    self.left -= 1

    def _let_them_come_back(self) -> None:
        until = time.monotonic() + 1
        while time.monotonic() < until and not all(host.alive for host in self._app.plugins.hosts()):
            if self._leave.wait(0.005):
                return
        self._leave.wait(self._chance.uniform(0, LONGEST_WAIT))

    def leave(self) -> None:
        self._leave.set()
        self.join(DEADLINE)


def family(pid: int) -> list[int]:
    """A process and what it started: a sandbox, what it is inside, and the host itself."""
    found = [pid]
    for one in found:
        try:
            found += [int(child) for child in Path(f"/proc/{one}/task/{one}/children").read_text().split()]
        except OSError:
            pass  # it has just ended
    return found


def kill(pid: int) -> bool:
    """Whether it was one of ours, and alive. By its handle, so that nobody else gets it who has its number by now."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if os.getpid() not in ancestors(pid):
            return False
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        return True
    except OSError:
        return False
    finally:
        os.close(handle)


def ancestors(pid: int) -> list[int]:
    found = []
    while pid > 1:
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            break
        found.append(pid)
    return found


def left_of(home: Path) -> list[str]:
    """Processes that have to do with the home, and dead children that nobody buried."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in (os.getpid(), *ancestors(os.getpid())):
            continue
        try:
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            about = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes() if state != "Z" else b""
        except OSError:
            continue
        if os.fsencode(home) in about or (state == "Z" and int(parent) == os.getpid()):
            found.append(f"{entry.name} {state} {about[:200]!r}")
    return found


async def until(condition: Callable[[], bool], what: str) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110 (what is waited for is another process's)
            await asyncio.sleep(0.01)
    assert condition(), what


async def all_there(app: App) -> None:
    """Returns when every host runs. A start that was hit by the last kill fails; the next one does not."""
    async with asyncio.timeout(DEADLINE):
        for host in app.plugins.hosts():
            while not host.alive:
                with contextlib.suppress(PluginError):
                    await host.channel()


class Story(NamedTuple):
    """What the store has of the session, what its watcher saw, and what the plugins wrote."""

    sent: list[str]
    messages: list[Message]
    seen: list[AnyEvent]
    stored: list[AnyEvent]
    home: Path

    def log(self, plugin: str, file: str) -> list[str]:
        path = self.home / "plugin-data" / plugin / file
        return path.read_text().splitlines() if path.exists() else []


async def tell(home: Path, settings: dict[str, Any], chance: random.Random, kills: int) -> Story:
    """Turns, one after another, until so many hosts were killed; then one that nobody disturbs."""
    clock, sent, seen = LeapingClock(), [], []
    model = ScriptedModel(Keys())
    async with make_app(home, Opener(), model=model, only=PLUGINS, overrides=settings, clock=clock) as app:
        conversation = await app.conversation(asking="inline")
        await app.plugins.start()
        await app.plugins.activate("worker")
        killer = Killer(app, clock, chance, kills)
        killer.start()
        try:
            while killer.is_alive():
                sent.append(f"turn {len(sent)}")
                async with asyncio.timeout(DEADLINE):
                    seen += await collect(conversation.send(sent[-1]))
                assert all(app.plugins.plugins[name].active for name in PLUGINS), "none is given up"
        finally:
            killer.leave()
        print(dict(killer.killed))  # noqa: T201
        await all_there(app)
        sent.append("in peace")
        seen += await collect(conversation.send(sent[-1]))
        history = await app.store.history(HistoryQuery(session_id=conversation.id))
        pending = await app.store.pending(SessionRef(session_id=conversation.id))
        assert pending.turn is None or pending.turn.status == "finished"
        stored = [event async for event in app.events(conversation.id)]
    return Story(sent, list(history.messages), seen, stored, home)


def judge(story: Story) -> Counter[str]:
    """Raises AssertionError; else what became of the calls, counted."""
    judge_turns(story)
    results: dict[str, list[ToolResultPart]] = collections.defaultdict(list)
    calls: dict[str, str] = {}
    for message in story.messages:
        for part in message.parts:
            if isinstance(part, ToolCallPart):
                assert part.id not in calls
                calls[part.id] = json.loads(part.arguments)["key"]
            elif isinstance(part, ToolResultPart):
                results[part.call_id].append(part)
    assert set(results) == set(calls)
    ran = Counter(story.log("worker", "log"))
    judged = Counter(story.log("guard", "log"))
    assert set(ran.values()) | set(judged.values()) == {1}, "nothing is run or judged twice"
    became: Counter[str] = Counter()
    for call_id, key in calls.items():
        (result,) = results[call_id]
        kind = judge_call(key, result, ran)
        assert f"begun {key}" not in ran or key in judged, f"{key} ran, and no guard had seen it"
        became[kind] += 1
    observed = Counter(story.log("observer", "events"))
    assert set(observed.values()) == {1}
    assert Counter(story.log("observer", "calls")) <= Counter(list(calls))
    return became


def judge_call(key: str, result: ToolResultPart, ran: Counter[str]) -> str:
    """A call's only result, against what it did."""
    text = text_of(result.content)
    begun, ended = ran[f"begun {key}"], ran[f"ended {key}"]
    assert not (begun and key.endswith("forbidden")), f"{key} ran"
    if text == f"did {key}":
        assert (begun, ended, result.is_error) == (1, 1, False), key
        return "done"
    assert result.is_error, text
    if GONE in text:
        assert text.count('"worker"') == 1, text
        return "effect unknown, ended" if ended else "effect unknown, begun" if begun else "effect unknown, not begun"
    assert (begun, ended) == (0, 0), f"{key} ran, and the model was told: {text}"
    if key.endswith("forbidden") and "It is forbidden." in text:
        return "forbidden"
    if 'The guard "guard"' in text:
        return "denied for want of the guard"
    assert "the plugin host of worker" in text, text
    return "not started"


def judge_turns(story: Story) -> None:
    """None is lost, none is cut off, and the events are as many and as numbered as they should be."""
    turns = [event.turn_id for event in story.stored if isinstance(event, TurnStarted)]
    assert len(set(turns)) == len(turns) == len(story.sent)
    finished = [event for event in story.stored if isinstance(event, TurnFinished)]
    assert [(event.turn_id, event.outcome) for event in finished] == [(turn, "done") for turn in turns]
    assert [text_of(message.parts) for message in story.messages if message.role == "user"] == story.sent
    round_of = ["assistant", *["tool"] * CALLS]
    assert [message.role for message in story.messages] == ["user", *round_of * ROUNDS, "assistant"] * len(turns)
    seqs = [event.seq for event in story.seen]
    assert seqs == sorted(set(seqs))
    stored = [event.seq for event in story.stored]
    assert stored == sorted(set(stored))
    assert set(stored) <= set(seqs)


def kill_many(home: Path, kills: int) -> Counter[str]:
    seed = int(os.environ.get("KILLS_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"KILLS_SEED={seed}")  # noqa: T201 (pytest shows it with a failure)
    settings = install(home, *PLUGINS)
    files = len(os.listdir("/proc/self/fd"))
    began = time.monotonic()

    async def run() -> Counter[str]:
        story = await tell(home, settings, random.Random(seed), kills)
        await until(lambda: not left_of(home), "no process is left")
        print(f"{len(story.sent)} turns")  # noqa: T201
        return judge(story)

    became = asyncio.run(run())
    print(f"{dict(became)} in {time.monotonic() - began:.1f} s")  # noqa: T201
    assert len(os.listdir("/proc/self/fd")) <= files
    assert left_of(home) == []
    assert became["done"] >= ROUNDS * (CALLS - 1), "in peace all is done"
    return became


def test_25_kills(home: Path) -> None:
    kill_many(home, 25)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_500_kills(home: Path) -> None:
    became = kill_many(home, 500)
    hit = {"effect unknown, begun", "denied for want of the guard", "forbidden"}
    assert hit <= set(became), "the kills hit what they were to hit"
