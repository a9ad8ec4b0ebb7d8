"""One turn of a real `App` with hostile plugins in its home, in a process of its own; told as JSON.

A program. Its argument is a file with a `Spec`; what came of it is written to ``report.json`` beside that file, so that
standard output stays what the plugins made of it. The limit on memory is inherited by all that it starts.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import time
from pathlib import Path

import msgspec

from hermes import (
    App,
    Conversation,
    Event,
    InMessage,
    Origin,
    Principal,
    TextDelta,
    ToolOutput,
    TurnFinished,
    hookimpl,
    tool,
)
from hermes.contracts.messages import TextPart, ToolResultPart
from hermes_testkit.scripted import Reply, ScriptedModel, call, make_app, say


class Spec(msgspec.Struct, kw_only=True):
    """``calls``: rounds of tool calls, each a list of names; ``deltas``: pieces that the last answer comes in.

    ``interrupt``: seconds after which the user has enough of the first turn; 0: never. A second turn calls what the
    other plugins have.
    """

    home: str
    plugins: list[str]
    calls: list[list[str]] = []
    deltas: int = 1
    interrupt: float = 0.0
    environ: dict[str, str] = {}
    memory_mb: int = 6144
    files: int = 0
    message: bool = False


class Report(msgspec.Struct, kw_only=True):
    """``results``: of the model's tool calls, in order. ``fired``: hooks of the witness in this process.

    ``hosts``: for each plugin host its plugins, how often it was started, and why it is given up.
    """

    outcomes: list[str] = []
    texts: list[str] = []
    results: list[str] = []
    fired: list[str] = []
    notices: list[str] = []
    seconds: dict[str, float] = {}
    zombies: list[int] = []
    shown: list[str] = []
    on_message: str = ""
    prompt_chars: int = 0
    hosts: list[tuple[str, int, str]] = []


class Witness:
    """The other plugin, in Hermes's own process."""

    name = "witness"

    def __init__(self, report: Report) -> None:
        self._fired = report.fired

    @hookimpl
    def on_session_start(self, session) -> None:  # type: ignore[no-untyped-def]
        self._fired.append("start")

    @hookimpl
    def pre_llm_call(self, turn) -> None:  # type: ignore[no-untyped-def]
        self._fired.append("turn")

    @hookimpl
    def post_tool_call(self, call, result) -> None:  # type: ignore[no-untyped-def]
        self._fired.append(call.name)

    @hookimpl
    async def on_session_end(self, session, outcome) -> None:  # type: ignore[no-untyped-def]
        self._fired.append(f"end {outcome}")

    @staticmethod
    @tool(risk="read")
    def hello() -> str:
        """Says hello."""
        return "hello from the witness"


def replies(spec: Spec) -> list[Reply]:
    pieces: Reply = [TextDelta(text=".") for _ in range(spec.deltas - 1)]
    return [*(say("", *(call(name) for name in names)) for names in spec.calls), [*pieces, *say("Done.")]]


async def play(spec: Spec, report: Report) -> None:
    began = time.monotonic()
    model = ScriptedModel(replies(spec))
    app = make_app(
        Path(spec.home),
        Witness(report),
        model=model,
        only=spec.plugins,
        environ=spec.environ,
        notify=report.notices.append,
    )
    report.seconds["index"] = time.monotonic() - began
    async with app:
        conversation = await app.conversation()
        if spec.interrupt:
            asyncio.get_running_loop().call_later(spec.interrupt, conversation.interrupt)
        await turn(conversation, report, "first")
        if spec.message:
            report.on_message = await judge_message(app)
        model.queue = [say("", call("hello"), call("greet")), say("All is well.")]
        await turn(conversation, report, "second")
        report.hosts = [(host.name, host.starts, host.failed) for host in app.plugins.hosts()]
        began = time.monotonic()
    report.seconds["close"] = time.monotonic() - began
    for message in model.requests[-1].messages if model.requests else ():
        report.prompt_chars += sum(len(getattr(part, "text", "")) for part in message.parts)
        for part in message.parts:
            if isinstance(part, ToolResultPart):
                report.results.append("".join(piece.text for piece in part.content if isinstance(piece, TextPart)))
    report.zombies = zombies()


async def turn(conversation: Conversation, report: Report, name: str) -> None:
    began = time.monotonic()
    async for event in conversation.send("go"):
        take(event, report)
    report.seconds[name] = time.monotonic() - began


def take(event: Event, report: Report) -> None:
    if isinstance(event, TurnFinished):
        report.outcomes.append(event.outcome)
        report.texts.append(event.text)
    elif isinstance(event, ToolOutput):
        report.shown.append(event.text)


async def judge_message(app: App) -> str:
    message = InMessage(parts=(TextPart("hi"),), origin=Origin(platform="test"), principal=Principal(id="test:1"))
    return (await app.plugins.hooks.on_message(message)).action


def zombies() -> list[int]:
    """Children of this process that ended and that nobody asked after."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if state == "Z" and int(parent) == os.getpid():
            found.append(int(folder.name))
    return found


def main() -> None:
    place = Path(sys.argv[1])
    spec = msgspec.json.decode(place.read_bytes(), type=Spec)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limit = spec.memory_mb << 20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    if spec.files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (spec.files, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    report = Report()
    try:
        asyncio.run(play(spec, report))
    finally:
        place.with_name("report.json").write_bytes(msgspec.json.encode(report))


if __name__ == "__main__":
    main()
