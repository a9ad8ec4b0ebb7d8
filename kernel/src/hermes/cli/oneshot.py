"""One prompt, one answer: ``hermes -z`` and ``hermes chat -q``."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys

from hermes.agent.conversation import Conversation
from hermes.app import App
from hermes.contracts.errors import HermesError
from hermes.contracts.events import AnyEvent, InputRequested, TurnFinished, TurnStarted, TurnSuspended, encode

from .options import ChatRequest
from .output import Output, complain
from .report import error_line, exit_code, open_usage_file, usage_report, write_usage
from .session import make_app, make_conversation, message_parts
from .show import Show, ask_person


def answer_once(request: ChatRequest, out: Output) -> int:
    with out.protected():
        return asyncio.run(OneShot(request, out).run())


class OneShot:
    """A single turn of the command line."""

    def __init__(self, request: ChatRequest, out: Output) -> None:
        self._request = request
        self._out = out
        self._silent = request.quiet or request.final_only
        self._finished: TurnFinished | None = None
        self._streaming = out.is_terminal and not self._silent and not request.as_json
        self._show = Show(
            out,
            text=self._streaming,
            progress=not self._silent and not request.as_json,
            changes=not request.quiet and not request.as_json,
        )

    async def run(self) -> int:
        session_id, problem = "", None
        if self._request.usage_file:
            open_usage_file(self._request.usage_file)
        try:
            async with make_app(self._request) as app:
                app.plugins.alarm.enable()
                asking = "inline" if not self._silent and sys.stdin.isatty() and sys.stderr.isatty() else "never"
                conversation = await make_conversation(app, self._request, asking)  # type: ignore[arg-type]
                session_id = conversation.id
                return await self._turn(app, conversation)
        except HermesError as error:
            problem = error
            raise
        finally:
            if self._request.usage_file:
                write_usage(self._request.usage_file, usage_report(session_id, self._finished, problem))

    async def _turn(self, app: App, conversation: Conversation) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._interrupt, conversation)
        parts = message_parts(self._request.prompt or "", self._request.image)
        try:
            async for event in conversation.send(parts):
                await self._see(event, conversation)
        except HermesError as error:
            app.log.error("%s: %s", type(error).__name__, error)
            raise
        if self._request.quiet:
            complain(f"session_id: {conversation.id}")
        return self._conclude(app)

    def _interrupt(self, conversation: Conversation) -> None:
        if conversation.running:
            conversation.interrupt()
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().remove_signal_handler(number)
        else:
            os._exit(130)

    async def _see(self, event: AnyEvent, conversation: Conversation) -> None:
        if self._request.as_json:
            self._out.line(encode(event).decode())
        self._show.event(event)
        match event:
            case TurnStarted():
                # What is loaded by now stays: the collector need not look at it again.
                gc.freeze()
                gc.enable()
            case InputRequested():
                await ask_person(conversation, event.request)
            case TurnFinished():
                self._finished = event
            case TurnSuspended():
                raise HermesError(
                    "The turn waits for an answer that this command cannot give.",
                    hint=f"Go on interactively: hermes chat --resume {conversation.id}",
                )

    def _conclude(self, app: App) -> int:
        finished = self._finished
        assert finished is not None, "a turn ends with TurnFinished"
        code = exit_code(finished)
        if code == 0:
            if not self._request.as_json and not self._streaming:
                self._out.line(app.redact(finished.text))
            elif self._streaming:
                self._show.end_text()
            return 0
        if finished.text and not self._request.as_json and not self._streaming:
            complain(app.redact(finished.text))
        if finished.error is not None:
            line = app.redact(error_line(finished.error, app.home.logs / "errors.log"))
            app.log.error("turn %s: %s", finished.turn_id, line)
            complain(line)
        elif finished.outcome == "interrupted":
            complain("Interrupted.")
        return code
