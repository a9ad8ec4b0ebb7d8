"""A toy surface: sessions over HTTP, for two people, with events as server-sent ones. Not a test module.

::

    POST /messages            {"text": …}                     → 202 {"session": …}      a turn in one's own session
                                                              → 202 {"skipped": why}    a plugin wants none of it
    GET  /events?session=…&after=N                            → text/event-stream       durable events, then live ones
    POST /answers             {"session", "request", "answer"} → 200 {"accepted": …}, 403

Who asks is in the header ``X-Principal``. The stream stays open until the client leaves.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

from hermes import (
    AnyEvent,
    App,
    Conversation,
    Event,
    HermesError,
    InMessage,
    MessageVerdict,
    Origin,
    Principal,
    SessionQuery,
    TextPart,
)
from hermes.contracts.events import encode

PEOPLE = ("alice", "bob")
STATUS = {200: "OK", 202: "Accepted", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found"}


class Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ToySurface:
    """Serves an `App` on 127.0.0.1. Every person has one session, found again after a restart."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._conversations: dict[str, Conversation] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[ToySurface]:
        await self._app.plugins.start()  # or no guard would see the first message
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._spawn(self._serve(reader, writer))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            method, target, headers, body = await _read(reader)
            url = urlsplit(target)
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            try:
                await self._route(method, url.path, headers.get("x-principal", ""), query, body, writer)
            except Refused as error:
                _send(writer, error.status, {"error": str(error)})
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _route(
        self, method: str, path: str, name: str, query: dict[str, str], body: Any, writer: asyncio.StreamWriter
    ) -> None:
        text = ""
        if (method, path) == ("POST", "/messages"):
            verdict = await self._judged(name, body["text"])
            if verdict.action == "skip":
                _send(writer, 202, {"skipped": verdict.reason})
                return
            text = verdict.text if verdict.action == "rewrite" else body["text"]
        if name not in PEOPLE:
            raise Refused(401, "Who are you?")
        match method, path:
            case "POST", "/messages":
                conversation = await self.own(name)
                self._spawn(_run(conversation, text))
                _send(writer, 202, {"session": conversation.id})
            case "GET", "/events":
                await self._stream(await self._readable(query["session"], name), int(query.get("after", "0")), writer)
            case "POST", "/answers":
                _send(writer, 200, {"accepted": await self._answer(body, name)})
            case _:
                raise Refused(404, "There is no such thing.")

    async def _judged(self, name: str, text: str) -> MessageVerdict:
        """What the plugins say of a message, before anybody asks whether its author may write at all."""
        message = InMessage(
            origin=Origin(platform="toy", chat=name), principal=Principal(id=f"toy:{name}"), parts=(TextPart(text),)
        )
        return await self._app.plugins.hooks.for_turn("toy").on_message(message)

    async def own(self, name: str) -> Conversation:
        if name not in self._conversations:
            found = await self._app.store.find(SessionQuery(principal=f"toy:{name}", limit=1))
            session = found.sessions[0].id if found.sessions else ""
            self._conversations[name] = await self._app.conversation(
                session, surface="toy", principal=Principal(id=f"toy:{name}", name=name), asking="later"
            )
        return self._conversations[name]

    async def _owner(self, session: str) -> tuple[str, Conversation]:
        for name in PEOPLE:
            conversation = await self.own(name)
            if conversation.id == session:
                return name, conversation
        raise Refused(404, "There is no such session.")

    async def _readable(self, session: str, name: str) -> str:
        owner, _ = await self._owner(session)
        if owner != name:
            raise Refused(403, "This is not your session.")
        return session

    async def _answer(self, body: Any, name: str) -> bool:
        """Whoever asks is handed to the kernel as who they are: it decides who may answer."""
        _, conversation = await self._owner(body["session"])
        try:
            return await conversation.answer(body["request"], body["answer"], by=Principal(id=f"toy:{name}", name=name))
        except HermesError as error:
            raise Refused(403 if "may not" in str(error) else 400, str(error)) from None

    async def _stream(self, session: str, after: int, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        while True:
            async for event in self._app.events(session, after=after, follow=True):
                after = event.seq
                writer.write(_frame(event))
                await writer.drain()


async def _run(conversation: Conversation, text: str) -> None:
    async for _ in conversation.send(text):
        pass


async def _read(reader: asyncio.StreamReader) -> tuple[str, str, dict[str, str], Any]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return method, target, headers, json.loads(body) if body else None


def _send(writer: asyncio.StreamWriter, status: int, value: dict[str, Any]) -> None:
    data = json.dumps(value).encode()
    head = f"HTTP/1.1 {status} {STATUS[status]}\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: {len(data)}\r\nConnection: close\r\n\r\n".encode() + data)


def _frame(event: Event | AnyEvent) -> bytes:
    return b"id: %d\ndata: %b\n\n" % (event.seq, encode(event))


async def ask(port: int, who: str, method: str, path: str, body: Any = None) -> dict[str, Any]:
    """A client's request. Every answer but a stream's is a JSON object; the status is in it as ``status``."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    data = json.dumps(body).encode() if body is not None else b""
    try:
        head = f"{method} {path} HTTP/1.1\r\nX-Principal: {who}\r\nContent-Length: {len(data)}\r\n\r\n"
        writer.write(head.encode() + data)
        status, text = (await reader.read()).decode().split("\r\n\r\n", 1)
        return {"status": int(status.split()[1]), **json.loads(text)}
    finally:
        writer.close()
