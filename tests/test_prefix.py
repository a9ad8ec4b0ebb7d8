"""Within a session, each request starts with the bytes of the one before it, whatever happens in between."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable, Coroutine, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

from hermes import (
    App,
    Conversation,
    TextDelta,
    ToolOutcome,
    ToolStarted,
    TurnAnswer,
    TurnFinished,
    TurnInfo,
    hookimpl,
    tool,
)
from hermes_testkit.command import Hermes
from hermes_testkit.model_server import Call, Cut, Fail, ModelServer, Reply, Say, SeenRequest, Slow, Think

TURNS = 50
CLOSING = b"]}"
"""Of the messages and of the object."""


class Shape(NamedTuple):
    """What happens in a turn."""

    prompt: str
    calls: tuple[int, ...] = ()
    """How many tool calls each answer but the last has."""
    text: str = "fine"
    """Said with every answer."""
    end: str = "done"
    context: bool = False
    steer: bool = False
    replaced: bool = False
    restart: bool = False
    """The turn is the first of another `App`."""


texts = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=40).filter(str.strip)
shapes = st.builds(
    Shape,
    prompt=texts,
    calls=st.lists(st.integers(1, 3), max_size=3).map(tuple),
    text=texts,
    end=st.sampled_from(["done", "done", "done", "refused", "cut", "interrupted", "thought"]),
    context=st.booleans(),
    steer=st.booleans(),
    replaced=st.booleans(),
    restart=st.sampled_from([False] * 9 + [True]),
)


class Meddler:
    """A plugin that does all that plugins may do to a conversation."""

    name = "meddler"

    def __init__(self) -> None:
        self.shape = Shape("")

    @hookimpl
    def pre_llm_call(self, turn: TurnInfo) -> str | None:
        return f"Context of {turn.id}: Größe, 東京, 🧭" if self.shape.context else None

    @hookimpl
    def post_llm_call(self, answer: TurnAnswer) -> str | None:
        return f"Instead: {answer.text[::-1]}" if self.shape.replaced else None

    @hookimpl
    def transform_tool_result(self, result: ToolOutcome) -> ToolOutcome | None:
        return ToolOutcome(content=result.content * 2) if self.shape.context else None

    @tool(risk="read", effects="none")
    async def note(self, text: str) -> str:
        """Notes a text."""
        return f"noted: {text}"


class Script:
    """Answers as the shape of the running turn says."""

    def __init__(self) -> None:
        self.left: list[Reply] = []

    def play(self, shape: Shape) -> None:
        self.left = [self._calls(shape, count, number) for number, count in enumerate(shape.calls)]
        match shape.end:
            case "refused":
                self.left.append(Fail(400))
            case "cut":
                self.left.append([Say(shape.text), Cut()])
            case "interrupted":
                self.left.append([Say(shape.text), Slow(5), Say("never seen")])
            case "thought":
                self.left.append([Think("Hm …"), Say(shape.text)])

    def _calls(self, shape: Shape, count: int, number: int) -> Reply:
        calls = [Call("note", {"text": f"{shape.text} {place}"}) for place in range(count - 1)]
        last = Call("terminal", {"command": "printf 'ünï\\t%s' $RANDOM"}) if number == 0 else Call("note", "{broken")
        return [Say(shape.text), *calls, last]

    def __call__(self, request: SeenRequest) -> Reply:
        return self.left.pop(0) if self.left else Say("fine")


def make_app(home: Path, server: ModelServer, meddler: Meddler) -> App:
    provider = {"transport": "chat_completions", "base_url": server.url, "models": ["test-model"]}
    overrides = {
        "model": {"provider": "fake"},
        "providers": {"fake": provider},
        "approvals": {"mode": "off"},
        "agent": {"retries": 0},
    }
    environ = {"PATH": os.environ["PATH"], "HOME": str(home)}
    return App(home, plugins=[meddler], overrides=overrides, environ=environ, workspace=str(home))


async def run_turn(conversation: Conversation, shape: Shape) -> str:
    steering: asyncio.Task[None] | None = None
    said, outcome = "", ""
    async for happened in conversation.send(shape.prompt):
        match happened:
            case ToolStarted() if shape.steer and steering is None:
                steering = asyncio.create_task(steer(conversation, f"Rather: {shape.prompt}"))
            case TextDelta():
                said += happened.text
                if shape.end == "interrupted" and said.endswith(shape.text) and conversation.running:
                    conversation.interrupt()
            case TurnFinished():
                outcome = happened.outcome
    if steering is not None:
        await steering
    return outcome


async def steer(conversation: Conversation, text: str) -> None:
    async for _ in conversation.send(text, steer=True):
        pass


async def talk(home: Path, server: ModelServer, script: Script, turns: Iterable[Shape]) -> str:
    """All turns in one session; an `App` is left, and another made, where a turn says so."""
    meddler, session = Meddler(), ""
    app = make_app(home, server, meddler)
    try:
        conversation = await app.conversation(toolsets=["meddler", "terminal", "files"])
        for shape in turns:
            if shape.restart and session:
                await app.close()
                app = make_app(home, server, meddler)
                conversation = await app.conversation(session)
            meddler.shape = shape
            script.play(shape)
            event(f"{shape.end}: {await run_turn(conversation, shape)}")
            session = conversation.id
    finally:
        await app.close()
    return session


def run(work: Callable[[], Coroutine[Any, Any, str]]) -> str:
    async def bounded() -> str:
        async with asyncio.timeout(100):
            return await work()

    return asyncio.run(bounded())


def assert_prefixes(bodies: list[bytes]) -> None:
    for number, (body, following) in enumerate(pairwise(bodies), 1):
        assert body.endswith(CLOSING)
        head = body.removesuffix(CLOSING)
        if not following.startswith(head):
            pairs = enumerate(zip(head, following, strict=False))
            same = next((place for place, (one, other) in pairs if one != other), len(following))
            around = slice(max(same - 80, 0), same + 120)
            lost, found = head[around], following[around]
            raise AssertionError(f"request {number + 1} departs from {number} at byte {same}:\n{lost!r}\n{found!r}")


# Not shrunk: the failure names the byte, and a run takes a second.
@settings(
    max_examples=4,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
    phases=[Phase.generate],
)
@given(st.lists(shapes, min_size=TURNS, max_size=TURNS))
def test_every_request_starts_with_the_one_before_it(turns: list[Shape]) -> None:
    script = Script()
    with tempfile.TemporaryDirectory() as folder, ModelServer(default=script) as server:
        run(lambda: talk(Path(folder), server, script, turns))
        bodies = [request.body for request in server.requests]
        assert len(bodies) >= TURNS
        assert_prefixes(bodies)


def test_a_resume_on_the_command_line_starts_with_the_same_bytes(hermes: Hermes) -> None:
    script = Script()
    with ModelServer(default=script) as server:
        hermes.use(server.url, approvals={"mode": "off"})
        (hermes.workspace / "AGENTS.md").write_text("Answer in verse.")
        script.play(Shape("", calls=(2, 1), text="ein Wört"))
        assert hermes("chat", "-q", "Tu’s 🧭").code == 0
        (hermes.workspace / "AGENTS.md").write_text("Answer in prose.")
        hermes.use(server.url, approvals={"mode": "off"}, toolsets=["files"])
        script.play(Shape("", calls=(1,)))
        assert hermes("chat", "-q", "and again", "--continue").code == 0
        bodies = [request.body for request in server.requests]
        assert len(bodies) == 5
        assert_prefixes(bodies)
        assert b"verse" in bodies[-1]
        assert b"prose" not in bodies[-1]
