"""A fake model server over real HTTP that speaks five wires at once, scripted by a test.

Chat Completions, OpenAI's Responses, Anthropic's Messages, Google's Gemini and Amazon Bedrock's Converse, each on its
own paths and all from one script.

::

    with ModelServer(Call("get_time", {"zone": "UTC"}), "It is noon.") as server:
        ...  # send requests to server.url
    assert server.requests[1].json["messages"][-1]["role"] == "tool"

It runs in a thread of its own, so it serves sync and async tests and other processes alike. From a shell:
``python -m hermes_testkit.model_server --reply "Hello"`` prints its URL and serves until it is killed.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TypeAlias

from .connection import Connection
from .replies import (
    Call,
    Chunk,
    Cut,
    Drop,
    ErrorChunk,
    Fail,
    Finish,
    KeepAlive,
    Malformed,
    Refuse,
    Reply,
    Say,
    Slow,
    Think,
    Tokens,
)
from .seen import SeenRequest
from .wire.anthropic_messages import AnthropicMessages
from .wire.bedrock_converse import BedrockConverse
from .wire.chat_completions import ChatCompletions
from .wire.form import Entry, Form
from .wire.gemini import Gemini
from .wire.responses import Responses

__all__ = [
    "Call",
    "Chunk",
    "Cut",
    "Drop",
    "ErrorChunk",
    "Fail",
    "Finish",
    "KeepAlive",
    "Malformed",
    "ModelServer",
    "Refuse",
    "Reply",
    "Say",
    "SeenRequest",
    "Slow",
    "Think",
    "Tokens",
]

STARTED_WITHIN = 10.0
HEAD_LIMIT = 1 << 20
FORMS: tuple[Form, ...] = (AnthropicMessages(), Gemini(), ChatCompletions(), Responses(), BedrockConverse())
"""Asked in this order: three vendors list models on one path, and OpenAI's clients have no header of their own."""

Answer: TypeAlias = Callable[[SeenRequest], "Reply | str"]
Scripted: TypeAlias = "Reply | str | Answer"


class ModelServer:
    """Plays ``script`` in order, then ``default``. A text is short for `Say`; a function is given the request.

    ``key``: requests with another one, in the place where each vendor wants it, are refused. Empty: any will do, and
    OpenAI's wires, which servers of one's own speak too, need none.
    ``models``: what is listed, in every vendor's form.
    """

    def __init__(
        self,
        *script: Scripted,
        default: Scripted = "OK",
        models: Iterable[Entry] = ("test-model",),
        key: str = "",
        port: int = 0,
    ) -> None:
        self.requests: list[SeenRequest] = []
        """Model calls, in order of arrival; what else was asked is in ``other_requests``."""
        self.other_requests: list[SeenRequest] = []
        self.default = default
        self.models = list(models)
        self.forms = FORMS
        self.key = key
        self._script: deque[Scripted] = deque(script)
        self._port = port
        self._connections = 0
        self._arrival = threading.Condition()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._ready = threading.Event()
        self._thread: threading.Thread | None = None
        self._failed: Exception | None = None

    def script(self, *replies: Scripted) -> None:
        """Adds to what is played."""
        self._script.extend(replies)

    @property
    def pending(self) -> int:
        """How many replies of the script are not yet played."""
        return len(self._script)

    @property
    def root(self) -> str:
        """Without a path, e.g. ``http://127.0.0.1:41234``: the base URL for Anthropic, Gemini and Bedrock."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def url(self) -> str:
        """The base URL for Chat Completions and Responses."""
        return f"{self.root}/v1"

    def wait_for_requests(self, count: int, timeout: float = 10.0) -> bool:
        """Waits until ``count`` model calls have arrived; False when they do not in ``timeout`` seconds."""
        with self._arrival:
            return self._arrival.wait_for(lambda: len(self.requests) >= count, timeout)

    def start(self) -> ModelServer:
        self._thread = threading.Thread(target=self._run, name="model-server", daemon=True)
        self._thread.start()
        if not self._ready.wait(STARTED_WITHIN):
            raise TimeoutError("the model server did not start")
        if self._failed is not None:
            raise self._failed
        return self

    def stop(self) -> None:
        """Closes every connection and ends the thread. Raises what a function in the script raised, if one did."""
        if self._thread is None or self._loop is None or self._stop is None:
            return
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._thread = None
        if self._failed is not None:
            raise self._failed

    def __enter__(self) -> ModelServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:  # noqa: BLE001 (handed to the test, which fails)
            self.failed(error)
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        tasks: set[asyncio.Task[None]] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._connections += 1
            task = asyncio.ensure_future(Connection(self, self._connections, reader, writer).run())
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        server = await asyncio.start_server(connected, "127.0.0.1", self._port, limit=HEAD_LIMIT)
        self._port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()

    def note(self, request: SeenRequest, *, model_call: bool) -> None:
        with self._arrival:
            seen = self.requests if model_call else self.other_requests
            seen.append(request)
            request.number = len(seen)
            self._arrival.notify_all()

    def failed(self, error: Exception) -> None:
        self._failed = self._failed or error

    def next_reply(self, request: SeenRequest) -> Reply:
        scripted = self._script.popleft() if self._script else self.default
        answered = scripted(request) if callable(scripted) else scripted
        return Say(answered) if isinstance(answered, str) else answered


def main(arguments: list[str] | None = None) -> None:
    """Serves one reply to every request until it is killed; the first line it prints is its URL."""
    import argparse
    import sys

    parser = argparse.ArgumentParser(prog="python -m hermes_testkit.model_server", description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0, help="0: any that is free")
    parser.add_argument("--reply", default="OK", help="the text of every answer")
    parser.add_argument("--chunks", type=int, default=0, help="how many pieces it is streamed in; 0: one a word")
    options = parser.parse_args(arguments)
    with ModelServer(default=Say(options.reply, chunks=options.chunks), port=options.port) as server:
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    main()
