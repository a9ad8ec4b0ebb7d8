"""Shows a turn on a terminal as plain lines, and asks the person what has to be asked."""

from __future__ import annotations

import asyncio
import json
import sys

from hermes.agent.conversation import Conversation
from hermes.contracts.events import (
    AnyEvent,
    InputRequest,
    MessageQueued,
    MessageReplaced,
    ModelRetry,
    Notice,
    TextDelta,
    ToolFinished,
    ToolRefused,
    ToolStarted,
)
from hermes.logs.plain import plain

from .output import Output, complain

SHORT = 100


class Show:
    """``text``: the answer as it comes, on stdout. ``progress``: what the tools do, on stderr; without it ``changes``:
    at least that another model answers.
    """

    def __init__(self, out: Output, *, text: bool, progress: bool, changes: bool = False) -> None:
        self._out = out
        self._text = text
        self._progress = progress
        self._changes = changes
        self._open = False

    def event(self, event: AnyEvent) -> None:
        match event:
            case TextDelta() if self._text:
                self._out.write(event.text)
                self._open = not event.text.endswith("\n")
            case ModelRetry():
                if self._text and event.restart:
                    self._line("[the answer was cut and starts anew]")
                self._line(f"[{event.error.message} {_next(event)}]", always=event.step == "fall_back")
            case ToolStarted():
                self._line(f"· {event.name} {short(event.arguments)}")
            case ToolFinished():
                mark = "failed" if event.is_error else "done"
                self._line(f"  {mark} in {event.seconds:.1f} s")
            case ToolRefused() if event.by != "mistake":
                self._line(f"· {event.name} {plain(event.reason, SHORT)}")
            case MessageReplaced() if self._text:
                self._line(f"[replaced by {event.plugin}:]")
                self._out.line(event.text)
            case MessageQueued():
                self._line("[another process is working on this session; the message is queued]")
            case Notice():
                self._line(f"[{event.text}]", always=event.level == "warning")

    def end_text(self) -> None:
        if self._open:
            self._out.line()
            self._open = False

    def _line(self, text: str, *, always: bool = False) -> None:
        if self._progress or (always and self._changes):
            self.end_text()
            complain(text)


def _next(event: ModelRetry) -> str:
    match event.step:
        case "fall_back":
            return f"Falling back to {event.provider}:{event.model}."
        case "rotate":
            return "Trying the next key."
        case "refresh":
            return "Trying again with a new token."
        case "compress":
            return "Trying again without the earlier messages."
    return f"Trying again in {event.seconds:.1f} s." if event.seconds else "Trying again."


def short(arguments: dict[str, object]) -> str:
    text = " ".join(json.dumps(value, ensure_ascii=False) for value in arguments.values())
    return text if len(text) <= SHORT else text[: SHORT - 1] + "…"


async def ask_person(conversation: Conversation, request: InputRequest) -> None:
    """Asks on the terminal, until the answer is one."""
    if request.tool:
        complain(f"\n{request.prompt}  {short(request.arguments)}")
    else:
        complain(f"\n{request.prompt}")
    if request.reason:
        complain(f"  {request.reason}")
    choices = f" [{'/'.join(request.choices)}]" if request.choices else ""
    while True:
        line = await read_line(f"{choices} > ")
        answer = (line or "").strip()
        if line is None:
            answer = "deny" if request.kind == "approval" else ""
        matches = [choice for choice in request.choices if choice.startswith(answer)] if answer else []
        if not request.choices or len(matches) == 1:
            await conversation.answer(request.id, matches[0] if matches else answer)
            return


async def read_line(prompt: str) -> str | None:
    """A line from the terminal, without holding up the event loop; None at its end."""
    sys.stderr.write(prompt)
    sys.stderr.flush()
    loop = asyncio.get_running_loop()
    line: asyncio.Future[str] = loop.create_future()

    def readable() -> None:
        text = sys.stdin.readline()
        if not line.done():
            line.set_result(text)

    loop.add_reader(sys.stdin.fileno(), readable)
    try:
        return await line or None
    finally:
        loop.remove_reader(sys.stdin.fileno())
