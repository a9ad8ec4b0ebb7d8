"""A plain chat on the terminal: streaming, approvals inline, Ctrl+C stops the turn and keeps what came."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import sys

from hermes.agent.conversation import Conversation
from hermes.app import App
from hermes.contracts.errors import HermesError
from hermes.contracts.events import InputRequested, TurnFinished
from hermes.contracts.messages import Usage

from .options import ChatRequest
from .output import Output, complain
from .report import error_line
from .session import make_app, make_conversation, message_parts
from .show import Show, ask_person

HELP = """/help            this
/new             begin a new session
/model [NAME]    show or change the model: PROVIDER:MODEL
/usage           tokens and cost so far
/exit            leave (Ctrl+D, too)
Ctrl+C           stop the running turn; what came so far is kept"""


def chat_interactively(request: ChatRequest, out: Output) -> int:
    with out.protected(), asyncio.Runner() as runner:
        chat = InteractiveChat(request, out)
        runner.run(chat.open())
        try:
            while (line := _line()) is not None:
                if line.strip():
                    try:
                        if not runner.run(chat.take(line.strip())):
                            break
                    except HermesError as error:
                        complain(f"hermes: {error}\n  {error.hint}".rstrip())
        finally:
            runner.run(chat.close())
    return 0


def _line() -> str | None:
    """The next line; None at the end of input, or on a second Ctrl+C."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 (gives `input` history and editing)
    gc.enable()
    for _ in range(2):
        try:
            # Only on descriptors 0 and 1 does `input` use readline; 1 is standard error, see `Output`.
            with contextlib.redirect_stdout(sys.__stdout__):
                return input("\n> ")
        except KeyboardInterrupt:
            complain("\n(Ctrl+C again, or Ctrl+D, to leave)")
        except EOFError:
            return None
    return None


class InteractiveChat:
    def __init__(self, request: ChatRequest, out: Output) -> None:
        self._request = request
        self._out = out
        self._usage = Usage()
        self._cost: float | None = None
        self._images = request.image
        self._app: App
        self._conversation: Conversation

    async def open(self) -> None:
        self._app = make_app(self._request)
        self._app.plugins.alarm.enable()
        try:
            await self._begin()
        except HermesError:
            await self._app.close()
            raise
        session = self._conversation.session
        target = await self._app.router.target(session.scope, provider=session.provider, model=session.model)
        complain(f"Hermes, with {target.provider}:{target.model} in {session.workspace}. /help for help.")

    async def _begin(self) -> None:
        self._conversation = await make_conversation(self._app, self._request, "inline")

    async def close(self) -> None:
        if hasattr(self, "_conversation"):
            await self._app.close()
            if self._conversation.outcome:
                complain(f"Go on with: hermes --resume {self._conversation.id}")

    async def take(self, line: str) -> bool:
        """A line of the person's. False: they want to leave."""
        if not line.startswith("/"):
            await self._turn(line)
            return True
        command, _, argument = line.partition(" ")
        match command:
            case "/exit" | "/quit":
                return False
            case "/help":
                complain(HELP)
            case "/new":
                await self._conversation.leave()
                self._request = self._request._replace(resume=None, continue_=False)
                await self._begin()
                complain(f"New session: {self._conversation.id}")
            case "/model":
                await self._model(argument.strip())
            case "/usage":
                cost = "unknown" if self._cost is None else f"${self._cost:.4f}"
                complain(f"{self._usage.prompt_tokens} tokens in, {self._usage.output_tokens} out, cost {cost}")
            case _:
                complain(f"There is no command {command}. /help shows them.")
        return True

    async def _model(self, name: str) -> None:
        if name:
            target = await self._conversation.choose_model(name)
        else:
            session = self._conversation.session
            target = await self._app.router.target(session.scope, provider=session.provider, model=session.model)
        complain(f"{target.provider}:{target.model}")

    async def _turn(self, line: str) -> None:
        show = Show(self._out, text=True, progress=True)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._conversation.interrupt)
        images, self._images = self._images, ()
        try:
            async for event in self._conversation.send(message_parts(line, images)):
                show.event(event)
                if isinstance(event, InputRequested):
                    await ask_person(self._conversation, event.request)
                elif isinstance(event, TurnFinished):
                    show.end_text()
                    self._account(event)
        finally:
            loop.remove_signal_handler(signal.SIGINT)
            self._out.flush()
            sys.stderr.flush()

    def _account(self, finished: TurnFinished) -> None:
        self._usage += finished.usage
        if finished.cost_usd is not None:
            self._cost = (self._cost or 0.0) + finished.cost_usd
        if finished.outcome == "interrupted":
            complain("[stopped]")
        elif finished.error is not None:
            complain(self._app.redact(error_line(finished.error, self._app.home.logs / "errors.log")))
